"""The items whose files were not as the catalog says: counted, page by page, and as a table.

They are found by the partial index over items with a problem, so that a collection of a million
sound images costs nothing here.
"""

import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from django.conf import settings
from django.db.models.fields.json import KT

from catalog.csv_text import csv_text
from collections_app.models import Collection, CollectionItem
from collections_app.querysets import CollectionItemQuerySet

PROBLEMS_PER_PAGE = 100
ROWS_PER_CHUNK = 1000
COLUMNS = ("dataset", "source_id", "file_path", "sha256", "reason")
_CURSOR = re.compile(r"(after|before)-(\d{1,9})")


@dataclass(frozen=True, slots=True)
class ProblemPage:
    """Items of one page in their order, and the ``page`` parameters of its neighbors."""

    items: list[CollectionItem]
    previous: str = ""
    next: str = ""


def count_problems(collection: Collection) -> int:
    """Items that the last build found bad, without those that were left out before."""
    # An item that is left out always has a problem, and the collection knows how many those are:
    # the index alone gives the rest.
    return collection.items.with_problems().order_by().count() - collection.num_excluded


def say_bad_files(number: int) -> str:
    """``"3 files are not as the catalog says"``."""
    files = "1 file is" if number == 1 else f"{number:,} files are"
    return f"{files} not as the catalog says"


def list_problems(collection: Collection, *, is_excluded: bool) -> CollectionItemQuerySet:
    """Bad items in order: those that the archive leaves out, or those that stand in its way."""
    problems = collection.items.with_problems().filter(is_excluded=is_excluded)
    found: CollectionItemQuerySet = problems.order_by("position")
    return found


def fetch_problem_page(collection: Collection, *, is_excluded: bool, cursor: str) -> ProblemPage:
    """The page at ``cursor``, which a neighboring page gave out; the first for any other text."""
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
    """The page, of a list that is one longer where more follow."""
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


def spool_problems(collection: Collection, *, is_excluded: bool) -> BinaryIO:
    """The bad items as CSV (UTF-8), with the columns of the archive's missing.csv.

    They stand in a file without a name beside the archives, at its beginning; whoever asks closes
    it. It is whole before the first byte is sent, so that its reader, however slow, holds no
    query open.

    Raises:
        OSError: the archives' disk takes no more.
    """
    root: Path = settings.ARCHIVE_ROOT
    root.mkdir(parents=True, exist_ok=True)
    file = tempfile.TemporaryFile(dir=root)  # noqa: SIM115 - the answer closes it
    try:
        file.writelines(_write_problems(collection, is_excluded=is_excluded))
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return file


def _write_problems(collection: Collection, *, is_excluded: bool) -> Iterator[bytes]:
    yield csv_text([COLUMNS])
    frozen = [KT(f"metadata_json__{name}") for name in COLUMNS[:3]]
    problems = list_problems(collection, is_excluded=is_excluded)
    rows = problems.values_list("position", *frozen, "sha256", "problem")
    last = 0
    # By position, a chunk a query: a million of them are never in memory at once.
    while found := list(rows.filter(position__gt=last)[:ROWS_PER_CHUNK]):
        yield csv_text(cells for _, *cells in found)
        last = found[-1][0]
