"""Freezing: copying the images that the filters select into a collection's items."""

import time

from django.db import IntegrityError, connection
from django.db.backends.utils import CursorWrapper

from catalog.bulk.foreign_keys import check_foreign_keys, may_skip_checks, unchecked
from catalog.profiles.building import share_datasets
from catalog.search.filters import ImageFilterSet
from collections_app.models import Collection
from collections_app.selection import queries
from collections_app.selection.copying import copy_rows
from collections_app.selection.database_space import require_room_meanwhile
from collections_app.selection.fingerprint import ItemRows

# All columns are read at once: a second look-up of each image would take half of the time.
_COLUMNS = ("id", "profile_id", "source_id", "file_path", "remote_url", "subject_id", "age_years",
            "width", "height", "size_bytes", "sha256", "num_files", "identifying",
            "metadata_json")  # fmt: skip
# So that sorting and hashing need no disk, which would double the time. Each sort and each hash may
# take that much, so few freezes run at a time.
_SLOTS = 2
_WAIT_SECONDS = 3.0
_PAUSE_SECONDS = 0.1
_ROOM = "SET LOCAL work_mem = '256MB'"


class CatalogChanged(Exception):
    """The catalog was changed while a selection was frozen."""


class CountsDiffer(Exception):
    """The catalog's counts differ from its images; the message is for the user."""


def take_slot() -> bool:
    """Take one of the slots of freezes until the transaction ends; False if none becomes free.

    It waits for a few seconds at most.
    """
    give_up_at = time.monotonic() + _WAIT_SECONDS
    with connection.cursor() as cursor:
        while not any(_try_slot(cursor, number) for number in range(_SLOTS)):
            if time.monotonic() > give_up_at:
                return False
            time.sleep(_PAUSE_SECONDS)
    return True


def _try_slot(cursor: CursorWrapper, number: int) -> bool:
    cursor.execute(queries.TRY_SLOT, [number])
    is_mine: bool = cursor.fetchone()[0]
    return is_mine


def freeze_items(*, collection: Collection, filters: ImageFilterSet) -> ItemRows:
    """Copy the selected images into the collection's items and return the rows written.

    Raises:
        CatalogChanged: one of the datasets was changed meanwhile, so the filters are out of date.
        CountsDiffer: the catalog's counts differ from its images.
        DatabaseIsFull: the rows take more than the database has.
    """
    if not filters.total:
        return ItemRows()
    with connection.cursor() as cursor:
        rows = ItemRows(on_step=lambda: require_room_meanwhile(cursor))
        cursor.execute(_ROOM)
        _copy_images(cursor, collection, filters, rows)
    # Nothing has changed until now, so all rows are from one state of the catalog.
    if not filters.snapshot.is_unchanged(filters.counted.sums("dataset")):
        raise CatalogChanged
    if rows.count != filters.total:
        raise CountsDiffer(
            f"The catalog counts {filters.total:,} images, but has {rows.count:,}. Tell the "
            "operator that `manage.py check_catalog --repair` corrects the counts."
        )
    return rows


def _copy_images(
    cursor: CursorWrapper, collection: Collection, filters: ImageFilterSet, rows: ItemRows
) -> None:
    """Copy the images, and raise CatalogChanged here if one of them is being deleted."""
    images, params = filters.images().order_by().values(*_COLUMNS).query.sql_with_params()
    freeze = queries.FREEZE.replace("{images}", images)
    # ``rows`` processes each chunk while the database writes the next one.
    statement = cursor.mogrify(freeze, [*params, collection.pk])
    if may_skip_checks(cursor):
        with unchecked(cursor):
            copy_rows(cursor, statement, rows)
        _hold_images(cursor, collection, filters, rows.count)
        return
    copy_rows(cursor, statement, rows)
    try:
        check_foreign_keys(cursor)
    except IntegrityError as error:
        raise CatalogChanged from error


def _hold_images(
    cursor: CursorWrapper, collection: Collection, filters: ImageFilterSet, frozen: int
) -> None:
    """Lock the images until the transaction ends: by their datasets, or else one by one.

    Raises:
        CatalogChanged: some of them are deleted already.
    """
    # No image can be deleted from now on; `is_unchanged` notices those deleted before.
    if share_datasets(cursor, filters.counted.sums("dataset")):
        return
    cursor.execute(queries.LOCK_IMAGES, [collection.pk])
    if cursor.fetchone()[0] != frozen:
        raise CatalogChanged
