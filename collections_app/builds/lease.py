"""Taking a pending collection to build it, and keeping it: a token, and a lease that is renewed."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID, uuid4

from django.conf import settings
from django.db.models import F
from django.db.models.expressions import CombinedExpression
from django.db.models.functions import Now
from django.utils import timezone

from collections_app.builds.sharing import LeaseLost
from collections_app.models import Collection
from collections_app.storage import remove_partials

RENEW_SECONDS = 1.0

OnProgress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Claim:
    """A collection that is this worker's to build, proven by the token."""

    collection: Collection
    token: UUID


def claim_collection(*, collection_id: int) -> Claim | None:
    """Take a pending collection that no live worker holds; None when there is nothing to take."""
    token = uuid4()
    claimed = (
        Collection.objects.claimable()
        .filter(pk=collection_id, attempts__lt=settings.BUILD_MAX_ATTEMPTS)
        .update(
            attempt_token=token,
            lease_expires_at=_lease_end(),
            attempts=F("attempts") + 1,
            started_at=timezone.now(),
            progress_images=0,
            progress_bytes=0,
            updated_at=timezone.now(),
        )
    )
    if not claimed:
        return None
    collection = Collection.objects.get(pk=collection_id)
    remove_partials(collection.uuid)
    return Claim(collection, token)


class Heartbeat:
    """Renews the lease and records the progress, about once a second.

    Raises:
        LeaseLost: the collection is no longer this worker's.
    """

    def __init__(self, claim: Claim, on_progress: OnProgress = lambda done: None) -> None:
        self._claim = claim
        self._on_progress = on_progress
        self._next = 0.0
        self._done = (0, 0)

    def beat(self, entries: int, size: int) -> None:
        """Progress of the writer: entries and bytes written so far."""
        self._done = (entries, size)
        self.touch()

    def touch(self) -> None:
        """Renew the lease when it is time."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + RENEW_SECONDS
        collection, (images, size) = self._claim.collection, self._done
        renewed = Collection.objects.claimed_by(self._claim.token).update(
            lease_expires_at=_lease_end(),
            progress_images=min(images, collection.num_images),
            progress_bytes=min(size, collection.num_bytes),
        )
        if not renewed:
            raise LeaseLost
        self._on_progress(size)


def _lease_end() -> CombinedExpression:
    return Now() + timedelta(seconds=settings.BUILD_LEASE_SECONDS)
