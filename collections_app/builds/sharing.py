"""The columns that change when a build, or an archive, comes to its end."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db.models import F
from django.utils import timezone

from collections_app.models import Status

NO_ARCHIVE: dict[str, Any] = {"archive_path": "", "archive_size": None, "archive_sha256": ""}
NO_CLAIM: dict[str, Any] = {"attempt_token": None, "lease_expires_at": None}


class LeaseLost(Exception):
    """Another worker, or the user, has taken the collection over; nothing is left to do."""


@dataclass(frozen=True, slots=True)
class Archive:
    """``path`` as the database holds it, ``size`` in bytes."""

    path: str
    size: int
    fingerprint: str


def lifetime() -> timedelta:
    """How long an archive is kept for a collection after it became ready."""
    return timedelta(days=settings.COLLECTION_LIFETIME_DAYS)


def ready_values(archive: Archive) -> dict[str, Any]:
    """The columns of a collection that has got this archive."""
    now = timezone.now()
    return {
        "status": Status.READY,
        "archive_path": archive.path,
        "archive_size": archive.size,
        "archive_sha256": "",
        "fingerprint": archive.fingerprint,
        "queued_at": now,
        "finished_at": now,
        "expires_at": now + lifetime(),
        "progress_images": F("num_images"),
        "progress_bytes": F("num_bytes"),
        "mail_is_due": F("wants_mail"),
        "updated_at": now,
        **NO_CLAIM,
    }


def failed_values(reason: str) -> dict[str, Any]:
    """The columns of a collection whose build, or whose archive, has come to a bad end."""
    now = timezone.now()
    return {
        "status": Status.FAILED,
        "error_message": reason,
        "finished_at": now,
        "expires_at": None,
        "mail_is_due": F("wants_mail"),
        "updated_at": now,
        **NO_CLAIM,
        **NO_ARCHIVE,
    }
