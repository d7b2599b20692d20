"""Claiming an unfinished build with a token, and renewing its lease."""

import errno
import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from billiard.exceptions import SoftTimeLimitExceeded
from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.db.models.expressions import CombinedExpression
from django.db.models.functions import Now
from django.utils import timezone

from collections_app.builds.time_limit import check_time_limit
from collections_app.models import Build, Collection
from collections_app.selection.fetch_quota import (
    add_fetched_bytes,
    count_fetched_besides,
    keep_fetched_bytes,
)
from collections_app.selection.quotas import explain_passed_quota
from collections_app.selection.refusals import OverQuota, refuse_if
from collections_app.storage import StorageTrouble, archive_store, asking_briefly

logger = logging.getLogger(__name__)

RENEW_SECONDS = 1.0
# The fields that count for the owner's limit of a day.
COUNTED = ("bytes_fetched", "bytes_rounded_up")

OnProgress = Callable[[int], None]


class LeaseLost(Exception):
    """Another worker has the build now, or the user has ended it."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A collection whose build belongs to this worker as long as the build has this token."""

    collection: Collection
    token: UUID


def claim_build(*, collection_id: int) -> Claim | None:
    """Claim the collection's build unless a live worker has it; None if there is none to claim."""
    token = uuid4()
    with transaction.atomic():
        # Locked, as what the last attempt fetched is to be counted once.
        builds = Build.objects.claimable().select_for_update(of=("self",))
        builds = builds.select_related("collection__user")
        build = builds.filter(
            collection_id=collection_id, attempts__lt=settings.BUILD_MAX_ATTEMPTS
        ).first()
        if build is None:
            return None
        collection = build.collection
        mine = Build.objects.filter(pk=build.pk)
        keep_fetched_bytes(collection.user_id, mine)
        mine.update(
            attempt_token=token,
            lease_expires_at=_lease_end(),
            attempts=F("attempts") + 1,
            started_at=timezone.now(),
            writing_at=None,
            progress_images=0,
            progress_bytes=0,
            images_to_fetch=0,
            images_fetched=0,
            bytes_to_fetch=0,
            bytes_fetched=0,
            bytes_rounded_up=0,
        )
    try:
        with asking_briefly():  # before the first heartbeat
            archive_store().remove_partials(collection.uuid)
    except StorageTrouble as error:
        logger.warning("parts of earlier attempts are left to the sweep: %s", error)
    return Claim(collection, token)


class Heartbeat:
    """Renews the lease and records the progress, about once a second.

    ``fetched_besides`` are the bytes that others of the owner's builds have fetched within a day,
    and earlier attempts: as of the last beat of this one's fetching.

    Raises:
        LeaseLost: the build is no longer this worker's.
        OverQuota: what was fetched or written is more than the owner may keep.
        SoftTimeLimitExceeded: its time is over.
    """

    def __init__(self, claim: Claim, on_progress: OnProgress = lambda done: None) -> None:
        self._claim = claim
        self._on_progress = on_progress
        self._store = archive_store()
        self._began = time.monotonic()
        self._next = 0.0
        self._done = (0, 0)
        self._writing: dict[str, datetime] = {}
        self._fetching: dict[str, int] = {}
        self._recorded_bytes = 0
        self._fetched = 0
        self._missing = 0
        self.fetched_besides = 0

    def fetched(
        self, images: int, size: int, *, of_images: int, of_size: int, rounded_up: int, cached: int
    ) -> None:
        """Record the images and bytes that were fetched, of all that are to be fetched.

        ``rounded_up`` is what small files count beyond their bytes. ``cached`` are the bytes for
        the archive that were here.
        """
        self._fetched = size + cached
        self._fetching = {
            "images_fetched": images,
            "bytes_fetched": size,
            "images_to_fetch": of_images,
            "bytes_to_fetch": max(of_size, size),
            "bytes_rounded_up": rounded_up,
            "num_problems": self._missing,
        }
        self.touch()

    def missing(self, images: int) -> None:
        """Record the images that cannot be fetched, with the next beat."""
        self._missing = images

    def beat(self, entries: int, size: int) -> None:
        """Record the entries and bytes written so far, and renew the lease when it is time.

        Raises OSError, with ENOSPC: what was written takes the reserve of the archives' disk.
        """
        self._done = (entries, size)
        self._writing = self._writing or {"writing_at": timezone.now()}
        free = self._store.free_bytes(freed=0)
        if free is not None and free <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.touch()

    def discard(self) -> None:
        """What was written is gone, and counts no more."""
        self._done = (0, 0)

    def touch(self, *, now: bool = False) -> None:
        """Renew the lease when it is time, or ``now``."""
        check_time_limit()
        if time.monotonic() < self._next and not now:
            return
        self._next = time.monotonic() + RENEW_SECONDS
        collection, (images, size) = self._claim.collection, self._done
        renewed = Build.objects.claimed_by(self._claim.token).update(
            lease_expires_at=_lease_end(),
            progress_images=min(images, collection.num_images),
            progress_bytes=size,
            **self._writing,
            **self._fetching,
        )
        if not renewed:
            raise LeaseLost
        fetching = self._fetching
        if fetching:
            self._recorded_bytes = sum(fetching[name] for name in COUNTED)
            self.fetched_besides = count_fetched_besides(collection)
        # After its own bytes were recorded: of two builds that end together one sees the other's.
        self.require_quota(max(self._fetched, size))
        self._on_progress(size)

    def require_time(self, seconds: float) -> None:
        """Raises SoftTimeLimitExceeded if what is still to be done takes longer than there is."""
        if time.monotonic() - self._began + seconds > settings.BUILD_SOFT_LIMIT:
            raise SoftTimeLimitExceeded

    def require_quota(self, num_bytes: int) -> None:
        """Raises OverQuota if the owner may not keep an archive of so many bytes beside others."""
        refuse_if(explain_passed_quota(self._claim.collection, num_bytes), OverQuota)

    def finish_fetching(self, size: int) -> None:
        """Have all fetched bytes count for the owner's limit of a day, whoever has the build now.

        What came since the last beat is recorded apart: the build may be cancelled, deleted, or
        another worker's.
        """
        if size > self._recorded_bytes:
            add_fetched_bytes(self._claim.collection.user_id, size - self._recorded_bytes)
            self._recorded_bytes = size
        self._fetching = {}


def _lease_end() -> CombinedExpression:
    return Now() + timedelta(seconds=settings.BUILD_LEASE_SECONDS)
