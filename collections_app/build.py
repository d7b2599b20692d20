"""Building an archive: claim the collection, write outside any transaction, finish by token.

A worker owns a pending collection as long as its lease, which it renews while it writes, has not
lapsed. Whoever finishes second finds its token gone and deletes only its own file.
"""

import errno
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NoReturn
from uuid import UUID, uuid4

from billiard.exceptions import SoftTimeLimitExceeded
from django.conf import settings
from django.db.models import F
from django.utils import timezone

from collections_app.archive import BadEntry, write_archive
from collections_app.archive_files import archive_name, new_archive, remove_archive
from collections_app.contents import compute_fingerprint, iter_items
from collections_app.entries import count_texts, find_bad_files, find_position, iter_entries
from collections_app.models import Collection, CollectionItem, Status
from collections_app.queue import announce_checksum
from collections_app.services import NO_ARCHIVE, NO_CLAIM, lifetime

logger = logging.getLogger(__name__)

RENEW_SECONDS = 1.0
# A step over so many bytes may outlast the lease on a disk as slow as this.
LARGE_BYTES = 64 * 1024**2
SLOW_BYTES_PER_SECOND = 10 * 1024**2
_DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class BuildFailed(Exception):
    """The archive cannot be written; the message is for the collection's page."""


class LeaseLost(Exception):
    """Another worker, or the user, has taken the collection over; nothing is left to do."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A collection that is this worker's to build, proven by the token."""

    collection: Collection
    token: UUID


def build_collection(*, collection_id: int) -> None:
    """Build a pending collection that nobody else is building; do nothing otherwise."""
    claim = claim_collection(collection_id=collection_id)
    if claim is None:
        return
    try:
        build_claimed(claim)
    except LeaseLost:
        logger.info("collection %s: taken over while it was built", claim.collection.uuid)
    except BuildFailed as error:
        fail_collection(claim=claim, reason=str(error))
    except SoftTimeLimitExceeded:
        hours = settings.BUILD_SOFT_LIMIT / 3600
        fail_collection(
            claim=claim,
            reason=f"The build took longer than {hours:g} hours and was stopped. "
            "Build a smaller collection, or ask the operator to raise BUILD_SOFT_LIMIT.",
        )


def claim_collection(*, collection_id: int) -> Claim | None:
    """Take a pending collection that no live worker holds; None when there is nothing to take."""
    now, token = timezone.now(), uuid4()
    claimed = (
        Collection.objects.claimable(now)
        .filter(pk=collection_id, attempts__lt=settings.BUILD_MAX_ATTEMPTS)
        .update(
            attempt_token=token,
            lease_expires_at=_lease_end(),
            attempts=F("attempts") + 1,
            started_at=now,
            progress_images=0,
            progress_bytes=0,
            updated_at=now,
        )
    )
    return Claim(Collection.objects.get(pk=collection_id), token) if claimed else None


def build_claimed(claim: Claim) -> None:
    """Write the archive of a claimed collection and finish it.

    Raises:
        BuildFailed: it cannot be written; the reason is for the page.
        LeaseLost: the collection is no longer this worker's; nothing of it stays.
    """
    collection = claim.collection
    heartbeat = Heartbeat(claim)
    _forget_problems(collection)
    fingerprint = compute_fingerprint(collection, lambda: iter_items(collection))
    relative = archive_name(collection.uuid, claim.token)
    try:
        with new_archive(relative) as file:
            entries = iter_entries(collection, fingerprint)
            size = write_archive(file, entries, on_progress=heartbeat.beat).size
            # What the kernel still holds is written out when the block ends, without any news.
            heartbeat.allow_for(size)
    except BadEntry as error:
        # One file is bad: look at all of them, so that the page names every one.
        bad = {find_position(collection, error.name): error.reason}
        bad |= find_bad_files(collection, on_next=heartbeat.allow_for)
        _fail_for_files(collection, bad)
    except OSError as error:
        raise _explain_os_error(error) from error
    if not _finish(claim, relative, size, fingerprint):
        remove_archive(relative)
        raise LeaseLost
    announce_checksum(collection.pk)


def _forget_problems(collection: Collection) -> None:
    """What the last build found wrong may be right by now; what was left out stays left out."""
    CollectionItem.objects.filter(collection=collection, is_left_out=False).exclude(
        problem=""
    ).update(problem="")


def _fail_for_files(collection: Collection, bad: Mapping[int, str]) -> NoReturn:
    items = CollectionItem.objects.filter(collection=collection)
    for position, reason in bad.items():
        items.filter(position=position).update(problem=reason[:300])
    files = "1 file is" if len(bad) == 1 else f"{len(bad):,} files are"
    raise BuildFailed(f"{files} not as the catalog says; the archive would not have been complete.")


def _explain_os_error(error: OSError) -> BuildFailed:
    if error.errno in _DISK_FULL:
        return BuildFailed(
            "The server's disk is full. Nothing is lost: try again when there is room, "
            "or ask the operator."
        )
    logger.error("an archive could not be written", exc_info=error)
    return BuildFailed(f"The archive could not be written: {error.strerror or error}.")


def _finish(claim: Claim, relative: str, size: int, fingerprint: str) -> bool:
    now = timezone.now()
    finished = Collection.objects.claimed_by(claim.token).update(
        status=Status.READY,
        archive_path=relative,
        archive_size=size,
        fingerprint=fingerprint,
        finished_at=now,
        expires_at=now + lifetime(),
        progress_images=F("num_images"),
        progress_bytes=F("num_bytes"),
        updated_at=now,
        **NO_CLAIM,
    )
    return bool(finished)


def fail_collection(*, claim: Claim, reason: str) -> None:
    """Move the claimed collection to failed, with a reason for its page."""
    failed = Collection.objects.claimed_by(claim.token).update(
        status=Status.FAILED,
        error_message=reason,
        finished_at=timezone.now(),
        updated_at=timezone.now(),
        **NO_CLAIM,
        **NO_ARCHIVE,
    )
    logger.warning(
        "collection %s: %s", claim.collection.uuid, f"failed: {reason}" if failed else "lost"
    )


class Heartbeat:
    """Renews the lease and records the progress, about once a second.

    Raises:
        LeaseLost: the collection is no longer this worker's.
    """

    def __init__(self, claim: Claim) -> None:
        self._claim = claim
        self._texts = count_texts(claim.collection)
        self._next = 0.0
        self._done = (0, 0)

    def beat(self, entries: int, size: int) -> None:
        """Progress of the writer: entries and bytes written so far."""
        self._done = (max(0, entries - self._texts), size)
        self.touch()

    def allow_for(self, size: int) -> None:
        """Renew the lease for a step that moves ``size`` bytes and gives no news meanwhile."""
        if size >= LARGE_BYTES:
            self._renew(timedelta(seconds=size / SLOW_BYTES_PER_SECOND))
        else:
            self.touch()

    def touch(self) -> None:
        """Renew the lease when it is time."""
        if time.monotonic() >= self._next:
            self._renew()

    def _renew(self, longer: timedelta = timedelta()) -> None:
        self._next = time.monotonic() + RENEW_SECONDS
        images, size = self._done
        renewed = Collection.objects.claimed_by(self._claim.token).update(
            lease_expires_at=_lease_end() + longer,
            progress_images=images,
            progress_bytes=min(size, self._claim.collection.num_bytes),
        )
        if not renewed:
            raise LeaseLost


def _lease_end() -> datetime:
    return timezone.now() + timedelta(seconds=settings.BUILD_LEASE_SECONDS)
