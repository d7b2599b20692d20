"""The list of datasets as filtered, for programs: as CSV and as JSON."""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import F, OuterRef
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import reverse
from django.views.decorators.http import require_safe

from catalog.bulk.csv_text import csv_text
from catalog.dataset_hosts import find_host
from catalog.models import Dataset, DatasetRelation
from catalog.search.availability import AvailabilityCounts, count_by_dataset
from catalog.search.dataset_paging import choose_sort, sort_datasets
from catalog.search.filters import DatasetFilterSet
from catalog.views.common import bound_searches

# In a cell of a table, between the values of one that has several.
SEPARATOR = "; "
_PLAIN = ("slug", "title", "source_url", "doi", "year", "dimensions", "access", "has_labels",
          "num_images", "is_num_rounded", "sample_unit", "size_mb", "is_synthetic", "parts",
          "survey", "description", "citation")  # fmt: skip
# Of the table, and the keys of the JSON.
COLUMNS = ("slug", "title", "page", "source_url", "doi", "host", "year", "area", "other_areas",
           "modalities", "dimensions", "task_types", "labels", "tags", "access", "license",
           "has_labels", "num_samples", "is_num_rounded", "sample_unit", "size_mb", "is_synthetic",
           "num_listed", "num_here", "parts", "relations", "link_seen_at", "survey", "description",
           "citation", "missing")  # fmt: skip
_MANY_TERMS = ("other_areas", "modalities", "task_types", "labels", "tags")


@require_safe
@bound_searches
def datasets_json(request: HttpRequest) -> HttpResponse:
    """An object with the ``datasets`` that match, or with ``problems`` (status 400 or 503)."""
    filters, sort, problems = _read(request)
    if problems:
        return JsonResponse({"problems": problems}, status=400)
    found = list(_describe_all(request, filters, sort))
    body = json.dumps({"datasets": found}, ensure_ascii=False).encode()
    return HttpResponse(body, content_type="application/json")


@require_safe
@bound_searches
def datasets_csv(request: HttpRequest) -> HttpResponse:
    """A row for each dataset that matches; the columns are the keys of the JSON."""
    filters, sort, problems = _read(request)
    if problems:
        text = "\n".join(problems)
        return HttpResponse(text, status=400, content_type="text/plain; charset=utf-8")
    rows = _describe_all(request, filters, sort)
    body = csv_text([COLUMNS, *([_cell(row[name]) for name in COLUMNS] for row in rows)])
    response = HttpResponse(body, content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = 'attachment; filename="datasets.csv"'
    return response


def _read(request: HttpRequest) -> tuple[DatasetFilterSet, str, list[str]]:
    filters = DatasetFilterSet(request.GET)
    sort, problem = choose_sort(filters)
    return filters, sort, [*filters.problems, *filter(None, [problem])]


def _describe_all(
    request: HttpRequest, filters: DatasetFilterSet, sort: str
) -> Iterator[dict[str, Any]]:
    ids = sort_datasets(filters, sort)
    files = count_by_dataset(filters.snapshot, ids)
    relations = _fetch_relations()
    rows = {row["pk"]: row for row in _fetch_rows(ids)}
    site = request.build_absolute_uri("/").rstrip("/")
    for pk in ids:
        if pk in rows:  # it may have been deleted meanwhile
            described = _describe(rows[pk], site, files[pk], relations.get(pk, []))
            # The words of the search that it does not meet, as the page has them.
            yield described | {"missing": list(filters.missing_words(pk))}


def _fetch_rows(ids: Sequence[int]) -> Any:
    """Plain rows with codes of terms: objects of all terms would take ten times as long."""
    return Dataset.objects.filter(pk__in=ids).order_by().values(
        "pk", *_PLAIN, "area__is_active", "license__is_active",
        area_code=F("area__code"), license_code=F("license__code"),
        **{f"{name}_codes": _select_codes(name) for name in _MANY_TERMS},
        seen_at=F("link_check__seen_at"),
    )  # fmt: skip


def _select_codes(name: str) -> ArraySubquery:
    field: Any = Dataset._meta.get_field(name)
    terms, reverse_name = field.related_model, field.remote_field.related_name
    found = terms._default_manager.filter(**{reverse_name: OuterRef("pk")}, is_active=True)
    return ArraySubquery(found.order_by("code").values("code"))


def _fetch_relations() -> Mapping[int, list[dict[str, str]]]:
    found: dict[int, list[dict[str, str]]] = defaultdict(list)
    active = DatasetRelation.objects.filter(other__is_active=True).order_by("kind", "other__slug")
    for pk, kind, slug, source in active.values_list("dataset_id", "kind", "other__slug", "source"):
        found[pk].append({"kind": kind, "dataset": slug, "source": source})
    return found


def _describe(
    row: Mapping[str, Any],
    site: str,
    files: AvailabilityCounts,
    relations: Sequence[Mapping[str, str]],
) -> dict[str, Any]:
    """All that the catalog knows of a dataset, terms by code; None or [] for what it does not."""
    return {
        "slug": row["slug"],
        "title": row["title"],
        "page": site + reverse("dataset-detail", args=[row["slug"]]),
        "source_url": row["source_url"] or None,
        "doi": row["doi"] or None,
        "host": find_host(row["source_url"]).code,
        "year": row["year"],
        "area": row["area_code"] if row["area__is_active"] else None,
        "other_areas": row["other_areas_codes"],
        "modalities": row["modalities_codes"],
        "dimensions": row["dimensions"],
        "task_types": row["task_types_codes"],
        "labels": row["labels_codes"],
        "tags": row["tags_codes"],
        "access": row["access"] or None,
        "license": row["license_code"] if row["license__is_active"] else None,
        "has_labels": row["has_labels"],
        "num_samples": row["num_images"] or None,
        "is_num_rounded": row["is_num_rounded"],
        "sample_unit": row["sample_unit"] or None,
        "size_mb": row["size_mb"],
        "is_synthetic": row["is_synthetic"],
        "num_listed": files.total,
        "num_here": files.here,
        "parts": row["parts"],
        "relations": list(relations),
        "link_seen_at": row["seen_at"].isoformat() if row["seen_at"] else None,
        "survey": row["survey"] or None,
        "description": row["description"],
        "citation": row["citation"] or None,
    }


def _cell(value: Any) -> Any:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return SEPARATOR.join(
            f"{each['kind']} {each['dataset']}" if isinstance(each, dict) else str(each)
            for each in value
        )
    return str(value).lower() if isinstance(value, bool) else value
