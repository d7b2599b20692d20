"""Sorts datasets and fetches a page of them."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from catalog.models import Dataset
from catalog.search.filters import DatasetFilterSet
from catalog.search.full_text import add_snippets
from catalog.search.snapshot import SortKeys


class Sort(NamedTuple):
    """``key`` decides among datasets of one place; then their titles do."""

    title: str
    key: Callable[[SortKeys], float]


DATASET_SORTS = {
    "relevance": Sort("Best match", lambda keys: -keys.num_images),
    "known": Sort("Widely used first", lambda keys: -keys.is_featured),
    "title": Sort("Title", lambda keys: 0),
    "images": Sort("Most images", lambda keys: -keys.num_images),
    "year": Sort("Year, newest first", lambda keys: -keys.year),
    "size": Sort("Largest", lambda keys: -keys.size_mb),
    "updated": Sort("Last added", lambda keys: -keys.created),
}


def list_sorts(filters: DatasetFilterSet) -> list[str]:
    """The orders that can be chosen; the first is taken where none is. A match needs a query."""
    has_rank = bool(filters.cleaned.get("q"))
    return [code for code in DATASET_SORTS if has_rank or code != "relevance"]


def choose_sort(filters: DatasetFilterSet) -> tuple[str, str]:
    """The order that the address names, and the problem if there is no such order."""
    sorts = list_sorts(filters)
    sort = str(filters.data.get("sort") or sorts[0])
    if sort not in DATASET_SORTS:
        return sorts[0], f"Datasets cannot be sorted by “{sort[:40]}”. Choose an order below."
    # An order that needs a query, in a link whose query has been taken away.
    return (sort if sort in sorts else sorts[0]), ""


def sort_datasets(filters: DatasetFilterSet, sort: str) -> list[int]:
    """The ids of all matching datasets in the order of DATASET_SORTS.

    In each order those that lack words of the query follow those that have them all.
    """
    keys, key = filters.snapshot.sort_keys, DATASET_SORTS[sort].key
    ids: list[int] = filters.rows().ids().tolist()
    ids.sort(key=lambda pk: (key(keys[pk]), keys[pk].place))
    if found := filters.found:
        if sort == "relevance":
            ids.sort(key=lambda pk: found[pk].sort_key)
        else:
            ids.sort(key=lambda pk: bool(found[pk].missing))
    return ids


def fetch_datasets(filters: DatasetFilterSet, ids: Sequence[int]) -> list[Dataset]:
    """These datasets in this order, with their licences and what matches the query as snippets.

    What a list does not show is not read.
    """
    datasets = Dataset.objects.select_related("license").defer(
        "search_vector", "imported_json", "citation", "license__shipped_json"
    )
    if text := filters.text_of_words:
        datasets = add_snippets(datasets, text)
    found = datasets.in_bulk(list(ids))
    return [found[pk] for pk in ids if pk in found]
