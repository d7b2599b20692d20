"""The summary of a selection, shown before it is frozen."""

from dataclasses import dataclass
from typing import Any

from catalog.models import Dataset
from catalog.search.facets import ValueCount, count_labels_within, describe_query
from catalog.search.filters import ImageFilterSet
from collections_app.selection.limits import explain_limits


@dataclass(frozen=True, slots=True)
class DatasetShare:
    """A dataset's part of a selection."""

    dataset: Dataset
    num_images: int


@dataclass(frozen=True, slots=True)
class SelectionSummary:
    """What would be frozen: numbers of images, files and bytes, datasets and labels."""

    num_images: int
    num_files: int
    num_bytes: int
    datasets: list[DatasetShare]
    labels: list[ValueCount]
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
    """A title for a collection of these images: the filters in words."""
    words = [item.text for item in filters.active_filters() if item.name != "image"]
    if words:
        return ", ".join(words)[:100]
    return "Picked images" if filters.cleaned.get("image") else "All images"


def describe_filters(filters: ImageFilterSet) -> list[dict[str, str]]:
    """The filters in words; after the query, what its words were understood as."""
    words = []
    for item in filters.active_filters():
        words.append({"filter": item.title, "value": str(item)})
        if item.name == "q":
            words += [
                {"filter": f"{each.title} (“{each.words}”)", "value": each.text}
                for each in describe_query(filters)
            ]
    return words


def summarize_selection(filters: ImageFilterSet) -> SelectionSummary:
    """Count the selected images by dataset and label, and compare them with the limits."""
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
