"""Keeps image profiles up to date: by dataset after an import, by image after an edit.

``ImageProfile`` is derived data: what images are filtered by. It is defined once, by ``_KEY``
below, which imports, edits and the audit share. Code that changes images must recount the profiles
of these images, delete profiles that no image has any more, and then call ``touch_datasets``,
which gives the datasets a new version. Images that were removed from their source have no profile.
"""

from collections.abc import Collection, Iterable

from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

_KEY = """
    dataset.id AS dataset_id,
    coalesce({row}.area_id, dataset.area_id) AS area_id,
    {row}.modality_id,
    coalesce({labels}, '{{}}'::bigint[]) AS label_ids,
    {row}.sex,
    (floor({row}.age_years / 10) * 10)::smallint AS age_band,
    {row}.file_path <> '' AS is_local
"""

# Equality of all columns, NULLs included, in a form that allows a hash join. No id is 0.
SAME_KEY = """
        profile.dataset_id = key.dataset_id
    AND coalesce(profile.area_id, 0) = coalesce(key.area_id, 0)
    AND coalesce(profile.modality_id, 0) = coalesce(key.modality_id, 0)
    AND profile.label_ids = key.label_ids
    AND profile.sex = key.sex
    AND coalesce(profile.age_band, -1) = coalesce(key.age_band, -1)
    AND profile.is_local = key.is_local
"""

# The keys of images in the catalog, by image; ``{scope}`` selects the ids of the images.
KEYS_OF_IMAGES = """
    SELECT image.id AS image_id, image.profile_id AS old_profile_id, image.size_bytes,
           {key}
      FROM catalog_image image
      JOIN catalog_dataset dataset ON dataset.id = image.dataset_id
      LEFT JOIN (
            SELECT image_id, array_agg(label_id ORDER BY label_id) AS label_ids
              FROM catalog_imagelabel
             WHERE finding = 'positive' AND image_id IN ({scope})
             GROUP BY image_id
           ) found ON found.image_id = image.id
     WHERE image.removed_at IS NULL AND image.id IN ({scope})
"""
IMAGES_OF_DATASETS = "SELECT id FROM catalog_image WHERE dataset_id = ANY(%(ids)s)"
_GIVEN_IMAGES = "SELECT unnest(%(ids)s::bigint[])"

_LOCK = """
    SELECT pg_advisory_xact_lock(hashtextextended('profiles of dataset ' || id, 0))
      FROM (SELECT unnest(%s::bigint[]) AS id ORDER BY id) wanted
"""
_SHARE = """
    SELECT coalesce(bool_and(pg_try_advisory_xact_lock_shared(
               hashtextextended('profiles of dataset ' || id, 0))), true)
      FROM (SELECT unnest(%s::bigint[]) AS id ORDER BY id) wanted
"""

_ADD = """
    INSERT INTO catalog_imageprofile
           (dataset_id, area_id, modality_id, label_ids, sex, age_band, is_local,
            num_images, num_bytes)
    SELECT key.*, 0, 0
      FROM (SELECT DISTINCT dataset_id, area_id, modality_id, label_ids, sex, age_band, is_local
              FROM {keys}) key
     WHERE NOT EXISTS (SELECT FROM catalog_imageprofile profile
                        WHERE profile.dataset_id = ANY(%s) AND {same})
"""

_POINT_IMAGES = """
    UPDATE catalog_image image SET profile_id = profile.id
      FROM profile_keys key
      JOIN catalog_imageprofile profile ON {same}
     WHERE image.id = key.image_id AND image.profile_id IS DISTINCT FROM profile.id
"""

_TOUCHED = """
    SELECT old_profile_id AS id FROM profile_keys WHERE old_profile_id IS NOT NULL
    UNION
    SELECT profile_id FROM catalog_image
     WHERE id IN (SELECT image_id FROM profile_keys)
"""
_PROFILES_OF_DATASETS = "SELECT id FROM catalog_imageprofile WHERE dataset_id = ANY(%(datasets)s)"

_COUNT = """
    UPDATE catalog_imageprofile profile
       SET num_images = counted.num_images, num_bytes = counted.num_bytes
      FROM (SELECT touched.id, count(image.id) AS num_images,
                   coalesce(sum(image.size_bytes), 0) AS num_bytes
              FROM ({touched}) touched
              LEFT JOIN catalog_image image ON image.profile_id = touched.id
             GROUP BY touched.id) counted
     WHERE counted.id = profile.id
       AND (profile.num_images, profile.num_bytes) <> (counted.num_images, counted.num_bytes)
"""

_DROP_EMPTY = """
    DELETE FROM catalog_imageprofile profile
     WHERE dataset_id = ANY(%s)
       AND NOT EXISTS (SELECT FROM catalog_image image WHERE image.profile_id = profile.id)
"""

# The size in MB that a dataset states; NULL if no size is known.
SIZE_MB = """
    CASE WHEN {num_bytes} > 0
         THEN least(greatest(1, round({num_bytes} / 1e6)), 2147483647)::int END
"""

# A trigger gives every updated row a version that no row had before. The publisher's numbers stay
# until there are images to count.
_TOUCH = """
    UPDATE catalog_dataset dataset
       SET version = 0, updated_at = now(),
           num_images = coalesce(counted.num_images, dataset.num_images),
           size_mb = coalesce({size_mb}, dataset.size_mb)
      FROM unnest(%(ids)s::bigint[]) touched (id)
      LEFT JOIN (SELECT dataset_id, sum(num_images) AS num_images, sum(num_bytes) AS num_bytes
                   FROM catalog_imageprofile WHERE dataset_id = ANY(%(ids)s)
                  GROUP BY dataset_id) counted ON counted.dataset_id = touched.id
     WHERE dataset.id = touched.id
"""


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
    _refresh(_GIVEN_IMAGES, ids, _TOUCHED, dataset_ids=dataset_ids)


def key_of(row: str, *, labels: str) -> str:
    """SQL for the profile columns of a row.

    ``row`` is an alias with the columns of catalog_image, joined to its ``dataset``. ``labels`` is
    an SQL expression for the ids of the row's positive labels, ascending or NULL.
    """
    return _KEY.format(row=row, labels=labels)


def lock_datasets(cursor: CursorWrapper, dataset_ids: Collection[int]) -> None:
    """Lock datasets against other edits and imports until the end of the transaction.

    An advisory lock that readers never take. It keeps two writers from counting each other's
    unfinished work.
    """
    cursor.execute(_LOCK, [list(dataset_ids)])


def share_datasets(cursor: CursorWrapper, dataset_ids: Collection[int]) -> bool:
    """Lock datasets against edits and imports, shared with other readers, until the end.

    Does not wait: returns False if one of them is being imported or edited.
    """
    cursor.execute(_SHARE, [list(dataset_ids)])
    return bool(cursor.fetchone()[0])


def add_profiles(cursor: CursorWrapper, keys: str, dataset_ids: Collection[int]) -> None:
    """Add the profiles of ``keys`` that the catalog lacks, still without images.

    ``keys`` is a table or a ``(SELECT …) alias`` with the columns of ``key_of``, and contains only
    these datasets.
    """
    cursor.execute(_ADD.format(keys=keys, same=SAME_KEY), [list(dataset_ids)])


def count_profiles(cursor: CursorWrapper, dataset_ids: Collection[int]) -> int:
    """Recount all profiles of datasets and delete empty ones; returns how many were wrong."""
    ids = list(dataset_ids)
    cursor.execute(_COUNT.format(touched=_PROFILES_OF_DATASETS), {"datasets": ids})
    counted = cursor.rowcount
    cursor.execute(_DROP_EMPTY, [ids])
    return counted + cursor.rowcount


def touch_datasets(cursor: CursorWrapper, dataset_ids: Collection[int]) -> None:
    """Update the datasets' image number and size from their profiles, and their version.

    It locks the datasets' rows, so call it last in a transaction.
    """
    touch = _TOUCH.format(size_mb=SIZE_MB.format(num_bytes="counted.num_bytes"))
    cursor.execute(touch, {"ids": list(dataset_ids)})


def _refresh(scope: str, ids: list[int], touched: str, *, dataset_ids: list[int]) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        lock_datasets(cursor, dataset_ids)
        cursor.execute("DROP TABLE IF EXISTS profile_keys")
        keys = KEYS_OF_IMAGES.format(scope=scope, key=key_of("image", labels="found.label_ids"))
        cursor.execute(f"CREATE TEMP TABLE profile_keys ON COMMIT DROP AS {keys}", {"ids": ids})
        add_profiles(cursor, "profile_keys", dataset_ids)
        cursor.execute(_POINT_IMAGES.format(same=SAME_KEY))
        cursor.execute(_COUNT.format(touched=touched), {"datasets": dataset_ids})
        cursor.execute(_DROP_EMPTY, [dataset_ids])
        cursor.execute("DROP TABLE profile_keys")
        touch_datasets(cursor, dataset_ids)
