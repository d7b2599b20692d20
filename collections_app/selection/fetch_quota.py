"""The limits of fetching: bytes for one collection, and for one user within a day.

Each file that was fetched counts at least as a block of the disk, and what came in vain, as it was
cut or is not what was listed, counts too.

Before a build they go by the sizes that the catalog knows. These may be unknown or wrong: so a
build that fetches asks again about once a second what is left of the day.
"""

from contextlib import suppress
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.db.models import F, Q, QuerySet, Sum
from django.db.models.expressions import CombinedExpression
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
    open_ = Build.objects.unfinished().filter(collection__user=user)
    return _count_ended_today(user.pk) + _sum(open_, _TO_FETCH)


def count_fetched_besides(collection: Collection) -> int:
    """Bytes that came for the owner in the last 24 hours, but for the collection's open build.

    What others are still to fetch does not count: their sizes may be guesses.
    """
    open_ = Build.objects.unfinished().filter(collection__user=collection.user_id)
    others = open_.exclude(collection=collection)
    return _count_ended_today(collection.user_id) + _sum(others, _FETCHED)


def _count_ended_today(user_id: int) -> int:
    deleted = DeletedFetch.objects.filter(user=user_id, queued_at__gt=timezone.now() - DAY)
    ended = Build.objects.filter(_ended_today(), collection__user=user_id)
    # In this order, and open ones after them: what ends or is deleted meanwhile counts not twice.
    return _sum(deleted, F("num_bytes")) + _sum(ended, _FETCHED)


def _sum(rows: QuerySet[Any], what: F | CombinedExpression) -> int:
    return int(rows.aggregate(n=Sum(what))["n"] or 0)


def explain_day_is_full(collection: Collection) -> list[str]:
    """A sentence if a collection that fetches has an owner for whom no more may be fetched today.

    Also if its files are in the cache, which only the build finds out. What no build has fetched
    yet must fit in, as far as its size is known.
    """
    if not collection.options.get(FETCH):
        return []
    to_fetch = _sum(collection.items.to_fetch().filter(sha256=""), F("size_bytes"))
    return explain_full_day(count_fetched_today(collection.user), max(1, to_fetch))


def explain_full_day(fetched: int, more: int) -> list[str]:
    """A sentence if so many bytes ``more`` than those that were fetched are beyond the limit."""
    most = settings.FETCH_MAX_DAY_BYTES
    if fetched + more <= most:
        return []
    wanted = "" if fetched >= most else f"About {file_size(more)} would have to be fetched, and "
    return [
        f"{wanted}{file_size(fetched)} were fetched for you in the last 24 hours (limit: "
        f"{file_size(most)}). Build it again later."
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
