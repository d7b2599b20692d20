"""Checks that profiles, their sums and the counts of datasets agree with the images."""

from collections.abc import Iterator
from dataclasses import dataclass

from django.db import connection

from catalog.models import Dataset
from catalog.profiles.building import (
    IMAGES_OF_DATASETS,
    KEYS_OF_IMAGES,
    SAME_KEY,
    SIZE_MB,
    key_of,
    rebuild_profiles,
)

# Profiles are derived from the images again and compared with the stored ones. A profile is wrong
# when it is missing, is stored with other numbers, or is stored and no image has it.
_PROFILES = """
    WITH image_key AS MATERIALIZED ({keys}),
    key AS (
        SELECT dataset_id, area_id, modality_id, label_ids, sex, age_band, is_local,
               count(*) AS num_images, coalesce(sum(size_bytes), 0) AS num_bytes
          FROM image_key
         GROUP BY dataset_id, area_id, modality_id, label_ids, sex, age_band, is_local
    ),
    stored AS (SELECT * FROM catalog_imageprofile WHERE dataset_id = ANY(%(ids)s))
    SELECT dataset.id, dataset.slug,
           (SELECT count(*) FROM key FULL JOIN stored profile ON {same}
             WHERE (key.num_images, key.num_bytes)
                   IS DISTINCT FROM (profile.num_images, profile.num_bytes)),
           (SELECT count(*) FROM image_key key
              LEFT JOIN stored profile ON profile.id = key.old_profile_id
             WHERE ({same}) IS NOT TRUE),
           (SELECT count(*) FROM catalog_image
             WHERE dataset_id = ANY(%(ids)s) AND removed_at IS NOT NULL AND profile_id IS NOT NULL),
           dataset.num_images,
           (SELECT count(*) FROM image_key),
           dataset.size_mb,
           (SELECT {size_mb} FROM image_key)
      FROM catalog_dataset dataset
     WHERE dataset.id = ANY(%(ids)s)
"""


@dataclass(frozen=True, slots=True)
class DatasetAudit:
    """The errors found in one dataset, as counts.

    ``wrong_profiles``: profiles that differ from the images.
    ``wrong_images``: images without a profile or with the wrong one.
    ``removed_images``: removed images that are still counted.
    ``num_images`` and ``size_mb`` are what the dataset states, ``counted`` and ``summed_mb`` what
    its images add up to; ``summed_mb`` is None where no sizes are known.
    """

    dataset_id: int
    slug: str
    wrong_profiles: int
    wrong_images: int
    removed_images: int
    num_images: int
    counted: int
    size_mb: int | None
    summed_mb: int | None

    @property
    def has_wrong_count(self) -> bool:
        """Without loaded images, ``num_images`` is the publisher's number and is not checked."""
        return self.counted > 0 and self.num_images != self.counted

    @property
    def has_wrong_size(self) -> bool:
        return self.summed_mb is not None and self.size_mb != self.summed_mb

    @property
    def is_correct(self) -> bool:
        wrong = self.wrong_profiles + self.wrong_images + self.removed_images
        return not (wrong or self.has_wrong_count or self.has_wrong_size)


def audit_datasets() -> Iterator[DatasetAudit]:
    """Audit every dataset, by slug, each in one query; edits may go on meanwhile."""
    keys = KEYS_OF_IMAGES.format(
        scope=IMAGES_OF_DATASETS, key=key_of("image", labels="found.label_ids")
    )
    query = _PROFILES.format(
        keys=keys, same=SAME_KEY, size_mb=SIZE_MB.format(num_bytes="sum(size_bytes)")
    )
    with connection.cursor() as cursor:
        for pk in list(Dataset.objects.order_by("slug").values_list("pk", flat=True)):
            cursor.execute(query, {"ids": [pk]})
            # A dataset may have been deleted since.
            yield from (DatasetAudit(*row) for row in cursor.fetchall())


def repair_datasets(*, dataset_ids: list[int]) -> None:
    """Rebuild what an audit found wrong, in one transaction for each dataset."""
    for dataset_id in dataset_ids:
        rebuild_profiles(dataset_ids=[dataset_id])
