"""The Celery application. PostgreSQL holds the queue; the broker only carries messages."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "medagg.settings")

app = Celery("medagg")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
