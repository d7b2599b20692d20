"""Requesting pages of medagg and reading the responses."""

import html
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.figures import Figures, spread
from benchmarks.filter_sets import FilterSet
from benchmarks.folder import Folder
from benchmarks.sites import Site, Visitor

# None of them is in a measured set: they have a sort order or a word that no set has.
WARM_UP = (
    "/images/?sex=O&age=0-9",
    "/images/?q=warm",
    "/datasets/?sort=size",
    "/images/?q=up&all=label",
)
COLD_CONNECTIONS = 8
_TOTAL = re.compile(r'data-total="(\d+)"')
_NEXT = re.compile(r'rel="next" href="[^"]*[?&;]page=([\w-]+)')


@dataclass
class Asked:
    """Filter sets as addresses, each with the seconds of all its answers and the last total."""

    paths: list[str]
    seconds: list[list[float]] = field(default_factory=list)
    totals: list[int] = field(default_factory=list)

    @property
    def all_seconds(self) -> list[float]:
        return [each for one in self.seconds for each in one]


def visit(site: Site) -> Visitor:
    return Visitor(site.address, WARM_UP)


def find_paths(visitor: Visitor, filter_sets: Sequence[FilterSet]) -> list[str]:
    """The address of each set; where it wants the next page, that page's, if there is one."""
    return [_find_path(visitor, filters) for filters in filter_sets]


def _find_path(visitor: Visitor, filters: FilterSet) -> str:
    if not filters.next_page:
        return filters.path()
    found = _NEXT.search(html.unescape(visitor.get(filters.path()).body))
    return filters.path(found[1]) if found else filters.path()


def read_total(body: str) -> int:
    """The number of images or datasets that a page says it has found."""
    found = _TOTAL.search(body)
    return int(found[1]) if found else -1


def ask_in_turn(visitors: Sequence[Visitor], pages: Sequence[Asked], *, rounds: int) -> None:
    """Each address of ``pages``, one list for each visitor, ``rounds`` times.

    The visitors take turns address by address, so that what else goes on falls on all alike.
    """
    for asked in pages:
        asked.seconds[:] = [[] for _ in asked.paths]
        asked.totals[:] = [-1] * len(asked.paths)
    for _ in range(rounds):
        for place in range(len(pages[0].paths)):
            for visitor, asked in zip(visitors, pages, strict=True):
                answer = visitor.get(asked.paths[place])
                asked.seconds[place].append(answer.seconds)
                asked.totals[place] = read_total(answer.body)


def measure_cold(site: Site) -> Figures:
    """What the first pages cost after a start, and the memory of the workers once all are warm."""
    visitor = Visitor(site.address, ())
    seconds = []
    for _ in range(COLD_CONNECTIONS):
        # A new connection, most likely to another worker.
        visitor.connect()
        start = time.perf_counter()
        visitor.get("/images/")
        seconds.append(time.perf_counter() - start)
    visitor.close()
    return {"first_page_s": max(seconds), "worker_bytes": site.worker_bytes()}


def measure_reload(folder: Folder, database: str, site: Site) -> Figures:
    """The first page after one dataset, the largest, has changed, against the page after it."""
    visitor = visit(site)
    visitor.get("/images/")
    with folder.connect(database) as connection, connection.cursor() as cursor:
        cursor.execute(
            "UPDATE catalog_dataset SET updated_at = updated_at WHERE id = (SELECT dataset_id FROM"
            " catalog_imageprofile GROUP BY dataset_id ORDER BY sum(num_images) DESC LIMIT 1)"
        )
    first = visitor.get("/images/").seconds
    second = visitor.get("/images/").seconds
    visitor.close()
    return {"after_change_ms": 1000 * first, "unchanged_ms": 1000 * second}


def describe_asked(asked: Asked) -> Figures:
    """The spread over all answers, and over those with and without a typed query."""
    with_query = ["q=" in path for path in asked.paths]
    figures = spread(asked.all_seconds)
    for name, wanted in (("query", True), ("no_query", False)):
        picked = [s for one, has in zip(asked.seconds, with_query, strict=True)
                  if has == wanted for s in one]  # fmt: skip
        if picked:
            figures[name] = spread(picked)
    figures["empty"] = sum(total == 0 for total in asked.totals)
    return figures
