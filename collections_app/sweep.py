"""What beat does every half minute: nothing stays stuck, nothing stays behind."""

import logging
from datetime import timedelta

from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from collections_app.archive_files import iter_old_files, remove_archive
from collections_app.models import Collection, Status
from collections_app.queue import announce_build, announce_checksum
from collections_app.services import (
    NO_ARCHIVE,
    NO_CLAIM,
    NotPossibleNow,
    expire_collection,
)

logger = logging.getLogger(__name__)


def sweep_collections() -> dict[str, int]:
    """Fail the hopeless, queue the forgotten, expire the old, remove stray files."""
    return {
        "failed": _fail_hopeless(),
        "queued": _queue_forgotten(),
        "expired": _expire_old(),
        "checksums": _checksum_forgotten(),
        "files_removed": _remove_stray_files(),
    }


def _fail_hopeless() -> int:
    """Pending collections whose workers died once too often."""
    now = timezone.now()
    return (
        Collection.objects.claimable(now)
        .filter(attempts__gte=settings.BUILD_MAX_ATTEMPTS)
        .update(
            status=Status.FAILED,
            error_message=f"The build was interrupted {settings.BUILD_MAX_ATTEMPTS} times: its "
            "worker stopped before the end. Try again; if it happens again, tell the operator.",
            finished_at=now,
            updated_at=now,
            **NO_CLAIM,
            **NO_ARCHIVE,
        )
    )


def _queue_forgotten() -> int:
    """Pending collections whose worker is gone, or whose news never arrived."""
    now = timezone.now()
    silent_since = now - timedelta(seconds=settings.BUILD_LEASE_SECONDS)
    never_taken = Q(attempt_token__isnull=True, queued_at__lt=silent_since)
    left_behind = Q(lease_expires_at__lt=now)
    forgotten = Collection.objects.claimable(now).filter(never_taken | left_behind)
    ids = list(forgotten.values_list("pk", flat=True))
    Collection.objects.filter(pk__in=ids).update(queued_at=now)
    for pk in ids:
        announce_build(pk)
    return len(ids)


def _checksum_forgotten() -> int:
    """Ready archives whose SHA-256 is still not known: that news got lost too."""
    silent_since = timezone.now() - timedelta(seconds=settings.BUILD_LEASE_SECONDS)
    ready = Collection.objects.filter(status=Status.READY, archive_sha256="")
    ids = list(ready.filter(finished_at__lt=silent_since).values_list("pk", flat=True))
    for pk in ids:
        announce_checksum(pk)
    return len(ids)


def _expire_old() -> int:
    expired = 0
    for collection in Collection.objects.past_their_time(timezone.now()):
        try:
            expire_collection(collection=collection)
            expired += 1
        except NotPossibleNow:
            logger.info("collection %s: changed while it was to expire", collection.uuid)
    return expired


def _remove_stray_files() -> int:
    """Files that belong to no collection and that no worker has touched for a while."""
    old = list(iter_old_files(older_than=10 * settings.BUILD_LEASE_SECONDS))
    known = set(
        Collection.objects.filter(archive_path__in=old).values_list("archive_path", flat=True)
    )
    stray = [path for path in old if path not in known]
    for path in stray:
        remove_archive(path)
    return len(stray)
