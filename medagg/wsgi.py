import os
from typing import Any

import django
from django.core.exceptions import SuspiciousOperation
from django.core.handlers.wsgi import WSGIHandler, WSGIRequest
from django.db.backends.signals import connection_created

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "medagg.settings")
django.setup(set_prefix=False)

# Behind the set-up, as it needs the settings.
from catalog.storage.web_threads import serves_pages  # noqa: E402
from medagg.busy import limit_waits  # noqa: E402

serves_pages.set()
connection_created.connect(limit_waits)


class Request(WSGIRequest):
    """Is made, whatever its type of content says: an error here would be no answer.

    Django reads an address in the encoding that is said there, before any middleware. That encoding
    stays said, for the middleware that refuses it.
    """

    def __init__(self, environ: dict[str, Any]) -> None:
        try:
            super().__init__(environ)
        except (ValueError, LookupError, SuspiciousOperation):
            environ["CONTENT_TYPE"] = ""
            super().__init__(environ)


class Site(WSGIHandler):
    request_class = Request


application = Site()
