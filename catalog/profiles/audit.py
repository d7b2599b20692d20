"""Checks that profiles, their sums and the counts of datasets agree with the images."""

from collections.abc import Iterator
from dataclasses import dataclass

from django.db import connection

from catalog.models import Dataset
from catalog.profiles import queries
from catalog.profiles.building import (
    IMAGES_OF_DATASETS,
    key_of,
    rebuild_profiles,
)


@dataclass(frozen=True, slots=True)
class DatasetAudit:
    """The errors found in one dataset, as counts.

    ``wrong_profiles``: profiles that differ from the images.
    ``wrong_images``: images without a profile or with the wrong one.
    ``removed_images``: removed images that are still counted.
    ``wrong_texts``: texts of images that are not found by their words, or with other numbers.
    ``num_images`` and ``size_mb`` are what the dataset states, ``counted`` and ``summed_mb`` what
    its images add up to; ``summed_mb`` is None where no sizes are known.
    """

    dataset_id: int
    slug: str
    wrong_profiles: int
    wrong_images: int
    removed_images: int
    wrong_texts: int
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
        wrong = self.wrong_profiles + self.wrong_images + self.removed_images + self.wrong_texts
        return not (wrong or self.has_wrong_count or self.has_wrong_size)


def audit_datasets() -> Iterator[DatasetAudit]:
    """Audit every dataset, by slug, each in one query; edits may go on meanwhile."""
    keys = queries.KEYS_OF_IMAGES.format(
        scope=IMAGES_OF_DATASETS, key=key_of("image", labels="found.label_ids")
    )
    size_mb = queries.SIZE_MB.format(num_bytes="sum(size_bytes)")
    query = queries.PROFILES.format(keys=keys, same=queries.SAME_KEY, size_mb=size_mb)
    with connection.cursor() as cursor:
        for pk in list(Dataset.objects.order_by("slug").values_list("pk", flat=True)):
            cursor.execute(query, {"ids": [pk]})
            # A dataset may have been deleted since.
            yield from (DatasetAudit(*row) for row in cursor.fetchall())


def repair_datasets(*, dataset_ids: list[int]) -> None:
    """Rebuild what an audit found wrong, in one transaction for each dataset."""
    for dataset_id in dataset_ids:
        rebuild_profiles(dataset_ids=[dataset_id])
