"""Keeps image profiles up to date: by dataset after an import, by image after an edit.

``ImageProfile`` is derived data: what images are filtered by. It is defined once, by ``KEY`` in
``queries.py``, which imports, edits and the audit share. Code that changes images must recount the
profiles of these images, delete profiles that no image has any more, and then call
``touch_datasets``, which gives the datasets a new version. Images that were removed from their
source have no profile.
"""

from collections.abc import Collection, Iterable

from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

from catalog.profiles import queries

IMAGES_OF_DATASETS = "SELECT id FROM catalog_image WHERE dataset_id = ANY(%(ids)s)"
_GIVEN_IMAGES = "SELECT unnest(%(ids)s::bigint[])"


_PROFILES_OF_DATASETS = "SELECT id FROM catalog_imageprofile WHERE dataset_id = ANY(%(datasets)s)"


def rebuild_profiles(*, dataset_ids: Iterable[int]) -> None:
    """Rebuild the profiles of whole datasets, for example after a change of their area."""
    ids = sorted(dataset_ids)
    _refresh(IMAGES_OF_DATASETS, ids, _PROFILES_OF_DATASETS, dataset_ids=ids)


def refresh_image_profiles(*, image_ids: Iterable[int]) -> None:
    """Update the profiles of single edited images."""
    ids = sorted(image_ids)
    with connection.cursor() as cursor:
        cursor.execute("SELECT DISTINCT dataset_id FROM catalog_image WHERE id = ANY(%s)", [ids])
        dataset_ids = [row[0] for row in cursor.fetchall()]
    _refresh(_GIVEN_IMAGES, ids, queries.TOUCHED, dataset_ids=dataset_ids)


def key_of(row: str, *, labels: str) -> str:
    """SQL for the profile columns of a row.

    ``row`` is an alias with the columns of catalog_image, joined to its ``dataset``. ``labels`` is
    an SQL expression for the ids of the row's positive labels, ascending or NULL.
    """
    return queries.KEY.format(row=row, labels=labels)


def lock_datasets(cursor: CursorWrapper, dataset_ids: Collection[int]) -> None:
    """Lock datasets against other edits and imports until the end of the transaction.

    An advisory lock that readers never take. It keeps two writers from counting each other's
    unfinished work.
    """
    cursor.execute(queries.LOCK, [list(dataset_ids)])


def share_datasets(cursor: CursorWrapper, dataset_ids: Collection[int]) -> bool:
    """Lock datasets against edits and imports, shared with other readers, until the end.

    Does not wait: returns False if one of them is being imported or edited.
    """
    cursor.execute(queries.SHARE, [list(dataset_ids)])
    return bool(cursor.fetchone()[0])


def add_profiles(cursor: CursorWrapper, keys: str, dataset_ids: Collection[int]) -> None:
    """Add the profiles of ``keys`` that the catalog lacks, still without images.

    ``keys`` is a table or a ``(SELECT …) alias`` with the columns of ``key_of``, and contains only
    these datasets.
    """
    cursor.execute(queries.ADD.format(keys=keys, same=queries.SAME_KEY), [list(dataset_ids)])


def count_profiles(cursor: CursorWrapper, dataset_ids: Collection[int]) -> int:
    """Recount all profiles of datasets and delete empty ones; returns how many were wrong."""
    ids = list(dataset_ids)
    cursor.execute(queries.COUNT.format(touched=_PROFILES_OF_DATASETS), {"datasets": ids})
    counted = cursor.rowcount
    _count_texts(cursor, _PROFILES_OF_DATASETS, ids)
    cursor.execute(queries.DROP_EMPTY, [ids])
    return counted + cursor.rowcount


def touch_datasets(cursor: CursorWrapper, dataset_ids: Collection[int]) -> None:
    """Update the datasets' image number and size from their profiles, and their version.

    It locks the datasets' rows, so call it last in a transaction.
    """
    touch = queries.TOUCH.format(size_mb=queries.SIZE_MB.format(num_bytes="counted.num_bytes"))
    cursor.execute(touch, {"ids": list(dataset_ids)})


def _count_texts(cursor: CursorWrapper, touched: str, dataset_ids: list[int]) -> None:
    """Recount the own texts of the images of these profiles."""
    for statement in (queries.DROP_TEXTS, queries.COUNT_TEXTS):
        cursor.execute(statement.format(touched=touched), {"datasets": dataset_ids})


def _refresh(scope: str, ids: list[int], touched: str, *, dataset_ids: list[int]) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        lock_datasets(cursor, dataset_ids)
        cursor.execute("DROP TABLE IF EXISTS profile_keys")
        keys = queries.KEYS_OF_IMAGES.format(
            scope=scope, key=key_of("image", labels="found.label_ids")
        )
        cursor.execute(f"CREATE TEMP TABLE profile_keys ON COMMIT DROP AS {keys}", {"ids": ids})
        add_profiles(cursor, "profile_keys", dataset_ids)
        cursor.execute(queries.POINT_IMAGES.format(same=queries.SAME_KEY))
        cursor.execute(queries.COUNT.format(touched=touched), {"datasets": dataset_ids})
        _count_texts(cursor, touched, dataset_ids)
        cursor.execute(queries.DROP_EMPTY, [dataset_ids])
        cursor.execute("DROP TABLE profile_keys")
        touch_datasets(cursor, dataset_ids)
