"""Telling a worker that there is work. Redis carries the news; PostgreSQL keeps the queue."""

import logging

from celery import current_app
from django.conf import settings
from kombu.exceptions import OperationalError

logger = logging.getLogger(__name__)

BUILD_TASK = "collections_app.tasks.build_collection_task"
PROOF_TASK = "collections_app.tasks.prove_archive_task"
MAIL_TASK = "collections_app.tasks.tell_owners_task"


def announce_build(collection_id: int) -> None:
    """Send the news of a pending collection; lost news is sent again by the sweep."""
    _announce(BUILD_TASK, collection_id)


def announce_proof(collection_id: int) -> None:
    """Have a finished archive proven, and its own SHA-256 computed."""
    _announce(PROOF_TASK, collection_id)


def announce_mails() -> None:
    """Have the owners told by mail whose collections are done, as far as they want it."""
    if settings.EMAIL_IS_CONFIGURED:
        # One that nobody took in time is worth nothing: the sweep sends the next.
        _announce(MAIL_TASK, expires=settings.SWEEP_SECONDS)


def _announce(task: str, *args: int, expires: float | None = None) -> None:
    try:
        current_app.send_task(task, args=args, expires=expires)
    except OperationalError:
        logger.warning("The broker does not answer; the sweep will announce %s %s.", task, args)
