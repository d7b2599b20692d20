"""Looks at the directories of a TIFF before Pillow reads them (TIFF 6.0 section 2; BigTIFF).

A directory of a few bytes may list thousands of values that all lie at the same place of the file,
and Pillow reads each of them, and makes an object of each number.
"""

import struct
from collections.abc import Iterator, Sequence
from typing import BinaryIO, NamedTuple

from catalog.imaging.budget import TooMuch

MAX_ENTRIES = 4096
# What the values of all directories may take in memory, once they are Python's.
MAX_VALUE_BYTES = 256 << 20
_TEXT, _RATIONAL = (1, 2, 6, 7), (5, 10)  # types that are kept as bytes; fractions
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4,
          16: 8, 17: 8, 18: 8}  # fmt: skip
_NUMBER_BYTES, _RATIONAL_BYTES, _PART_BYTES = 40, 400, 400
_PARTS = (273, 324)  # offsets of strips and tiles: Pillow keeps more of each


class Header(NamedTuple):
    """The byte order, and how directories are written."""

    order: str
    count_form: str  # of entries
    offset: str
    entry: int  # the size of one
    first: int  # the offset of the first directory


def read_tiff_header(file: BinaryIO) -> Header:
    """The header of a TIFF; its first directory is at 0 where the file ends too early."""
    file.seek(0)
    head = file.read(16)
    order = "<" if head[:1] == b"I" else ">"
    if 43 in head[2:4]:
        first = struct.unpack(f"{order}Q", head[8:])[0] if len(head) == 16 else 0
        return Header(order, f"{order}Q", f"{order}Q", 20, first)
    first = struct.unpack(f"{order}I", head[4:8])[0] if len(head) >= 8 else 0
    return Header(order, f"{order}H", f"{order}I", 12, first)


def check_directories(file: BinaryIO, most: int) -> None:
    """Raises TooMuch if one of the first ``most`` directories, or all together, are too large."""
    header = read_tiff_header(file)
    _check_chain(file, header, header.first, most, MAX_VALUE_BYTES)
    file.seek(0)


def check_subdirectories(file: BinaryIO, offsets: Sequence[int]) -> None:
    """The same of the directories at these offsets."""
    header, left = read_tiff_header(file), MAX_VALUE_BYTES
    for offset in offsets:
        left = _check_chain(file, header, offset, 1, left)


def _check_chain(file: BinaryIO, header: Header, start: int, most: int, left: int) -> int:
    """Check directories from the one at ``start`` on; returns what is left of ``left`` bytes."""
    at, seen = start, set[int]()
    while at and at not in seen and len(seen) < most:
        seen.add(at)
        file.seek(at)
        count = _unpack(file, header.count_form)
        if count is None:
            break
        entries = file.read(min(count, MAX_ENTRIES + 1) * header.entry)
        if len(entries) > MAX_ENTRIES * header.entry:
            raise TooMuch(f"A directory has {count} entries (limit: {MAX_ENTRIES}).")
        left -= sum(_cost(*entry) for entry in _iter_entries(entries, header))
        if left < 0:
            raise TooMuch("The values of its directories are too large.")
        at = _unpack(file, header.offset) or 0
    return left


def _iter_entries(entries: bytes, header: Header) -> Iterator[tuple[int, int, int]]:
    """Tag, type and number of values of each entry."""
    form = f"{header.order}HH{header.offset[-1]}"
    for at in range(0, len(entries) - header.entry + 1, header.entry):
        yield struct.unpack_from(form, entries, at)


def _cost(tag: int, kind: int, count: int) -> int:
    if kind in _TEXT:
        return 2 * count
    if tag in _PARTS:
        return _PART_BYTES * count
    each = _RATIONAL_BYTES if kind in _RATIONAL else _NUMBER_BYTES
    return each * count if kind in _SIZES else 0


def _unpack(file: BinaryIO, form: str) -> int | None:
    data = file.read(struct.calcsize(form))
    return int(struct.unpack(form, data)[0]) if len(data) == struct.calcsize(form) else None
