"""How long an archive is kept, and how its page says so.

The date is set in ``outcome.py``, extended in ``services.py`` and enforced in ``sweep.py``.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.utils import timezone

from catalog.wording.formats import duration
from collections_app.models import Collection, Status

WARN_BEFORE = timedelta(days=3)


def lifetime() -> timedelta:
    """How long an archive is kept after it became ready."""
    return timedelta(days=settings.COLLECTION_LIFETIME_DAYS)


@dataclass(frozen=True, slots=True)
class Expiry:
    """``left`` and ``lifetime`` are in words, such as "14 days"."""

    expires_at: datetime
    left: str
    lifetime: str
    is_over: bool
    is_soon: bool
    can_be_extended: bool


def describe_expiry(collection: Collection) -> Expiry | None:
    """The expiry of a ready collection's archive; None in every other state."""
    if collection.status != Status.READY or collection.expires_at is None:
        return None
    whole = lifetime()
    left = collection.expires_at - timezone.now()
    return Expiry(
        expires_at=collection.expires_at,
        left=duration(left.total_seconds()),
        lifetime=duration(whole.total_seconds()),
        is_over=left <= timedelta(0),
        # Where archives are kept for an hour only, the warning must not be there from the start.
        is_soon=left < min(WARN_BEFORE, whole / 2),
        # No button that adds almost no time, and none that would shorten it.
        can_be_extended=whole - left > whole / 14,
    )
