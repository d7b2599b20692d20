"""The periodic sweep: repeats lost messages, fails hopeless builds, expires, and cleans up."""

import logging
from collections.abc import Callable
from datetime import timedelta

from django.conf import settings
from django.db.models import F, Q
from django.utils import timezone

from collections_app.builds.outcome import fail_archive, fail_build
from collections_app.builds.queue import enqueue_build, enqueue_mails, enqueue_verification
from collections_app.builds.verification import MISSING
from collections_app.models import Build, Collection, Reason, Status
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

VERIFY_LEASES = 10
# If at least this many archives are missing and no file is left, the disk is not mounted.
MIN_MISSING = 3


def sweep_collections() -> dict[str, int]:
    """Run all steps of the sweep; return how many objects each of them changed."""
    steps = {
        "failed": _fail_hopeless,
        "enqueued": _enqueue_lost,
        "expired": _expire_old,
        "missing": _fail_missing,
        "modified": _unverify_modified,
        "verifications": _enqueue_verifications,
        "mails": _enqueue_due_mails,
        "files_removed": _remove_stray_files,
    }
    return {name: _try(step) for name, step in steps.items()}


def _try(step: Callable[[], int]) -> int:
    """Run a step; an error of the disk must not stop the other steps."""
    try:
        return step()
    except OSError:
        logger.exception("a step of the sweep failed")
        return 0


def _fail_hopeless() -> int:
    """Fail builds whose workers have stopped too often."""
    message = (
        f"The build was interrupted {settings.BUILD_MAX_ATTEMPTS} times: its worker stopped. "
        "Try again; if it happens again, tell the operator."
    )
    hopeless = Build.objects.claimable().filter(attempts__gte=settings.BUILD_MAX_ATTEMPTS)
    return sum(
        fail_build(
            collection=build.collection,
            builds=hopeless,
            reason=Reason.INTERRUPTED,
            message=message,
        )
        for build in hopeless.select_related("collection")
    )


def _enqueue_lost() -> int:
    """Enqueue builds again whose worker has stopped or whose message was lost.

    A ``notified_at`` in the future was set before the clock was set back.
    """
    now = timezone.now()
    lease = timedelta(seconds=settings.BUILD_LEASE_SECONDS)
    is_lost = Q(notified_at__lt=now - lease) | Q(notified_at__gt=now + lease)
    # Its worker has stopped, and no other worker was notified since that one began.
    is_abandoned = Q(attempt_token__isnull=False, notified_at__lte=F("started_at"))
    lost = Build.objects.claimable().filter(is_lost | is_abandoned)
    ids = list(lost.values_list("pk", "collection_id"))
    Build.objects.filter(pk__in=[pk for pk, _ in ids]).update(notified_at=now)
    for _, collection_id in ids:
        enqueue_build(collection_id)
    return len(ids)


def _fail_missing() -> int:
    """Fail ready collections whose archive is missing or truncated."""
    ready = list(
        Collection.objects.filter(status=Status.READY).only("archive_path", "archive_size")
    )
    missing = [each for each in ready if not has_archive(each.archive_path, each.archive_size)]
    if len(missing) == len(ready) >= MIN_MISSING and is_empty():
        logger.error("all archives are missing: is the disk of the archives mounted?")
        return 0
    failed = 0
    for each in missing:
        logger.error("the archive %s is missing or truncated", each.archive_path)
        failed += fail_archive(collection=each, reason=Reason.ARCHIVE_DAMAGED, message=MISSING)
        remove_archive(each.archive_path)
    return failed


def _unverify_modified() -> int:
    """Have archives verified again that were modified, or restored from a backup."""
    verified = Collection.objects.filter(status=Status.READY, verified_at__isnull=False)
    modified = [
        each
        for each in verified.only("archive_path", "archive_size", "fingerprint")
        if has_archive(each.archive_path, each.archive_size)
        and not has_its_time(each.archive_path, each.fingerprint)
    ]
    for each in modified:
        logger.warning("the archive %s was modified; it is verified again", each.archive_path)
        verified.filter(pk=each.pk).update(verified_at=None)
        Build.objects.filter(pk=each.last_build.pk).update(notified_at=None)
    return len(modified)


def _enqueue_verifications() -> int:
    """Enqueue verifications again whose message was lost or whose worker has stopped."""
    # Verifying a large archive takes minutes, and must not be enqueued again meanwhile.
    lost_before = timezone.now() - timedelta(seconds=VERIFY_LEASES * settings.BUILD_LEASE_SECONDS)
    unverified = Collection.objects.unverified()
    last_builds = [each.last_build.pk for each in unverified.only("pk")]
    is_lost = Q(notified_at__lt=lost_before) | Q(notified_at__isnull=True)
    lost = list(Build.objects.filter(is_lost, pk__in=last_builds))
    for build in lost:
        Build.objects.filter(pk=build.pk).update(notified_at=timezone.now())
        enqueue_verification(build.collection_id)
    return len(lost)


def _enqueue_due_mails() -> int:
    """Enqueue the task that sends mails if any are due."""
    due = find_due_mails()
    if due:
        enqueue_mails()
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
    """Remove old files that belong to no collection and no running build."""
    old = list(iter_old_files(older_than=10 * settings.BUILD_LEASE_SECONDS))
    # Every file name contains the token of its attempt. Tokens are read before paths: an attempt
    # that ends in between has its path in the collection by then.
    tokens = {
        str(token)
        for token in Build.objects.filter(attempt_token__isnull=False).values_list(
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
