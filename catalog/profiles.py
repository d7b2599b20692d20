"""Keeping image profiles true: after an import by dataset, after an edit by image.

``ImageProfile`` is derived data. Its one definition is ``_KEYS`` below: what images are filtered
by. Everything here works on the images of one scope and leaves every profile that the scope
touches with an exact count; profiles that no image has any more are removed.
"""

from collections.abc import Iterable

from django.db import connection, transaction

# The lock keeps two edits of one dataset from counting each other's half-done work.
_LOCK = "SELECT id FROM catalog_dataset WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE"

_KEYS = """
    SELECT image.id AS image_id, image.profile_id AS old_profile_id, image.dataset_id,
           coalesce(image.area_id, dataset.area_id) AS area_id,
           image.modality_id,
           coalesce(found.label_ids, '{{}}') AS label_ids,
           image.sex,
           (floor(image.age_years / 10) * 10)::smallint AS age_band,
           image.file_path <> '' AS is_local
      FROM catalog_image image
      JOIN catalog_dataset dataset ON dataset.id = image.dataset_id
      LEFT JOIN (
            SELECT image_id, array_agg(label_id ORDER BY label_id) AS label_ids
              FROM catalog_imagelabel
             WHERE finding = 'positive' AND image_id IN ({scope})
             GROUP BY image_id
           ) found ON found.image_id = image.id
     WHERE image.id IN ({scope})
"""

_ADD_PROFILES = """
    INSERT INTO catalog_imageprofile
           (dataset_id, area_id, modality_id, label_ids, sex, age_band, is_local,
            num_images, num_bytes)
    SELECT DISTINCT dataset_id, area_id, modality_id, label_ids, sex, age_band, is_local, 0, 0
      FROM profile_keys
    ON CONFLICT DO NOTHING
"""

_POINT_IMAGES = """
    UPDATE catalog_image image SET profile_id = profile.id
      FROM profile_keys key
      JOIN catalog_imageprofile profile
        ON profile.dataset_id = key.dataset_id
       AND profile.area_id IS NOT DISTINCT FROM key.area_id
       AND profile.modality_id IS NOT DISTINCT FROM key.modality_id
       AND profile.label_ids = key.label_ids
       AND profile.sex = key.sex
       AND profile.age_band IS NOT DISTINCT FROM key.age_band
       AND profile.is_local = key.is_local
     WHERE image.id = key.image_id AND image.profile_id IS DISTINCT FROM profile.id
"""

_TOUCHED = """
    SELECT old_profile_id AS id FROM profile_keys WHERE old_profile_id IS NOT NULL
    UNION
    SELECT profile_id FROM catalog_image
     WHERE id IN (SELECT image_id FROM profile_keys)
"""

_COUNT = """
    UPDATE catalog_imageprofile profile
       SET num_images = counted.num_images, num_bytes = counted.num_bytes
      FROM (SELECT touched.id, count(image.id) AS num_images,
                   coalesce(sum(image.size_bytes), 0) AS num_bytes
              FROM ({touched}) touched
              LEFT JOIN catalog_image image ON image.profile_id = touched.id
             GROUP BY touched.id) counted
     WHERE counted.id = profile.id
"""

_DROP_EMPTY = """
    DELETE FROM catalog_imageprofile profile
     WHERE dataset_id = ANY(%s)
       AND NOT EXISTS (SELECT FROM catalog_image image WHERE image.profile_id = profile.id)
"""

_OF_DATASETS = "SELECT id FROM catalog_image WHERE dataset_id = ANY(%(ids)s)"
_OF_IMAGES = "SELECT unnest(%(ids)s::bigint[])"


def rebuild_profiles(*, dataset_ids: Iterable[int]) -> None:
    """Make the profiles of whole datasets true, as after an import or a change of its area."""
    ids = sorted(dataset_ids)
    _refresh(_OF_DATASETS, ids, dataset_ids=ids)


def refresh_image_profiles(*, image_ids: Iterable[int]) -> None:
    """Make the profiles of single edited images true."""
    ids = sorted(image_ids)
    with connection.cursor() as cursor:
        cursor.execute("SELECT DISTINCT dataset_id FROM catalog_image WHERE id = ANY(%s)", [ids])
        dataset_ids = [row[0] for row in cursor.fetchall()]
    _refresh(_OF_IMAGES, ids, dataset_ids=dataset_ids)


def _refresh(scope: str, ids: list[int], *, dataset_ids: list[int]) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_LOCK, [dataset_ids])
        cursor.execute("DROP TABLE IF EXISTS profile_keys")
        keys = _KEYS.format(scope=scope)
        cursor.execute(f"CREATE TEMP TABLE profile_keys ON COMMIT DROP AS {keys}", {"ids": ids})
        cursor.execute(_ADD_PROFILES)
        cursor.execute(_POINT_IMAGES)
        cursor.execute(_COUNT.format(touched=_TOUCHED))
        cursor.execute(_DROP_EMPTY, [dataset_ids])
