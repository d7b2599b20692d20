"""Reads the lines of a text table, decoded one by one, so that an error affects only one row."""

import re
from collections.abc import Iterator
from functools import partial
from io import TextIOWrapper
from typing import NamedTuple

from catalog.importers.rows import SourceError

# The most characters of a row, which may have several lines. A longer one is not a row of a table.
MAX_LINE = 1 << 24
MAX_LINES_OF_A_ROW = 20_000
# Empty lines one after the other: a small compressed file may unfold to any number of them.
MAX_EMPTY_LINES = 1_000_000
_SHOWN = 200
# Undecoded bytes that cp1252 does not have; it has every letter that latin-1 has.
_NOT_CP1252 = re.compile("[\udc81\udc8d\udc8f\udc90\udc9d]")
# Bytes 0x80 to 0x9f: letters and quotes in cp1252, control characters in latin-1.
_CONTROL_OF_LATIN_1 = re.compile("[\x80-\x9f]")
_OTHERS = (
    "cp1250 for Central Europe, cp1251 for Cyrillic, cp1253 for Greek, cp1254 for Turkish, cp1256 "
    "for Arabic, gb18030 for Chinese, cp932 for Japanese, cp949 for Korean"
)
_LATIN_1 = frozenset({"latin-1", "latin1", "latin", "l1", "iso-8859-1", "iso8859-1", "8859"})


class TableRow(NamedTuple):
    """One row: the line where it begins, from 1 (in Parquet the row), and its cells as text."""

    line: int
    cells: list[str]


class Lines:
    """The lines of `text`, which decodes with "surrogateescape" and `newline=""`.

    While a row is read, `held` are its lines so far, `number` is the number of the last one (from
    1), and `flaw` says what is wrong with them, or is ''; `forget` starts the next row. A line that
    is not in `encoding` is decoded with `second`, if that is given.
    """

    def __init__(self, text: TextIOWrapper, *, name: str, encoding: str, second: str) -> None:
        self.number = 0
        self.flaw = ""
        self.held: list[str] = []
        self.ended = False
        self._name, self._encoding, self._second = name, encoding, second
        self._feed = self._read(text)

    def __iter__(self) -> Iterator[str]:
        return self._feed

    def forget(self) -> None:
        self.held.clear()
        self.flaw = ""

    def _read(self, text: TextIOWrapper) -> Iterator[str]:
        size = empty = 0
        for line in iter(partial(text.readline, MAX_LINE), ""):
            self.number += 1
            size = len(line) + (size if self.held else 0)
            if size >= MAX_LINE or len(self.held) == MAX_LINES_OF_A_ROW:
                raise SourceError(
                    f"{self._name}, line {self.number}: a row does not end. Check that the file "
                    "is a table and that every quote is closed."
                )
            empty = empty + 1 if len(line) < 3 and line.isspace() else 0
            if empty > MAX_EMPTY_LINES:
                raise SourceError(
                    f"{self._name}, line {self.number}: {MAX_EMPTY_LINES:,} lines one after the "
                    "other are empty. Check that the file is a table."
                )
            if not line.isascii() or "\0" in line:
                line = self._mend(line)
            self.held.append(line)
            yield line
        self.ended = True

    def _mend(self, line: str) -> str:
        line, flaw = mend(line, self._encoding, self._second)
        self.flaw = self.flaw or flaw
        return line


def mend(text: str, encoding: str, second: str) -> tuple[str, str]:
    """The text, decoded with `second` if it is not in `encoding`, and what is wrong with it."""
    if second and not _is_text(text):
        text = text.encode(encoding, "surrogateescape").decode(second, "surrogateescape")
        encoding = second
    is_latin = encoding.lower().replace("_", "-") in _LATIN_1
    if is_latin and _CONTROL_OF_LATIN_1.search(text):
        return text, (
            "bytes that are control characters in latin-1, and letters or quotes in cp1252. Name "
            f'that in the description: encoding = ["utf-8", "cp1252"] for Western Europe, {_OTHERS}'
        )
    return text, find_flaw(text)


def find_flaw(line: str) -> str:
    """Why a line cannot be stored, and what to do; '' if it can."""
    if not _is_text(line):
        likely = "latin-1" if _NOT_CP1252.search(line) else "cp1252"
        return (
            "bytes that are not in the table's encoding. Name it in the description, as in "
            f'encoding = ["utf-8", "{likely}"] for Western Europe, {_OTHERS}'
        )
    return "NUL characters. Save the table again as plain text" if "\0" in line else ""


def _is_text(line: str) -> bool:
    """Whether all of it was decoded; undecoded bytes are surrogates."""
    try:
        line.encode()
    except UnicodeEncodeError:
        return False
    return True


def show(text: str, longest: int = _SHOWN) -> str:
    """The start of a text for messages, with control characters escaped."""
    shown = text[:longest].strip().encode(errors="replace").decode()
    if shown.isprintable():
        return shown
    return "".join(each if each.isprintable() else _escape(each) for each in shown)[:longest]


def _escape(character: str) -> str:
    return "\\0" if character == "\0" else character.encode("unicode_escape").decode()
