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


# Python reads these in time that grows with the square of their length: a type with semicolons in
# quotation marks, and a cookie of backslashes (CVE-2024-7592; mended in 3.11.10 and 3.12.6).
# Browsers send types of 70 signs, and no cookie of ours has a backslash; a neighbour's may have.
MAX_TYPE, MAX_BACKSLASHES = 200, 100
# Cookies and paths take 20 milliseconds where they are as long as servers let them be. A browser
# sends one header of cookies, for which both servers have 16 kB; several are joined.
MAX_COOKIES, MAX_PATH = 16_384, 500
# No page of ours has this address.
NO_PAGE = "/address-too-long/"


class Request(WSGIRequest):
    """Is made, whatever its type of content says: an error here would be no answer.

    Django reads an address in the encoding that is said there, before any middleware. That encoding
    stays said, for the middleware that refuses it.
    """

    def __init__(self, environ: dict[str, Any]) -> None:
        if len(environ.get("CONTENT_TYPE", "")) > MAX_TYPE:
            environ["CONTENT_TYPE"] = ""
        if len(environ.get("PATH_INFO", "")) > MAX_PATH:
            environ["PATH_INFO"] = NO_PAGE
        if len(environ.get("HTTP_COOKIE", "")) > MAX_COOKIES:
            environ["HTTP_COOKIE"] = ""
        if (cookies := environ.get("HTTP_COOKIE", "")).count("\\") > MAX_BACKSLASHES:
            read = (each for each in cookies.split(";") if "\\" not in each)
            environ["HTTP_COOKIE"] = ";".join(read)
        try:
            super().__init__(environ)
        except (ValueError, LookupError, SuspiciousOperation):
            environ["CONTENT_TYPE"] = ""
            super().__init__(environ)


class Site(WSGIHandler):
    request_class = Request


application = Site()
