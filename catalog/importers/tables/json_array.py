"""Reads the objects of one JSON array, such as `[{"id": 1}, …]`, without holding all of it."""

import json
import re
from collections.abc import Iterator
from io import TextIOWrapper
from typing import Any

from catalog.importers.rows import SourceError
from catalog.importers.tables.json_lines import MAX_OBJECT, Doubled, Item, make_object
from catalog.importers.tables.lines import mend, show

_CHUNK = 1 << 20
_GAP = re.compile(r"[\s,]*")


class _Buffer:
    """A part of the text, from `place` on; `line` is the line of `place`, from 1."""

    def __init__(self, text: TextIOWrapper) -> None:
        self.text = ""
        self.place = 0
        self.line = 1
        self.is_last = False
        self._file = text

    def grow(self) -> None:
        """Drop what was read, and at least double the rest."""
        rest = self.text[self.place :]
        more = self._file.read(max(_CHUNK, len(rest)))
        self.text, self.place, self.is_last = rest + more, 0, not more

    def advance(self, place: int) -> None:
        self.line += self.text.count("\n", self.place, place)
        self.place = place

    def skip_gap(self) -> str:
        """The next character after spaces and commas; '' at the end of the text."""
        while True:
            found = _GAP.match(self.text, self.place)
            self.advance(found.end() if found else self.place)
            if self.place < len(self.text) or self.is_last:
                break
            self.grow()
        return self.text[self.place : self.place + 1]


def is_array(text: TextIOWrapper) -> bool:
    """Whether a text begins with the bracket of an array; it is left at its start."""
    start = text.read(1)
    while start and not start.strip():
        start = text.read(1)
    text.seek(0)
    return start == "["


def iter_array(text: TextIOWrapper, *, name: str, encoding: str, second: str) -> Iterator[Item]:
    """The objects of the array with their lines. Raises `SourceError` where it is no JSON."""
    buffer = _Buffer(text)
    buffer.skip_gap()
    buffer.advance(buffer.place + 1)
    while (start := buffer.skip_gap()) != "]":
        if not start:
            raise SourceError(
                f"{name}, line {buffer.line}: the JSON array has no end, so a part of the file is "
                "missing. Download or copy it again."
            )
        found, end = _read_value(buffer, name)
        raw, line = buffer.text[buffer.place : end], buffer.line
        buffer.advance(end)
        flaw = ""
        if not raw.isascii() or "\0" in raw:
            mended, flaw = mend(raw, encoding, second)
            found = (
                json.loads(mended, object_pairs_hook=make_object)
                if mended != raw and not flaw
                else found
            )
        if flaw:
            yield Item(line, show(raw), f"The object has {flaw}.")
        elif isinstance(found, Doubled):
            yield Item(line, show(raw), found.problem)
        elif isinstance(found, dict):
            yield Item(line, "", found)
        else:
            yield Item(line, show(raw), "The item of the array is not a JSON object {…}.")


def _read_value(buffer: _Buffer, name: str) -> tuple[Any, int]:
    """The value at the buffer's place, and where it ends."""
    read = json.JSONDecoder(object_pairs_hook=make_object).raw_decode
    while True:
        try:
            found, end = read(buffer.text, buffer.place)
            # The digits of a number may go on behind the buffer.
            if buffer.is_last or end < len(buffer.text) or isinstance(found, dict | list):
                return found, end
        except (ValueError, RecursionError) as error:
            if buffer.is_last or len(buffer.text) - buffer.place > MAX_OBJECT:
                reason = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
                raise SourceError(
                    f"{name}, line {buffer.line}: what begins here is not JSON ({reason}): "
                    f"{show(buffer.text[buffer.place : buffer.place + 80])} Correct it, or write "
                    "the table again."
                ) from error
        buffer.grow()
