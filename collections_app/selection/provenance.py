"""The datasets, licences and terms of frozen images, as they are at the freeze."""

from collections.abc import Iterable, Mapping
from typing import Any

from django.db import connection

from catalog.models import Dataset, Sex
from catalog.search.filters import ImageFilterSet
from collections_app.models import Collection
from collections_app.selection import queries
from vocab.models import AnatomicalArea, Label, Modality, Term


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


def describe_terms(collection: Collection, filters: ImageFilterSet) -> list[dict[str, str]]:
    """Every code in the frozen items, with its vocabulary, name and description."""
    sums = filters.counted.sums
    with connection.cursor() as cursor:
        cursor.execute(queries.LABEL_CODES, [collection.pk])
        labels = Label.objects.filter(code__in=[code for (code,) in cursor.fetchall()])
    return [
        *_describe("modality", Modality.objects.filter(pk__in=sums("modality"))),
        *_describe("area", AnatomicalArea.objects.filter(pk__in=sums("area"))),
        *_describe("label", labels),
        *({"vocabulary": "sex", "code": code, "name": name, "description": ""}
          for code, name in Sex.choices),
    ]  # fmt: skip


def _describe(vocabulary: str, terms: Iterable[Term]) -> Iterable[dict[str, str]]:
    for term in sorted(terms, key=lambda term: term.code):
        yield {"vocabulary": vocabulary, "code": term.code, "name": term.name,
               "description": term.description}  # fmt: skip
