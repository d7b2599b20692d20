"""Searching among all datasets: words, typos, other names, phrases."""

import random
from argparse import Namespace
from collections.abc import Iterator, Sequence
from urllib.parse import urlencode

from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

from benchmarks.asking import Asked, ask_in_turn, describe_asked, visit
from benchmarks.figures import Figures, Goal, as_ms, spread, table
from benchmarks.folder import LOADED, Folder, say
from benchmarks.sites import start_medagg

TITLE = "Dataset search"
SEED = 21
QUERIES = 100
LONG_WORD = 6
_TITLES = "SELECT title FROM catalog_dataset WHERE is_active ORDER BY slug"
_ALIASES = """
    SELECT text FROM vocab_modalityalias UNION SELECT text FROM vocab_anatomicalareaalias
    UNION SELECT text FROM vocab_labelalias UNION SELECT text FROM vocab_tasktypealias ORDER BY 1
"""
_PROSE = """
    SELECT regexp_replace(description, '<[^>]*>|\\s+', ' ', 'g') FROM catalog_dataset
     WHERE is_active AND length(description) > 200 ORDER BY slug
"""


def draw_queries(connection: Connection, *, count: int, seed: int) -> list[tuple[str, str]]:
    """Pairs of kind and text, the kinds by turns; the same for the same catalog and seed."""
    chance = random.Random(seed)  # noqa: S311 - repeatable on purpose
    titles, aliases, prose = (_column(connection, text) for text in (_TITLES, _ALIASES, _PROSE))
    kinds = {
        "words of a title": lambda: _words(chance.choice(titles), 3),
        "a typo": lambda: _misspell(chance.choice(_long_words(titles)), chance),
        "another name of a term": lambda: chance.choice(aliases),
        "a phrase": lambda: f'"{_some_words(chance.choice(prose or titles), 2, chance)}"',
        "words of a description": lambda: _some_words(chance.choice(prose or titles), 3, chance),
    }
    names = list(kinds)
    return [(names[i % len(names)], kinds[names[i % len(names)]]()) for i in range(count)]


def _column(connection: Connection, query: str) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(query)
        return [row[0] for row in cursor]


def _words(text: str, count: int) -> str:
    return " ".join(text.split()[:count])


def _some_words(text: str, count: int, chance: random.Random) -> str:
    """Some consecutive words, without characters that have a meaning in a query."""
    words = text.replace('"', " ").split()
    start = chance.randrange(max(1, len(words) - count))
    return " ".join(word.strip("-.,;:()[]") for word in words[start : start + count])[:200]


def _long_words(titles: Sequence[str]) -> list[str]:
    return [w for title in titles for w in title.split() if len(w) >= LONG_WORD and w.isalpha()]


def _misspell(word: str, chance: random.Random) -> str:
    """The word with two of its inner letters swapped."""
    place = chance.randrange(1, len(word) - 2)
    return word[:place] + word[place + 1] + word[place] + word[place + 2 :]


def measure(folder: Folder, options: Namespace) -> Figures:
    folder.need_database(LOADED)
    with folder.connect(LOADED) as connection:
        queries = draw_queries(connection, count=QUERIES, seed=SEED)
        num_datasets = len(_column(connection, _TITLES))
    with start_medagg(folder, LOADED) as site:
        visitor = visit(site)
        asked = Asked([f"/datasets/?{urlencode({'q': text})}" for _, text in queries])
        say(f"  {len(queries)} queries, {options.rounds} times each")
        ask_in_turn([visitor], [asked], rounds=options.rounds)
        visitor.close()
    kinds = {
        kind: spread([s for (of, _), one in zip(queries, asked.seconds, strict=True)
                      for s in one if of == kind])
        for kind in dict.fromkeys(kind for kind, _ in queries)
    }  # fmt: skip
    return {"pages": describe_asked(asked), "datasets": num_datasets, "kinds": kinds,
            "examples": dict(queries), "queries": len(queries)}  # fmt: skip


def goals(figures: Figures) -> Iterator[Goal]:
    yield Goal("dataset search, 95th percentile", figures["pages"]["p95_ms"], 30, " ms")


def describe(figures: Figures) -> Iterator[str]:
    yield (
        f"The page of datasets for {figures['queries']} queries over {figures['datasets']} "
        f"datasets: ranking, snippets, counts of all facets and the HTML, the client's time. "
        f"{figures['pages']['empty']} of the queries find nothing."
    )
    yield ""
    rows = [(kind, f"`{figures['examples'][kind]}`", *as_ms(part))
            for kind, part in figures["kinds"].items()]  # fmt: skip
    yield from table(
        ("queries", "such as", "median ms", "95 % ms", "largest ms"),
        [*rows, ("all", "", *as_ms(figures["pages"]))],
    )
