"""The Celery application: the broker carries the news, PostgreSQL keeps the truth."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "medagg.settings")

app = Celery("medagg")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
