"""Thin tasks of the catalog."""

import logging

from celery import shared_task

from catalog.previews.elsewhere import EXPIRES_SECONDS, TASK_SECONDS, make_remote_previews
from catalog.previews.local import evict_previews
from catalog.wording.formats import file_size

logger = logging.getLogger(__name__)


@shared_task(soft_time_limit=300, time_limit=330)
def evict_previews_task() -> None:
    done = evict_previews()
    if done.removed:
        logger.info(
            "The cache of previews had %s, and has %s after %d were removed.",
            file_size(done.found_bytes),
            file_size(done.kept_bytes),
            done.removed,
        )


@shared_task(
    soft_time_limit=TASK_SECONDS,
    time_limit=TASK_SECONDS + 10,
    expires=EXPIRES_SECONDS,
)
def make_remote_previews_task(image_id: int) -> None:
    make_remote_previews(image_id=image_id)
