"""Verifying a ready archive: it is on the disk, and every byte of it is what was frozen.

A build believes files whose size and time are the catalog's. Only here is every byte read, once,
without the user waiting for it: so ``verified_at`` is set exactly when the archive is verified.
Where it is not, the collection fails, the files at fault are named, and the archive is withdrawn.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import suppress
from hashlib import file_digest
from io import FileIO

from billiard.exceptions import SoftTimeLimitExceeded
from django.db import transaction
from django.utils import timezone

from catalog.bulk.batches import in_batches
from catalog.imaging.paths import FileChanged, UnsafePath, open_beneath, read_facts
from catalog.storage.roots import dataset_root
from collections_app.archive import ArchiveDiffers, ArchiveReader
from collections_app.builds.outcome import fail_archive, with_same_archive
from collections_app.builds.problems import say_bad_files
from collections_app.builds.queue import enqueue_mails
from collections_app.contents.tables import make_tables
from collections_app.contents.texts import make_texts
from collections_app.models import Collection, CollectionItem, Reason
from collections_app.selection.fingerprint import finalize_if_needed
from collections_app.storage import (
    ArchiveTrouble,
    archive_file,
    mark_time,
    open_archive,
    remove_archive,
)

logger = logging.getLogger(__name__)

BATCH = 2000
# So many files at most are read once more to tell whether they or the archive were damaged.
MAX_LOOKS = 1000

CHANGED = "the contents differ from the catalog's (SHA-256), although size and time are the same"
WRONG_CRC = "the catalog has a wrong CRC-32 for this file; import its dataset again"
TRY_AGAIN = "Nothing is lost: try again builds the same bytes."
VANISHED = f"The archive's file has vanished from the server or is damaged. {TRY_AGAIN}"
REPLACED = f"The archive's file was changed on the server. {TRY_AGAIN}"
NOT_ON_DISK = f"The server's disk could not keep the archive. {TRY_AGAIN}"
READ_ONCE_MORE = (
    "This was found when the finished archive was read once more; it has been withdrawn."
)

BadFiles = dict[str, list[int]]  # positions of items by what is wrong with their files


class _Damaged(Exception):
    """The archive itself is not what was written; the message is for the collection's page."""


def verify_archive(*, collection_id: int) -> None:
    """Verify the archive of a ready collection.

    Nothing happens to a collection that is verified or not ready, and to one that is deleted,
    expired or rebuilt meanwhile. A time limit that strikes leaves all as it was.

    Raises:
        OSError: the archive cannot be opened or read, although it is there.
    """
    collection = Collection.objects.unverified().filter(pk=collection_id).first()
    if collection is None:
        return
    finalize_if_needed(collection)
    try:
        sha256, bad = _read_archive(collection)
    except _Damaged as error:
        _withdraw(collection, Reason.ARCHIVE_DAMAGED, str(error), {})
    except SoftTimeLimitExceeded:
        logger.warning("collection %s: no time was left to verify its archive", collection.uuid)
    else:
        if number := sum(map(len, bad.values())):
            message = f"{say_bad_files(number)}. {READ_ONCE_MORE}"
            _withdraw(collection, Reason.FILES_CHANGED, message, bad)
        else:
            _confirm(collection, sha256)


def _read_archive(collection: Collection) -> tuple[str, BadFiles]:
    """SHA-256 of the whole archive, and which files in it are not those of the catalog."""
    try:
        file = open_archive(collection.archive_path, collection.archive_size)
    except ArchiveTrouble as trouble:
        raise _Damaged(VANISHED if trouble.is_gone else REPLACED) from trouble
    with file:
        _sync(file, collection)
        if collection.archive_sha256:  # verified before: it must be the same file as then
            if file_digest(file, "sha256").hexdigest() != collection.archive_sha256:
                raise _Damaged(REPLACED)
            return collection.archive_sha256, {}
        try:
            sha256, bad = _compare(collection, file)
        except ArchiveDiffers as error:
            logger.error("collection %s: %s", collection.uuid, error)
            raise _Damaged(REPLACED) from error
    intact = _find_intact_files(collection, bad[CHANGED])
    bad[CHANGED] = [position for position in bad[CHANGED] if position not in intact]
    if intact and not any(bad.values()):
        raise _Damaged(REPLACED)
    return sha256, bad


def _sync(file: FileIO, collection: Collection) -> None:
    """Have the file and its name written to the disk."""
    try:
        os.fsync(file.fileno())
        folder = os.open(archive_file(collection.archive_path).parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        # The kernel reports this once and forgets the data: the next fsync would say all is well.
        raise _Damaged(NOT_ON_DISK) from error


def _compare(collection: Collection, file: FileIO) -> tuple[str, BadFiles]:
    reader, bad = ArchiveReader(file), BadFiles({CHANGED: [], WRONG_CRC: []})
    texts = make_texts(collection, collection.fingerprint)
    for text in texts:
        reader.check_text(text)
    for position, name, size, sha256 in _iter_files(collection):
        found = reader.check_file(f"{collection.slug}/{name}", size)
        if found.sha256 != sha256:
            bad[CHANGED].append(position)
        elif not found.has_crc:
            bad[WRONG_CRC].append(position)
    for table in make_tables(collection, texts):
        reader.check_text(table)
    return reader.finish(), bad


def _iter_files(collection: Collection) -> Iterator[tuple[int, str, int, str]]:
    """(position, name, size, SHA-256) in short queries, between which minutes may pass."""
    files = collection.items.included().exclude(file_name="").order_by("position")
    rows = files.values_list("position", "file_name", "size_bytes", "sha256")
    last = -1
    while batch := list(rows.filter(position__gt=last)[:BATCH]):
        for position, name, size, sha256 in batch:
            yield position, name, size or 0, sha256
        last = batch[-1][0]


def _find_intact_files(collection: Collection, suspects: list[int]) -> set[int]:
    """Positions of files that are as they should be: not they but the archive was damaged."""
    if len(suspects) > MAX_LOOKS:
        return set()
    items = collection.items.filter(position__in=suspects).select_related("image__dataset")
    return {item.position for item in items if _is_intact(item)}


def _is_intact(item: CollectionItem) -> bool:
    try:
        with open_beneath(dataset_root(item.image.dataset), item.image.file_path) as file:
            return read_facts(file).sha256 == item.sha256
    except (UnsafePath, FileChanged, OSError):
        return False


def _confirm(collection: Collection, sha256: str) -> None:
    # A copy from a backup, or one that somebody touched, is verified once and not again and again.
    with suppress(FileNotFoundError, PermissionError):
        mark_time(archive_file(collection.archive_path), collection.fingerprint)
    now = timezone.now()
    with_same_archive(collection).update(archive_sha256=sha256, verified_at=now, updated_at=now)


def _withdraw(collection: Collection, reason: Reason, message: str, bad: BadFiles) -> None:
    """Fail the collection, name its bad items, and remove the file."""
    path = collection.archive_path
    with transaction.atomic():
        if not fail_archive(collection=collection, reason=reason, message=message):
            # Its items went with it while they were read, so the verdict means nothing.
            logger.info("collection %s: gone while its archive was verified", collection.uuid)
            return
        for problem, positions in bad.items():
            for batch in in_batches(positions, BATCH):
                collection.items.filter(position__in=batch).update(problem=problem)
    logger.error("archive %s withdrawn: %s", path, message)
    enqueue_mails()
    try:
        remove_archive(path)
    except OSError as error:
        # Whatever has come to lie there: the collection no longer points at it.
        logger.error("archive %s: it could not be removed: %s", path, error)
