"""Full-text search over datasets: a stored, weighted vector with the names of their terms."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from django.contrib.postgres.search import (
    SearchHeadline,
    SearchQuery,
    SearchRank,
    SearchVector,
    TrigramWordSimilarity,
)
from django.db import connection
from django.db.models import BooleanField, F, Func, Q

from catalog.models import Dataset
from catalog.querysets import DatasetQuerySet
from catalog.search import queries
from vocab.text import TermRef

CONFIG = "english"
# Shorter words are similar to too many.
MIN_SIMILAR = 5

Stems = Mapping[str, Mapping[str, str]]


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


class ClauseText(NamedTuple):
    """What a dataset should have, in the syntax of ``rank_datasets``.

    ``wordings`` are alternatives; ``typed`` is the one of the query and ranks what any finds. So
    does any word that begins with one of ``roots``.
    """

    typed: str
    wordings: Sequence[str]
    roots: Sequence[str] = ()


def rank_clauses(clauses: Sequence[ClauseText]) -> list[dict[int, float] | None]:
    """For each clause the ranks of the active datasets whose texts meet it, by id.

    None for a clause that consists of words without meaning.
    """
    found: list[dict[int, float] | None] = [None] * len(clauses)
    if not clauses:
        return found
    any_wording = [" or ".join(clause.wordings) for clause in clauses]
    with connection.cursor() as cursor:
        typed = [clause.typed for clause in clauses]
        roots = [" | ".join(f"{root}:*" for root in clause.roots) for clause in clauses]
        cursor.execute(queries.RANK_CLAUSES, [any_wording, typed, roots])
        for number, nodes, pk, rank in cursor.fetchall():
            if nodes:
                ranks = found[number - 1] = found[number - 1] or {}
                if pk is not None:
                    ranks[pk] = rank
    return found


def say_where(text: str, *, dataset_ids: Iterable[int]) -> dict[int, str]:
    """Whether the title or the description of these datasets has the words; by id, where so."""
    query = _query(text)
    found = Dataset.objects.filter(pk__in=list(dataset_ids)).order_by()
    in_title = _contains(SearchVector("title", "slug", config=CONFIG), query)
    in_description = _contains(SearchVector("description", config=CONFIG), query)
    rows = found.values_list("pk", in_title, in_description)
    return {pk: "title" if titled else "description" for pk, titled, told in rows if titled or told}


def _contains(vector: SearchVector, query: SearchQuery) -> Func:
    return Func(vector, query, template="(%(expressions)s)", arg_joiner=" @@ ",
                output_field=BooleanField())  # fmt: skip


def find_stems(texts: Iterable[str]) -> Stems:
    """For each text what the index has of its words: stems, or "" where it leaves a word out."""
    stems: dict[str, dict[str, str]] = {text: {} for text in texts}
    if stems:
        with connection.cursor() as cursor:
            cursor.execute(queries.STEMS, [list(stems)])
            for text, word, stem in cursor.fetchall():
                stems[text][word] = stem
    return stems


def rank_similar_titles(text: str, refs: Mapping[str, TermRef]) -> dict[int, float]:
    """The ranks of datasets whose title is similar to ``text``, which may contain a typo.

    Among them are those of ``refs``, by slug, of whose slug a part begins with it. Nothing else is
    similar to a word of four letters, as abbreviations are: "SCLC" is not "NSCLC".
    """
    begins = re.compile(rf"(?<![^\W_]){re.escape(text.casefold())}")
    similar = Q(pk__in=[ref.id for slug, ref in refs.items() if begins.search(slug.casefold())])
    if len(text) >= MIN_SIMILAR:
        similar |= Q(title__trigram_word_similar=text)
    rank = TrigramWordSimilarity(text, "title")
    return dict(Dataset.objects.active().filter(similar).order_by().values_list("pk", rank))


def add_snippets(datasets: DatasetQuerySet, text: str) -> DatasetQuerySet:
    """Annotate ``snippet``: the part of the description around any of the words."""
    words = " or ".join(word for word in text.replace('"', " ").split() if word[0] != "-")
    return datasets.annotate(
        snippet=SearchHeadline(
            "description",
            _query(words),
            config=CONFIG,
            start_sel="\x02",
            stop_sel="\x03",
            max_words=40,
            min_words=20,
        )
    )


def _query(text: str) -> SearchQuery:
    return SearchQuery(text, config=CONFIG, search_type="websearch")
