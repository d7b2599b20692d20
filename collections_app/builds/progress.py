"""Reads the progress of a build, which `lease.py` writes: images and bytes done, time left, place
in the queue."""

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q
from django.utils import timezone

from catalog.deidentification import deidentifies_on_delivery
from catalog.wording.formats import duration
from collections_app.models import Build, Collection, Status

# An earlier estimate would change too much from one second to the next.
ESTIMATE_AFTER_SECONDS = 3
ESTIMATE_AFTER_SHARE = 0.02
# (age in seconds, seconds between two requests): the page of a long build asks less often.
REFRESH_STEPS = ((60, 1), (300, 2))
REFRESH_LATER = 5


@dataclass(frozen=True, slots=True)
class Progress:
    """``percent`` is 0 to 100; ``place`` is 1 for the next in the queue and 0 while it runs.

    ``time_left`` is in words, and empty while it cannot be estimated. ``is_checking`` is true while
    the archive that is to be replaced is kept. While it ``is_fetching`` what lies elsewhere, the
    share and the time are of that, and ``images_missing`` is how many cannot be had.
    """

    percent: int
    is_running: bool
    is_checking: bool
    was_interrupted: bool
    place: int
    num_images: int
    num_bytes: int
    time_left: str
    is_fetching: bool = False
    images_fetched: int = 0
    images_missing: int = 0
    images_to_fetch: int = 0
    bytes_fetched: int = 0
    bytes_to_fetch: int = 0

    @property
    def ahead(self) -> int:
        """The number of builds before this one in the queue."""
        return max(0, self.place - 1)


def describe_progress(collection: Collection) -> Progress | None:
    """The progress of a pending collection; None in every other state."""
    if collection.status != Status.PENDING:
        return None
    build = collection.last_build
    if build is None:
        return None
    if not Build.objects.leased().filter(pk=build.pk).exists():
        # An attempt whose worker has stopped begins again from the start.
        return Progress(
            percent=0, is_running=False, is_checking=build.keeps_archive,
            was_interrupted=build.attempts > 0, place=_find_place(build), num_images=0,
            num_bytes=0, time_left="",
        )  # fmt: skip
    is_fetching = build.images_fetched < build.images_to_fetch
    share = _share_fetched(build) if is_fetching else _share_done(build)
    missing = build.num_problems if is_fetching else 0
    return Progress(
        percent=int(100 * share),
        is_running=True,
        is_checking=build.keeps_archive,
        was_interrupted=False,
        place=0,
        num_images=min(build.progress_images, collection.num_images),
        num_bytes=min(build.progress_bytes, collection.num_bytes),
        time_left=_estimate_time_left(build.started_at if is_fetching else build.writing_at, share),
        is_fetching=is_fetching,
        # What cannot be had is known a moment before it counts as done.
        images_fetched=max(0, build.images_fetched - missing),
        images_missing=missing,
        images_to_fetch=build.images_to_fetch,
        bytes_fetched=build.bytes_fetched,
        bytes_to_fetch=build.bytes_to_fetch,
    )


def _find_place(build: Build) -> int:
    """The place in the queue: 1 for the build that a worker takes next."""
    earlier = Q(queued_at__lt=build.queued_at) | Q(queued_at=build.queued_at, pk__lt=build.pk)
    return Build.objects.claimable().filter(earlier).count() + 1


def _share_fetched(build: Build) -> float:
    if build.bytes_to_fetch:
        return min(1.0, build.bytes_fetched / build.bytes_to_fetch)
    return build.images_fetched / build.images_to_fetch


def _share_done(build: Build) -> float:
    """0 to 1, by bytes, or by images if there are no bytes."""
    collection = build.collection
    by_images = build.progress_images / max(1, collection.num_files or collection.num_images)
    if not collection.num_bytes:
        return min(1.0, by_images)
    by_bytes = build.progress_bytes / collection.num_bytes
    # Files may grow when they are de-identified; of a series each file counts as an image.
    return min(1.0, by_bytes, by_images) if deidentifies_on_delivery() else min(1.0, by_bytes)


def _estimate_time_left(since: datetime | None, share: float) -> str:
    # Of the tables, which come after all images, only their writer knows how large they become.
    if since is None or share >= 1:
        return ""
    seconds = (timezone.now() - since).total_seconds()
    if seconds < ESTIMATE_AFTER_SECONDS or share < ESTIMATE_AFTER_SHARE:
        return ""
    return duration(seconds * (1 - share) / share)


def refresh_seconds(collection: Collection) -> int:
    """Seconds between two updates of the page; 0 if nothing will change."""
    if collection.status == Status.PENDING:
        build = collection.last_build
        since = (build.started_at or build.queued_at) if build else timezone.now()
    elif collection.status == Status.READY and not collection.verified_at:
        since = collection.finished_at or timezone.now()
    else:
        return 0
    age = (timezone.now() - since).total_seconds()
    return next((pause for until, pause in REFRESH_STEPS if age < until), REFRESH_LATER)
