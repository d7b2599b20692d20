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

CONFIG = "english"

# Titles weigh most, then the terms and their aliases, then prose.
_REFRESH = """
    WITH words AS (
        SELECT dataset.id,
               concat_ws(' ', area.name, (SELECT string_agg(text, ' ')
                   FROM vocab_anatomicalareaalias WHERE term_id = area.id)) AS area,
               concat_ws(' ', license.name, (SELECT string_agg(text, ' ')
                   FROM vocab_licensealias WHERE term_id = license.id)) AS license,
               (SELECT string_agg(concat_ws(' ', t.name, a.text), ' ')
                  FROM catalog_dataset_modalities m
                  JOIN vocab_modality t ON t.id = m.modality_id AND t.is_active
                  LEFT JOIN vocab_modalityalias a ON a.term_id = t.id
                 WHERE m.dataset_id = dataset.id) AS modalities,
               (SELECT string_agg(concat_ws(' ', t.name, a.text), ' ')
                  FROM catalog_dataset_task_types m
                  JOIN vocab_tasktype t ON t.id = m.tasktype_id AND t.is_active
                  LEFT JOIN vocab_tasktypealias a ON a.term_id = t.id
                 WHERE m.dataset_id = dataset.id) AS task_types,
               (SELECT string_agg(concat_ws(' ', t.name, a.text), ' ')
                  FROM catalog_dataset_tags m
                  JOIN vocab_tag t ON t.id = m.tag_id AND t.is_active
                  LEFT JOIN vocab_tagalias a ON a.term_id = t.id
                 WHERE m.dataset_id = dataset.id) AS tags
          FROM catalog_dataset dataset
          LEFT JOIN vocab_anatomicalarea area ON area.id = dataset.area_id AND area.is_active
          LEFT JOIN vocab_license license ON license.id = dataset.license_id AND license.is_active
         WHERE dataset.id = ANY(%(ids)s)
    )
    UPDATE catalog_dataset dataset
       SET search_vector =
           setweight(to_tsvector('english', dataset.title || ' ' || dataset.slug), 'A')
        || setweight(to_tsvector('english', concat_ws(' ', words.area, words.modalities,
               words.task_types, words.tags, words.license)), 'B')
        || setweight(to_tsvector('english', dataset.description), 'C')
        || setweight(to_tsvector('english', dataset.citation || ' ' || dataset.doi), 'D')
      FROM words
     WHERE words.id = dataset.id
"""


def refresh_search_vectors(*, dataset_ids: Iterable[int]) -> None:
    """Update the search vectors of datasets; call it after a dataset or term has changed."""
    with connection.cursor() as cursor:
        cursor.execute(_REFRESH, {"ids": sorted(dataset_ids)})


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
