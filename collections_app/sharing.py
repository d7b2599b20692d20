"""Collections with the same fingerprint share one build and one file.

An archive belongs to no collection: every ready one with its path has it. Row locks decide all
races: who takes a file over locks a collection that has it, and who gives it up changes that row.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone

from collections_app.archive_files import has_archive, remove_archive
from collections_app.models import Collection, Status
from collections_app.queue import announce_build

NO_ARCHIVE: dict[str, Any] = {"archive_path": "", "archive_size": None, "archive_sha256": ""}
NO_CLAIM: dict[str, Any] = {"attempt_token": None, "lease_expires_at": None}


class LeaseLost(Exception):
    """Another worker, or the user, has taken the collection over; nothing is left to do."""


@dataclass(frozen=True, slots=True)
class Archive:
    """``path`` as the database holds it, ``size`` in bytes; ``sha256`` is empty until proven."""

    path: str
    size: int
    sha256: str
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
        "archive_sha256": archive.sha256,
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


def reserve_build(*, token: UUID, fingerprint: str) -> bool:
    """Make this claim the one build of its fingerprint; False where another one lives.

    Raises:
        LeaseLost: the claim does not hold any more.
    """
    mine = Collection.objects.claimed_by(token)
    rivals = Collection.objects.pending().filter(fingerprint=fingerprint)
    rivals.exclude(attempt_token=token).lapsed().update(**NO_CLAIM)
    try:
        with transaction.atomic():
            reserved = mine.update(fingerprint=fingerprint)
    except IntegrityError:
        return False
    if not reserved:
        raise LeaseLost
    return True


def wait_for_other(*, token: UUID, fingerprint: str) -> None:
    """Give the claim back: the build that lives will make this collection ready, too."""
    Collection.objects.claimed_by(token).update(
        fingerprint=fingerprint,
        attempts=F("attempts") - 1,
        queued_at=timezone.now(),
        started_at=None,
        **NO_CLAIM,
    )


def adopt_archive(*, token: UUID, fingerprint: str) -> bool:
    """Take over an archive with this fingerprint that is there already; whether there is one.

    Raises:
        LeaseLost: the claim does not hold any more.
    """
    with transaction.atomic():
        having = Collection.objects.filter(status=Status.READY, fingerprint=fingerprint)
        for other in having.select_for_update().order_by("pk"):
            size = other.archive_size or 0
            if has_archive(other.archive_path, size):
                archive = Archive(other.archive_path, size, other.archive_sha256, fingerprint)
                mine = Collection.objects.claimed_by(token)
                if not mine.update(**ready_values(archive)):
                    raise LeaseLost
                return True
    return False


def finish_waiting(archive: Archive) -> None:
    """Make the collections ready that have waited for this archive; within a transaction."""
    Collection.objects.waiting_for(archive.fingerprint).update(**ready_values(archive))


def announce_waiting(fingerprint: str) -> None:
    """The build that others have waited for will not come to an end: one of them builds now."""
    if fingerprint:
        for pk in Collection.objects.waiting_for(fingerprint).values_list("pk", flat=True):
            announce_build(pk)


def remove_if_unused(path: str) -> None:
    """Delete the file of an archive that no collection has any more; call it after the commit."""
    if path and not Collection.objects.filter(archive_path=path).exists():
        remove_archive(path)
