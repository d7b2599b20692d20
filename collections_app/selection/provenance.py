"""The datasets, licences and terms of frozen images, as they are at the freeze."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

from django.db import connection
from django.db.models import Count

from catalog.models import Dataset, Sex
from catalog.search.filters import ImageFilterSet
from catalog.search.licenses import (
    LicenseShare,
    allow_commercial_use,
    count_licenses_by_dataset,
)
from collections_app.models import Collection
from collections_app.selection import queries
from vocab.models import AnatomicalArea, Label, Modality, Term, ViewPosition


def describe_provenance(filters: ImageFilterSet) -> dict[str, Any]:
    """The datasets of the images that these filters select, with the licences of these images."""
    licenses = count_licenses_by_dataset(filters)
    datasets = Dataset.objects.filter(pk__in=licenses).order_by("slug")
    return {"datasets": [_describe_dataset(each, licenses[each.pk]) for each in datasets]}


def _describe_dataset(dataset: Dataset, licenses: list[LicenseShare]) -> dict[str, Any]:
    """``licenses`` has each licence; the fields beside it hold for all images together."""
    each = [_describe_license(share) for share in licenses]
    return {
        "slug": dataset.slug,
        "title": dataset.title,
        "source_url": dataset.source_url,
        "doi": dataset.doi,
        "citation": dataset.citation,
        "is_synthetic": dataset.is_synthetic,
        "num_images": sum(share.num_images for share in licenses),
        **_join_licenses(each),
    }


def _join_licenses(each: list[dict[str, Any]]) -> dict[str, Any]:
    allowed = [one["allows_commercial_use"] for one in each]
    return {
        "license": "|".join(one["license"] for one in each if one["license"]),
        "license_name": ", ".join(one["license_name"] for one in each),
        "license_url": each[0]["license_url"] if len(each) == 1 else "",
        "allows_commercial_use": allow_commercial_use(allowed),
        "licenses": each,
    }


def recount_images(collection: Collection) -> None:
    """Count the included images of each dataset and licence again, after some were excluded."""
    included = collection.items.included().order_by()
    rows = included.values_list("metadata_json__dataset", "metadata_json__license")
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for slug, license_, total in rows.annotate(total=Count("pk")):
        counts[slug][license_ or ""] += total
    for dataset in collection.provenance["datasets"]:
        of_license = counts[dataset["slug"]]
        dataset["num_images"] = of_license.total()
        if "licenses" in dataset:
            each = [one | {"num_images": of_license[one["license"]]} for one in dataset["licenses"]]
            dataset |= _join_licenses([one for one in each if one["num_images"]] or each[:1])


def _describe_license(share: LicenseShare) -> dict[str, Any]:
    license_ = share.license
    return {
        "license": license_.code if license_ else "",
        "license_name": license_.name if license_ else "not stated",
        "license_url": license_.url if license_ else "",
        "allows_commercial_use": share.allows_commercial_use,
        "num_images": share.num_images,
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
        *_describe("view", ViewPosition.objects.filter(pk__in=sums("view"))),
        *_describe("label", labels),
        *({"vocabulary": "sex", "code": code, "name": name, "description": ""}
          for code, name in Sex.choices),
    ]  # fmt: skip


def _describe(vocabulary: str, terms: Iterable[Term]) -> Iterable[dict[str, str]]:
    for term in sorted(terms, key=lambda term: term.code):
        yield {"vocabulary": vocabulary, "code": term.code, "name": term.name,
               "description": term.description}  # fmt: skip


def licenses_of(dataset: dict[str, Any]) -> list[dict[str, Any]]:
    """The licences of a described dataset; collections of earlier versions name a single one."""
    licenses: list[dict[str, Any]] = dataset.get("licenses") or [dataset]
    return licenses
