"""What a set of filters selects: how it is shown before it is frozen, and the freezing itself."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import IntegrityError, connection
from django.db.models import Count

from catalog.facets import Counted, count_labels_within
from catalog.filters import ImageFilterSet
from catalog.models import Dataset, Image
from collections_app.models import Collection


class CatalogMoved(Exception):
    """The catalog was changed while a selection was frozen."""


@dataclass(frozen=True, slots=True)
class DatasetShare:
    """A dataset's part of a selection."""

    dataset: Dataset
    num_images: int


@dataclass(frozen=True, slots=True)
class SelectionSummary:
    """What would be frozen: numbers of images, files and bytes, and where they come from."""

    num_images: int
    num_files: int
    num_bytes: int
    datasets: list[DatasetShare]
    labels: list[Counted]
    over_limits: list[str]

    @property
    def num_remote(self) -> int:
        return self.num_images - self.num_files

    @property
    def licenses(self) -> list[Any]:
        """The distinct licences of the datasets; None stands for "not stated"."""
        return list({share.dataset.license_id: share.dataset.license for share in self.datasets}
                    .values())  # fmt: skip

    @property
    def can_be_built(self) -> bool:
        return self.num_images > 0 and not self.over_limits


def summarize_selection(filters: ImageFilterSet) -> SelectionSummary:
    """Count what the filters select, by dataset and label, and hold it against the limits."""
    num_files, num_bytes = filters.count_files()
    counts = filters.counted.sums("dataset")
    datasets = Dataset.objects.filter(pk__in=counts).select_related("license", "area")
    shares = [DatasetShare(dataset, counts[dataset.pk]) for dataset in datasets]
    return SelectionSummary(
        num_images=filters.total,
        num_files=num_files,
        num_bytes=num_bytes,
        datasets=sorted(shares, key=lambda share: -share.num_images),
        labels=count_labels_within(filters),
        over_limits=explain_limits(num_images=filters.total, num_bytes=num_bytes),
    )


def explain_limits(*, num_images: int, num_bytes: int) -> list[str]:
    """A sentence for each limit that a selection exceeds, with what to do."""
    problems = []
    if num_images > settings.COLLECTION_MAX_IMAGES:
        problems.append(
            f"A collection holds at most {settings.COLLECTION_MAX_IMAGES:,} images; this selection "
            f"has {num_images:,}. Add filters until it fits."
        )
    if num_bytes > settings.COLLECTION_MAX_BYTES:
        problems.append(
            f"A collection holds at most {settings.COLLECTION_MAX_BYTES / 1e9:,.1f} GB of files; "
            f"this selection has {num_bytes / 1e9:,.1f} GB. Add filters until it fits."
        )
    return problems


# Everything that the archive says about an image is frozen with it, so that later edits of the
# catalog change no archive. Labels are [code, finding, confidence], ordered by code.
_FREEZE = """
    INSERT INTO collections_app_collectionitem
           (collection_id, image_id, position, size_bytes, sha256, metadata_json,
            problem, is_left_out)
    SELECT %s, image.id,
           row_number() OVER (ORDER BY dataset.slug COLLATE "C", image.source_id COLLATE "C"),
           image.size_bytes, image.sha256,
           jsonb_build_object(
               'dataset', dataset.slug, 'source_id', image.source_id,
               'file_path', image.file_path, 'remote_url', image.remote_url,
               'modality', modality.code, 'area', coalesce(area.code, dataset_area.code),
               'subject_id', image.subject_id, 'sex', image.sex, 'age_years', image.age_years,
               'width', image.width, 'height', image.height,
               'labels', coalesce((
                   SELECT jsonb_agg(jsonb_build_array(label.code, given.finding, given.confidence)
                                    ORDER BY label.code COLLATE "C")
                     FROM catalog_imagelabel given
                     JOIN vocab_label label ON label.id = given.label_id AND label.is_active
                    WHERE given.image_id = image.id), '[]'::jsonb)),
           '', false
      FROM ({images}) selected
      JOIN catalog_image image ON image.id = selected.id
      JOIN catalog_dataset dataset ON dataset.id = image.dataset_id
      LEFT JOIN vocab_modality modality ON modality.id = image.modality_id
      LEFT JOIN vocab_anatomicalarea area ON area.id = image.area_id
      LEFT JOIN vocab_anatomicalarea dataset_area ON dataset_area.id = dataset.area_id
"""

_CHECK_IMAGES = "SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED"


def freeze_items(*, collection: Collection, filters: ImageFilterSet) -> int:
    """Copy the selected images into the collection's items; returns how many there are.

    Raises:
        CatalogMoved: one of the datasets was changed meanwhile, so the selection is out of date.
    """
    if not filters.total:
        return 0
    images, params = filters.images().order_by().values("id").query.sql_with_params()
    with connection.cursor() as cursor:
        cursor.execute(_FREEZE.replace("{images}", images), [collection.pk, *params])
        frozen = cursor.rowcount
        try:
            # Now rather than at the end: an image that is being deleted must not be held.
            cursor.execute(_CHECK_IMAGES)
        except IntegrityError as error:
            raise CatalogMoved from error
    # Nothing was locked: that nothing has changed until now proves that it was one state.
    if not filters.catalog.still_holds(filters.counted.sums("dataset")):
        raise CatalogMoved
    return frozen


def describe_provenance(collection: Collection) -> dict[str, Any]:
    """The datasets, licences and labels of a frozen collection, as they are now."""
    counts = dict(
        Image.objects.filter(collections=collection)
        .order_by()
        .values_list("dataset")
        .annotate(total=Count("pk"))
    )
    datasets = Dataset.objects.filter(pk__in=counts).select_related("license").order_by("slug")
    return {"datasets": [_describe_dataset(d, counts[d.pk]) for d in datasets]}


def _describe_dataset(dataset: Dataset, num_images: int) -> Mapping[str, Any]:
    license_ = dataset.license
    return {
        "slug": dataset.slug,
        "title": dataset.title,
        "source_url": dataset.source_url,
        "doi": dataset.doi,
        "citation": dataset.citation,
        "is_synthetic": dataset.is_synthetic,
        "num_images": num_images,
        "license": license_.code if license_ else "",
        "license_name": license_.name if license_ else "not stated",
        "license_url": license_.url if license_ else "",
        "allows_commercial_use": license_.allows_commercial_use if license_ else None,
    }
