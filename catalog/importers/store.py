"""Writing a source's rows: one transaction a dataset, keyed by (dataset, source id)."""

from collections.abc import Iterable
from typing import Any

from django.db import transaction

from catalog.importers.rows import ImageRow, ImportReport
from catalog.models import BYTES_PER_MB, Dataset, Image, ImageLabel
from catalog.profiles import rebuild_profiles
from catalog.search import refresh_search_vectors
from vocab.models import AnatomicalArea, Label, Modality, Term

BATCH = 2000
_FIELDS = (
    "file_path",
    "remote_url",
    "modality_id",
    "area_id",
    "subject_id",
    "sex",
    "age_years",
    "width",
    "height",
    "size_bytes",
    "sha256",
    "crc32",
    "mtime_ns",
    "metadata_json",
)


class UnknownTerm(Exception):
    """A row names a term by a code that the vocabulary does not have."""


def store_images(*, dataset: Dataset, rows: Iterable[ImageRow]) -> ImportReport:
    """Make the dataset's images exactly ``rows``; a killed or failed import changes nothing.

    Images that are gone from the source are deleted, except those that a collection holds.

    Raises:
        UnknownTerm: a row names a code that is in no vocabulary.
    """
    report = ImportReport()
    with transaction.atomic():
        codes = _Codes()
        known = {image.source_id: image for image in dataset.images.all()}
        labels: dict[str, tuple] = {}
        seen: set[str] = set()
        added, changed = [], []
        for row in rows:
            seen.add(row.source_id)
            labels[row.source_id] = row.labels
            values = _values(row, codes)
            image = known.get(row.source_id)
            if image is None:
                added.append(Image(dataset=dataset, source_id=row.source_id, **values))
            elif any(getattr(image, name) != value for name, value in values.items()):
                for name, value in values.items():
                    setattr(image, name, value)
                changed.append(image)
        Image.objects.bulk_create(added, batch_size=BATCH)
        Image.objects.bulk_update(changed, _FIELDS_TO_UPDATE, batch_size=BATCH)
        relabeled = _store_labels(dataset, labels, codes)
        report.added = len(added)
        report.changed = len({image.source_id for image in changed} | relabeled - _ids(added))
        report.unchanged = len(seen) - report.added - report.changed
        report.gone = _remove_gone(known.keys() - seen, dataset)
        _derive(dataset)
    return report


_FIELDS_TO_UPDATE = [name.removesuffix("_id") if name != "subject_id" else name for name in _FIELDS]


class _Codes:
    """Ids of terms by code."""

    def __init__(self) -> None:
        self.modality = self._load(Modality)
        self.area = self._load(AnatomicalArea)
        self.label = self._load(Label)

    @staticmethod
    def _load(model: type[Term]) -> dict[str, int]:
        return dict(model._default_manager.values_list("code", "pk"))

    def find(self, vocabulary: str, code: str) -> Any:
        if not code:
            return None
        try:
            return getattr(self, vocabulary)[code]
        except KeyError:
            raise UnknownTerm(f"There is no {vocabulary} with the code “{code}”.") from None


def _ids(images: list[Image]) -> set[str]:
    return {image.source_id for image in images}


def _values(row: ImageRow, codes: _Codes) -> dict[str, Any]:
    facts = row.facts
    return {
        "file_path": row.file_path,
        "remote_url": row.remote_url,
        "modality_id": codes.find("modality", row.modality),
        "area_id": codes.find("area", row.area),
        "subject_id": row.subject_id,
        "sex": row.sex,
        "age_years": row.age_years,
        "width": row.width,
        "height": row.height,
        "size_bytes": facts.size_bytes if facts else None,
        "sha256": facts.sha256 if facts else "",
        "crc32": facts.crc32 if facts else None,
        "mtime_ns": facts.mtime_ns if facts else None,
        "metadata_json": dict(row.metadata),
    }


def _store_labels(dataset: Dataset, labels: dict[str, tuple], codes: _Codes) -> set[str]:
    """Make the images' labels those of the rows; returns the source ids whose labels changed."""
    images = dict(dataset.images.values_list("source_id", "id"))
    known: dict[int, set[tuple]] = {}
    stored = ImageLabel.objects.filter(image__dataset=dataset)
    for image_id, *label in stored.values_list("image_id", "label_id", "finding", "confidence"):
        known.setdefault(image_id, set()).add(tuple(label))
    changed, new = set(), []
    for source_id, rows in labels.items():
        image_id = images[source_id]
        wanted = {(codes.find("label", row.code), row.finding, row.confidence) for row in rows}
        if wanted != known.get(image_id, set()):
            changed.add(source_id)
            new += [
                ImageLabel(image_id=image_id, label_id=label, finding=finding, confidence=share)
                for label, finding, share in sorted(wanted, key=str)
            ]
    stored.filter(image_id__in=[images[source_id] for source_id in changed]).delete()
    ImageLabel.objects.bulk_create(new, batch_size=BATCH)
    return changed


def _remove_gone(source_ids: set[str], dataset: Dataset) -> int:
    gone = dataset.images.filter(source_id__in=source_ids)
    gone.filter(collection_items__isnull=True).delete()
    return len(source_ids)


def _derive(dataset: Dataset) -> None:
    """What follows from the images: profiles, counts, the search vector."""
    rebuild_profiles(dataset_ids=[dataset.pk])
    sizes = list(dataset.images.values_list("size_bytes", flat=True))
    if sizes:
        dataset.num_images = len(sizes)
        if any(size is not None for size in sizes):
            total = sum(size or 0 for size in sizes)
            dataset.size_mb = max(1, round(total / BYTES_PER_MB))
        dataset.save(update_fields=["num_images", "size_mb", "updated_at"])
    refresh_search_vectors(dataset_ids=[dataset.pk])
