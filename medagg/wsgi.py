import os

from django.core.wsgi import get_wsgi_application
from django.db.backends.signals import connection_created

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "medagg.settings")

application = get_wsgi_application()

# Behind the application, as it needs the settings.
from medagg.busy import limit_waits  # noqa: E402

connection_created.connect(limit_waits)
