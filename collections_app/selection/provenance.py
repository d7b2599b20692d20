"""The datasets and licences of frozen images, as they are at the freeze."""

from collections.abc import Mapping
from typing import Any

from catalog.models import Dataset
from catalog.search.filters import ImageFilterSet


def describe_provenance(filters: ImageFilterSet) -> dict[str, Any]:
    """The datasets of the images that these filters select, with their present licences."""
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
