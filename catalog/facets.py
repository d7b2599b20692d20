"""Facets: the values of each filter with how many rows each would give.

Each facet is counted over the rows that match all *other* filters, so that a second value of the
same facet can be added. Labels that must all be present are the exception: there a count says
what remains when the value is added.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import BigIntegerField, Count, F, Func, QuerySet, Sum
from django.http import QueryDict

from catalog.filter_choices import (
    AGE_CHOICES,
    LOCAL_CHOICES,
    SEX_CHOICES,
    SIZE_CHOICES,
    SIZE_RANGES,
    UNKNOWN,
)
from catalog.filters import CatalogFilterSet, DatasetFilterSet, ImageFilterSet
from vocab.models import Label


@dataclass(frozen=True, slots=True)
class FacetValue:
    """One value: its code, its name, how many rows it gives, and the query string to toggle it."""

    code: str
    name: str
    count: int
    is_selected: bool
    toggle: str


@dataclass(frozen=True, slots=True)
class Facet:
    name: str
    title: str
    values: list[FacetValue]

    @property
    def has_selection(self) -> bool:
        return any(value.is_selected for value in self.values)


@dataclass(frozen=True, slots=True)
class Counted:
    """A value with the number of rows that have it."""

    code: str
    name: str
    count: int


def toggle_value(params: QueryDict, name: str, value: str) -> str:
    """The query string with one value of a filter added or taken away; paging starts anew."""
    changed = params.copy()
    changed.pop("page", None)
    values = changed.getlist(name)
    others = [kept for kept in values if kept != value]
    changed.setlist(name, others if value in values else [*values, value])
    return changed.urlencode()


# --- Images: sums over profiles ----------------------------------------------------------------
_IMAGE_TERM_FACETS: Mapping[str, tuple[str, str]] = {
    # name: (path from the profile to the term, the field that is its code)
    "modality": ("modality", "code"),
    "area": ("area", "code"),
    "dataset": ("dataset", "slug"),
    "task": ("dataset__task_types", "code"),
    "tag": ("dataset__tags", "code"),
    "license": ("dataset__license", "code"),
}
_IMAGE_ORDER = (
    "modality",
    "area",
    "label",
    "sex",
    "age",
    "dataset",
    "local",
    "task",
    "tag",
    "license",
)


def count_image_facets(filters: ImageFilterSet) -> list[Facet]:
    """All facets of the images page, in the order in which they are shown."""
    return [_facet(filters, name, list(_count_images(filters, name))) for name in _IMAGE_ORDER]


def _count_images(filters: ImageFilterSet, name: str) -> Iterator[Counted]:
    if name == "label":
        return _count_labels(filters)
    rows = filters.rows(without={name})
    if name in _IMAGE_TERM_FACETS:
        path, code = _IMAGE_TERM_FACETS[name]
        return _count_terms(rows, path, code, Sum("n"))
    column, choices = {
        "sex": ("sex", SEX_CHOICES),
        "age": ("age_band", AGE_CHOICES),
        "local": ("is_local", LOCAL_CHOICES),
    }[name]
    sums = dict(rows.order_by().values_list(column).annotate(total=Sum("n")))
    return _count_choices(choices, {_choice_of(name, raw): n for raw, n in sums.items()})


def _choice_of(name: str, raw: Any) -> str:
    if name == "local":
        return "1" if raw else "0"
    if raw in ("", None):
        return UNKNOWN
    return f"{raw}-{raw + 9}" if name == "age" else raw


def _count_labels(filters: ImageFilterSet) -> Iterator[Counted]:
    must_have_all = filters.cleaned.get("label_mode") == "all"
    return iter(_sum_labels(filters.rows(without=() if must_have_all else {"label"})))


def count_labels_within(filters: ImageFilterSet) -> list[Counted]:
    """The positive labels of exactly the images that match, the most frequent first."""
    return _sum_labels(filters.rows())


def _sum_labels(rows: QuerySet) -> list[Counted]:
    label_id = Func(F("label_ids"), function="unnest", output_field=BigIntegerField())
    sums = dict(
        rows.order_by().annotate(label_id=label_id).values_list("label_id").annotate(t=Sum("n"))
    )
    labels = Label.objects.active().filter(pk__in=sums).values_list("id", "code", "name")
    counted = [Counted(code, name, sums[pk]) for pk, code, name in labels]
    return sorted(counted, key=_by_count)


def _count_terms(rows: QuerySet, path: str, code: str, total: Any) -> Iterator[Counted]:
    title = "title" if code == "slug" else "name"
    sums = (
        rows.filter(**{f"{path}__is_active": True})
        .order_by()
        .values_list(f"{path}__{code}", f"{path}__{title}")
        .annotate(total=total)
    )
    return iter(sorted((Counted(*row) for row in sums), key=_by_count))


def _by_count(counted: Counted) -> tuple[int, str]:
    return (-counted.count, counted.name.casefold())


def _count_choices(choices: Any, sums: Mapping[str, int]) -> Iterator[Counted]:
    return (Counted(code, name, sums[code]) for code, name in choices if sums.get(code))


# --- Datasets: counts of rows --------------------------------------------------------------------
_DATASET_TERM_FACETS = {
    "area": "area",
    "modality": "modalities",
    "task": "task_types",
    "license": "license",
    "tag": "tags",
}


def count_dataset_facets(filters: DatasetFilterSet) -> list[Facet]:
    """All facets of the datasets page, in the order in which they are shown."""
    facets = []
    for name, path in _DATASET_TERM_FACETS.items():
        rows = filters.rows(without={name})
        counted = _count_terms(rows, path, "code", Count("pk", distinct=True))
        facets.append(_facet(filters, name, list(counted)))
    for name, choices, ranges in (
        ("size", SIZE_CHOICES, SIZE_RANGES),
        ("local", LOCAL_CHOICES, filters.filters["local"].conditions),
    ):
        rows = filters.rows(without={name}).order_by()
        sums = {code: rows.filter(ranges[code]).count() for code, _ in choices}
        facets.append(_facet(filters, name, list(_count_choices(choices, sums))))
    return facets


def _facet(filters: CatalogFilterSet, name: str, counted: list[Counted]) -> Facet:
    """Give each value its toggle; a selected value that gives nothing stays, to be taken away."""
    selected = {item.value: item.text for item in filters.active_filters() if item.name == name}
    gone = selected.keys() - {item.code for item in counted}
    counted = counted + [Counted(code, selected[code], 0) for code in sorted(gone)]
    params = canonical_params(filters)
    values = [
        FacetValue(
            item.code,
            item.name,
            item.count,
            item.code in selected,
            toggle_value(params, name, item.code),
        )
        for item in counted
    ]
    return Facet(name, str(filters.filters[name].label), values)


def canonical_params(filters: CatalogFilterSet) -> QueryDict:
    """The filters in force as a query string of codes; aliases and empty values are gone."""
    params = snapshot_params(filters.snapshot())
    if filters.data.get("sort"):
        params["sort"] = filters.data["sort"]
    return params


def snapshot_params(snapshot: Mapping[str, Any]) -> QueryDict:
    """The query string that gives a snapshot of filters again."""
    params = QueryDict(mutable=True)
    for name, value in snapshot.items():
        params.setlist(name, [str(item) for item in value] if isinstance(value, list) else [value])
    if "image" in params:
        # One filter, as ``active_filters`` has it, and a shorter address.
        params["image"] = ",".join(params.getlist("image"))
    return params
