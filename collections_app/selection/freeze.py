"""Copying what a set of filters selects into the items of a collection."""

from django.db import IntegrityError, connection
from django.db.backends.utils import CursorWrapper

from catalog.bulk.foreign_keys import may_skip_checks, unchecked
from catalog.profiles.building import share_datasets
from catalog.search.filters import ImageFilterSet
from collections_app.models import Collection
from collections_app.selection import queries
from collections_app.selection.copying import copy_rows
from collections_app.selection.fingerprint import ItemRows

# All that is needed of an image is read at once: to look each up again would take half the time.
_COLUMNS = ("id", "profile_id", "source_id", "file_path", "remote_url", "subject_id", "age_years",
            "width", "height", "size_bytes", "sha256")  # fmt: skip
# Sorting and hashing on disk would take as long as the rest.
_ROOM = "SET LOCAL work_mem = '256MB'"
_CHECK_IMAGES = "SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED"


class CatalogChanged(Exception):
    """The catalog was changed while a selection was frozen."""


class CountsDiffer(Exception):
    """The catalog's counts differ from its images; the message is for the user."""


def freeze_items(*, collection: Collection, filters: ImageFilterSet) -> ItemRows:
    """Copy the selected images into the collection's items, and tell what was written.

    Raises:
        CatalogChanged: one of the datasets was changed meanwhile, so the selection is out of date.
        CountsDiffer: what the catalog counts is not what it has.
    """
    rows = ItemRows()
    if not filters.total:
        return rows
    with connection.cursor() as cursor:
        cursor.execute(_ROOM)
        _copy_images(cursor, collection, filters, rows)
    # That nothing has changed until now proves that it was one state.
    if not filters.snapshot.is_unchanged(filters.counted.sums("dataset")):
        raise CatalogChanged
    if rows.count != filters.total:
        raise CountsDiffer(
            f"The catalog counts {filters.total:,} images, but has {rows.count:,}. Tell the "
            "operator: `manage.py check_catalog --repair` mends the counts."
        )
    return rows


def _copy_images(
    cursor: CursorWrapper, collection: Collection, filters: ImageFilterSet, rows: ItemRows
) -> None:
    """An image that is being deleted must not be held: that is found out here, not at the end."""
    images, params = filters.images().order_by().values(*_COLUMNS).query.sql_with_params()
    freeze = queries.FREEZE.replace("{images}", images)
    # While the database writes the next rows, those before are looked at here.
    statement = cursor.mogrify(freeze, [*params, collection.pk])
    if may_skip_checks(cursor):
        with unchecked(cursor):
            copy_rows(cursor, statement, rows)
        _hold_images(cursor, collection, filters, rows.count)
        return
    copy_rows(cursor, statement, rows)
    try:
        cursor.execute(_CHECK_IMAGES)
    except IntegrityError as error:
        raise CatalogChanged from error


def _hold_images(
    cursor: CursorWrapper, collection: Collection, filters: ImageFilterSet, frozen: int
) -> None:
    """Keep the images until the end: all at once by their datasets, or where those are busy, each.

    Raises:
        CatalogChanged: some of them are gone already.
    """
    # From then on nobody takes images away; what was taken away before, the versions tell.
    if share_datasets(cursor, filters.counted.sums("dataset")):
        return
    cursor.execute(queries.LOCK_IMAGES, [collection.pk])
    if cursor.fetchone()[0] != frozen:
        raise CatalogChanged
