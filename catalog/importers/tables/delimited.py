"""Reads CSV and TSV (RFC 4180), tolerating short rows and quotes that are not closed."""

import csv
import re
from collections.abc import Iterator

from catalog.importers.rows import BadRow
from catalog.importers.tables.lines import Lines, TableRow, find_flaw, show

MAX_CELL = 1 << 20
_LETTERS, _DIGITS = re.compile(r"[^\W\d_]+"), re.compile(r"\d+")
_OPEN_QUOTE = 'Close the quote, or double a quote that belongs to the text: "".'


def read_cells(lines: Lines, delimiter: str) -> list[str] | None:
    """The first row with text, or None. Raises `csv.Error` for a row that cannot be read."""
    for cells in _reader(lines, delimiter):
        if any(cell.strip() for cell in cells):
            lines.held.clear()
            return cells
        lines.forget()
    return None


def iter_delimited(lines: Lines, width: int, delimiter: str) -> Iterator[TableRow | BadRow]:
    """The rows of `width` cells, without empty lines and empty cells beyond the last column.

    If a quote that is never closed spans several lines, only its own line is bad: the others are
    read again, each as a row.
    """
    reader, held = _reader(lines, delimiter), lines.held
    while True:
        try:
            for cells in reader:
                if len(cells) == width and len(held) == 1 and not lines.flaw:
                    yield TableRow(lines.number, cells)
                    held.clear()
                else:
                    yield from _read_irregular(lines, cells, width, delimiter)
                    lines.forget()
        except csv.Error as error:
            yield from _read_apart(lines, f"The row cannot be read ({error})", width, delimiter)
            lines.forget()
        else:
            return


def _reader(lines: Lines, delimiter: str) -> Iterator[list[str]]:
    csv.field_size_limit(MAX_CELL)
    return csv.reader(iter(lines), delimiter=delimiter, skipinitialspace=True)


def _read_irregular(
    lines: Lines, cells: list[str], width: int, delimiter: str
) -> Iterator[TableRow | BadRow]:
    """Read a row that is not one line of `width` cells."""
    start = lines.number - len(lines.held) + 1
    fitting = _fit(start, cells, width)
    if lines.ended or (len(lines.held) > 1 and _is_torn(lines.held, fitting, delimiter)):
        reason = f"Lines {start} to {lines.number} were read as one row"
        yield from _read_apart(lines, reason, width, delimiter)
    elif lines.flaw:
        yield BadRow(start, "", show(lines.held[0]), f"The row has {lines.flaw}.")
    elif fitting:
        yield fitting


def _is_torn(held: list[str], fitting: TableRow | BadRow | None, delimiter: str) -> bool:
    """Whether lines look like one row only because each has a quote that is not closed.

    Then text follows the second quote, which the strict reader refuses, or each line has the cells
    of a row and begins as the first one does: `i7,"abc` and `i8,def"`.
    """
    if isinstance(fitting, BadRow) or (fitting and _are_rows(held, fitting, delimiter)):
        return True
    try:
        next(csv.reader(held, delimiter=delimiter, skipinitialspace=True, strict=True))
    except csv.Error:
        return True
    return False


def _are_rows(held: list[str], fitting: TableRow, delimiter: str) -> bool:
    shape = _find_shape(fitting.cells[0])
    return "0" in shape and all(
        line.count(delimiter) == len(fitting.cells) - 1
        and _find_shape(line.partition(delimiter)[0]) == shape
        for line in held[1:]
    )


def _find_shape(text: str) -> str:
    """How an id is made of digits and letters: a0 of i7."""
    return _DIGITS.sub("0", _LETTERS.sub("a", text.strip(' "')))


def _read_apart(
    lines: Lines, reason: str, width: int, delimiter: str
) -> Iterator[TableRow | BadRow]:
    start = lines.number - len(lines.held) + 1
    first, *others = lines.held
    yield BadRow(start, "", show(first), f"{reason}. {_OPEN_QUOTE}")
    for number, line in enumerate(others, start=start + 1):
        if row := _read_one(number, line, width, delimiter):
            yield row


def _read_one(number: int, line: str, width: int, delimiter: str) -> TableRow | BadRow | None:
    if flaw := find_flaw(line):
        return BadRow(number, "", show(line), f"The row has {flaw}.")
    if line.count('"') % 2:
        return BadRow(number, "", show(line), f"A quote is not closed. {_OPEN_QUOTE}")
    try:
        cells = next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])
    except csv.Error as error:
        return BadRow(number, "", show(line), f"The row cannot be read ({error}). {_OPEN_QUOTE}")
    return _fit(number, cells, width)


def _fit(line: int, cells: list[str], width: int) -> TableRow | BadRow | None:
    """The row if it has the right number of cells, or a BadRow; None if it is empty."""
    if not any(cell.strip() for cell in cells):
        return None
    if len(cells) > width and not any(cell.strip() for cell in cells[width:]):
        cells = cells[:width]
    if len(cells) == width:
        return TableRow(line, cells)
    return BadRow(
        line,
        "",
        show(" | ".join(cells)),
        f"The row has {len(cells)} cells, the header has {width}. Put a cell that contains the "
        "delimiter into quotes, and add missing cells.",
    )
