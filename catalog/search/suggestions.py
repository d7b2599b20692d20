"""What to take away where nothing matches, and how much that would give."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from django.http import QueryDict

from catalog.search.facets import canonical_params
from catalog.search.filters import CatalogFilterSet, ImageFilterSet
from catalog.search.query import Match, Word


@dataclass(frozen=True, slots=True)
class Wider:
    """A filter that could go, in words; how many would then match; and the query string for it."""

    text: str
    total: int
    query_string: str


def suggest_wider(filters: CatalogFilterSet) -> list[Wider]:
    """Single filters without which something matches, the most fruitful first."""
    ways = []
    for text, params in _without_one(filters):
        total = type(filters)(params, snapshot=filters.snapshot).total
        ways.append(Wider(text, total, params.urlencode()))
    return sorted((way for way in ways if way.total), key=lambda way: -way.total)


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
    """The parts of the query: each group of alternatives, and the words that name nothing."""
    query = filters.parsed_query
    parts: list[tuple[str, Sequence[Match | Word]]] = [
        (" or ".join(f"“{match.words}”" for match in group), group) for group in query.groups
    ]
    if query.words:
        parts.append((f"“{query.search_text}”", query.words))
    for text, words in parts:
        params = canonical_params(filters)
        params["q"] = query.without(*words)
        yield text, params
