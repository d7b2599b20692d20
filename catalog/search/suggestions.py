"""Suggestions where nothing matches: which filter to change, and how many rows would then match."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, groupby, islice, starmap, takewhile

from django.http import QueryDict

from catalog.search.filter_choices import ANY_KIND
from catalog.search.filters import CatalogFilterSet, ImageFilterSet
from catalog.search.kinds import count_hidden, count_kinds, with_any_kind
from catalog.search.query import Match, Word, parse_query
from catalog.search.query_strings import canonical_params
from catalog.wording.formats import count_of
from catalog.wording.object_counts import say_objects
from vocab.lookup import HIERARCHIES
from vocab.text import TermRef

# Each change takes as long as a search: of a query of many words not all are tried, and of one that
# takes long only as many as are tried within this time.
MAX_TRIED = 20
MAX_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A filter to change, in words; how many rows then match; and the query string with that.

    ``found`` is the number with what it counts.
    """

    text: str
    total: int
    found: str
    query_string: str


def suggest_changes(filters: CatalogFilterSet) -> list[Suggestion]:
    """Single filters to remove or to widen so that something matches; most matches first.

    Before them come the objects of other kinds that match as it is.
    """
    others = [_suggest(filters, *each) for each in _with_other_kinds(filters)]
    end = time.monotonic() + MAX_SECONDS
    tried = islice(chain(_without_one(filters), _with_broader(filters)), MAX_TRIED)
    in_time = takewhile(lambda _: time.monotonic() < end, tried)
    changes = [each for each in starmap(partial(_suggest, filters), in_time) if each]
    changes.sort(key=lambda suggestion: -suggestion.total)
    return [suggestion for suggestion in (*others, *changes) if suggestion]


def _suggest(filters: CatalogFilterSet, text: str, params: QueryDict) -> Suggestion | None:
    changed = filters.with_params(params)
    if not changed.total:
        return None
    if isinstance(changed, ImageFilterSet):
        found = say_objects(count_kinds(changed.counted), beside=bool(count_hidden(changed)))
    else:
        found = count_of(changed.total, "dataset")
    return Suggestion(text, changed.total, found, params.urlencode())


def _with_other_kinds(filters: CatalogFilterSet) -> Iterator[tuple[str, QueryDict]]:
    """The same for objects of any kind, if only some kinds were looked for."""
    if isinstance(filters, ImageFilterSet) and ANY_KIND not in filters.kinds:
        yield "objects of any kind", with_any_kind(filters)


def _without_one(filters: CatalogFilterSet) -> Iterator[tuple[str, QueryDict]]:
    """Each filter in words, and the parameters without it."""
    for name, group in groupby(filters.active_filters, key=lambda item: item.name):
        items = list(group)
        if name == "q" and isinstance(filters, ImageFilterSet):
            yield from _without_words(filters)
            continue
        params = canonical_params(filters)
        params.pop(name)
        yield f"without {items[0].title}: {', '.join(item.text for item in items)}", params


def _without_words(filters: ImageFilterSet) -> Iterator[tuple[str, QueryDict]]:
    """Each part of the query and the parameters without it: the free words, and every group."""
    query = filters.parsed_query
    parts: list[tuple[str, Sequence[Match | Word]]] = []
    if query.words:
        parts.append((f"“{query.search_text}”", query.words))
    parts += [(" or ".join(f"“{match.words}”" for match in group), group) for group in query.groups]
    if len(query.words) > 1:
        parts += [(f"“{word}”", [word]) for word in query.words]
    for text, words in parts:
        params = canonical_params(filters)
        params["q"] = query.without(*words)
        yield f"without {text}", params
    for match in query.matches:
        params = canonical_params(filters)
        params["q"] = query.as_text(match)
        yield f"“{match.words}” as words", params


def _with_broader(filters: CatalogFilterSet) -> Iterator[tuple[str, QueryDict]]:
    """Each term with its broader one instead, in words, and the parameters with that."""
    for name in sorted(HIERARCHIES & filters.cleaned.keys()):
        for ref in filters.cleaned[name]:
            if broader := _find_broader(filters, ref):
                params = canonical_params(filters)
                others = [value for value in params.getlist(name) if value != ref.value]
                params.setlist(name, [*others, broader.code])
                yield f"{broader.name} instead of {ref.text}", params
    if isinstance(filters, ImageFilterSet):
        yield from _with_broader_words(filters)


def _with_broader_words(filters: ImageFilterSet) -> Iterator[tuple[str, QueryDict]]:
    """The same for the terms that the query names."""
    query = filters.parsed_query
    for match in query.matches:
        ref = match.values[0]
        if match.name not in HIERARCHIES or len(match.values) > 1 or not isinstance(ref, TermRef):
            continue
        broader = _find_broader(filters, ref)
        if broader and _names_only(broader, filters):
            params = canonical_params(filters)
            params["q"] = query.replacing(match, broader.name)
            yield f"“{broader.name}” instead of “{match.words}”", params


def _names_only(ref: TermRef, filters: ImageFilterSet) -> bool:
    """Whether the name of a term means this term in a query."""
    matches = parse_query(ref.name, filters.snapshot.spellings).matches
    return [match.values for match in matches] == [(ref,)]


def _find_broader(filters: CatalogFilterSet, ref: TermRef) -> TermRef | None:
    """The term with what is narrower, if the filter is by the term alone, else the broader one."""
    vocabularies = filters.snapshot.vocabularies
    if ref.is_alone:
        return vocabularies.terms[ref.vocabulary][ref.id]
    return vocabularies.broader[ref.vocabulary].get(ref.id)
