"""The limits of fetching: bytes for one collection, and for one user within a day.

Each file that was fetched counts at least as a block of the disk, and what came in vain, as it was
cut or is not what was listed, counts too.
"""

from contextlib import suppress
from datetime import timedelta

from django.conf import settings
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.db.models import F, Q, QuerySet, Sum
from django.utils import timezone

from catalog.wording.formats import file_size
from collections_app.models import Build, Collection, DeletedFetch
from collections_app.selection.to_fetch import FETCH, ToFetch

DAY = timedelta(days=1)
_FETCHED = F("bytes_fetched") + F("bytes_rounded_up")
_TO_FETCH = F("bytes_to_fetch") + F("bytes_rounded_up")


def most_to_fetch() -> int:
    """The bytes that may be fetched for a collection."""
    return min(settings.FETCH_MAX_BYTES, settings.REMOTE_CACHE_MAX_BYTES)


def explain_fetch_limits(user: User | None, to_fetch: ToFetch) -> list[str]:
    """A sentence for each limit that fetching would exceed, with what to do."""
    size, problems = file_size(to_fetch.num_bytes), []
    instead = "Add filters until it fits, or build it without what is not here."
    most = most_to_fetch()
    if to_fetch.num_bytes > most:
        problems.append(
            f"About {size} would have to be fetched (limit: {file_size(most)} for a "
            f"collection). {instead}"
        )
    elif user and to_fetch.num_images:
        fetched = count_fetched_today(user)
        if fetched + to_fetch.num_bytes > settings.FETCH_MAX_DAY_BYTES:
            problems.append(
                f"About {size} would have to be fetched, and {file_size(fetched)} were fetched "
                f"for you in the last 24 hours (limit: "
                f"{file_size(settings.FETCH_MAX_DAY_BYTES)}). Wait, or build it without what is "
                "not here."
            )
    return problems


def count_fetched_today(user: User) -> int:
    """Bytes that builds of the user have fetched in the last 24 hours, or are to fetch.

    A build counts from its end, however long it was queued before.
    """
    builds = Build.objects.filter(collection__user=user)
    done = builds.filter(_ended_today()).aggregate(n=Sum(_FETCHED))["n"] or 0
    open_ = builds.filter(finished_at__isnull=True).aggregate(n=Sum(_TO_FETCH))["n"] or 0
    deleted = DeletedFetch.objects.filter(user=user, queued_at__gt=timezone.now() - DAY)
    return int(done + open_ + (deleted.aggregate(n=Sum("num_bytes"))["n"] or 0))


def explain_day_is_full(collection: Collection) -> list[str]:
    """A sentence if a collection that fetches has an owner for whom no more may be fetched today.

    Also if its files are in the cache, which only the build finds out.
    """
    if not collection.options.get(FETCH):
        return []
    fetched = count_fetched_today(collection.user)
    if fetched < settings.FETCH_MAX_DAY_BYTES:
        return []
    return [
        f"{file_size(fetched)} were fetched for you in the last 24 hours (limit: "
        f"{file_size(settings.FETCH_MAX_DAY_BYTES)}). Build it again later."
    ]


def _ended_today() -> Q:
    return Q(finished_at__gt=timezone.now() - DAY)


def keep_fetched_bytes(user_id: int, builds: QuerySet[Build]) -> None:
    """Have what they fetched within the last day count although they will not say it any more."""
    recent = builds.alias(counted=_FETCHED).filter(
        _ended_today() | Q(finished_at__isnull=True), counted__gt=0
    )
    now = timezone.now()
    DeletedFetch.objects.bulk_create(
        DeletedFetch(user_id=user_id, queued_at=finished_at or now, num_bytes=num_bytes)
        for finished_at, num_bytes in recent.values_list("finished_at", _FETCHED)
    )


def add_fetched_bytes(user_id: int, num_bytes: int) -> None:
    """Have bytes count that no build says; does nothing if the user is deleted."""
    now = timezone.now()
    # In a transaction of its own, at whose end the database looks for the user.
    with suppress(IntegrityError), transaction.atomic():
        DeletedFetch.objects.create(user_id=user_id, queued_at=now, num_bytes=num_bytes)


def forget_fetched_bytes() -> int:
    """Remove what counts no more; return the number of rows."""
    old = DeletedFetch.objects.filter(queued_at__lte=timezone.now() - DAY)
    return old.delete()[0]
