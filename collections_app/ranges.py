"""HTTP ranges of one file (RFC 9110, section 14). Pure."""

import re
from dataclasses import dataclass

# Twenty digits are more than any file has bytes, and fewer than Python refuses to read.
_RANGE = re.compile(r"bytes=\s*([0-9]{0,20})\s*-\s*([0-9]{0,20})\s*", re.IGNORECASE)


class NotSatisfiable(Exception):
    """The range lies outside the file: 416."""


@dataclass(frozen=True, slots=True)
class ByteRange:
    """Bytes ``start`` to ``stop``, the latter not included."""

    start: int
    stop: int

    @property
    def length(self) -> int:
        return self.stop - self.start


def parse_range(header: str, size: int) -> ByteRange | None:
    """The one range that is asked for; None where the whole file is the right answer.

    Several ranges, other units and malformed headers are answered with the whole file, as
    RFC 9110 allows.

    Raises:
        NotSatisfiable: the range begins behind the last byte.
    """
    match = _RANGE.fullmatch(header.strip())
    if not match or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if not first:
        return _suffix(int(last), size)
    start, stop = int(first), min(int(last) + 1 if last else size, size)
    if last and int(last) < start:
        return None
    if start >= size:
        raise NotSatisfiable
    return ByteRange(start, stop)


def _suffix(length: int, size: int) -> ByteRange:
    if not length or not size:
        raise NotSatisfiable
    return ByteRange(max(0, size - length), size)
