"""Sorts datasets and fetches a page of them."""

from collections.abc import Sequence
from typing import NamedTuple

from catalog.models import Dataset
from catalog.search.filters import DatasetFilterSet
from catalog.search.full_text import add_snippets


class Sort(NamedTuple):
    title: str
    fields: tuple[str, ...]


DATASET_SORTS = {
    "relevance": Sort("Best match", ("-num_images", "title", "pk")),
    "known": Sort("Widely used first", ("-is_featured", "title", "pk")),
    "title": Sort("Title", ("title", "pk")),
    "images": Sort("Most images", ("-num_images", "title", "pk")),
    "year": Sort("Year, newest first", ("-known_year", "title", "pk")),
    "size": Sort("Largest", ("-known_size", "title", "pk")),
    "updated": Sort("Last added", ("-created_at", "title", "pk")),
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
    datasets = Dataset.objects.filter(pk__in=filters.rows().ids().tolist())
    if sort == "size":
        datasets = datasets.with_known_size()
    elif sort == "year":
        datasets = datasets.with_known_year()
    ids = list(datasets.order_by(*DATASET_SORTS[sort].fields).values_list("pk", flat=True))
    if found := filters.found:
        if sort == "relevance":
            ids.sort(key=lambda pk: found[pk].sort_key)
        else:
            ids.sort(key=lambda pk: bool(found[pk].missing))
    return ids


def fetch_datasets(filters: DatasetFilterSet, ids: Sequence[int]) -> list[Dataset]:
    """These datasets in this order, with their terms and the snippets that match the query."""
    datasets = Dataset.objects.with_terms()
    if text := filters.text_of_words:
        datasets = add_snippets(datasets, text)
    found = datasets.in_bulk(list(ids))
    return [found[pk] for pk in ids if pk in found]
