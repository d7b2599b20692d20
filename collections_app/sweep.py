"""The periodic sweep: repeats lost messages, fails hopeless builds, expires, and cleans up."""

import logging
import random
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import timedelta

from billiard.exceptions import SoftTimeLimitExceeded
from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F, Q
from django.db.models.fields.json import KT
from django.utils import timezone

from collections_app.builds.fetching import release_stale
from collections_app.builds.outcome import fail_archive, fail_build
from collections_app.builds.queue import (
    add_build,
    notify_builder,
    notify_mailer,
    notify_verifier,
)
from collections_app.builds.verification import MISSING
from collections_app.models import Build, Collection, Reason, Status
from collections_app.notices.mail import find_due_mails
from collections_app.selection.fetch_quota import forget_fetched_bytes
from collections_app.services import NotPossibleNow, expire_collection
from collections_app.storage import (
    PARTIAL,
    StorageTrouble,
    archive_store,
    asking_briefly,
    remove_archive,
)

logger = logging.getLogger(__name__)

VERIFY_LEASES = 10
# Fewer missing archives than these do not mean that the disk is not mounted.
MIN_MISSING = 3


class DiskNotMounted(Exception):
    """The archives seem to be on a disk that is not mounted: nothing is judged or removed.

    Or in another bucket than the one that the settings name.
    """


def sweep_collections() -> dict[str, int]:
    """Run all steps of the sweep; return how many objects each of them changed."""
    steps = {
        "failed": _fail_hopeless,
        "added": _add_missing_builds,
        "notified": _notify_again,
        "expired": _expire_old,
        "missing": _fail_missing,
        "modified": _unverify_modified,
        "verifications": _notify_of_verifications,
        "mails": _notify_of_due_mails,
        "files_removed": _remove_stray_files,
        "fetches_released": release_stale,
        "fetches_forgotten": forget_fetched_bytes,
    }
    with asking_briefly():
        return {name: _try(step) for name, step in steps.items()}


def _try(step: Callable[[], int]) -> int:
    """Run a step; its errors must not stop the other steps."""
    try:
        return step()
    except SoftTimeLimitExceeded:
        raise
    except DiskNotMounted:
        return 0
    except StorageTrouble as error:
        logger.error("a step of the sweep waits for the object storage: %s", error)
        return 0
    except Exception:
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


def _notify_again() -> int:
    """Notify a builder again of builds whose worker has stopped or whose message was lost.

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
        notify_builder(collection_id)
    return len(ids)


def _add_missing_builds() -> int:
    """Queue pending collections that have no build, as after a partial restore."""
    pending = Collection.objects.pending()
    without_build = list(pending.exclude(builds__in=Build.objects.unfinished()))
    for collection in without_build:
        with suppress(IntegrityError), transaction.atomic():  # queued by somebody else meanwhile
            add_build(collection=collection)
    return len(without_build)


def _find_missing() -> list[Collection]:
    """Ready collections whose archive is missing or truncated.

    Raises:
        DiskNotMounted: several archives are missing, and none of those that are there was finished
            before one that is missing.
    """
    columns = ("archive_path", "archive_size")
    ready = Collection.objects.filter(status=Status.READY).only(*columns).order_by("finished_at")
    missing = archive_store().find_missing(ready)
    if len(missing) >= MIN_MISSING and missing == list(ready[: len(missing)]):
        question = "is the disk of the archives mounted?"
        if settings.ARCHIVE_STORAGE:
            question = "is ARCHIVE_STORAGE the bucket and the prefix under which they lie?"
        logger.error("%s archives are missing: %s", len(missing), question)
        raise DiskNotMounted
    return missing


def _fail_missing() -> int:
    return fail_missing(_find_missing())


def fail_missing(collections: Iterable[Collection], *, mails_owners: bool = True) -> int:
    """Fail ready collections whose archive is missing or truncated; the number of those."""
    failed = 0
    for each in collections:
        # It may have been rebuilt or deleted meanwhile.
        if fail_archive(
            collection=each,
            reason=Reason.ARCHIVE_DAMAGED,
            message=MISSING,
            mails_owner=mails_owners,
        ):
            logger.error("the archive %s is missing or truncated", each.archive_path)
            failed += 1
        remove_archive(each.archive_path)
    return failed


def _unverify_modified() -> int:
    """Have archives verified again that were modified, or restored from a backup."""
    verified = Collection.objects.filter(status=Status.READY, verified_at__isnull=False)
    columns = ("archive_path", "archive_size", "fingerprint", "verified_at")
    modified = archive_store().find_modified(verified.only(*columns))
    for each in modified:
        logger.warning("the archive %s was modified; it is verified again", each.archive_path)
    ids = [each.pk for each in modified]
    Build.objects.newest().filter(collection__in=ids).update(notified_at=None)
    return verified.filter(pk__in=ids).update(verified_at=None)


def _notify_of_verifications() -> int:
    """Enqueue verifications again whose message was lost or whose worker has stopped.

    As in ``_notify_again``, what was notified in the future is lost, too.
    """
    now = timezone.now()
    # Verifying a large archive takes minutes, and must not be asked for again meanwhile.
    patience = timedelta(seconds=VERIFY_LEASES * settings.BUILD_LEASE_SECONDS)
    is_lost = Q(notified_at__isnull=True) | ~Q(notified_at__range=(now - patience, now + patience))
    builds = Build.objects.newest().filter(is_lost, collection__in=Collection.objects.unverified())
    lost = dict(builds.values_list("pk", "collection_id"))
    Build.objects.filter(pk__in=lost).update(notified_at=now)
    for collection_id in lost.values():
        notify_verifier(collection_id)
    return len(lost)


def _notify_of_due_mails() -> int:
    """Enqueue the task that sends mails if any are due."""
    due = find_due_mails()
    if due:
        notify_mailer()
    return len(due)


def _expire_old() -> int:
    expired = 0
    for collection in Collection.objects.past_their_time(timezone.now()).brief():
        try:
            expire_collection(collection=collection)
            expired += 1
        except NotPossibleNow:
            logger.info("collection %s: changed while it was to expire", collection.uuid)
    return expired


def _remove_stray_files() -> int:
    """Remove old files that belong to no collection and no running build."""
    _find_missing()  # stray files are told from others only while the right disk is mounted
    stray = find_strays(older_than=10 * settings.BUILD_LEASE_SECONDS)
    if stray and not Collection.objects.exists():
        # The folder, or the bucket, of a site that has another database.
        logger.warning("There is no collection: %s archives are kept. Whose are they?", len(stray))
        stray = [path for path in stray if path.endswith(PARTIAL)]
    return _remove_files(stray)


def find_strays(*, older_than: float) -> list[str]:
    """Files of so many seconds that the sweep would remove; raises OSError."""
    old = list(archive_store().iter_old_files(older_than=older_than))
    # Every file name contains the token of its attempt. Tokens are read before paths: an attempt
    # that ends in between has its path in the collection by then.
    claimed = Build.objects.unfinished().filter(attempt_token__isnull=False)
    tokens = {str(token) for token in claimed.values_list("attempt_token", flat=True)}
    known = _find_known(old)
    return [path for path in old if path not in known and tokens.isdisjoint(path.split("."))]


def _find_known(paths: list[str]) -> set[str]:
    """Those of the paths that are of collections, or are kept until a rebuild writes."""
    collections = Collection.objects.with_archives(paths).order_by()
    rebuilds = Build.objects.unfinished().filter(replaces__has_key="archive_path").order_by()
    # One query, as paths move from the one to the other.
    known = collections.values_list("archive_path").union(
        rebuilds.values_list(KT("replaces__archive_path"))
    )
    return {path for (path,) in known}


def _remove_files(paths: list[str]) -> int:
    """Remove files until the storage does not do so; the number of those that are gone."""
    # In another order each time, so that one that gets no answer keeps no other for ever.
    random.shuffle(paths)
    removed = 0
    for path in paths:
        try:
            remove_archive(path)
            removed += 1
        except OSError as error:
            logger.error("the stray file %s cannot be removed: %s", path, error)
            if isinstance(error, StorageTrouble):
                break
    return removed
