"""Quotas of one user: builds queued or running, and bytes of archives."""

from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import User
from django.db.models import Count, F, Min, Q, Sum

from catalog.formats import file_size
from collections_app.models import Collection, Status
from collections_app.querysets import CollectionQuerySet

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
    """The usage of a user's collections, except ``without``; one query."""
    pending, ready = Q(status=Status.PENDING), Q(status=Status.READY)
    sums = _collections_of(user, without).aggregate(
        num_pending=Count("pk", filter=pending),
        to_build=Sum("num_bytes", filter=pending),
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


def lock_quota(user: User) -> None:
    """Lock the user's quota until the transaction ends.

    Always call it before locking a collection, so that there are no deadlocks.
    """
    # no_key: other transactions can still insert rows that refer to the user.
    users = get_user_model()._default_manager.select_for_update(no_key=True)
    users.filter(pk=user.pk).values_list("pk").first()


def _collections_of(user: User, without: Collection | None) -> CollectionQuerySet:
    mine: CollectionQuerySet = Collection.objects.filter(user=user).order_by()
    return mine.exclude(pk=without.pk) if without else mine


def _explain_pending(usage: Usage) -> str:
    builds = "1 build" if usage.num_pending == 1 else f"{usage.num_pending:,} builds"
    return (
        f"You have {builds} queued or running (limit: {usage.max_pending:,}). "
        "Wait until one is ready, or cancel one."
    )


def _explain_bytes(user: User, usage: Usage, num_bytes: int, without: Collection | None) -> str:
    most = file_size(usage.max_kept_bytes)
    if num_bytes > usage.max_kept_bytes:
        return (
            f"This archive needs about {file_size(num_bytes)}, and all your archives together may "
            f"take {most}. Add filters to make it smaller."
        )
    return (
        f"Your archives and builds take {file_size(usage.kept_bytes)} (limit: {most}); this one "
        f"needs about {file_size(num_bytes)} more. " + _advise(user, usage, num_bytes, without)
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
    when = f"{usage.next_expiry:%-d %B %Y}" if usage.next_expiry else ""
    return (
        f"Remove the archive of “{title}” ({file_size(largest.archive_size)}){others}, delete "
        f"collections, or wait: the next archive expires on {when}."
    )
