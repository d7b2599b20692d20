"""What a set of filters selects: how it is shown before it is frozen, and the freezing itself."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import IntegrityError, connection
from django.db.backends.utils import CursorWrapper

from catalog.foreign_keys import may_skip_checks, unchecked
from catalog.models import Dataset
from catalog.profiles.building import share_datasets
from catalog.search.facets import Counted, count_labels_within
from catalog.search.filters import ImageFilterSet
from collections_app.models import Collection
from collections_app.selection.copying import copy_rows
from collections_app.selection.fingerprint import ITEM_FIELDS, ItemRows


class CatalogMoved(Exception):
    """The catalog was changed while a selection was frozen."""


class CatalogUntrue(Exception):
    """The catalog's counts differ from its images; the message is for the user."""


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


def suggest_title(filters: ImageFilterSet) -> str:
    """What a collection of these images may be called: the filters in words."""
    words = [item.text for item in filters.active_filters() if item.name != "image"]
    if words:
        return ", ".join(words)[:100]
    return "Picked images" if filters.cleaned.get("image") else "All images"


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
# catalog change no archive. Labels are written as metadata.csv shows them: at the freeze the
# database does it for all rows at once, while a build would do it again each time. What images
# share by their profile is put together once for each profile.
_FREEZE = """
    WITH selected AS MATERIALIZED ({images}),
         shared AS MATERIALIZED (
             SELECT profile.id, dataset.slug, modality.code AS modality, area.code AS area,
                    profile.sex, string_agg(label.code, '|' ORDER BY label.code COLLATE "C")
                        AS labels,
                    dense_rank() OVER (ORDER BY dataset.slug COLLATE "C") AS place
               FROM catalog_imageprofile profile
               JOIN catalog_dataset dataset ON dataset.id = profile.dataset_id
               LEFT JOIN vocab_modality modality ON modality.id = profile.modality_id
               LEFT JOIN vocab_anatomicalarea area ON area.id = profile.area_id
               LEFT JOIN unnest(profile.label_ids) found (label_id) ON true
               LEFT JOIN vocab_label label ON label.id = found.label_id AND label.is_active
              WHERE profile.id IN (SELECT profile_id FROM selected)
              GROUP BY profile.id, dataset.slug, modality.code, area.code),
         given AS (
             SELECT given.image_id,
                    string_agg(label.code, '|' ORDER BY label.code COLLATE "C")
                        FILTER (WHERE given.finding = 'uncertain') AS uncertain_labels,
                    string_agg(label.code, '|' ORDER BY label.code COLLATE "C")
                        FILTER (WHERE given.finding = 'negative') AS negative_labels,
                    string_agg(label.code || '=' || given.confidence, '|'
                               ORDER BY label.code COLLATE "C") AS label_confidence
               FROM catalog_imagelabel given
               JOIN vocab_label label ON label.id = given.label_id AND label.is_active
              WHERE (given.finding <> 'positive' OR given.confidence IS NOT NULL)
                AND given.image_id IN (SELECT id FROM selected)
              GROUP BY given.image_id)
    INSERT INTO collections_app_collectionitem
           (collection_id, image_id, position, size_bytes, sha256, file_name, metadata_json,
            problem, is_excluded)
    SELECT %s, image.id,
           row_number() OVER (ORDER BY shared.place, image.source_id COLLATE "C"),
           image.size_bytes, image.sha256,
           CASE WHEN image.sha256 <> ''
                THEN left('images/' || shared.slug || '/' || image.file_path, 255)
                ELSE '' END,
           JSON_OBJECT(
               'dataset' : shared.slug, 'source_id' : image.source_id,
               'file_path' : nullif(image.file_path, ''),
               'remote_url' : nullif(image.remote_url, ''),
               'modality' : shared.modality, 'area' : shared.area,
               'subject_id' : nullif(image.subject_id, ''), 'sex' : nullif(shared.sex, ''),
               'age_years' : image.age_years, 'width' : image.width, 'height' : image.height,
               'labels' : shared.labels, 'uncertain_labels' : given.uncertain_labels,
               'negative_labels' : given.negative_labels,
               'label_confidence' : given.label_confidence
               ABSENT ON NULL RETURNING jsonb),
           '', false
      FROM selected image
      JOIN shared ON shared.id = image.profile_id
      LEFT JOIN given ON given.image_id = image.id
     ORDER BY shared.place, image.source_id COLLATE "C"
    RETURNING {fields}
"""

# All that is needed of an image is read at once: to look each up again would take half the time.
_COLUMNS = ("id", "profile_id", "source_id", "file_path", "remote_url", "subject_id", "age_years",
            "width", "height", "size_bytes", "sha256")  # fmt: skip
# In the order of their keys, as an import that takes images away locks them.
_LOCK_IMAGES = """
    SELECT count(*) FROM (
        SELECT FROM catalog_image
         WHERE id IN (SELECT image_id FROM collections_app_collectionitem
                       WHERE collection_id = %s)
         ORDER BY id FOR KEY SHARE) locked
"""
# Sorting and hashing on disk would take as long as the rest.
_ROOM = "SET LOCAL work_mem = '256MB'"
_CHECK_IMAGES = "SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED"


def freeze_items(*, collection: Collection, filters: ImageFilterSet) -> ItemRows:
    """Copy the selected images into the collection's items, and tell what was written.

    Raises:
        CatalogMoved: one of the datasets was changed meanwhile, so the selection is out of date.
        CatalogUntrue: what the catalog counts is not what it has.
    """
    rows = ItemRows()
    if not filters.total:
        return rows
    with connection.cursor() as cursor:
        cursor.execute(_ROOM)
        _copy_images(cursor, collection, filters, rows)
    # That nothing has changed until now proves that it was one state.
    if not filters.catalog.still_holds(filters.counted.sums("dataset")):
        raise CatalogMoved
    if rows.count != filters.total:
        raise CatalogUntrue(
            f"The catalog counts {filters.total:,} images, but has {rows.count:,}. Tell the "
            "operator: `manage.py check_catalog --repair` mends the counts."
        )
    return rows


def _copy_images(
    cursor: CursorWrapper, collection: Collection, filters: ImageFilterSet, rows: ItemRows
) -> None:
    """An image that is being deleted must not be held: that is found out here, not at the end."""
    images, params = filters.images().order_by().values(*_COLUMNS).query.sql_with_params()
    freeze = _FREEZE.replace("{images}", images).replace("{fields}", ITEM_FIELDS)
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
        raise CatalogMoved from error


def _hold_images(
    cursor: CursorWrapper, collection: Collection, filters: ImageFilterSet, frozen: int
) -> None:
    """Keep the images until the end: all at once by their datasets, or where those are busy, each.

    Raises:
        CatalogMoved: some of them are gone already.
    """
    # From then on nobody takes images away; what was taken away before, the versions tell.
    if share_datasets(cursor, filters.counted.sums("dataset")):
        return
    cursor.execute(_LOCK_IMAGES, [collection.pk])
    if cursor.fetchone()[0] != frozen:
        raise CatalogMoved


def describe_provenance(filters: ImageFilterSet) -> dict[str, Any]:
    """The datasets of what has been frozen with these filters, and their licences, as of now."""
    counts = filters.counted.sums("dataset")
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
