"""Full-text search over datasets: a stored, weighted vector that includes the terms' aliases."""

from collections.abc import Iterable

from django.contrib.postgres.search import (
    SearchHeadline,
    SearchQuery,
    SearchRank,
    TrigramWordSimilarity,
)
from django.db import connection
from django.db.models import F, Q

from catalog.models import Dataset
from catalog.querysets import DatasetQuerySet
from catalog.search import queries

CONFIG = "english"


def refresh_search_vectors(*, dataset_ids: Iterable[int]) -> None:
    """Update the search vectors of datasets; call it after a dataset or term has changed."""
    with connection.cursor() as cursor:
        cursor.execute(queries.REFRESH, {"ids": sorted(dataset_ids)})


def rank_datasets(text: str) -> dict[int, float]:
    """The ranks of the active datasets that match ``text``, by id.

    ``text`` follows the syntax of search engines: "quoted phrase", or, -not.
    """
    query = _query(text)
    rank = SearchRank(F("search_vector"), query, normalization=2)
    found = Dataset.objects.active().filter(search_vector=query).order_by()
    return dict(found.values_list("pk", rank))


def rank_similar_titles(text: str) -> dict[int, float]:
    """The ranks of datasets whose title is similar to ``text``, which may contain a typo."""
    similar = Q(title__trigram_word_similar=text) | Q(slug__icontains=text)
    rank = TrigramWordSimilarity(text, "title")
    return dict(Dataset.objects.active().filter(similar).order_by().values_list("pk", rank))


def add_snippets(datasets: DatasetQuerySet, text: str) -> DatasetQuerySet:
    """Annotate ``snippet``: the part of the description around the matching, marked words."""
    return datasets.annotate(
        snippet=SearchHeadline(
            "description",
            _query(text),
            config=CONFIG,
            start_sel="\x02",
            stop_sel="\x03",
            max_words=40,
            min_words=20,
        )
    )


def _query(text: str) -> SearchQuery:
    return SearchQuery(text, config=CONFIG, search_type="websearch")
