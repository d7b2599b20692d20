"""News for the next page: collections that became ready, or failed, while their owner was away.

The session holds since when there may be news; it is set when something is queued, or seen to be
pending, and taken away when nothing is to come any more. Without it no page asks the database.
"""

from dataclasses import dataclass, field
from datetime import datetime

from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser
from django.contrib.sessions.backends.base import SessionBase
from django.db.models import F, Q
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from collections_app import services
from collections_app.models import Collection, Status

SEEN_KEY = "news_seen_at"
TOLD_KEY = "news_told"
SHOWN = 3
MAX_READ = 100


@dataclass(frozen=True, slots=True)
class News:
    """The newest first, at most SHOWN; ``num_more`` is the number of the others."""

    collections: list[Collection] = field(default_factory=list)
    num_more: int = 0


def expect_news(session: SessionBase) -> None:
    """From now on the pages of this session ask for news; called again, it changes nothing.

    To be called before a build is queued, and by a page that promises news of one.
    """
    if SEEN_KEY not in session:
        session[SEEN_KEY] = timezone.now().isoformat()


def mark_told(session: SessionBase, collection: Collection) -> None:
    """The page has shown by itself how this collection ended: that is no news any more."""
    if SEEN_KEY not in session or collection.finished_at is None:
        return
    told = session.get(TOLD_KEY, [])
    if _name_end(collection) not in told:
        session[TOLD_KEY] = [*told[-MAX_READ:], _name_end(collection)]


def read_news(session: SessionBase, user: AbstractBaseUser | AnonymousUser) -> News:
    """What has ended since it was last asked; each end is told once. At most one query."""
    since = parse_datetime(session.get(SEEN_KEY, "")) if user.is_authenticated else None
    if since is None:
        return News()
    found = _find(user, since)
    ended = [each for each in found if each.status != Status.PENDING and _is_since(each, since)]
    told = session.get(TOLD_KEY, [])
    new = [each for each in ended if _name_end(each) not in told]
    if not any(map(_may_bring_news, found)):
        _forget(session)
    elif ended:
        # All of these are told with this page, so the list of what was told begins anew.
        latest = max(each.finished_at for each in ended if each.finished_at)
        session[SEEN_KEY] = latest.isoformat()
        session.pop(TOLD_KEY, None)
    return News(new[:SHOWN], max(0, len(new) - SHOWN))


def _find(user: AbstractBaseUser | AnonymousUser, since: datetime) -> list[Collection]:
    """What has ended since, and what is still to come."""
    ended = Q(status__in=(Status.READY, Status.FAILED), finished_at__gt=since)
    # Whoever has canceled a build knows it.
    ended &= ~Q(error_message=services.CANCELLED)
    to_come = Q(status=Status.PENDING) | Q(status=Status.READY, archive_sha256="")
    found = Collection.objects.visible_to(user).filter(ended | to_come)
    return list(
        found.only("uuid", "title", "status", "finished_at", "archive_sha256").order_by(
            F("finished_at").desc(nulls_first=True), "-pk"
        )[:MAX_READ]
    )


def _is_since(collection: Collection, since: datetime) -> bool:
    return collection.finished_at is not None and collection.finished_at > since


def _may_bring_news(collection: Collection) -> bool:
    """It is being built; or its archive has yet to be proven, which may fail."""
    if collection.status == Status.READY:
        return not collection.archive_sha256
    return collection.status == Status.PENDING


def _forget(session: SessionBase) -> None:
    session.pop(SEEN_KEY, None)
    session.pop(TOLD_KEY, None)


def _name_end(collection: Collection) -> str:
    """One way in which a collection ended; built again, it ends again."""
    ended_at = collection.finished_at.isoformat() if collection.finished_at else ""
    return f"{collection.pk} {ended_at}"
