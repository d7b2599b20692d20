"""Reads the texts of a BIDS dataset: tables and JSON files. What is missing is empty."""

import codecs
import csv
import io
import json
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from catalog.imaging.paths import UnsafePath, open_beneath
from catalog.importers.tables.lines import show

MAX_TEXT_BYTES = 64 << 20
# A JSON file beside a volume has a few KB; read, it takes twenty times as much.
MAX_OBJECT_BYTES = 4 << 20
MAX_SHEET_ROWS = 200_000
MAX_SHEET_CELL = 131_072  # as csv has it, unless something else of this process has changed it
MAX_SHEET_COLUMNS = 10_000
# In memory some 80 bytes each.
MAX_SHEET_CELLS = 10_000_000
_DELIMITERS = ",;"
_UNDECODED = "\ufffd"
_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class Sheet(NamedTuple):
    """A table: the names of its columns as they are written, and its rows by these.

    `problems` are ends of sentences on what was not read. What is not UTF-8, as BIDS is, is empty:
    in another code page, a name would say nothing of what the column has.
    """

    names: tuple[str, ...] = ()
    rows: tuple[dict[str, str], ...] = ()
    problems: tuple[str, ...] = ()


def read_text(root: Path, path: str, most: int = MAX_TEXT_BYTES) -> str:
    """The text of a file, at most so many bytes of it; '' if there is none."""
    try:
        with open_beneath(root, path) as file:
            content = file.read(most)
    except (OSError, UnsafePath):
        return ""
    encoding = "utf-16" if content.startswith(_UTF16_MARKS) else "utf-8-sig"
    return content.decode(encoding, "replace").replace("\0", "")


def read_object(root: Path, path: str) -> dict[str, Any]:
    """The JSON object of a file; {} if there is none, or if it is damaged."""
    try:
        found = json.loads(read_text(root, path, MAX_OBJECT_BYTES) or "{}")
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def read_sheet(root: Path, path: str) -> Sheet:
    """A table whose columns are parted by tabs, or by commas or semicolons if it has no tab.

    Of a damaged table the readable part is used. Lines may end as on any system, and cells may be
    quoted, as R writes them.
    """
    text = read_text(root, path).replace("\r\n", "\n").replace("\r", "\n")
    delimiter = _find_delimiter(text.partition("\n")[0])
    csv.field_size_limit(MAX_SHEET_CELL)
    reader = csv.reader(
        io.StringIO(text),
        delimiter=delimiter,
        quoting=csv.QUOTE_NONE if delimiter == "\t" else csv.QUOTE_MINIMAL,
    )
    errors: list[csv.Error] = []
    lines = _iter_lines(reader, errors)
    names = tuple(_read_cell(name) for name in next(lines, [])[:MAX_SHEET_COLUMNS])
    most = min(MAX_SHEET_ROWS, MAX_SHEET_CELLS // max(1, len(names)))
    rows = tuple(
        dict(zip(names, map(_read_cell, cells), strict=False)) for cells in islice(lines, most)
    )
    is_whole = next(lines, None) is None and not errors
    return Sheet(names, rows, tuple(_describe(text, names, rows, is_whole=is_whole)))


def _describe(
    text: str, names: tuple[str, ...], rows: tuple[dict[str, str], ...], *, is_whole: bool
) -> Iterator[str]:
    if _UNDECODED in text:
        yield (
            "is not UTF-8: columns and cells with other letters than those of ASCII were left out; "
            "save the table again as UTF-8"
        )
    if not is_whole:
        yield f"is too large or damaged: only its first {len(rows):,} rows were read"
    if any("\n" in cell for row in rows for cell in row.values()):
        yield "has cells of several lines: check that every quote is closed"
    if twice := [name for name, count in Counter(names).items() if name and count > 1]:
        yield f"has several columns named {show(', '.join(twice))}, of which the last one counts"


def _read_cell(text: str) -> str:
    cell = "" if _UNDECODED in text else text.strip()
    is_quoted = len(cell) > 1 and cell[0] == cell[-1] == '"' and '"' not in cell[1:-1]
    return cell[1:-1].strip() if is_quoted else cell


def _find_delimiter(header: str) -> str:
    if "\t" in header:
        return "\t"
    return max(_DELIMITERS, key=header.count) if set(_DELIMITERS) & set(header) else "\t"


def _iter_lines(lines: Iterator[list[str]], errors: list[csv.Error]) -> Iterator[list[str]]:
    try:
        yield from lines
    except csv.Error as error:  # a cell beyond the limit of csv; the rows before it are valid
        errors.append(error)
