"""Notices on the next page: collections that became ready or failed since the last one.

The session holds the time since which there may be notices. It is set when the user queues a build
or opens the page of a pending one, and removed when no more notices can come. Without it no page
queries the database.
"""

from dataclasses import dataclass, field
from datetime import datetime

from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser
from django.contrib.sessions.backends.base import SessionBase
from django.db.models import F, Q
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from collections_app.models import Collection, Reason, Status

SINCE_KEY = "notices_seen_at"
SHOWN_KEY = "notices_shown"
MAX_SHOWN = 3
MAX_READ = 100


@dataclass(frozen=True, slots=True)
class Notices:
    """The newest first, at most MAX_SHOWN; ``num_more`` is the number of the others."""

    collections: list[Collection] = field(default_factory=list)
    num_more: int = 0


def expect_notices(session: SessionBase) -> None:
    """Let the pages of this session ask for notices from now on; a second call changes nothing.

    Call it before a build is queued, and on a page that promises a notice.
    """
    if SINCE_KEY not in session:
        session[SINCE_KEY] = timezone.now().isoformat()


def mark_shown(session: SessionBase, collection: Collection) -> None:
    """Show no notice of this build, because the page itself has shown how it ended."""
    if SINCE_KEY not in session or collection.finished_at is None:
        return
    shown = session.get(SHOWN_KEY, [])
    if _name_end(collection) not in shown:
        session[SHOWN_KEY] = [*shown[-MAX_READ:], _name_end(collection)]


def read_notices(session: SessionBase, user: AbstractBaseUser | AnonymousUser) -> Notices:
    """Notices of the builds that ended since the last call, each once; at most one query."""
    since = parse_datetime(session.get(SINCE_KEY, "")) if user.is_authenticated else None
    if since is None:
        return Notices()
    found = _find(user, since)
    ended = [each for each in found if each.status != Status.PENDING and _is_since(each, since)]
    shown = session.get(SHOWN_KEY, [])
    new = [each for each in ended if _name_end(each) not in shown]
    if not any(map(_may_bring_notices, found)):
        _forget(session)
    elif ended:
        # This page shows all of them, so the list of those shown before is not needed any more.
        latest = max(each.finished_at for each in ended if each.finished_at)
        session[SINCE_KEY] = latest.isoformat()
        session.pop(SHOWN_KEY, None)
    return Notices(new[:MAX_SHOWN], max(0, len(new) - MAX_SHOWN))


def _find(user: AbstractBaseUser | AnonymousUser, since: datetime) -> list[Collection]:
    """Collections that ended since then, and those that may still bring a notice."""
    ended = Q(status__in=(Status.READY, Status.FAILED), finished_at__gt=since)
    # Users who cancelled a build know that.
    ended &= ~Q(reason=Reason.CANCELLED)
    to_come = Q(status=Status.PENDING) | Q(status=Status.READY, verified_at=None)
    found = Collection.objects.visible_to(user).with_reason().filter(ended | to_come)
    return list(
        found.only("uuid", "title", "status", "finished_at", "verified_at").order_by(
            F("finished_at").desc(nulls_first=True), "-pk"
        )[:MAX_READ]
    )


def _is_since(collection: Collection, since: datetime) -> bool:
    return collection.finished_at is not None and collection.finished_at > since


def _may_bring_notices(collection: Collection) -> bool:
    """Whether it is being built, or its archive is still to be verified, which may fail."""
    if collection.status == Status.READY:
        return not collection.verified_at
    return collection.status == Status.PENDING


def _forget(session: SessionBase) -> None:
    session.pop(SINCE_KEY, None)
    session.pop(SHOWN_KEY, None)


def _name_end(collection: Collection) -> str:
    """Identifies the end of one build of a collection."""
    ended_at = collection.finished_at.isoformat() if collection.finished_at else ""
    return f"{collection.pk} {ended_at}"
