"""Notices on the next page: collections that became ready, or failed, while their owner was away.

The session holds since when there may be notices. That is set when a build is queued or seen to be
pending, and removed when no more are to come. Without it no page asks the database.
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

SEEN_KEY = "notices_seen_at"
TOLD_KEY = "notices_shown"
SHOWN = 3
MAX_READ = 100


@dataclass(frozen=True, slots=True)
class Notices:
    """The newest first, at most SHOWN; ``num_more`` is the number of the others."""

    collections: list[Collection] = field(default_factory=list)
    num_more: int = 0


def expect_notices(session: SessionBase) -> None:
    """From now on the pages of this session ask for notices; called again, it changes nothing.

    Call it before a build is queued, and on a page that promises a notice.
    """
    if SEEN_KEY not in session:
        session[SEEN_KEY] = timezone.now().isoformat()


def mark_shown(session: SessionBase, collection: Collection) -> None:
    """The page itself has shown how this build ended: no notice is needed any more."""
    if SEEN_KEY not in session or collection.finished_at is None:
        return
    told = session.get(TOLD_KEY, [])
    if _name_end(collection) not in told:
        session[TOLD_KEY] = [*told[-MAX_READ:], _name_end(collection)]


def read_notices(session: SessionBase, user: AbstractBaseUser | AnonymousUser) -> Notices:
    """The builds that ended since the last call, each once. At most one query."""
    since = parse_datetime(session.get(SEEN_KEY, "")) if user.is_authenticated else None
    if since is None:
        return Notices()
    found = _find(user, since)
    ended = [each for each in found if each.status != Status.PENDING and _is_since(each, since)]
    told = session.get(TOLD_KEY, [])
    new = [each for each in ended if _name_end(each) not in told]
    if not any(map(_may_bring_notices, found)):
        _forget(session)
    elif ended:
        # All of these are told with this page, so the list of what was told begins anew.
        latest = max(each.finished_at for each in ended if each.finished_at)
        session[SEEN_KEY] = latest.isoformat()
        session.pop(TOLD_KEY, None)
    return Notices(new[:SHOWN], max(0, len(new) - SHOWN))


def _find(user: AbstractBaseUser | AnonymousUser, since: datetime) -> list[Collection]:
    """What has ended since, and what is still to come."""
    ended = Q(status__in=(Status.READY, Status.FAILED), finished_at__gt=since)
    # Whoever has cancelled a build knows it.
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
    """It is being built; or its archive is still to be verified, which may fail."""
    if collection.status == Status.READY:
        return not collection.verified_at
    return collection.status == Status.PENDING


def _forget(session: SessionBase) -> None:
    session.pop(SEEN_KEY, None)
    session.pop(TOLD_KEY, None)


def _name_end(collection: Collection) -> str:
    """Identifies the end of one build of a collection."""
    ended_at = collection.finished_at.isoformat() if collection.finished_at else ""
    return f"{collection.pk} {ended_at}"
