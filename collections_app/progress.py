"""How far a build is, in words and percent."""

from dataclasses import dataclass

from django.utils import timezone

from collections_app.models import Collection, Status


@dataclass(frozen=True, slots=True)
class Progress:
    """``percent`` is 0 to 100; ``ahead`` is the number of builds that wait before this one."""

    percent: int
    is_running: bool
    ahead: int


def describe_progress(collection: Collection) -> Progress | None:
    """Progress of a pending collection; None in every other state."""
    if collection.status != Status.PENDING:
        return None
    is_running = bool(collection.lease_expires_at and collection.lease_expires_at > timezone.now())
    ahead = 0
    if not is_running:
        waiting = Collection.objects.claimable(timezone.now())
        ahead = waiting.filter(pk__lt=collection.pk).count()
    return Progress(_percent(collection), is_running, ahead)


def _percent(collection: Collection) -> int:
    done, whole = collection.progress_bytes, collection.num_bytes
    if not whole:
        done, whole = collection.progress_images, max(1, collection.num_images)
    return min(100, round(100 * done / whole))
