"""Suggestions where nothing matches: which filter to remove, and how many rows would then match."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from django.http import QueryDict

from catalog.search.facets import canonical_params
from catalog.search.filters import CatalogFilterSet, ImageFilterSet
from catalog.search.query import Match, Word


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A filter to remove, in words; how many rows then match; and the query string without it."""

    text: str
    total: int
    query_string: str


def suggest_fewer_filters(filters: CatalogFilterSet) -> list[Suggestion]:
    """Single filters without which something matches, the one with most matches first."""
    suggestions = []
    for text, params in _without_one(filters):
        total = type(filters)(params, snapshot=filters.snapshot).total
        suggestions.append(Suggestion(text, total, params.urlencode()))
    useful = (suggestion for suggestion in suggestions if suggestion.total)
    return sorted(useful, key=lambda suggestion: -suggestion.total)


def _without_one(filters: CatalogFilterSet) -> Iterator[tuple[str, QueryDict]]:
    """Each filter in words, and the parameters without it."""
    for name, group in groupby(filters.active_filters(), key=lambda item: item.name):
        items = list(group)
        if name == "q" and isinstance(filters, ImageFilterSet):
            yield from _without_words(filters)
            continue
        params = canonical_params(filters)
        params.pop(name)
        yield f"{items[0].title}: {', '.join(item.text for item in items)}", params


def _without_words(filters: ImageFilterSet) -> Iterator[tuple[str, QueryDict]]:
    """Each part of the query and the parameters without it: every group, and the free words."""
    query = filters.parsed_query
    parts: list[tuple[str, Sequence[Match | Word]]] = [
        (" or ".join(f"“{match.words}”" for match in group), group) for group in query.groups
    ]
    if query.words:
        parts.append((f"“{query.search_text}”", query.words))
    if len(query.words) > 1:
        parts += [(f"“{word}”", [word]) for word in query.words]
    for text, words in parts:
        params = canonical_params(filters)
        params["q"] = query.without(*words)
        yield text, params
