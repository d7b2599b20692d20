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
    "relevance": Sort("Best match", ("title", "pk")),
    "title": Sort("Title", ("title", "pk")),
    "images": Sort("Most images", ("-num_images", "title", "pk")),
    "size": Sort("Largest", ("-known_size", "title", "pk")),
    "updated": Sort("Newest here", ("-created_at", "title", "pk")),
}


def sort_datasets(filters: DatasetFilterSet, sort: str) -> list[int]:
    """The ids of all matching datasets in the order of DATASET_SORTS."""
    datasets = Dataset.objects.filter(pk__in=filters.rows().ids().tolist())
    if sort == "size":
        datasets = datasets.with_known_size()
    ids = list(datasets.order_by(*DATASET_SORTS[sort].fields).values_list("pk", flat=True))
    ranks = filters.ranks
    if sort == "relevance" and ranks is not None:
        ids.sort(key=lambda pk: -ranks[pk])
    return ids


def fetch_datasets(filters: DatasetFilterSet, ids: Sequence[int]) -> list[Dataset]:
    """These datasets in this order, with their terms and the snippets that match the query."""
    datasets = Dataset.objects.with_terms()
    if filters.found_by_words:
        datasets = add_snippets(datasets, filters.cleaned["q"])
    found = datasets.in_bulk(list(ids))
    return [found[pk] for pk in ids if pk in found]
