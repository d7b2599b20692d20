"""Where archives lie: on a disk, or in object storage if ARCHIVE_STORAGE names a bucket.

Bytes come in from builds and go out to verification and downloads. It calls models, and of
``archive`` what cuts an archive into parts.
"""

import logging
from importlib import import_module

from django.conf import settings
from django.db import transaction

from collections_app.storage.base import (
    PARTIAL,
    ArchiveStore,
    ArchiveTrouble,
    StorageTrouble,
    archive_name,
    partial_name,
    plain_name,
)
from collections_app.storage.disk import DiskStore, archive_file, mark_time
from collections_app.storage.locks import archive_lock
from collections_app.storage.patience import asking_briefly

__all__ = [
    "PARTIAL",
    "ArchiveStore",
    "ArchiveTrouble",
    "StorageTrouble",
    "archive_file",
    "archive_lock",
    "archive_name",
    "archive_store",
    "asking_briefly",
    "find_storage_trouble",
    "mark_time",
    "partial_name",
    "plain_name",
    "remove_after_commit",
    "remove_archive",
]

logger = logging.getLogger(__name__)


def archive_store() -> ArchiveStore:
    """The one that the settings name."""
    if not settings.ARCHIVE_STORAGE:
        return DiskStore()
    # Not at the top: botocore takes time and memory, which most sites need not spend.
    return import_module("collections_app.storage.bucket").BucketStore(settings.ARCHIVE_STORAGE)


def find_storage_trouble() -> str:
    """Why the bucket of archives does not serve, asked once; empty if it does, or there is none."""
    try:
        with asking_briefly():
            archive_store().require_answer()
    except StorageTrouble as trouble:
        return str(trouble.strerror)
    return ""


def remove_archive(relative: str) -> None:
    """Delete an archive; running downloads go on. Does nothing for ``""``."""
    if relative:
        archive_store().remove_archive(relative)


def remove_after_commit(relative: str) -> None:
    """Delete an archive that nothing refers to any more; if that fails, the sweep tries again."""
    transaction.on_commit(lambda: _try_to_remove(relative), robust=True)


def _try_to_remove(relative: str) -> None:
    try:
        remove_archive(relative)
    except StorageTrouble as trouble:
        logger.warning("the archive %s is left to the sweep: %s", relative, trouble.strerror)
