"""Facets: the values of each filter, with the number of rows that each would give.

Each facet is counted over the rows that match all *other* filters, so that a second value of the
same facet can be added. If all chosen labels must be present, label counts are the exception: each
says how many rows remain if the label is added.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.http import QueryDict

from catalog.search.columns import Counted
from catalog.search.filter_choices import NOT_WHOLE, WHOLE
from catalog.search.filter_kinds import ChoiceFilter
from catalog.search.filters import CatalogFilterSet, DatasetFilterSet, ImageFilterSet
from catalog.search.query import Match
from vocab.lookup import HIERARCHIES, VOCABULARIES, Vocabularies
from vocab.text import TermRef

SHOWN_VALUES = 8
IMAGE_FACETS = ("modality", "area", "label", "sex", "age", "dataset", "local", "task", "tag",
                "license")  # fmt: skip
DATASET_FACETS = ("area", "modality", "task", "license", "tag", "size", "local")


@dataclass(frozen=True, slots=True)
class FacetValue:
    """One value of a facet; ``count`` is the number of rows that it gives.

    ``note`` says what a term includes, and ``alone`` is the value without that, if it gives any.
    If ``words`` of the query mean it, ``undo`` is the query string without them.
    """

    code: str
    name: str
    count: int
    is_selected: bool
    note: str = ""
    alone: str = ""
    words: str = ""
    undo: str = ""


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
    """A value with the number of rows that have it; ``note`` and ``alone`` as in FacetValue."""

    code: str
    name: str
    count: int
    note: str = ""
    alone: str = ""


def toggle_value(params: QueryDict, name: str, value: str) -> str:
    """The query string with one value of a filter added or removed, for the first page."""
    changed = params.copy()
    changed.pop("page", None)
    values = changed.getlist(name)
    others = [other for other in values if other != value]
    changed.setlist(name, others if value in values else [*values, value])
    return changed.urlencode()


def swap_value(params: QueryDict, name: str, value: str, other: str) -> str:
    """The query string with another value of a filter in the place of one, for the first page."""
    changed = params.copy()
    changed.pop("page", None)
    values = [other if each == value else each for each in changed.getlist(name)]
    changed.setlist(name, list(dict.fromkeys(values)))
    return changed.urlencode()


def count_image_facets(filters: ImageFilterSet) -> list[Facet]:
    """All facets of the images page, in the order in which they are shown."""
    facets = []
    for name in IMAGE_FACETS:
        is_narrowed = name in filters.masks and not _must_have_all(filters, name)
        counted = filters.count(without={name}) if is_narrowed else filters.counted
        facets.append(_facet(filters, name, _name_counts(filters, name, counted)))
    return facets


def _must_have_all(filters: ImageFilterSet, name: str) -> bool:
    return name == "label" and filters.cleaned.get("label_mode") == "all"


def count_labels_within(filters: ImageFilterSet) -> list[ValueCount]:
    """The positive labels of exactly the images that match, the most frequent first."""
    return _name_counts(filters, "label", filters.counted)


def count_unreviewed_labels(filters: ImageFilterSet) -> int:
    """How many positive labels of the images that match wait for a curator, and are not shown."""
    found = filters.counted.sums("label").keys()
    return len(found - filters.snapshot.vocabularies.terms["label"].keys())


def count_dataset_facets(filters: DatasetFilterSet) -> list[Facet]:
    """All facets of the datasets page, in the order in which they are shown."""
    return [
        _facet(filters, name, _name_counts(filters, name, filters.count(without={name})))
        for name in DATASET_FACETS
    ]


def count_terms(refs: Iterable[TermRef], counted: Counted, column: str) -> dict[int, int]:
    """The rows of each term with what is narrower, by id: those that a filter by it finds."""
    groups = {ref.id: ref.ids for ref in refs if ref.narrower}
    return counted.sums(column) | counted.sums_of_any(column, groups)


def _name_counts(filters: CatalogFilterSet, name: str, counted: Counted) -> list[ValueCount]:
    """The sums with the codes and names of their values, without inactive terms."""
    chosen = filters.filters[name]
    sums = counted.sums(name)
    if isinstance(chosen, ChoiceFilter):
        numbered = [(code, text, chosen.codes[code]) for code, text in chosen.field.names.items()]
        return [ValueCount(code, text, sums[n]) for code, text, n in numbered if n in sums]
    if name in VOCABULARIES:
        refs: Iterable[TermRef] = filters.snapshot.vocabularies.terms[name].values()
    else:
        refs = filters.snapshot.refs.values()
    totals = count_terms(refs, counted, name)
    values = [_value(ref, totals[ref.id], sums) for ref in refs if ref.id in totals]
    values += [
        _value(ref, sums[ref.id], sums)
        for ref in filters.cleaned.get(name, ())
        if ref.is_alone and ref.id in sums
    ]
    return sorted(values, key=_by_count)


def _value(ref: TermRef, count: int, sums: Mapping[int, int]) -> ValueCount:
    alone = ref.alone().value if ref.narrower and ref.id in sums else ""
    return ValueCount(ref.value, ref.text, count, ref.note, alone)


def _by_count(counted: ValueCount) -> tuple[int, str]:
    return (-counted.count, counted.name.casefold())


def _facet(filters: CatalogFilterSet, name: str, counted: list[ValueCount]) -> Facet:
    """A facet; a selected value with no rows is kept, so that it can be removed."""
    selected = {item.value: (item.text, item.note) for item in filters.active_filters()
                if item.name == name}  # fmt: skip
    understood = _understood_values(filters, name)
    selected |= {code: (text, "") for code, (text, _, _) in understood.items()}
    missing = selected.keys() - {item.code for item in counted}
    counted = counted + [
        ValueCount(code, selected[code][0], 0, selected[code][1]) for code in sorted(missing)
    ]
    values = [
        FacetValue(item.code, item.name, item.count, item.code in selected, item.note, item.alone,
                   *understood.get(item.code, ())[1:])
        for item in counted
    ]  # fmt: skip
    return Facet(name, str(filters.filters[name].label), values, name in _whole_facets(filters))


def _understood_values(filters: CatalogFilterSet, name: str) -> dict[str, tuple[str, str, str]]:
    """The values of a filter that the query names: name, words, and the query string without."""
    chosen = {item.value for item in filters.active_filters() if item.name == name}
    found = {}
    for match in filters.parsed_query.matches:
        undo = _with_query(params_without(filters, match), filters.parsed_query.without(match))
        for code, text in zip(match.codes, match.names, strict=True):
            # Of several values that words may mean, one that is also chosen by itself is kept.
            if match.name == name and not (len(match.codes) > 1 and code in chosen):
                found[code] = (text, match.words, undo)
    return found


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
    return [
        Understood(
            title=str(filters.filters[match.name].label),
            text=_name_values(match, filters),
            words=match.words,
            is_corrected=bool(match.corrected),
            is_excluded=bool(filters.filters[match.name].exclude),
            drop=_with_query(params_without(filters, match), query.without(match)),
            as_words=_with_query(params_without(filters, match), query.as_text(match)),
        )
        for match in query.matches
    ]


def params_without(filters: CatalogFilterSet, match: Match) -> QueryDict:
    """The filters in force without the one that says the same as words of the query."""
    params = canonical_params(filters)
    if len(match.codes) == 1:
        values = [value for value in params.getlist(match.name) if value not in match.codes]
        params.setlist(match.name, values)
    return params


def is_understood(filters: CatalogFilterSet, name: str, value: str) -> bool:
    """Whether words of the query say the same as this filter, so that it need not be shown."""
    if name == "q":
        query = filters.parsed_query
        return bool(query.matches) and not query.words and not filters.ignored_words
    return any(m.name == name and m.codes == [value] for m in filters.parsed_query.matches)


def say_label_groups(filters: CatalogFilterSet) -> str:
    """The labels that the query asks for, with "and" and "or" as they are in force."""
    groups = [group for group in filters.parsed_query.groups if group[0].name == "label"]
    return " and ".join(" or ".join(n for m in group for n in m.names) for group in groups)


def _name_values(match: Match, filters: CatalogFilterSet) -> str:
    if len(match.values) > 1 and set(match.values) == set(filters.snapshot.vocabularies.commercial):
        return "commercial use allowed"
    if len(match.values) == 1:
        return str(match.values[0]) if isinstance(match.values[0], TermRef) else match.names[0]
    notes = [value.note if isinstance(value, TermRef) else "" for value in match.values]
    named = zip(match.names, notes, strict=True)
    return " or ".join(f"{name} ({note})" if note else name for name, note in named)


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


def params_from_frozen(filters: Mapping[str, Any], vocabularies: Vocabularies) -> QueryDict:
    """The query string of filters that ``CatalogFilterSet.as_frozen_json`` wrote.

    It finds exactly the terms that are listed: a term with all that is narrower now is one value.
    """
    given = dict(filters)
    for name in HIERARCHIES & given.keys():
        known = {ref.code: ref for ref in vocabularies.terms[name].values()}
        given[name] = _join_narrower(given[name], known)
    return params_from_json(given)


def _join_narrower(codes: list[str], known: Mapping[str, TermRef]) -> list[str]:
    listed = {code: known[code] for code in codes if code in known}
    whole = [ref for ref in listed.values() if all(each.code in listed for each in ref.narrower)]
    joined = {each.code for ref in whole for each in ref.narrower}
    values = {code: ref.alone().value for code, ref in listed.items()}
    values |= {ref.code: ref.code for ref in whole}
    return [values.get(code, code) for code in codes if code not in joined]


def params_from_json(filters: Mapping[str, Any]) -> QueryDict:
    """The query string of filters that ``CatalogFilterSet.as_json`` wrote."""
    params = QueryDict(mutable=True)
    for name, value in filters.items():
        params.setlist(name, [str(item) for item in value] if isinstance(value, list) else [value])
    if "image" in params:
        # One filter, as in ``active_filters``, which also makes a shorter URL.
        params["image"] = ",".join(params.getlist("image"))
    return params
