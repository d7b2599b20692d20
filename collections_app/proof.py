"""Proving a ready archive: it is on the disk, and every byte of it is what was frozen.

A build believes files whose size and time are the catalog's. Only here is every byte read, once,
without the user waiting for it: so ``archive_sha256`` is set exactly when the archive is proven.
Where it is not, its collections fail, the files at fault are named, and the archive is withdrawn.
"""

import errno
import fcntl
import logging
import os
import stat
from array import array
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field

from billiard.exceptions import SoftTimeLimitExceeded
from django.db import transaction
from django.utils import timezone

from catalog.batches import in_batches
from catalog.imaging.files import FileChanged, UnsafePath, open_beneath, read_facts
from catalog.local import dataset_root
from collections_app.archive.verify import ArchiveReader, CheckedEntry
from collections_app.archive_files import archive_file, mark_time
from collections_app.frozen import settle_if_needed
from collections_app.models import Collection, CollectionItem, Status
from collections_app.problems import say_bad_files
from collections_app.queue import announce_mails
from collections_app.sharing import failed_values, remove_if_unused

logger = logging.getLogger(__name__)

BATCH = 2000
# So many files at most are read once more to tell whether they or the archive were damaged.
MAX_LOOKS = 1000
IMAGES = "images/"

CHANGED = "the contents differ from the catalog's (SHA-256), although size and time are the same"
WRONG_CRC = "the catalog has a wrong CRC-32 for this file; import its dataset again"
TRY_AGAIN = "Nothing is lost: try again builds the same bytes."
VANISHED = f"The archive's file has vanished from the server or is damaged. {TRY_AGAIN}"
REPLACED = f"The archive's file was changed on the server. {TRY_AGAIN}"
NOT_ON_DISK = f"The server's disk could not keep the archive. {TRY_AGAIN}"


class _IsBusy(Exception):
    """Another process is proving the same file."""


@dataclass(slots=True)
class _Verdict:
    """``sha256`` of a proven archive, or why it is not; ``bad`` has positions of items by reason.

    Positions are four bytes each: an archive of a million items may be wrong in all of them.
    """

    sha256: str = ""
    damage: str = ""
    bad: dict[str, "array[int]"] = field(
        default_factory=lambda: {CHANGED: array("I"), WRONG_CRC: array("I")}
    )

    @property
    def num_bad(self) -> int:
        return sum(map(len, self.bad.values()))

    @property
    def reason(self) -> str:
        """Why the archive is withdrawn; empty if it is proven."""
        if self.num_bad:
            return (
                f"{say_bad_files(self.num_bad)}. This was found when the finished archive was "
                "read once more; it has been withdrawn."
            )
        return self.damage


def prove_archive(*, collection_id: int) -> None:
    """Prove the archive of a ready collection, for all collections that share it.

    Nothing happens to a collection that is proven, not ready, or being proven already, and to one
    that is deleted, expired or rebuilt meanwhile. A time limit that strikes leaves all as it was.

    Raises:
        OSError: the archive cannot be opened or read, although it is there.
    """
    unproven = Collection.objects.filter(status=Status.READY, archive_sha256="")
    collection = unproven.filter(pk=collection_id).first()
    if collection is None:
        return
    settle_if_needed(collection)
    try:
        verdict = _judge(collection)
        if verdict.reason:
            _withdraw(collection, verdict)
        else:
            _confirm(collection, verdict.sha256)
    except _IsBusy:
        logger.info("collection %s: its archive is being proven already", collection.uuid)
    except SoftTimeLimitExceeded:
        logger.warning("collection %s: no time was left to prove its archive", collection.uuid)


def _judge(collection: Collection) -> _Verdict:
    path = archive_file(collection.archive_path)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return _Verdict(damage=VANISHED)
    except OSError as error:
        if error.errno != errno.ELOOP:  # a link, which no build makes
            raise
        return _Verdict(damage=REPLACED)
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or status.st_size != collection.archive_size:
            return _Verdict(damage=REPLACED)
        _lock(fd)
        if not _sync(fd, collection):
            return _Verdict(damage=NOT_ON_DISK)
        return _compare(collection, fd)
    finally:
        os.close(fd)


def _lock(fd: int) -> None:
    """Until the file is closed. Reading it twice at once would only cost time."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise _IsBusy from error
    except OSError as error:
        logger.warning("archives cannot be locked, some may be proven twice: %s", error)


def _sync(fd: int, collection: Collection) -> bool:
    """Have the file and its name written to the disk; whether that went well."""
    try:
        os.fsync(fd)
        folder = os.open(archive_file(collection.archive_path).parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        # The kernel reports this once and forgets the data: the next fsync would say all is well.
        logger.error("collection %s: %s", collection.uuid, error)
        return False
    return True


def _compare(collection: Collection, fd: int) -> _Verdict:
    """Read the archive in step with the items, which it holds in their order."""
    verdict = _Verdict()
    reader = ArchiveReader(fd)
    items = _iter_items(collection)
    with closing(reader.entries()) as entries:
        for entry in entries:
            if damage := _compare_entry(collection, entry, items, verdict):
                logger.error("collection %s: %r %s", collection.uuid, entry.name, damage)
                return _Verdict(damage=REPLACED)
    if reader.problems or next(items, None) is not None:
        logger.error("collection %s: %s", collection.uuid, reader.problems or "files are missing")
        return _Verdict(damage=REPLACED)
    if _spare_intact_files(collection, verdict):
        verdict.damage = REPLACED
    verdict.sha256 = reader.sha256
    return verdict


def _iter_items(collection: Collection) -> Iterator[tuple[int, str, str]]:
    """(position, name, SHA-256) of each file; in short queries, between which minutes may pass."""
    files = CollectionItem.objects.filter(collection=collection, is_left_out=False)
    rows = files.exclude(file_name="").order_by("position")
    last = -1
    while batch := list(
        rows.filter(position__gt=last).values_list("position", "file_name", "sha256")[:BATCH]
    ):
        yield from batch
        last = batch[-1][0]


def _compare_entry(
    collection: Collection,
    entry: CheckedEntry,
    items: Iterator[tuple[int, str, str]],
    verdict: _Verdict,
) -> str:
    """Hold one entry against the next item; returns what is wrong with the archive itself."""
    name = entry.name.removeprefix(f"{collection.slug}/")
    if name == entry.name:
        return "lies outside of the collection's folder"
    if not name.startswith(IMAGES):
        return entry.fault or ("is not expected" if "/" in name else "")
    position, wanted, sha256 = next(items, (0, "", ""))
    if name != wanted:
        return f"is not the next file, which is {wanted!r}"
    if entry.problem:
        return entry.problem
    if entry.sha256 != sha256:
        verdict.bad[CHANGED].append(position)
    elif entry.wrong_crc:
        verdict.bad[WRONG_CRC].append(position)
    return ""


def _spare_intact_files(collection: Collection, verdict: _Verdict) -> bool:
    """Acquit files that are as they should be; whether there are any: the archive was damaged."""
    suspects = verdict.bad[CHANGED]
    if not 0 < len(suspects) <= MAX_LOOKS:
        return False
    items = CollectionItem.objects.filter(collection=collection, position__in=suspects.tolist())
    intact = {i.position for i in items.select_related("image__dataset") if _is_intact(i)}
    verdict.bad[CHANGED] = array("I", (p for p in suspects if p not in intact))
    return bool(intact)


def _is_intact(item: CollectionItem) -> bool:
    try:
        with open_beneath(dataset_root(item.image.dataset), item.image.file_path) as file:
            return read_facts(file).sha256 == item.sha256
    except (UnsafePath, FileChanged, OSError):
        return False


def _confirm(collection: Collection, sha256: str) -> None:
    shared = Collection.objects.filter(
        status=Status.READY,
        archive_path=collection.archive_path,
        archive_size=collection.archive_size,
    )
    # A copy from a backup, or one that somebody touched, is proven once and not again and again.
    with suppress(FileNotFoundError, PermissionError):
        mark_time(archive_file(collection.archive_path), collection.fingerprint)
    shared.update(archive_sha256=sha256, updated_at=timezone.now())


def _withdraw(collection: Collection, verdict: _Verdict) -> None:
    """Fail all collections of the archive, name the bad items in each, and remove the file."""
    path = collection.archive_path
    with transaction.atomic():
        ready = Collection.objects.filter(status=Status.READY, archive_path=path)
        shared = list(ready.select_for_update().order_by("pk").values_list("pk", flat=True))
        if collection.pk not in shared:
            # Its items went with it while they were read, so the verdict means nothing.
            logger.info("collection %s: gone while its archive was proven", collection.uuid)
            return
        _name_problems(shared, verdict)
        # Its time is of now, not earlier: what of this user ends meanwhile is told first.
        Collection.objects.filter(pk__in=shared).update(**failed_values(verdict.reason))
    logger.error("archive %s withdrawn: %s", path, verdict.reason)
    announce_mails()
    try:
        remove_if_unused(path)
    except OSError as error:
        # Whatever has come to lie there: the collections no longer point at it.
        logger.error("archive %s: it could not be removed: %s", path, error)


def _name_problems(shared: list[int], verdict: _Verdict) -> None:
    # The same fingerprint means the same items in the same places.
    items = CollectionItem.objects.filter(collection__in=shared)
    for reason, positions in verdict.bad.items():
        for batch in in_batches(positions, BATCH):
            items.filter(position__in=batch).update(problem=reason)
