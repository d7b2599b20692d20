"""Until when an archive is kept, as its owner reads it."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.utils import timezone

from collections_app.models import Collection, Status

WARN_BEFORE = timedelta(days=3)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


def lifetime() -> timedelta:
    """How long an archive is kept after it became ready."""
    return timedelta(days=settings.COLLECTION_LIFETIME_DAYS)


@dataclass(frozen=True, slots=True)
class Expiry:
    """``left`` and ``lifetime`` are in words, as "14 days"; ``is_over``: its time has passed."""

    expires_at: datetime
    left: str
    lifetime: str
    is_over: bool
    is_soon: bool
    can_be_extended: bool


def describe_expiry(collection: Collection) -> Expiry | None:
    """When a ready collection's archive goes; None in every other state."""
    if collection.status != Status.READY or collection.expires_at is None:
        return None
    whole = lifetime()
    left = collection.expires_at - timezone.now()
    return Expiry(
        expires_at=collection.expires_at,
        left=describe_span(left),
        lifetime=describe_span(whole),
        is_over=left <= timedelta(0),
        # Where archives live for an hour, a warning from the first minute on warns of nothing.
        is_soon=left < min(WARN_BEFORE, whole / 2),
        # A button that changes next to nothing is noise, and one that shortens would be a trap.
        can_be_extended=whole - left > whole / 14,
    )


def describe_span(span: timedelta) -> str:
    """A span in its largest sensible unit: "14 days", "30 hours", "less than a minute"."""
    if span < MINUTE:
        return "less than a minute"
    for unit, name, least in ((DAY, "day", 2 * DAY), (HOUR, "hour", 2 * HOUR)):
        if span >= least - unit / 2:
            return f"{round(span / unit)} {name}s"
    number = round(span / MINUTE)
    return f"{number} minute{'' if number == 1 else 's'}"
