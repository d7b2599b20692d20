"""Verifying a ready archive: it is on the disk, and every byte of it is what was frozen.

A build trusts files whose size and mtime are the catalog's. Verification reads every byte of the
archive once, while the user can already download it. ``verified_at`` is set if all is right.
Otherwise the collection fails, its bad files are named, and the archive is removed.
"""

import errno
import logging
from collections.abc import Iterable, Iterator
from hashlib import file_digest
from pathlib import Path
from typing import BinaryIO

from billiard.exceptions import SoftTimeLimitExceeded
from django.db import transaction
from django.utils import timezone

from catalog.bulk.batches import in_batches
from catalog.deidentification import deidentifies_on_delivery
from catalog.imaging.paths import FileChanged, UnsafePath, open_beneath, read_facts
from catalog.storage.roots import dataset_root
from collections_app.archive import ArchiveDiffers, ArchiveReader
from collections_app.builds.outcome import (
    fail_archive,
    keep_number_of_problems,
    rebuild_archive,
    with_same_archive,
)
from collections_app.builds.problems import describe_bad_files
from collections_app.builds.queries import WRITTEN, WRITTEN_DEIDENTIFIED
from collections_app.builds.queue import notify_mailer
from collections_app.contents.tables import make_tables
from collections_app.contents.texts import make_texts
from collections_app.models import Collection, CollectionItem, Reason
from collections_app.selection.copying import iter_lines
from collections_app.selection.database_space import (
    BYTES_PER_ITEM,
    DatabaseIsFull,
    require_room,
)
from collections_app.selection.fingerprint import compute_fingerprint, finalize_if_needed
from collections_app.storage import (
    ArchiveTrouble,
    StorageTrouble,
    archive_lock,
    archive_store,
    remove_archive,
)

logger = logging.getLogger(__name__)

BATCH = 2000
# At most this many files are read again to find out whether they or the archive were damaged.
MAX_FILES_READ_AGAIN = 1000

CHANGED = "the contents differ from the catalog's (SHA-256), although size and time are the same"
WRONG_CRC = "the catalog has a wrong CRC-32 for this file; import its dataset again"
TRY_AGAIN = "Nothing is lost: “Try again” builds the same bytes."
MISSING = f"The archive's file is missing on the server or damaged. {TRY_AGAIN}"
SERIES_CHANGED = (
    "The catalog has other files now for an image that has several, so the archive cannot be "
    "verified. Build a new collection."
)
REPLACED = f"The archive's file was changed on the server. {TRY_AGAIN}"
NOT_ON_DISK = f"The server's disk could not store the archive. {TRY_AGAIN}"
FOUND_LATER = "This was found when the finished archive was verified; it has been removed."

BadFiles = dict[str, list[int]]  # positions of items by the problem of their files


class _IsBusy(Exception):
    """Another worker is reading the same archive."""


class _Damaged(Exception):
    """The archive is not what was written; the message is shown on the collection's page."""


def verify_archive(*, collection_id: int) -> None:
    """Verify the archive of a ready collection.

    Nothing changes if the collection is verified already or not ready, if it is deleted, expired or
    rebuilt meanwhile, or if the time limit of the task ends the verification.

    Raises:
        OSError: the archive exists and cannot be opened or read.
    """
    collection = Collection.objects.unverified().filter(pk=collection_id).first()
    if collection is None:
        return
    finalize_if_needed(collection)
    if not collection.archive_sha256 and compute_fingerprint(collection) != collection.fingerprint:
        # Another version of the program has written it: what it must hold is not known here.
        logger.info("collection %s: built again by this version", collection.uuid)
        rebuild_archive(collection=collection)
        return
    try:
        sha256, bad = _read_archive(collection)
    except _IsBusy:
        logger.info("collection %s: another worker verifies it", collection.uuid)
    except StorageTrouble as error:
        logger.warning("collection %s: verified later: %s", collection.uuid, error)
    except _Damaged as error:
        _withdraw(collection, Reason.ARCHIVE_DAMAGED, str(error), {}, cause=error.__cause__)
    except SoftTimeLimitExceeded:
        logger.warning("collection %s: verification reached its time limit", collection.uuid)
    else:
        if number := len({position for positions in bad.values() for position in positions}):
            message = f"{describe_bad_files(number)}. {FOUND_LATER}"
            _withdraw(collection, Reason.FILES_CHANGED, message, bad)
        else:
            _confirm(collection, sha256)


def _read_archive(collection: Collection) -> tuple[str, BadFiles]:
    """SHA-256 of the whole archive, and which files in it are not the catalog's."""
    # Two workers that read one archive would slow each other down.
    with archive_lock(collection.archive_path) as is_ours:
        if not is_ours:
            raise _IsBusy
        sha256, bad = _read_file(collection)
    intact = _find_intact_files(collection, bad[CHANGED])
    bad[CHANGED] = [position for position in bad[CHANGED] if position not in intact]
    if intact and not any(bad.values()):
        raise _Damaged(REPLACED)
    return sha256, bad


def _read_file(collection: Collection) -> tuple[str, BadFiles]:
    try:
        file = archive_store().open_archive(collection.archive_path, collection.archive_size)
    except ArchiveTrouble as trouble:
        raise _Damaged(MISSING if trouble.is_missing else REPLACED) from trouble
    with file:
        _sync(file, collection)
        try:
            if collection.archive_sha256:  # verified before: it must still be that file
                if file_digest(file, "sha256").hexdigest() != collection.archive_sha256:  # type: ignore[arg-type]
                    raise _Damaged(REPLACED)
                return collection.archive_sha256, BadFiles({CHANGED: []})
            return _compare(collection, file)
        except ArchiveDiffers as error:
            raise _Damaged(REPLACED) from error
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            raise _Damaged(MISSING) from error


def _sync(file: BinaryIO, collection: Collection) -> None:
    try:
        archive_store().sync_archive(collection.archive_path, file)
    except OSError as error:
        # The kernel reports this once and drops the data: the next fsync would succeed.
        raise _Damaged(NOT_ON_DISK) from error


def _compare(collection: Collection, file: BinaryIO) -> tuple[str, BadFiles]:
    reader, bad = ArchiveReader(file), BadFiles({CHANGED: [], WRONG_CRC: []})
    texts = make_texts(collection, collection.fingerprint)
    for text in texts:
        reader.check_text(text)
    for position, name, size, sha256 in _iter_files(collection):
        if not sha256:
            raise _Damaged(SERIES_CHANGED)
        found = reader.check_file(f"{collection.slug}/{name}", size)
        if found.sha256 != sha256:
            bad[CHANGED].append(position)
        elif not found.crc_matches:
            bad[WRONG_CRC].append(position)
    for table in make_tables(collection, texts):
        reader.check_text(table)
    return reader.finish(), bad


def _iter_files(collection: Collection) -> Iterator[tuple[int, str, int, str]]:
    """(position, name, size, SHA-256) by short queries, as minutes may pass between them."""
    written = WRITTEN_DEIDENTIFIED if deidentifies_on_delivery() else WRITTEN
    for lines in iter_lines(written, collection=collection):
        for line in lines.decode().split("\n")[:-1]:
            position, name, size, sha256 = line.split("\t")
            yield int(position), name, int(size), sha256


def _find_intact_files(collection: Collection, suspects: list[int]) -> set[int]:
    """Positions of files that are right in the dataset, so that only the archive is damaged.

    What was fetched was right when it came, and the next build looks at it again.
    """
    items = collection.items.filter(position__in=suspects)
    fetched = set(items.to_fetch().values_list("position", flat=True))
    if len(suspects) - len(fetched) > MAX_FILES_READ_AGAIN:
        return fetched
    local = items.exclude(position__in=fetched).select_related("image__dataset")
    return fetched | {item.position for item in local if _is_intact(item)}


def _is_intact(item: CollectionItem) -> bool:
    image = item.image
    files = [(each.path, each.sha256) for each in image.files.all()]
    if files and image.sha256 != item.sha256:
        return False
    try:
        return all(
            _has_sha256(dataset_root(image.dataset), path, sha256)
            for path, sha256 in files or [(image.file_path, item.sha256)]
        )
    except (UnsafePath, FileChanged, OSError):
        return False


def _has_sha256(root: Path, path: str, sha256: str) -> bool:
    with open_beneath(root, path) as file:
        return read_facts(file).sha256 == sha256


def _confirm(collection: Collection, sha256: str) -> None:
    # So that a copy from a backup, or a touched file, is not verified at every sweep.
    archive_store().mark_verified(collection.archive_path, collection.fingerprint)
    now = timezone.now()
    with_same_archive(collection).update(archive_sha256=sha256, verified_at=now, updated_at=now)


def _with_room(bad: BadFiles) -> Iterable[tuple[str, list[int]]]:
    """The problems of items, if the database has room for them."""
    try:
        require_room(sum(map(len, bad.values())) * BYTES_PER_ITEM)
    except DatabaseIsFull:
        logger.error("the database has no room for what is wrong with the files of an archive")
        return ()
    return bad.items()


def _withdraw(
    collection: Collection,
    reason: Reason,
    message: str,
    bad: BadFiles,
    *,
    cause: BaseException | None = None,
) -> None:
    """Fail the collection, record the problems of its items, and remove the archive."""
    path = collection.archive_path
    with transaction.atomic():
        if not fail_archive(collection=collection, reason=reason, message=message):
            # The result may be wrong: its items may have been deleted while they were read.
            logger.info("collection %s: changed while its archive was verified", collection.uuid)
            return
        for problem, positions in _with_room(bad):
            for batch in in_batches(positions, BATCH):
                collection.items.filter(position__in=batch).update(problem=problem)
        keep_number_of_problems(collection)
    why = f"{message} ({cause})" if cause else message
    logger.error("archive %s failed verification and is removed: %s", path, why)
    notify_mailer()
    try:
        remove_archive(path)
    except OSError as error:
        # The collection no longer refers to it; the sweep tries again.
        logger.error("archive %s could not be removed: %s", path, error)
