"""What a request for a preview of what lies elsewhere gets: the preview, or when to ask again."""

import logging
from typing import Any

from celery import current_app
from django.conf import settings
from django.http import HttpRequest
from kombu.exceptions import ChannelError

from catalog.hooks import fetch_throttles
from catalog.imaging.preview import Preview
from catalog.imaging.problems import CannotRender
from catalog.models import Image
from catalog.previews.elsewhere import (
    forget_request,
    is_asked_for,
    is_previewed_remotely,
    mark_as_asked_for,
    raise_known_problem,
)
from catalog.previews.local import find_cached_preview
from catalog.storage.broker import NOT_QUEUED, broker_turns
from catalog.tasks import make_remote_previews_task

logger = logging.getLogger(__name__)

_QUEUE_SECONDS = 30
# While no worker takes them, tasks that have expired stay in the broker's memory.
MOST_WAITING = 300


class Later(Exception):
    """There is no preview yet; the client should come again in ``retry_seconds``."""

    def __init__(self, status: int, reason: str, retry_seconds: int) -> None:
        super().__init__(reason)
        self.status, self.reason, self.retry_seconds = status, reason, retry_seconds


def find_or_ask_for_preview(request: HttpRequest, image: Image, size: int) -> Preview:
    """The preview, if a worker has made it; else a worker is asked, once for equal requests.

    Raises:
        Later: it is being made, or this client has had too many made.
        CannotRender: there is none, and why.
    """
    if not is_previewed_remotely(image):
        raise CannotRender("The file is not on this server.")
    if kept := find_cached_preview(image, size):
        return kept
    raise_known_problem(image)
    if not is_asked_for(image):
        try:
            with broker_turns.take():
                _ask(request, image)
        except NOT_QUEUED as error:
            logger.warning("No preview of image %s was asked for: the broker: %s", image.pk, error)
            raise Later(503, "the server cannot have it made just now", _QUEUE_SECONDS) from error
    raise Later(202, "it is being made of one file of the series", 2)


def _ask(request: HttpRequest, image: Image) -> None:
    """Raises Later, or an error of NOT_QUEUED."""
    for throttle in fetch_throttles:
        if wait := throttle(request):
            raise Later(429, "too many were asked for in this minute", wait)
    if not mark_as_asked_for(image):
        return
    try:
        if _count_waiting() >= MOST_WAITING:
            raise Later(503, "the server has too many others to make", _QUEUE_SECONDS)
        make_remote_previews_task.delay(image.pk)
    except (Later, *NOT_QUEUED):
        forget_request(image)
        raise


def _count_waiting() -> int:
    """The messages in the queue; raises OperationalError if the broker does not answer."""
    name = settings.CELERY_TASK_DEFAULT_QUEUE
    with current_app.connection_for_write() as connection:
        # Without this, it would be tried without end.
        connection.ensure_connection(max_retries=1, interval_start=0)
        channel: Any = connection.channel()
        try:
            found = channel.queue_declare(name, passive=True)
        except ChannelError:  # there is no such list while it is empty
            return 0
        return int(found.message_count)
