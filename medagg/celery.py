"""The Celery application. PostgreSQL holds the queue; the broker only carries messages."""

import logging
import os
import signal
import time
from contextvars import Token
from typing import Any

from celery import Celery, Task
from celery.signals import (
    before_task_publish,
    setup_logging,
    task_postrun,
    task_prerun,
    worker_init,
)

from medagg.observing.logs import request_id, task_id

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "medagg.settings")

app = Celery("medagg")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()

_tokens: list[tuple[Token[str], Token[str]]] = []


@setup_logging.connect
def keep_logging(**kwargs: Any) -> None:
    """With a receiver Celery leaves logging as Django's settings say."""


@before_task_publish.connect
def add_headers(headers: dict[str, Any], **kwargs: Any) -> None:
    """Which request asked for the task, for its log lines; since when it waits, for /metrics."""
    headers.update({"request_id": request_id.get(), "sent_at": time.time()})


# The names of these arguments are Celery's.
@task_prerun.connect
def begin_task(task: Task, **kwargs: Any) -> None:
    asked_by = getattr(task.request, "request_id", None) or ""
    _tokens.append((request_id.set(asked_by), task_id.set(task.request.id or "")))


@task_postrun.connect
def end_task(**kwargs: Any) -> None:
    if _tokens:
        of_request, of_task = _tokens.pop()
        request_id.reset(of_request)
        task_id.reset(of_task)


class _EndingWorker(logging.Handler):
    """Ends a worker that could not acknowledge or reject a task, once its tasks have ended.

    It takes no further one: its few places are taken by what it has not acknowledged. Whatever
    runs the worker starts it again.
    """

    def emit(self, record: logging.LogRecord) -> None:
        if str(record.msg).startswith(("Couldn't ack", "Couldn't reject")):
            os.kill(os.getpid(), signal.SIGTERM)


@worker_init.connect
def watch_acknowledgements(**kwargs: Any) -> None:
    logging.getLogger("celery.worker.request").addHandler(_EndingWorker(logging.CRITICAL))
