"""Services for collections: create, rebuild, cancel, extend, expire, delete."""

import logging
from datetime import datetime
from typing import Any

from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.db import transaction
from django.db.models import Count, Q, Sum
from django.utils import timezone
from django.utils.text import slugify

from catalog.search.filters import ImageFilterSet
from catalog.search.snapshot import current_snapshot
from catalog.search.understanding import understood_words
from collections_app.archive import safe_name
from collections_app.builds.expiry import lifetime
from collections_app.builds.outcome import (
    NO_ARCHIVE,
    describe_archive,
    fail_build,
    keep_number_of_problems,
)
from collections_app.builds.queue import add_build
from collections_app.models import Build, Collection, CollectionItem, Reason, Status
from collections_app.provenance_keys import (
    EXCLUDED,
    IDENTIFYING,
    NUM_ELSEWHERE,
    NUM_FILES,
    TERMS,
    UNDERSTOOD,
    WORDS,
)
from collections_app.selection.database_space import BYTES_PER_ITEM, require_room
from collections_app.selection.fetch_quota import (
    explain_day_is_full,
    explain_fetch_limits,
    keep_fetched_bytes,
)
from collections_app.selection.file_count import keep_number_of_files
from collections_app.selection.fingerprint import ItemRows, finalize_items
from collections_app.selection.freeze import (
    CatalogChanged,
    CountsDiffer,
    freeze_items,
    take_slot,
)
from collections_app.selection.identifying_items import describe_identifying
from collections_app.selection.limits import explain_limits
from collections_app.selection.provenance import describe_provenance, describe_terms, recount_images
from collections_app.selection.quotas import lock_quota
from collections_app.selection.refusals import (
    NO_ROOM_TO_EXCLUDE,
    OTHERS_ARE_FROZEN,
    Busy,
    NotBuildable,
    check_expected,
    check_quota,
    check_selection,
    explain_full_disk,
    hold_quota,
    refuse_if,
)
from collections_app.selection.summary import describe_filters
from collections_app.selection.to_fetch import (
    FETCH,
    count_items_to_fetch,
    count_to_fetch,
    name_items_to_fetch,
)
from collections_app.storage import remove_after_commit

logger = logging.getLogger(__name__)

FREEZE_TRIES = 5
CANCELLED = "You cancelled this build."
CANCELLED_BY_OPERATOR = "The operator cancelled this build. It can be built again."


class NotPossibleNow(Exception):
    """The state of the collection does not allow this; the message says why."""


def create_collection(
    *,
    user: User,
    title: str,
    filters: ImageFilterSet,
    expected_images: int,
    wants_mail: bool = False,
    fetch: bool = False,
    notify: bool = True,
) -> Collection:
    """Freeze what the filters select into a pending collection and have it built.

    ``expected_images`` is the number that the user was shown; the freeze is refused if the catalog
    has changed since. With ``wants_mail`` the owner gets a mail when the build ends. With ``fetch``
    what lies elsewhere and may be fetched is part of the archive. Without ``notify`` the caller
    builds it at once.

    Raises:
        NotBuildable: the filters are not understood or match nothing, a limit is exceeded, or the
            catalog has changed.
        OverQuota: the user has too many collections, builds or bytes.
        Busy: another request of the user or others are being worked on, or the database is full.
    """
    refuse_if(filters.problems)
    with explain_full_disk(), transaction.atomic():
        hold_quota(user)
        check_selection(user, filters, expected_images)
        if fetch:
            refuse_if(explain_fetch_limits(user, count_to_fetch(filters)))
        if not take_slot():
            raise Busy(OTHERS_ARE_FROZEN)
        collection = Collection.objects.create(
            user=user,
            title=title,
            slug=_name_folder(title),
            query_text=filters.cleaned.get("q", ""),
            wants_mail=wants_mail,
        )
        filters, rows = _freeze(collection, filters, expected_images)
        num_to_fetch = name_items_to_fetch(collection) if fetch else 0
        _count_items(collection)
        num_images, num_bytes = collection.num_images, collection.num_bytes
        refuse_if(explain_limits(num_images=num_images, num_bytes=num_bytes))
        check_quota(collection)
        collection.filter_snapshot = filters.as_frozen_json()
        collection.provenance = describe_provenance(filters)
        if rows.has_many_files:
            keep_number_of_files(collection)
        if num_to_fetch:
            collection.options[FETCH] = True
            collection.provenance[NUM_ELSEWHERE] -= num_to_fetch
            refuse_if(explain_fetch_limits(user, count_items_to_fetch(collection)))
        collection.provenance[TERMS] = describe_terms(collection, filters)
        collection.provenance[WORDS] = describe_filters(filters)
        collection.provenance[UNDERSTOOD] = understood_words(filters)
        if identifying := describe_identifying(collection):
            collection.provenance[IDENTIFYING] = identifying
        finalize_items(collection, None if num_to_fetch else rows)
        collection.save()
        require_room()
        add_build(collection=collection, notify=notify)
    return collection


def _freeze(
    collection: Collection, filters: ImageFilterSet, expected_images: int
) -> tuple[ImageFilterSet, ItemRows]:
    """Freeze one state of the catalog; try again if an import changes it meanwhile.

    Returns the filters over that state, and the rows written.
    """
    for _ in range(FREEZE_TRIES):
        try:
            with transaction.atomic():
                return filters, freeze_items(collection=collection, filters=filters)
        except CatalogChanged:
            # While another thread reads this change, the state before it would fail again.
            filters = ImageFilterSet(filters.data, snapshot=current_snapshot(waits=True))
            check_expected(filters.total, expected_images)
        except CountsDiffer as error:
            logger.error("a selection could not be frozen: %s", error)
            raise NotBuildable(str(error)) from error
    raise Busy("The catalog is being changed at the moment. Try again in a minute.")


def _name_folder(title: str) -> str:
    """The folder in the archive: plain ASCII, and valid on Windows."""
    slug = slugify(title)[:60].strip("-_") or "collection"
    return slug if safe_name(slug) == slug else f"collection-{slug}"


def _count_items(collection: Collection) -> None:
    local = Q(is_excluded=False) & ~Q(file_name="")
    sums = collection.items.aggregate(
        images=Count("pk", filter=Q(is_excluded=False)),
        files=Count("pk", filter=local),
        size=Sum("size_bytes", filter=local),
    )
    collection.num_images = sums["images"]
    collection.num_files = sums["files"]
    collection.num_bytes = sums["size"] or 0


def retry_collection(*, collection: Collection) -> None:
    """Have a failed or expired collection built again.

    Raises:
        NotPossibleNow: it is in another state.
        NotBuildable: the owner's quota would be exceeded.
    """
    with transaction.atomic():
        hold_quota(collection.user)
        _queue_again(collection, from_states=(Status.FAILED, Status.EXPIRED))


def rebuild_collection(*, collection: Collection) -> None:
    """Have the archive of a collection that is not pending built again, with the same bytes.

    The build first looks whether all files are as they were frozen. If they are not, a ready
    collection is ready with its present archive again.

    Raises:
        NotPossibleNow: it is pending.
        NotBuildable: the owner's quota would be exceeded.
    """
    if collection.status == Status.PENDING:
        raise NotPossibleNow("The collection is being built already.")
    with transaction.atomic():
        hold_quota(collection.user)
        # From the state that was looked at: another tab may have made it ready meanwhile.
        ready = Collection.objects.select_for_update().filter(pk=collection.pk, status=Status.READY)
        replaced = ready.first() if collection.status == Status.READY else None
        _queue_again(
            collection,
            from_states=(Status(collection.status),),
            replaces=describe_archive(replaced) if replaced else {},
        )


def build_without_problems(*, collection: Collection, expected: int | None = None) -> int:
    """Exclude the items with a problem and queue a build; return their number.

    Raises:
        NotPossibleNow: the collection has not failed, or others than the ``expected`` number of
            items have a problem, as a worker that had lost its build found more.
        NotBuildable: no image would be left, the owner's quota would be exceeded, or the database
            has no room.
    """
    with explain_full_disk(NO_ROOM_TO_EXCLUDE), transaction.atomic():
        hold_quota(collection.user)
        # Before its items, as a deletion locks them.
        collection = Collection.objects.select_for_update().get(pk=collection.pk)
        number = keep_number_of_problems(collection)
        if expected in (None, number):
            return _exclude_problems(collection, number)
    raise NotPossibleNow(explain_changed_list(number))


def explain_changed_list(number: int) -> str:
    """Why nothing is excluded where another number of files was shown."""
    return f"The list has changed: {number:,} files have a problem now. Check it again."


def _exclude_problems(collection: Collection, number: int) -> int:
    require_room(number * BYTES_PER_ITEM)
    excluded: int = collection.items.included().with_problems().update(is_excluded=True)
    if excluded != number:
        raise NotPossibleNow(explain_changed_list(excluded))
    collection.builds.newest().update(num_problems=0)
    _count_items(collection)
    if not collection.num_images:
        raise NotBuildable("No image would be left in the archive.")
    _count_excluded(collection)
    collection.save(
        update_fields=["num_images", "num_files", "num_bytes", "provenance", "updated_at"]
    )
    _queue_again(collection, from_states=(Status.FAILED,))
    return excluded


def _count_excluded(collection: Collection) -> None:
    recount_images(collection)
    if NUM_FILES in collection.provenance:
        keep_number_of_files(collection)
    collection.provenance[EXCLUDED] = collection.items.filter(is_excluded=True).count()


def _queue_again(
    collection: Collection,
    *,
    from_states: tuple[Status, ...],
    replaces: dict[str, Any] | None = None,
) -> None:
    check_quota(collection)
    refuse_if(explain_day_is_full(collection))
    queued = Collection.objects.filter(pk=collection.pk, status__in=from_states).update(
        status=Status.PENDING,
        error_message="",
        finished_at=None,
        expires_at=None,
        # The build computes it again: another version of the program may give other bytes.
        fingerprint="",
        mail_is_due=False,
        updated_at=timezone.now(),
        **NO_ARCHIVE,
    )
    if not queued:
        collection.refresh_from_db()
        raise NotPossibleNow(f"The collection is {collection.status}, so this cannot be done now.")
    add_build(collection=collection, replaces=replaces)


def cancel_build(*, collection: Collection, by_owner: bool = True) -> None:
    """Stop a queued or running build; the collection is kept and can be built later.

    A rebuild that has written nothing yet leaves the collection ready with its present archive.

    The owner gets a mail only if somebody else cancels it.

    Raises:
        NotPossibleNow: it is not pending.
    """
    if not fail_build(
        collection=collection,
        builds=Build.objects.all(),
        reason=Reason.CANCELLED if by_owner else Reason.CANCELLED_BY_OPERATOR,
        message=CANCELLED if by_owner else CANCELLED_BY_OPERATOR,
        mails_owner=not by_owner,
    ):
        raise NotPossibleNow("The collection is not being built; there is nothing to cancel.")
    collection.refresh_from_db()


def extend_collection(*, collection: Collection) -> None:
    """Keep a ready archive for its whole lifetime from now; never shorten its time.

    Raises:
        NotPossibleNow: there is no archive.
    """
    until = timezone.now() + lifetime()
    set_expiry(collection=collection, expires_at=max(until, collection.expires_at or until))


def expire_collection(*, collection: Collection) -> None:
    """Remove the archive; the items stay, so that the same bytes can be built again.

    Raises:
        NotPossibleNow: there is no archive, or it was replaced or extended meanwhile.
    """
    path = collection.archive_path
    with transaction.atomic():
        expired = Collection.objects.filter(
            pk=collection.pk,
            status=Status.READY,
            archive_path=path,
            expires_at=collection.expires_at,
        ).update(status=Status.EXPIRED, updated_at=timezone.now(), **NO_ARCHIVE)
        if not expired:
            raise NotPossibleNow("The collection has no archive now, or its archive was extended.")
        remove_after_commit(path)


def delete_collection(*, collection: Collection) -> None:
    """Delete a collection, its items and its archive; a running build ends without a result.

    The admin's history forgets its title.
    """
    with transaction.atomic():
        mine = Collection.objects.select_for_update().filter(pk=collection.pk)
        path = mine.values_list("archive_path", flat=True).first() or ""
        build = collection.builds.unfinished().first()
        keep_fetched_bytes(collection.user_id, collection.builds.all())
        CollectionItem.objects.filter(collection=collection)._raw_delete(collection._state.db)
        mine.delete()
        kind = ContentType.objects.get_for_model(Collection)
        history = LogEntry.objects.filter(content_type=kind, object_id=str(collection.pk))
        history.update(object_repr="a deleted collection")
        remove_after_commit(path or (build.replaces.get("archive_path", "") if build else ""))


def delete_collections(*, user: User) -> None:
    """Delete all collections of a user, each in a transaction of its own if the caller has none.

    In one, whoever asks for what it has locked would wait for millions of items. The quota first,
    as in all that locks both.
    """
    for collection in Collection.objects.filter(user=user).brief():
        with transaction.atomic():
            lock_quota(user)
            delete_collection(collection=collection)


def delete_account(*, user: User) -> None:
    """Delete a user, with the collections and archives that there are."""
    with transaction.atomic():
        lock_quota(user)
        delete_collections(user=user)
        # Before what refers to it, as a new password and a confirmation do.
        User.objects.select_for_update().filter(pk=user.pk).first()
        user.delete()


def set_expiry(*, collection: Collection, expires_at: datetime) -> None:
    """Keep a ready archive until ``expires_at``; raises NotPossibleNow if it is not ready."""
    changed = Collection.objects.filter(pk=collection.pk, status=Status.READY).update(
        expires_at=expires_at, updated_at=timezone.now()
    )
    if not changed:
        raise NotPossibleNow("Only a ready collection has an archive whose time can be changed.")
