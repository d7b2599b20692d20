"""Reads the sub-pages of a TIFF page (SubIFDs, TIFF Technical Note 1), as pyramids of OME-TIFF use.

Pillow reads only the pages that follow one another, and of a BigTIFF not the type IFD8 that many of
them give these offsets.
"""

import struct
from typing import BinaryIO

from PIL import TiffImagePlugin

SUB_IFDS = 330
_SIZES = {4: 4, 13: 4, 16: 8, 18: 8}  # LONG, IFD, LONG8, IFD8
_MOST_ENTRIES = 1_000


def read_offsets(file: BinaryIO, page: int, most: int) -> list[int]:
    """Where the sub-pages of the page at ``page`` are, at most ``most``.

    Those of sub-pages are not followed. Raises EOFError where the file ends before their list.
    """
    header = _read_header(file)
    order = "<" if header[:1] == b"I" else ">"
    is_big = len(header) == 16
    entry, kind = (20, "Q") if is_big else (12, "I")
    file.seek(page)
    count = _unpack(file.read(8 if is_big else 2), order + ("Q" if is_big else "H"))
    entries = file.read(entry * min(count, _MOST_ENTRIES))
    for at in range(0, len(entries) - entry + 1, entry):
        tag, type_ = struct.unpack_from(f"{order}HH", entries, at)
        size = _SIZES.get(type_, 0)
        if tag != SUB_IFDS or not size:
            continue
        (number,) = struct.unpack_from(order + kind, entries, at + 4)
        data = entries[at + 4 + struct.calcsize(kind) : at + entry]
        if number * size > len(data):
            file.seek(_unpack(data, order + kind))
            data = file.read(size * min(number, most))
        number = min(number, most)
        if len(data) < number * size:
            raise EOFError("The file ends before the list of sub-pages.")
        return [*struct.unpack_from(f"{order}{number}{'I' if size == 4 else 'Q'}", data)]
    return []


def holds_directory(file: BinaryIO) -> bool:
    """Whether the directory of the first page is there: many programs write it last."""
    header = _read_header(file)
    order = "<" if header[:1] == b"I" else ">"
    is_big = len(header) == 16
    page = _unpack(header[8 if is_big else 4 :], order + ("Q" if is_big else "I"))
    size = file.seek(0, 2)
    if not 0 < page < size:
        return False
    file.seek(page)
    count_size, entry = (8, 20) if is_big else (2, 12)
    count = _unpack(file.read(count_size), order + ("Q" if is_big else "H"))
    return count > 0 and page + count_size + count * entry <= size


def open_subpage(file: BinaryIO, offset: int) -> TiffImagePlugin.TiffImageFile:
    """The page at ``offset``, as if it were the first of its file; raises as Pillow does."""
    header = _read_header(file)
    width = 8 if len(header) == 16 else 4
    order = "little" if header[:1] == b"I" else "big"
    head = header[:-width] + offset.to_bytes(width, order)  # type: ignore[arg-type]
    file.seek(0)
    return TiffImagePlugin.TiffImageFile(_OtherHead(file, head))  # type: ignore[arg-type]


class _OtherHead:
    """The same file with other first bytes."""

    def __init__(self, file: BinaryIO, head: bytes) -> None:
        self.seek, self.tell, self.fileno = file.seek, file.tell, file.fileno
        self._file, self._head = file, head

    def read(self, size: int = -1) -> bytes:
        head = self._head[self._file.tell() :]
        data = self._file.read(size)
        return head[: len(data)] + data[len(head) :]


def _read_header(file: BinaryIO) -> bytes:
    """With the offset of the first page at its end: 8 bytes, of BigTIFF 16."""
    file.seek(0)
    header = file.read(16)
    return header if 43 in header[2:4] else header[:8]


def _unpack(data: bytes, form: str) -> int:
    """The number; 0 where the file ends before it."""
    size = struct.calcsize(form)
    return int(struct.unpack(form, data[:size])[0]) if len(data) >= size else 0
