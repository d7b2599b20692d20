"""What beat does every half minute: nothing stays stuck, nothing stays behind."""

import logging
from collections.abc import Callable
from datetime import timedelta

from django.conf import settings
from django.db.models import F, Q
from django.utils import timezone

from collections_app.builds.outcome import fail_archive, fail_build
from collections_app.builds.queue import enqueue_build, enqueue_mails, enqueue_verification
from collections_app.builds.verification import VANISHED
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
# So many archives do not vanish one by one.
MANY = 3


def sweep_collections() -> dict[str, int]:
    """Fail hopeless builds, enqueue forgotten ones, expire old archives, remove stray files.

    Returns how many of each there were.
    """
    steps = {
        "failed": _fail_hopeless,
        "enqueued": _enqueue_forgotten,
        "expired": _expire_old,
        "vanished": _fail_vanished,
        "touched": _unverify_touched,
        "verifications": _verify_forgotten,
        "mails": _mail_forgotten,
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
    """Builds whose workers died once too often."""
    message = (
        f"The build was interrupted {settings.BUILD_MAX_ATTEMPTS} times: its worker stopped before "
        "the end. Try again; if it happens again, tell the operator."
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


def _enqueue_forgotten() -> int:
    """Builds whose worker is gone, or whose message was lost.

    A message of the future was sent before the clock was set back.
    """
    now = timezone.now()
    lease = timedelta(seconds=settings.BUILD_LEASE_SECONDS)
    is_lost = Q(notified_at__lt=now - lease) | Q(notified_at__gt=now + lease)
    # Its worker is gone, and no other one was told since that one began.
    is_abandoned = Q(attempt_token__isnull=False, notified_at__lte=F("started_at"))
    forgotten = Build.objects.claimable().filter(is_lost | is_abandoned)
    ids = list(forgotten.values_list("pk", "collection_id"))
    Build.objects.filter(pk__in=[pk for pk, _ in ids]).update(notified_at=now)
    for _, collection_id in ids:
        enqueue_build(collection_id)
    return len(ids)


def _fail_vanished() -> int:
    """Ready collections whose file somebody has removed or truncated behind our back."""
    ready = list(
        Collection.objects.filter(status=Status.READY).only("archive_path", "archive_size")
    )
    gone = [each for each in ready if not has_archive(each.archive_path, each.archive_size)]
    if len(gone) == len(ready) >= MANY and is_empty():
        logger.error("no archive is there at all: is the disk of the archives mounted?")
        return 0
    failed = 0
    for each in gone:
        logger.error("the archive %s has vanished, or is truncated", each.archive_path)
        failed += fail_archive(collection=each, reason=Reason.ARCHIVE_DAMAGED, message=VANISHED)
        remove_archive(each.archive_path)
    return failed


def _unverify_touched() -> int:
    """Archives that were written to since they were verified, or that came from a backup."""
    verified = Collection.objects.filter(status=Status.READY, verified_at__isnull=False)
    touched = [
        each
        for each in verified.only("archive_path", "archive_size", "fingerprint")
        if has_archive(each.archive_path, each.archive_size)
        and not has_its_time(each.archive_path, each.fingerprint)
    ]
    for each in touched:
        logger.warning("the archive %s was written to; it is verified again", each.archive_path)
        verified.filter(pk=each.pk).update(verified_at=None)
        Build.objects.filter(pk=each.last_build.pk).update(notified_at=None)
    return len(touched)


def _verify_forgotten() -> int:
    """Ready archives that are still not verified: the message got lost, or its worker died."""
    # A large archive takes minutes: it must not be enqueued again and again meanwhile.
    silent_since = timezone.now() - timedelta(seconds=VERIFY_LEASES * settings.BUILD_LEASE_SECONDS)
    unverified = Collection.objects.unverified()
    last_builds = [each.last_build.pk for each in unverified.only("pk")]
    silent = Q(notified_at__lt=silent_since) | Q(notified_at__isnull=True)
    forgotten = list(Build.objects.filter(silent, pk__in=last_builds))
    for build in forgotten:
        Build.objects.filter(pk=build.pk).update(notified_at=timezone.now())
        enqueue_verification(build.collection_id)
    return len(forgotten)


def _mail_forgotten() -> int:
    """Mails that are due and were not sent yet."""
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
    """Files that belong to no collection and that no worker has touched for a while."""
    old = list(iter_old_files(older_than=10 * settings.BUILD_LEASE_SECONDS))
    # Every name holds the token of its attempt. These are asked for first: an attempt that ends
    # meanwhile is known by its path then.
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
