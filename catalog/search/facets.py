"""Facets: the values of each filter, with the number of rows that each would give.

Each facet is counted over the rows that match all *other* filters, so that a second value of the
same facet can be added. If all chosen labels must be present, label counts are the exception: each
says how many rows remain if the label is added.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from django.http import QueryDict

from catalog.search.columns import Counted, Rows
from catalog.search.filter_choices import ANY_KIND
from catalog.search.filters import CatalogFilterSet, DatasetFilterSet, ImageFilterSet
from catalog.search.filters.column_filters import ChoiceFilter
from catalog.search.kinds import pictures_of
from catalog.search.query_strings import (
    canonical_params,
    toggle_value,
    whole_facets,
    with_query,
)
from catalog.search.snapshot import Snapshot
from catalog.search.understanding import params_without
from vocab.lookup import VOCABULARIES
from vocab.models import Kind
from vocab.text import TermRef

SHOWN_VALUES = 8
IMAGE_FACETS = ("modality", "area", "label", "view", "sex", "age", "dataset", "local", "kind",
                "task", "tag", "license")  # fmt: skip
DATASET_FACETS = ("area", "modality", "task", "label", "dimension", "access", "license",
                  "license_stated", "images", "local", "host", "year", "size", "tag")  # fmt: skip


@dataclass(frozen=True, slots=True)
class FacetValue:
    """One value of a facet; ``count`` is the number of rows that it gives.

    ``note`` says what a term includes, and ``alone`` is the value without that, if it gives any.
    If ``words`` of the query mean it, ``undo`` is the query string without them. A value that is in
    force though nobody chose it has no ``words``, and ``undo`` is the query string without it.
    """

    code: str
    name: str
    count: int
    note: str = ""
    alone: str = ""
    is_selected: bool = False
    words: str = ""
    undo: str = ""


@dataclass(frozen=True, slots=True)
class Facet:
    """A filter with its values, the most frequent first.

    A page shows the first values and the selected ones, or all values if ``is_whole``. If it
    ``can_exclude``, a filter asks for what has none of some values, and several are any or all.
    """

    name: str
    title: str
    values: list[FacetValue]
    is_whole: bool = False
    can_exclude: bool = False

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


def count_image_facets(filters: ImageFilterSet) -> list[Facet]:
    """All facets of the images page, in the order in which they are shown."""
    facets = []
    for name in IMAGE_FACETS:
        ignored = _ignored_for(filters, name) & filters.masks.keys()
        values = _name_counts(filters, name, filters.count(without=ignored))
        if name == "kind" and not (_has_others(values) or filters.cleaned.get("kind")):
            continue  # there is nothing to choose from
        facets.append(_facet(filters, name, values))
    return facets


def _ignored_for(filters: ImageFilterSet, name: str) -> set[str]:
    """The filters that a choice in a facet replaces."""
    if _must_have_all(filters, name):
        return set()
    # A modality of another kind is asked for by its name alone.
    return {name, "kind"} if name == "modality" and filters.shows_pictures_only else {name}


def _has_others(values: Iterable[FacetValue]) -> bool:
    return any(value.code not in (ANY_KIND, Kind.PICTURE) for value in values)


def _must_have_all(filters: ImageFilterSet, name: str) -> bool:
    return name == "label" and filters.cleaned.get("label_mode") == "all"


def count_labels_within(filters: ImageFilterSet) -> list[FacetValue]:
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


class TermUses(NamedTuple):
    """How often a term is used, with what is narrower: by pictures, other objects, datasets."""

    pictures: int
    others: int
    datasets: int


def count_term_uses(snapshot: Snapshot, vocabulary: str) -> dict[int, TermUses]:
    """The uses of each active term of a vocabulary, by its id."""
    refs = snapshot.vocabularies.terms[vocabulary].values()
    pictures = count_terms(refs, pictures_of(snapshot).count(), vocabulary)
    objects = count_terms(refs, Rows(snapshot.images).count(), vocabulary)
    datasets: Mapping[int, int] = {}
    if vocabulary in snapshot.datasets.columns:
        datasets = count_terms(refs, Rows(snapshot.datasets).count(), vocabulary)
    return {
        ref.id: TermUses(
            pictures.get(ref.id, 0),
            objects.get(ref.id, 0) - pictures.get(ref.id, 0),
            datasets.get(ref.id, 0),
        )
        for ref in refs
    }


def _name_counts(filters: CatalogFilterSet, name: str, counted: Counted) -> list[FacetValue]:
    """The sums with the codes and names of their values, without inactive terms."""
    chosen = filters.filters[name]
    sums = counted.sums(name)
    if isinstance(chosen, ChoiceFilter):
        names = chosen.field.names
        values = [FacetValue(code, names[code], sums[n])
                  for code, n in chosen.codes.items() if n in sums]  # fmt: skip
        if ANY_KIND in names and (len(values) > 1 or ANY_KIND in filters.cleaned.get(name, ())):
            values.insert(0, FacetValue(ANY_KIND, names[ANY_KIND], counted.total))
        return values
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


def _value(ref: TermRef, count: int, sums: Mapping[int, int]) -> FacetValue:
    alone = ref.alone().value if ref.narrower and ref.id in sums else ""
    return FacetValue(ref.value, ref.text, count, ref.note, alone)


def _by_count(counted: FacetValue) -> tuple[int, str]:
    return (-counted.count, counted.name.casefold())


def _facet(filters: CatalogFilterSet, name: str, counted: list[FacetValue]) -> Facet:
    """A facet; a selected value with no rows is kept, so that it can be removed."""
    selected = {item.value: (item.text, item.note) for item in filters.active_filters
                if item.name == name}  # fmt: skip
    understood = _understood_values(filters, name, [item.code for item in counted])
    selected |= {code: (text, "") for code, (text, _, _) in understood.items()}
    missing = selected.keys() - {item.code for item in counted}
    given = _count_ages(filters) if name == "age" and understood.keys() & missing else {}
    counted = counted + [
        FacetValue(code, selected[code][0], given.get(code, 0), selected[code][1])
        for code in sorted(missing)
    ]
    values = [_select(item, understood) if item.code in selected else item for item in counted]
    title = str(filters.filters[name].label)
    can_exclude = f"not_{name}" in filters.filters
    return Facet(name, title, values, name in whole_facets(filters), can_exclude)


def _select(value: FacetValue, understood: Mapping[str, tuple[str, str, str]]) -> FacetValue:
    _, words, undo = understood.get(value.code, ("", "", ""))
    return replace(value, is_selected=True, words=words, undo=undo)


def _count_ages(filters: CatalogFilterSet) -> dict[str, int]:
    """What the ages of the query give, as no band of ages is "over 65": all that matches.

    Of alternatives ("children or elderly") each gives what matches without the others.
    """
    counts = {}
    for group in (group for group in filters.parsed_query.groups if group[0].name == "age"):
        for match in group:
            others = [other for other in group if other is not match]
            text = filters.query_without(*others)
            alone = QueryDict(with_query(canonical_params(filters), text))
            total = filters.with_params(alone).total if others else None
            counts[",".join(match.codes)] = filters.total if total is None else total
    return counts


def _understood_values(
    filters: CatalogFilterSet, name: str, counted: Collection[str]
) -> dict[str, tuple[str, str, str]]:
    """The values of a filter that the query names: name, words, and the query string without.

    So is the kind that is shown while none is chosen. ``counted`` are the values that there are.
    """
    if name == "kind" and isinstance(filters, ImageFilterSet) and filters.shows_pictures_only:
        name_of = filters.filters[name].field.names[Kind.PICTURE]
        undo = toggle_value(canonical_params(filters), name, ANY_KIND)
        return {Kind.PICTURE.value: (name_of, "", undo)}
    chosen = {item.value for item in filters.active_filters if item.name == name}
    found = {}
    for match in filters.parsed_query.matches:
        if match.name != name:
            continue
        undo = with_query(params_without(filters, match), filters.query_without(match))
        if name == "age":  # ranges, of which a negated age leaves two: they are one choice
            found[",".join(match.codes)] = (" or ".join(match.names), match.words, undo)
            continue
        for code, text in zip(match.codes, match.names, strict=True):
            if name == "year" and len(match.codes) > 1 and code not in counted:
                continue  # "after 2020" also means years to come
            # Of several values that words may mean, one that is also chosen by itself is kept.
            if not (len(match.codes) > 1 and code in chosen):
                found[code] = (text, match.words, undo)
    return found
