"""How a build ends: the build and its collection change in one transaction.

Every transaction that changes both locks the collection first, so that there are no deadlocks.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from collections_app.builds.expiry import lifetime
from collections_app.builds.queue import add_build
from collections_app.models import Build, Collection, Reason, Status
from collections_app.querysets import BuildQuerySet, CollectionQuerySet
from collections_app.selection.fingerprint import describe_program
from collections_app.storage import StorageTrouble, archive_store, remove_after_commit

NO_ARCHIVE: dict[str, Any] = {"archive_path": "", "archive_size": None, "archive_sha256": "",
                              "verified_at": None}  # fmt: skip
ARCHIVE_COLUMNS = (*NO_ARCHIVE, "fingerprint", "finished_at", "expires_at")
NO_CLAIM: dict[str, Any] = {"attempt_token": None, "lease_expires_at": None}  # no password  # nosec


def finish_build(
    *, collection: Collection, token: UUID, path: str, size: int, fingerprint: str
) -> bool:
    """Make the collection ready with its archive; False if the claim is no longer valid.

    ``path`` is as in ``Collection.archive_path``, ``size`` in bytes.
    """
    now = timezone.now()
    with transaction.atomic():
        _lock(collection)
        finished = Build.objects.claimed_by(token).update(
            finished_at=now,
            notified_at=now,
            progress_images=collection.num_images,
            progress_bytes=collection.num_bytes,
            **NO_CLAIM,
        )
        if finished:
            Collection.objects.filter(pk=collection.pk).update(
                **NO_ARCHIVE | {"status": Status.READY, "archive_path": path, "archive_size": size},
                fingerprint=fingerprint,
                program=describe_program(),
                expires_at=now + lifetime(),
                mail_is_due=F("wants_mail"),
                finished_at=now,
                updated_at=now,
            )
    return bool(finished)


def fail_build(
    *,
    collection: Collection,
    builds: BuildQuerySet,
    reason: Reason,
    message: str,
    mails_owner: bool = True,
) -> bool:
    """Fail the collection's unfinished build if it is one of ``builds``; False if it is not.

    ``message`` is shown on the collection's page; it says what happened and what to do. If the
    archive that the build was to replace is still there, the collection is ready with it instead.
    """
    now = timezone.now()
    with transaction.atomic():
        _lock(collection)
        mine = builds.unfinished().filter(collection=collection)
        build = mine.first()
        failed = mine.update(finished_at=now, reason=reason, **NO_CLAIM)
        if failed:
            keep_number_of_problems(collection)
            values = _failed_values(message, now, mails_owner=mails_owner)
            if build and build.keeps_archive and _may_have_archive(build.replaces):
                given_back = {"status": Status.READY, "error_message": "", "finished_at": now}
                values |= build.replaces | given_back
            Collection.objects.filter(pk=collection.pk).update(**values)
    return bool(failed)


def _may_have_archive(replaced: dict[str, Any]) -> bool:
    """True also if the object storage does not say it: the sweep asks again."""
    try:
        return archive_store().has_archive(replaced["archive_path"], replaced["archive_size"])
    except StorageTrouble:
        return True


def describe_archive(collection: Collection) -> dict[str, Any]:
    """The columns of a ready collection's archive, for ``Build.replaces``."""
    columns = {name: getattr(collection, name) for name in ARCHIVE_COLUMNS}
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in columns.items()
    }


def give_up_replaced(*, collection: Collection, token: UUID) -> str:
    """Give up the archive that this build replaces; return its path, empty if there is none."""
    with transaction.atomic():
        _lock(collection)
        mine = Build.objects.claimed_by(token)
        build = mine.first()
        if build is None or not build.keeps_archive:
            return ""
        mine.update(replaces={"archive_size": build.replaces["archive_size"]})
    path: str = build.replaces["archive_path"]
    return path


def fail_archive(
    *, collection: Collection, reason: Reason, message: str, mails_owner: bool = True
) -> bool:
    """Fail a ready collection whose archive is bad; False if it has another archive now."""
    with transaction.atomic():
        values = _failed_values(message, timezone.now(), mails_owner=mails_owner)
        if not with_same_archive(collection).update(**values):
            return False
        collection.builds.newest().update(reason=reason)
    return True


def keep_number_of_problems(collection: Collection) -> int:
    """Count the items with a problem for pages, which would count them again and again."""
    number: int = collection.items.included().with_problems().order_by().count()
    collection.builds.newest().update(num_problems=number)
    return number


def forget_problems(*, collection: Collection, token: UUID) -> bool:
    """Begin with no problems but those of excluded items; False if the claim is no longer valid."""
    with transaction.atomic():
        # Else another worker could take the build, and lose the problems that it finds.
        _lock(collection)
        is_mine = bool(Build.objects.claimed_by(token).update(num_problems=0))
        if is_mine:
            collection.items.included().with_problems().update(problem="")
    return is_mine


def rebuild_archive(*, collection: Collection) -> bool:
    """Queue a new build of a ready collection; False if it has another archive now."""
    path = collection.archive_path
    with transaction.atomic():
        pending = {"status": Status.PENDING, "finished_at": None, "expires_at": None,
                   "fingerprint": "", "updated_at": timezone.now()}  # fmt: skip
        if not with_same_archive(collection).update(**pending, **NO_ARCHIVE):
            return False
        add_build(collection=collection, replaces={"archive_size": collection.archive_size})
        remove_after_commit(path)
    return True


def with_same_archive(collection: Collection) -> CollectionQuerySet:
    """The collection, if it is still ready with the same archive."""
    ready: CollectionQuerySet = Collection.objects.filter(pk=collection.pk, status=Status.READY)
    return ready.filter(archive_path=collection.archive_path)


def _lock(collection: Collection) -> None:
    Collection.objects.select_for_update().filter(pk=collection.pk).values_list("pk").first()


def _failed_values(message: str, now: datetime, *, mails_owner: bool = True) -> dict[str, Any]:
    return {
        "status": Status.FAILED,
        "error_message": message,
        "finished_at": now,
        "expires_at": None,
        "mail_is_due": F("wants_mail") if mails_owner else False,
        "updated_at": now,
        **NO_ARCHIVE,
    }
