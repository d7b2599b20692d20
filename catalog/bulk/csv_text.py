"""CSV (RFC 4180, with line feeds, UTF-8) whose cells no spreadsheet runs as a formula."""

import csv
import io
from collections.abc import Iterable
from typing import Any

from catalog.bulk.copy_text import unescape_field

# The apostrophe itself too, so that a reader may take one away from every cell that begins with it.
# Those of East Asian widths too, which their spreadsheets take for the same.
_WIDE = ("\uff1d", "\uff0b", "\uff0d", "\uff20")
_GUARDED = ("=", "+", "-", "@", "\t", "\r", "'", *_WIDE)
_QUOTED = (b'"', b",", b"\\")
_RISKY = (b"=", b"+", b"-", b"@", b"'", *(sign.encode() for sign in _WIDE))


def csv_text(rows: Iterable[Iterable[Any]]) -> bytes:
    """Rows of values as CSV; None is an empty cell."""
    lines = []
    for row in rows:
        buffer = io.StringIO()
        # The usual end of a line, because only then carriage returns in cells are quoted.
        csv.writer(buffer, lineterminator="\r\n").writerow(map(safe_cell, row))
        lines.append(buffer.getvalue().removesuffix("\r\n") + "\n")
    return "".join(lines).encode()


def safe_cell(value: Any) -> Any:
    """A cell that no spreadsheet runs as a formula (OWASP, CSV injection); numbers stay.

    To undo it without loss, take one apostrophe away from the beginning of a cell.
    """
    if isinstance(value, str) and value[:1] in _GUARDED:
        return "'" + value
    return "" if value is None else value


def lines_to_csv(lines: bytes) -> bytes:
    """Whole lines as COPY writes them, without NULLs, as CSV.

    Nearly all lines have nothing that needs quotes, and are done together.
    """
    if _is_plain(lines):
        return lines.replace(b"\t", b",")
    return b"".join(
        line.replace(b"\t", b",") if _is_plain(line) else _quote(line)
        for line in lines.splitlines(keepends=True)
    )


def _is_plain(lines: bytes) -> bool:
    """Whether tabs and commas are all the difference.

    Looks for single bytes first: that goes ten times as fast as one regular expression for all.
    """
    if any(char in lines for char in _QUOTED):
        return False
    risky = [char for char in _RISKY if char in lines]
    return not any(
        lines.startswith(char) or b"\t" + char in lines or b"\n" + char in lines for char in risky
    )


def _quote(line: bytes) -> bytes:
    fields = line.removesuffix(b"\n").split(b"\t")
    return csv_text([[unescape_field(field).decode() for field in fields]])
