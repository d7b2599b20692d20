"""What beat does every half minute: nothing stays stuck, nothing stays behind."""

import logging
from collections.abc import Callable
from datetime import timedelta

from django.conf import settings
from django.db.models import F, Q
from django.utils import timezone

from collections_app.builds.queue import announce_build, announce_mails, announce_proof
from collections_app.builds.sharing import failed_values
from collections_app.builds.verification import VANISHED
from collections_app.models import Collection, Status
from collections_app.notices.mail import find_due_mails
from collections_app.services import NotPossibleNow, expire_collection
from collections_app.storage import (
    has_archive,
    has_its_time,
    is_empty,
    iter_old_files,
    remove_archive,
)

logger = logging.getLogger(__name__)

PROOF_LEASES = 10
# So many archives do not vanish one by one.
MANY = 3


def sweep_collections() -> dict[str, int]:
    """Fail the hopeless, queue the forgotten, expire the old, remove stray files."""
    steps = {
        "failed": _fail_hopeless,
        "queued": _queue_forgotten,
        "expired": _expire_old,
        "vanished": _fail_vanished,
        "doubted": _doubt_touched,
        "proofs": _prove_forgotten,
        "mails": _tell_forgotten,
        "files_removed": _remove_stray_files,
    }
    return {name: _try(step) for name, step in steps.items()}


def _try(step: Callable[[], int]) -> int:
    """One file that cannot be looked at must not keep the other steps from being done."""
    try:
        return step()
    except OSError:
        logger.exception("a step of the sweep could not be done")
        return 0


def _fail_hopeless() -> int:
    """Pending collections whose workers died once too often."""
    reason = (
        f"The build was interrupted {settings.BUILD_MAX_ATTEMPTS} times: its worker stopped before "
        "the end. Try again; if it happens again, tell the operator."
    )
    hopeless = Collection.objects.claimable().filter(attempts__gte=settings.BUILD_MAX_ATTEMPTS)
    return hopeless.update(**failed_values(reason))


def _queue_forgotten() -> int:
    """Pending collections whose worker is gone, or whose news never arrived.

    News of the future were written before the clock was set back.
    """
    now = timezone.now()
    silent_since = now - timedelta(seconds=settings.BUILD_LEASE_SECONDS)
    silent_until = now + timedelta(seconds=settings.BUILD_LEASE_SECONDS)
    untold = Q(queued_at__lt=silent_since) | Q(queued_at__gt=silent_until)
    # Its worker is gone, and nobody was told since it began.
    left_behind = Q(attempt_token__isnull=False, queued_at__lte=F("started_at"))
    forgotten = Collection.objects.claimable().filter(untold | left_behind)
    ids = list(forgotten.values_list("pk", flat=True))
    for pk in ids:
        # One by one: workers lock several rows in an order of their own.
        Collection.objects.pending().filter(pk=pk).update(queued_at=now)
        announce_build(pk)
    return len(ids)


def _fail_vanished() -> int:
    """Ready collections whose file somebody has taken away or cut off behind our back."""
    archives = Collection.objects.filter(status=Status.READY).order_by()
    known = list(archives.values_list("archive_path", "archive_size"))
    gone = [path for path, size in known if not has_archive(path, size)]
    if len(gone) == len(known) >= MANY and is_empty():
        logger.error("no archive is there at all: is the disk of the archives mounted?")
        return 0
    failed = archives.filter(archive_path__in=gone).update(**failed_values(VANISHED))
    for path in gone:
        logger.error("the archive %s has vanished, or is cut off", path)
        remove_archive(path)
    return failed


def _doubt_touched() -> int:
    """Archives that somebody has written to since their proof, or that came from a backup."""
    proven = Collection.objects.filter(status=Status.READY).exclude(archive_sha256="").order_by()
    touched = [
        path
        for path, size, fingerprint in proven.values_list(
            "archive_path", "archive_size", "fingerprint"
        )
        if has_archive(path, size) and not has_its_time(path, fingerprint)
    ]
    for path in touched:
        logger.warning("the archive %s was written to since its proof; it is proven again", path)
    return proven.filter(archive_path__in=touched).update(archive_sha256="", queued_at=None)


def _prove_forgotten() -> int:
    """Ready archives that are still not proven: that news got lost, or its worker died."""
    # A large archive takes minutes: it must not be announced again and again meanwhile.
    silent_since = timezone.now() - timedelta(seconds=PROOF_LEASES * settings.BUILD_LEASE_SECONDS)
    silent = Q(queued_at__lt=silent_since) | Q(queued_at__isnull=True)
    ready = Collection.objects.filter(status=Status.READY, archive_sha256="")
    ids = list(ready.filter(silent).values_list("pk", flat=True))
    Collection.objects.filter(pk__in=ids).update(queued_at=timezone.now())
    for pk in ids:
        announce_proof(pk)
    return len(ids)


def _tell_forgotten() -> int:
    """Owners whom a mail about a collection has not reached yet."""
    due = find_due_mails()
    if due:
        announce_mails()
    return len(due)


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
    # Every name holds the token of its attempt. These are asked for first: an attempt that ends
    # meanwhile is known by its path then.
    tokens = {
        str(token)
        for token in Collection.objects.filter(attempt_token__isnull=False).values_list(
            "attempt_token", flat=True
        )
    }
    known = set(
        Collection.objects.filter(archive_path__in=old).values_list("archive_path", flat=True)
    )
    stray = [path for path in old if path not in known and tokens.isdisjoint(path.split("."))]
    return sum(map(_remove, stray))


def _remove(path: str) -> bool:
    try:
        remove_archive(path)
    except OSError as error:
        logger.error("the stray file %s cannot be removed: %s", path, error)
        return False
    return True
