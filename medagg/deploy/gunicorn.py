"""gunicorn's configuration in the image: what medagg's settings decide, too."""

from medagg import settings

threads = settings.WEB_THREADS
worker_class = "medagg.runner.web_worker.LingeringWorker"
