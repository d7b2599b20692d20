"""Items whose files are not as the catalog says: their number, pages of them, and a CSV table.

A partial index over items with a problem finds them, so a collection of a million good images costs
nothing here.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from django.db.models.fields.json import KT

from catalog.bulk.csv_text import csv_text
from collections_app.models import Collection, CollectionItem
from collections_app.querysets import CollectionItemQuerySet

PROBLEMS_PER_PAGE = 100
ROWS_PER_CHUNK = 1000
COLUMNS = ("dataset", "source_id", "file_path", "sha256", "reason")
_CURSOR = re.compile(r"(after|before)-(\d{1,9})")


@dataclass(frozen=True, slots=True)
class ProblemPage:
    """The items of one page in order, and the ``page`` parameters of the pages beside it."""

    items: list[CollectionItem]
    previous: str = ""
    next: str = ""


def count_problems(collection: Collection) -> int:
    """The number of items with a problem that are not excluded, as the last build has kept it."""
    build = collection.last_build
    return build.num_problems if build else 0


def describe_bad_files(number: int) -> str:
    """``"3 files are not as the catalog says"``."""
    files = "1 file is" if number == 1 else f"{number:,} files are"
    return f"{files} not as the catalog says"


def list_problems(collection: Collection, *, is_excluded: bool) -> CollectionItemQuerySet:
    """Items with a problem in order: the excluded ones, or those that made the build fail."""
    problems = collection.items.with_problems().filter(is_excluded=is_excluded)
    found: CollectionItemQuerySet = problems.order_by("position")
    return found


def fetch_problem_page(collection: Collection, *, is_excluded: bool, cursor: str) -> ProblemPage:
    """The page at ``cursor``, taken from a page beside it; the first page for any other text."""
    match = _CURSOR.fullmatch(cursor)
    direction, place = (match[1], int(match[2])) if match else ("after", 0)
    problems = list_problems(collection, is_excluded=is_excluded)
    if direction == "before":
        behind = problems.filter(position__lt=place).order_by("-position")
        found = list(behind[: PROBLEMS_PER_PAGE + 1])
    else:
        found = list(problems.filter(position__gt=place)[: PROBLEMS_PER_PAGE + 1])
    return _cut(found, is_backwards=direction == "before", is_first=place == 0)


def _cut(found: list[CollectionItem], *, is_backwards: bool, is_first: bool) -> ProblemPage:
    """The page, from a list that has one item more if another page follows."""
    has_more = len(found) > PROBLEMS_PER_PAGE
    items = found[:PROBLEMS_PER_PAGE]
    if not items:
        return ProblemPage([])
    if is_backwards:
        items.reverse()
    has_previous = has_more if is_backwards else not is_first
    has_next = is_backwards or has_more
    return ProblemPage(
        items,
        f"before-{items[0].position}" if has_previous else "",
        f"after-{items[-1].position}" if has_next else "",
    )


def write_problems(collection: Collection, *, is_excluded: bool) -> Iterator[bytes]:
    """The items with a problem as CSV (UTF-8), with the columns of the archive's missing.csv."""
    yield csv_text([COLUMNS])
    frozen = [KT(f"metadata_json__{name}") for name in COLUMNS[:3]]
    problems = list_problems(collection, is_excluded=is_excluded)
    rows = problems.values_list("position", *frozen, "sha256", "problem")
    last = 0
    # One query for each chunk, so that a million rows are never in memory at once.
    while found := list(rows.filter(position__gt=last)[:ROWS_PER_CHUNK]):
        yield csv_text(cells for _, *cells in found)
        last = found[-1][0]
