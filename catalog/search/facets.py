"""Facets: the values of each filter, with the number of rows that each would give.

Each facet is counted over the rows that match all *other* filters, so that a second value of the
same facet can be added. If all chosen labels must be present, label counts are the exception: each
says how many rows remain if the label is added.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.http import QueryDict

from catalog.search.filter_choices import NOT_WHOLE, WHOLE
from catalog.search.filter_kinds import ChoiceFilter
from catalog.search.filters import CatalogFilterSet, DatasetFilterSet, ImageFilterSet
from catalog.search.query import Match
from vocab.lookup import VOCABULARIES

SHOWN_VALUES = 8
IMAGE_FACETS = ("modality", "area", "label", "sex", "age", "dataset", "local", "task", "tag",
                "license")  # fmt: skip
DATASET_FACETS = ("area", "modality", "task", "license", "tag", "size", "local")


@dataclass(frozen=True, slots=True)
class FacetValue:
    """One value of a facet; ``count`` is the number of rows that it gives."""

    code: str
    name: str
    count: int
    is_selected: bool


@dataclass(frozen=True, slots=True)
class Facet:
    """A filter with its values, the most frequent first.

    A page shows the first values and the selected ones, or all values if ``is_whole``.
    """

    name: str
    title: str
    values: list[FacetValue]
    is_whole: bool = False

    @property
    def shown(self) -> list[FacetValue]:
        if self.is_whole:
            return self.values
        return [v for i, v in enumerate(self.values) if i < SHOWN_VALUES or v.is_selected]

    @property
    def has_more(self) -> bool:
        return len(self.values) > SHOWN_VALUES

    @property
    def has_selection(self) -> bool:
        return any(value.is_selected for value in self.values)


@dataclass(frozen=True, slots=True)
class ValueCount:
    """A value with the number of rows that have it."""

    code: str
    name: str
    count: int


def toggle_value(params: QueryDict, name: str, value: str) -> str:
    """The query string with one value of a filter added or removed, for the first page."""
    changed = params.copy()
    changed.pop("page", None)
    values = changed.getlist(name)
    others = [other for other in values if other != value]
    changed.setlist(name, others if value in values else [*values, value])
    return changed.urlencode()


def count_image_facets(filters: ImageFilterSet) -> list[Facet]:
    """All facets of the images page, in the order in which they are shown."""
    facets = []
    for name in IMAGE_FACETS:
        is_narrowed = name in filters.masks and not _must_have_all(filters, name)
        counted = filters.count(without={name}) if is_narrowed else filters.counted
        facets.append(_facet(filters, name, _name_sums(filters, name, counted.sums(name))))
    return facets


def _must_have_all(filters: ImageFilterSet, name: str) -> bool:
    return name == "label" and filters.cleaned.get("label_mode") == "all"


def count_labels_within(filters: ImageFilterSet) -> list[ValueCount]:
    """The positive labels of exactly the images that match, the most frequent first."""
    return _name_sums(filters, "label", filters.counted.sums("label"))


def count_unreviewed_labels(filters: ImageFilterSet) -> int:
    """How many positive labels of the images that match wait for a curator, and are not shown."""
    found = filters.counted.sums("label").keys()
    return len(found - filters.snapshot.vocabularies.terms["label"].keys())


def count_dataset_facets(filters: DatasetFilterSet) -> list[Facet]:
    """All facets of the datasets page, in the order in which they are shown."""
    return [
        _facet(
            filters,
            name,
            _name_sums(filters, name, filters.count(without={name}).sums(name)),
        )
        for name in DATASET_FACETS
    ]


def _name_sums(filters: CatalogFilterSet, name: str, sums: Mapping[int, int]) -> list[ValueCount]:
    """The sums with the codes and names of their values, without inactive terms."""
    chosen = filters.filters[name]
    if isinstance(chosen, ChoiceFilter):
        numbered = [(code, text, chosen.codes[code]) for code, text in chosen.field.names.items()]
        return [ValueCount(code, text, sums[n]) for code, text, n in numbered if n in sums]
    if name in VOCABULARIES:
        refs: Iterable[Any] = filters.snapshot.vocabularies.terms[name].values()
    else:
        refs = filters.snapshot.refs.values()
    counted = [ValueCount(ref.code, ref.name, sums[ref.id]) for ref in refs if ref.id in sums]
    return sorted(counted, key=_by_count)


def _by_count(counted: ValueCount) -> tuple[int, str]:
    return (-counted.count, counted.name.casefold())


def _facet(filters: CatalogFilterSet, name: str, counted: list[ValueCount]) -> Facet:
    """A facet; a selected value with no rows is kept, so that it can be removed."""
    selected = {item.value: item.text for item in filters.active_filters() if item.name == name}
    missing = selected.keys() - {item.code for item in counted}
    counted = counted + [ValueCount(code, selected[code], 0) for code in sorted(missing)]
    values = [
        FacetValue(item.code, item.name, item.count, item.code in selected) for item in counted
    ]
    return Facet(name, str(filters.filters[name].label), values, name in _whole_facets(filters))


def _whole_facets(filters: CatalogFilterSet) -> list[str]:
    whole = dict.fromkeys(filters.data.getlist(WHOLE))
    not_whole = filters.data.getlist(NOT_WHOLE)
    return [name for name in whole if name in filters.filters and name not in not_whole]


@dataclass(frozen=True, slots=True)
class Understood:
    """Words of the query that became a filter, and the query strings that undo it.

    ``drop`` is the query without the words; ``as_words`` searches for them as plain text.
    """

    title: str
    text: str
    words: str
    is_corrected: bool
    is_excluded: bool
    drop: str
    as_words: str


def describe_query(filters: CatalogFilterSet) -> list[Understood]:
    """The terms that the query names, as chips that can be undone."""
    query = filters.parsed_query
    params = canonical_params(filters)
    return [
        Understood(
            title=str(filters.filters[match.name].label),
            text=_name_values(match, filters),
            words=match.words,
            is_corrected=bool(match.corrected),
            is_excluded=bool(filters.filters[match.name].exclude),
            drop=_with_query(params, query.without(match)),
            as_words=_with_query(params, query.as_text(match)),
        )
        for match in query.matches
    ]


def _name_values(match: Match, filters: CatalogFilterSet) -> str:
    if len(match.values) > 1 and set(match.values) == set(filters.snapshot.vocabularies.commercial):
        return "commercial use allowed"
    return " or ".join(match.names)


def _with_query(params: QueryDict, text: str) -> str:
    changed = params.copy()
    changed.pop("q", None)
    if text:
        changed["q"] = text
    return changed.urlencode()


def canonical_params(filters: CatalogFilterSet) -> QueryDict:
    """The filters in force as a query string of codes, without aliases and empty values."""
    params = params_from_json(filters.as_json())
    if filters.data.get("sort"):
        params["sort"] = filters.data["sort"]
    if whole := _whole_facets(filters):
        params.setlist(WHOLE, whole)
    return params


def params_from_json(filters: Mapping[str, Any]) -> QueryDict:
    """The query string of filters that ``CatalogFilterSet.as_json`` wrote."""
    params = QueryDict(mutable=True)
    for name, value in filters.items():
        params.setlist(name, [str(item) for item in value] if isinstance(value, list) else [value])
    if "image" in params:
        # One filter, as in ``active_filters``, which also makes a shorter URL.
        params["image"] = ",".join(params.getlist("image"))
    return params
