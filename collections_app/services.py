"""Every way in which a user moves a collection: create, retry, rebuild, expire, delete."""

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Count, Q, Sum
from django.utils import timezone
from django.utils.text import slugify

from catalog.filters import ImageFilterSet
from collections_app.archive import safe_name
from collections_app.archive_files import remove_archive
from collections_app.entries import find_bad_files
from collections_app.models import Collection, CollectionItem, Status
from collections_app.queue import announce_build
from collections_app.selection import (
    CatalogMoved,
    describe_provenance,
    explain_limits,
    freeze_items,
)

FREEZE_TRIES = 5
NO_ARCHIVE: dict[str, Any] = {"archive_path": "", "archive_size": None}
NO_CLAIM: dict[str, Any] = {"attempt_token": None, "lease_expires_at": None}


class NotBuildable(Exception):
    """The selection cannot become a collection; the message says why and what to do."""


class NotPossibleNow(Exception):
    """The collection is not in a state that allows this; the message says which one it is in."""


def create_collection(
    *, user: User, title: str, filters: ImageFilterSet, expected_images: int
) -> Collection:
    """Freeze what the filters select into a pending collection and have it built.

    ``expected_images`` is the number the user was shown; the freeze is refused when the catalog
    has changed since.

    Raises:
        NotBuildable: the filters are not understood, match nothing, or exceed a limit.
    """
    if filters.problems:
        raise NotBuildable(" ".join(filters.problems))
    with transaction.atomic():
        collection = Collection.objects.create(
            user=user,
            title=title,
            slug=_name_folder(title),
            query_text=filters.cleaned.get("q", ""),
            filter_snapshot=filters.snapshot(),
        )
        frozen = _freeze(collection, filters)
        _check_frozen(frozen, expected_images)
        _count_items(collection)
        collection.provenance = describe_provenance(collection)
        collection.provenance["words"] = [
            {"filter": item.title, "value": item.text} for item in filters.active_filters()
        ]
        collection.queued_at = timezone.now()
        collection.save()
        transaction.on_commit(lambda: announce_build(collection.pk))
    return collection


def _freeze(collection: Collection, filters: ImageFilterSet) -> int:
    """Freeze one state of the catalog, however busily it is being imported into."""
    for _ in range(FREEZE_TRIES):
        try:
            with transaction.atomic():
                return freeze_items(collection=collection, filters=filters)
        except CatalogMoved:
            filters = ImageFilterSet(filters.data)
    raise NotBuildable("The catalog is being changed just now. Try again in a minute.")


def _name_folder(title: str) -> str:
    """The folder in the archive: plain ASCII, and a name that Windows can hold."""
    slug = slugify(title)[:60].strip("-_") or "collection"
    return slug if safe_name(slug) == slug else f"collection-{slug}"


def _check_frozen(frozen: int, expected: int) -> None:
    if not frozen:
        raise NotBuildable("No image matches any more. Change the filters.")
    if frozen != expected:
        raise NotBuildable(
            f"The catalog has changed: {frozen:,} images match now, not {expected:,}. "
            "Look at the new numbers and build again."
        )


def _count_items(collection: Collection) -> None:
    local = Q(is_left_out=False) & ~Q(sha256="")
    sums = collection.items.aggregate(
        images=Count("pk", filter=Q(is_left_out=False)),
        files=Count("pk", filter=local),
        size=Sum("size_bytes", filter=local),
    )
    collection.num_images = sums["images"]
    collection.num_files = sums["files"]
    collection.num_bytes = sums["size"] or 0
    problems = explain_limits(num_images=sums["images"], num_bytes=collection.num_bytes)
    if problems:
        raise NotBuildable(" ".join(problems))


def retry_collection(*, collection: Collection) -> None:
    """Have a failed or expired collection built (again)."""
    _queue_again(collection, from_states=(Status.FAILED, Status.EXPIRED))


def rebuild_collection(*, collection: Collection) -> None:
    """Have the archive written anew, from whatever state but pending; the bytes are the same.

    Raises:
        NotPossibleNow: it is pending, or the archive that is there could not be replaced.
    """
    old_path = collection.archive_path
    if collection.status == Status.READY and _count_bad_files(collection):
        raise NotPossibleNow(
            "Some files are no longer as they were frozen, so the archive could not be written "
            "again. The one that is there is kept."
        )
    _queue_again(collection, from_states=(Status.FAILED, Status.EXPIRED, Status.READY))
    if old_path:
        transaction.on_commit(lambda: remove_archive(old_path))


def _count_bad_files(collection: Collection) -> int:
    return sum(1 for _ in find_bad_files(collection, on_next=lambda size: None))


def build_without_problems(*, collection: Collection) -> int:
    """Leave the items that failed the last build out, and build; returns how many those are."""
    with transaction.atomic():
        bad = CollectionItem.objects.filter(collection=collection, is_left_out=False)
        left_out = bad.with_problems().update(is_left_out=True)
        _count_items(collection)
        _count_left_out(collection)
        collection.save(
            update_fields=["num_images", "num_files", "num_bytes", "provenance", "updated_at"]
        )
        _queue_again(collection, from_states=(Status.FAILED,))
    return left_out


def _count_left_out(collection: Collection) -> None:
    included = collection.items.included().order_by().values_list("metadata_json__dataset")
    counts = dict(included.annotate(total=Count("pk")))
    for dataset in collection.provenance["datasets"]:
        dataset["num_images"] = counts.get(dataset["slug"], 0)
    collection.provenance["left_out"] = collection.items.filter(is_left_out=True).count()


def _queue_again(collection: Collection, *, from_states: tuple[Status, ...]) -> None:
    queued = Collection.objects.filter(pk=collection.pk, status__in=from_states).update(
        status=Status.PENDING,
        error_message="",
        attempts=0,
        progress_images=0,
        progress_bytes=0,
        queued_at=timezone.now(),
        started_at=None,
        finished_at=None,
        expires_at=None,
        archive_sha256="",
        updated_at=timezone.now(),
        **NO_ARCHIVE,
        **NO_CLAIM,
    )
    if not queued:
        collection.refresh_from_db()
        raise NotPossibleNow(f"The collection is {collection.status}; this cannot be done now.")
    transaction.on_commit(lambda: announce_build(collection.pk))


def expire_collection(*, collection: Collection) -> None:
    """Give up the archive; the items stay, so that the same bytes can be built again."""
    path = collection.archive_path
    with transaction.atomic():
        expired = Collection.objects.filter(
            pk=collection.pk, status=Status.READY, archive_path=path
        ).update(status=Status.EXPIRED, updated_at=timezone.now(), **NO_ARCHIVE)
        if not expired:
            raise NotPossibleNow("Only a ready collection can expire.")
        transaction.on_commit(lambda: remove_archive(path))


def delete_collection(*, collection: Collection) -> None:
    """Delete a collection, its items and its archive; a build that runs finds nothing to finish."""
    with transaction.atomic():
        path = (
            Collection.objects.select_for_update()
            .filter(pk=collection.pk)
            .values_list("archive_path", flat=True)
            .first()
        )
        CollectionItem.objects.filter(collection=collection)._raw_delete(collection._state.db)
        Collection.objects.filter(pk=collection.pk).delete()
        if path:
            transaction.on_commit(lambda: remove_archive(path))


def delete_account(*, user: User) -> None:
    """Delete a user with all collections and their archives."""
    for collection in Collection.objects.filter(user=user):
        delete_collection(collection=collection)
    user.delete()


def set_expiry(*, collection: Collection, expires_at: datetime) -> None:
    """Keep a ready archive until another time."""
    changed = Collection.objects.filter(pk=collection.pk, status=Status.READY).update(
        expires_at=expires_at, updated_at=timezone.now()
    )
    if not changed:
        raise NotPossibleNow("Only a ready collection has a time to be kept until.")


def lifetime() -> timedelta:
    """How long an archive is kept after it became ready."""
    return timedelta(days=settings.COLLECTION_LIFETIME_DAYS)
