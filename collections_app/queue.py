"""Telling a worker that there is work. Redis carries the news; PostgreSQL keeps the queue."""

import logging

from celery import current_app
from kombu.exceptions import OperationalError

logger = logging.getLogger(__name__)

BUILD_TASK = "collections_app.tasks.build_collection_task"
CHECKSUM_TASK = "collections_app.tasks.checksum_archive_task"


def announce_build(collection_id: int) -> None:
    """Send the news of a pending collection; lost news is sent again by the sweep."""
    _announce(BUILD_TASK, collection_id)


def announce_checksum(collection_id: int) -> None:
    """Have the finished archive's own SHA-256 computed."""
    _announce(CHECKSUM_TASK, collection_id)


def _announce(task: str, collection_id: int) -> None:
    try:
        current_app.send_task(task, args=[collection_id])
    except OperationalError:
        logger.warning("The broker does not answer; the sweep will announce %s.", collection_id)
