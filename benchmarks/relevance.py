"""Whether a search for datasets finds the ones that were meant: sixty searches with their answers.

Only the demo catalog is loaded, in which the right answers are known. ``python -m
benchmarks.relevance`` asks them alone and prints the result; no other program is needed for that.
"""

import re
import sys
import tomllib
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlencode

from benchmarks.figures import Figures, Goal, table
from benchmarks.folder import REPOSITORY, Folder, say
from benchmarks.processes import run_measured
from benchmarks.sites import Visitor, start_medagg

TITLE = "Relevance of the dataset search"
DATABASE = "relevance"
QUERIES = Path(__file__).parent / "data" / "relevance.toml"
COMMANDS = ("migrate", "load_vocab", "load_demo")
FIRST = 3
SHARE_GOAL, RANK_GOAL = 0.95, 0.9
_SLUG = re.compile(r'<h3><a href="/datasets/([-\w]+)/"')


class Search(NamedTuple):
    kind: str
    text: str
    expected: frozenset[str]


def read_searches(path: Path = QUERIES) -> list[Search]:
    with path.open("rb") as file:
        kinds = tomllib.load(file)["kind"]
    return [Search(kind["name"], text, frozenset(slugs))
            for kind in kinds for text, slugs in kind["queries"]]  # fmt: skip


def address_of(search: Search) -> str:
    return f"/datasets/?{urlencode({'q': search.text})}"


def read_slugs(page: str) -> list[str]:
    """The datasets that a page lists, in its order."""
    return _SLUG.findall(page)


def rank_searches(searches: Sequence[Search], get_page: Callable[[str], str]) -> Figures:
    """For each search the place of the first right answer, 0 if the first page has none."""
    places = [
        next((place for place, slug in enumerate(read_slugs(get_page(address_of(search))), 1)
              if slug in search.expected), 0)
        for search in searches
    ]  # fmt: skip
    kinds = list(dict.fromkeys(search.kind for search in searches))
    of_kind = {kind: [p for p, s in zip(places, searches, strict=True) if s.kind == kind]
               for kind in kinds}  # fmt: skip
    return {
        "queries": len(searches),
        **_summarize(places),
        "kinds": {kind: {"queries": len(of), **_summarize(of)} for kind, of in of_kind.items()},
        "missed": [f"{search.text} ({place or 'not on the page'})"
                   for place, search in zip(places, searches, strict=True)
                   if not 1 <= place <= FIRST],
    }  # fmt: skip


def _summarize(places: Sequence[int]) -> Figures:
    return {
        "share": sum(1 <= place <= FIRST for place in places) / len(places),
        "reciprocal_rank": sum(1 / place for place in places if place) / len(places),
    }


def measure(folder: Folder, options: Namespace) -> Figures:
    folder.make_database(DATABASE)
    for command in COMMANDS:
        run_measured(
            [sys.executable, "manage.py", command],
            environment=folder.environment(DATABASE),
            log=folder.logs / f"{DATABASE}-{command}.log",
        )
    with start_medagg(folder, DATABASE) as site:
        visitor = Visitor(site.address, ())
        figures = rank_searches(read_searches(), lambda path: visitor.get(path).body)
        visitor.close()
    for missed in figures["missed"]:
        say(f"  not among the first {FIRST}: {missed}")
    return figures


def goals(figures: Figures) -> Iterator[Goal]:
    yield Goal(f"searches answered among the first {FIRST}", 100 * figures["share"],
               100 * SHARE_GOAL, " %", at_least=True)  # fmt: skip
    yield Goal("mean reciprocal rank", figures["reciprocal_rank"], RANK_GOAL, at_least=True)


def describe(figures: Figures) -> Iterator[str]:
    yield (
        f"{figures['queries']} searches as people type them, each with the datasets of the demo "
        f"catalog that answer it (`benchmarks/data/relevance.toml`): how often one of them is "
        f"among the first {FIRST}, and the mean of 1 / its place."
    )
    yield ""
    rows = [(kind, part["queries"], f"{100 * part['share']:.0f} %",
             f"{part['reciprocal_rank']:.2f}")
            for kind, part in [*figures["kinds"].items(), ("all", figures)]]  # fmt: skip
    yield from table(("searches for", "number", f"first {FIRST}", "reciprocal rank"), rows)
    if figures["missed"]:
        yield f"Not among the first {FIRST}: {'; '.join(figures['missed'])}."
        yield ""


def main() -> None:
    with Folder(REPOSITORY / "var" / "bench").opened() as folder:
        figures = measure(folder, Namespace())
    for line in describe(figures):
        say(line)
    for goal in goals(figures):
        say(" | ".join(goal.row))


if __name__ == "__main__":
    main()
