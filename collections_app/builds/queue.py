"""The queue of builds: PostgreSQL keeps it, and Redis carries the messages to the workers."""

import logging
from typing import Any

from celery import current_app
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from catalog.storage.broker import NOT_QUEUED, broker_turns
from collections_app.models import Build, Collection
from collections_app.selection.to_fetch import FETCH, count_items_to_fetch

logger = logging.getLogger(__name__)

BUILD_TASK = "collections_app.tasks.build_collection_task"
VERIFY_TASK = "collections_app.tasks.verify_archive_task"
MAIL_TASK = "collections_app.tasks.send_mails_task"


def add_build(
    *, collection: Collection, notify: bool = True, replaces: dict[str, Any] | None = None
) -> Build:
    """Add a build of a pending collection to the queue; notify a worker after the commit.

    Without ``notify`` the caller builds it at once. ``replaces`` is as in ``Build``.
    """
    now = timezone.now()
    # Counts for the owner's limit of a day until the build knows better.
    to_fetch = count_items_to_fetch(collection).num_bytes if collection.options.get(FETCH) else 0
    last = collection.last_build
    build = Build.objects.create(
        collection=collection,
        num_problems=last.num_problems if last else 0,
        queued_at=now,
        notified_at=now,
        replaces=replaces or {},
        bytes_to_fetch=to_fetch,
    )
    if notify:
        # The order is in the database: whatever the broker does, the request has succeeded.
        transaction.on_commit(lambda: notify_builder(collection.pk), robust=True)
    return build


def notify_builder(collection_id: int) -> None:
    """Send the message for a pending collection; the sweep repeats a lost one."""
    _send(BUILD_TASK, collection_id)


def notify_verifier(collection_id: int) -> None:
    """Have a finished archive verified and its SHA-256 computed."""
    _send(VERIFY_TASK, collection_id)


def notify_mailer() -> None:
    """Have the due mails sent."""
    if settings.EMAIL_IS_CONFIGURED:
        # A message that no worker takes in time is dropped: the sweep sends the next one.
        _send(MAIL_TASK, expires=settings.SWEEP_SECONDS)


def _send(task: str, *args: int, expires: float | None = None) -> None:
    try:
        with broker_turns.take():
            current_app.send_task(task, args=args, expires=expires)
    except NOT_QUEUED as error:
        logger.warning("The sweep will send %s %s again: the broker: %s", task, args, error)
