"""The datasets, licences and terms of frozen images, as they are at the freeze."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

from django.db import connection
from django.db.models import Count

from catalog.models import Dataset, Sex
from catalog.search.availability import AvailabilityCounts
from catalog.search.filters import ImageFilterSet
from catalog.search.kinds import by_dataset, count_kinds
from catalog.search.licenses import (
    LicenseShare,
    allow_commercial_use,
    count_licenses_by_dataset,
)
from catalog.wording.object_counts import KindCounts
from collections_app.models import Collection
from collections_app.provenance_keys import DATASETS, IDENTIFYING, KINDS, NUM_ELSEWHERE, TERMS
from collections_app.selection import queries
from collections_app.selection.identifying_items import count_frozen
from vocab.models import AnatomicalArea, Kind, Label, Modality, Term, ViewPosition


def describe_provenance(filters: ImageFilterSet) -> dict[str, Any]:
    """The datasets of the images that these filters select, with the licences of these images."""
    licenses, kinds = count_licenses_by_dataset(filters), by_dataset(filters.counted)
    datasets = Dataset.objects.filter(pk__in=licenses).order_by("slug")
    return {
        KINDS: count_kinds(filters.counted),
        NUM_ELSEWHERE: AvailabilityCounts.of(filters.counted).elsewhere,
        DATASETS: [_describe_dataset(d, licenses[d.pk], kinds[d.pk]) for d in datasets],
    }


def _describe_dataset(
    dataset: Dataset, licenses: list[LicenseShare], kinds: KindCounts
) -> dict[str, Any]:
    """``licenses`` has each licence; the fields beside it hold for all images together."""
    each = [_describe_license(share) for share in licenses]
    return {
        "slug": dataset.slug,
        "title": dataset.title,
        "source_url": dataset.source_url,
        "access": dataset.access,
        "doi": dataset.doi,
        "citation": dataset.citation,
        "is_synthetic": dataset.is_synthetic,
        "num_images": sum(share.num_images for share in licenses),
        "kinds": dict(kinds),
        **({"idc_release": dataset.idc_release} if dataset.idc_release else {}),
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
    """Count the included images again by dataset, licence and kind, after some were excluded."""
    included = collection.items.included().order_by()
    names = ("dataset", "license", "modality")
    rows = included.values_list(*(f"metadata_json__{name}" for name in names))
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    kinds: dict[str, Counter[str]] = defaultdict(Counter)
    kind_of = _frozen_kinds(collection)
    for slug, license_, modality, total in rows.annotate(total=Count("pk")):
        counts[slug][license_ or ""] += total
        kinds[slug][kind_of.get(modality, Kind.PICTURE.value)] += total
    if KINDS in collection.provenance:
        collection.provenance[KINDS] = dict(sum(kinds.values(), Counter()))
    if IDENTIFYING in collection.provenance:
        collection.provenance[IDENTIFYING] = count_frozen(collection)
    for dataset in collection.provenance[DATASETS]:
        of_license = counts[dataset["slug"]]
        dataset["num_images"] = of_license.total()
        if "kinds" in dataset:
            dataset["kinds"] = dict(kinds[dataset["slug"]])
        if "licenses" in dataset:
            each = [one | {"num_images": of_license[one["license"]]} for one in dataset["licenses"]]
            dataset |= _join_licenses([one for one in each if one["num_images"]] or each[:1])


def _frozen_kinds(collection: Collection) -> dict[str, str]:
    """The kinds of the frozen modalities by their codes; none in collections of before."""
    terms = collection.provenance.get(TERMS, [])
    return {term["code"]: term["kind"] for term in terms if "kind" in term}


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
    """Every code in the frozen items, with its vocabulary, name and description.

    Those of modalities have their kind, too.
    """
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
               "description": term.description,
               **({"kind": term.kind} if isinstance(term, Modality) else {})}  # fmt: skip


def licenses_of(dataset: dict[str, Any]) -> list[dict[str, Any]]:
    """The licences of a described dataset; collections of earlier versions name a single one."""
    licenses: list[dict[str, Any]] = dataset.get("licenses") or [dataset]
    return licenses
