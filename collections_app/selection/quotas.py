"""Quotas of one user: builds, bytes of archives, collections, and images in all of them.

Before a build they go by the sizes that the catalog knows. These may be unknown, and tables and
files that are de-identified become larger: so a running build asks again about once a second.

Other limits: ``limits`` has those of one collection, ``fetch_quota`` those of fetching, and
``database_space`` that of the database.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection
from django.db.models import BigIntegerField, Count, F, FilteredRelation, Min, Q, Sum
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast, Coalesce, Greatest
from django.utils import timezone

from catalog.wording.formats import count_of, duration, file_size
from collections_app.models import Collection, Status
from collections_app.provenance_keys import EXCLUDED
from collections_app.querysets import CollectionQuerySet
from collections_app.selection import queries

TITLE_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Usage:
    """Numbers of pending builds, and of bytes of ready archives and of those to be built."""

    num_pending: int
    max_pending: int
    kept_bytes: int
    max_kept_bytes: int
    next_expiry: datetime | None = None

    @property
    def high_bytes(self) -> int:
        """The number of bytes from which the meter warns."""
        return self.max_kept_bytes * 9 // 10


def describe_usage(user: User, *, without: Collection | None = None) -> Usage:
    """The usage of a user's collections, except ``without``; one query.

    A build takes what the catalog says, or if that is more, what it has fetched or written, or what
    the archive has that it is to replace.
    """
    pending, ready = Q(status=Status.PENDING), Q(status=Status.READY)
    open_build = FilteredRelation("builds", condition=Q(builds__finished_at__isnull=True))
    replaced = Cast(KeyTextTransform("archive_size", "open_build__replaces"), BigIntegerField())
    to_build = Greatest(
        "num_bytes", "open_build__progress_bytes", "open_build__bytes_fetched", replaced
    )
    mine = _collections_of(user, without).alias(open_build=open_build)
    sums = mine.aggregate(
        num_pending=Count("pk", filter=pending),
        to_build=Sum(to_build, filter=pending),
        kept=Sum("archive_size", filter=ready),
        next_expiry=Min("expires_at", filter=ready),
    )
    return Usage(
        num_pending=sums["num_pending"],
        max_pending=settings.COLLECTION_MAX_PENDING,
        kept_bytes=(sums["kept"] or 0) + (sums["to_build"] or 0),
        max_kept_bytes=settings.COLLECTION_MAX_KEPT_BYTES,
        next_expiry=sums["next_expiry"],
    )


def explain_quota(*, user: User, num_bytes: int, without: Collection | None = None) -> list[str]:
    """A sentence for each quota that a build of ``num_bytes`` would exceed, with what to do.

    ``without`` is the collection to be built again; its present archive does not count. To rely on
    the answer, call ``lock_quota`` before it in the same transaction.
    """
    usage = describe_usage(user, without=without)
    problems = []
    if usage.num_pending >= usage.max_pending:
        problems.append(_explain_pending(usage))
    if usage.kept_bytes + num_bytes > usage.max_kept_bytes:
        problems.append(_explain_bytes(user, usage, num_bytes, without))
    return problems


def explain_passed_quota(collection: Collection, num_bytes: int) -> list[str]:
    """A sentence if a running build of ``num_bytes`` so far has passed what its owner may keep."""
    usage = describe_usage(collection.user, without=collection)
    if not num_bytes or usage.kept_bytes + num_bytes <= usage.max_kept_bytes:
        return []
    return [_explain_bytes(collection.user, usage, num_bytes, collection, about="at least")]


def explain_quota_of_new(user: User, *, num_images: int, num_bytes: int) -> list[str]:
    """As ``explain_quota``, for a collection that does not exist yet."""
    mine = _collections_of(user, None)
    # What a build was told to leave out stays listed.
    excluded = Cast(KeyTextTransform(EXCLUDED, "provenance"), BigIntegerField())
    items = F("num_images") + Coalesce(excluded, 0)
    sums = mine.aggregate(number=Count("pk"), images=Sum(items))
    problems = []
    if sums["number"] >= settings.COLLECTION_MAX_COUNT:
        problems.append(
            f"You have {count_of(sums['number'], 'collection')} "
            f"(limit: {settings.COLLECTION_MAX_COUNT:,}). Delete some that you do not need."
        )
    images = sums["images"] or 0
    if images + num_images > settings.COLLECTION_MAX_ITEMS:
        problems.append(
            f"Your collections list {count_of(images, 'image')}, and this one adds {num_images:,} "
            f"(limit: {settings.COLLECTION_MAX_ITEMS:,}). Delete collections that you do not "
            "need, or add filters."
        )
    problems += _explain_hour(mine)
    return problems + explain_quota(user=user, num_bytes=num_bytes)


def _explain_hour(mine: CollectionQuerySet) -> list[str]:
    """When the next collection is possible, if there were too many in the last hour."""
    most = settings.COLLECTION_MAX_PER_HOUR
    now, hour = timezone.now(), timedelta(hours=1)
    times = mine.filter(created_at__gt=now - hour).order_by("-created_at")
    newest = list(times.values_list("created_at", flat=True)[:most])
    if len(newest) < most:
        return []
    again = (newest[-1] if newest else now) + hour
    return [
        f"You have made {count_of(len(newest), 'collection')} within an hour (limit: {most:,}). "
        f"The next one is possible at {timezone.localtime(again):%H:%M %Z}, "
        f"in {duration((again - now).total_seconds())}."
    ]


def lock_quota(user: User, *, wait: bool = True) -> bool:
    """Lock the user's quota until the transaction ends.

    Without ``wait`` it returns False at once if another transaction has locked it. Always call it
    before locking a collection, so that there are no deadlocks. The account itself is not locked:
    it is signed in to meanwhile, and its address confirmed.
    """
    with connection.cursor() as cursor:
        cursor.execute(queries.LOCK_QUOTA if wait else queries.TRY_QUOTA, [user.pk])
        return wait or bool(cursor.fetchone()[0])


def _collections_of(user: User, without: Collection | None) -> CollectionQuerySet:
    mine: CollectionQuerySet = Collection.objects.filter(user=user).order_by()
    return mine.exclude(pk=without.pk) if without else mine


def _explain_pending(usage: Usage) -> str:
    return (
        f"You have {count_of(usage.num_pending, 'build')} queued or running "
        f"(limit: {usage.max_pending:,}). Wait until one is ready, or cancel one."
    )


def _explain_bytes(
    user: User,
    usage: Usage,
    num_bytes: int,
    without: Collection | None,
    *,
    about: str = "about",
) -> str:
    most, needs = file_size(usage.max_kept_bytes), f"needs {about} {file_size(num_bytes)}"
    if num_bytes > usage.max_kept_bytes:
        return (
            f"This archive {needs}, and all your archives together may take {most}. Add filters to "
            "make it smaller."
        )
    return (
        f"Your archives and builds take {file_size(usage.kept_bytes)} (limit: {most}); this one "
        f"{needs} more. " + _advise(user, usage, num_bytes, without)
    )


def _advise(user: User, usage: Usage, num_bytes: int, without: Collection | None) -> str:
    """What to remove: the smallest archive that is enough alone, else the largest one."""
    ready = _collections_of(user, without).filter(status=Status.READY)
    missing = usage.kept_bytes + num_bytes - usage.max_kept_bytes
    enough = ready.filter(archive_size__gte=missing).order_by("archive_size", "pk").first()
    largest = enough or ready.order_by(F("archive_size").desc(), "pk").first()
    if largest is None:
        return "Cancel a build, or wait until one is ready and remove its archive."
    title = largest.title[:TITLE_SHOWN]
    others = "" if enough else " and others"
    when = f"{timezone.localtime(usage.next_expiry):%-d %B %Y}" if usage.next_expiry else ""
    return (
        f"Remove the archive of “{title}” ({file_size(largest.archive_size)}){others}, delete "
        f"collections, or wait: the next archive expires on {when}."
    )
