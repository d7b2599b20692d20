"""Finds out whether the end of a picture is in its file, by marks and lengths; nothing is decoded.

JPEG 2000: tile-parts and EOC (ITU-T T.800 A.4), in the boxes of JP2 (I.4) or without. GIF: blocks
and the trailer (GIF89a 15 to 27). BMP and binary PNM: the size of their rows. AVIF: boxes (ISO/IEC
14496-12 4.2). PNM in plain text can be cut short unnoticed.
"""

import re
import struct
from collections.abc import Callable, Iterator
from typing import BinaryIO, NamedTuple

from catalog.imaging.budget import TooMuch

PNM_HEAD = 1024
TAIL = 64 << 10
MAX_PARTS = 10_000  # boxes, markers and tile-parts that are looked at
MAX_GIF_BLOCKS = 1_000_000  # of up to 255 bytes; what lies behind them is not looked at
MAX_GIF_START = 1 << 20

JPEG_2000_STREAM = b"\xff\x4f\xff\x51"  # SOC, then SIZ
JPEG_2000_FILE = b"\0\0\0\x0cjP  \r\n\x87\n"
_END_OF_STREAM, _TILE_PART = b"\xff\xd9", b"\xff\x90"
_SHORTEST_TILE_PART = 14
_BOX_HEADER, _LONG_BOX_HEADER = 8, 16
GIF_MARKS = (b"GIF87a", b"GIF89a")
_GIF_TRAILER, _GIF_EXTENSION, _GIF_IMAGE = b";", b"!", b","
_RLE = (1, 2)
_PNM_NUMBER = rb"(?:\s|#[^\n]*\n)+([0-9]{1,9})"
_PNM_BITS = re.compile(rb"P4" + _PNM_NUMBER * 2 + rb"\s")
_PNM_BYTES = re.compile(rb"P[56]" + _PNM_NUMBER * 3 + rb"\s")


class Box(NamedTuple):
    """A part of a file of boxes; ``end`` may lie beyond the file."""

    kind: bytes
    start: int  # of its content
    end: int


def find_end_check(head: bytes) -> Callable[[BinaryIO], bool] | None:
    """The function that tells whether such a file is whole, by its first bytes; None if unknown."""
    if head.startswith(JPEG_2000_FILE):
        return _has_whole_codestream
    if head.startswith(JPEG_2000_STREAM):
        return has_whole_stream
    if head.startswith(GIF_MARKS):
        return _has_gif_trailer
    if head[4:8] == b"ftyp":
        return has_whole_boxes
    if head.startswith((b"P4", b"P5", b"P6")):
        return _has_pnm_rows
    return _has_bitmap_rows if head.startswith(b"BM") else None


def has_mark(file: BinaryIO, mark: bytes, start: int) -> bool:
    """Whether ``mark`` stands behind ``start``; some software appends data of its own to it."""
    size = file.seek(0, 2)
    tail = max(start, size - TAIL)
    file.seek(tail)
    if mark in file.read(TAIL):
        return True
    file.seek(start)
    kept = b""
    while file.tell() < tail and (block := file.read(1 << 20)):
        if mark in kept + block:
            return True
        kept = block[1 - len(mark) :]
    return False


def iter_boxes(file: BinaryIO) -> Iterator[Box]:
    """The outer boxes, up to one without a plain length."""
    size = file.seek(0, 2)
    at = 0
    for _ in range(MAX_PARTS):
        if at > size:  # no offset of a file holds some of these lengths
            return
        file.seek(at)
        header = file.read(_LONG_BOX_HEADER)
        if len(header) < _BOX_HEADER:
            return
        length, start = int.from_bytes(header[:4], "big"), at + _BOX_HEADER
        if length == 1:
            length, start = int.from_bytes(header[8:], "big"), at + _LONG_BOX_HEADER
        elif length == 0:  # up to the end of the file
            length = size - at
        if at + length < start:
            return
        yield Box(header[4:8], start, at + length)
        at += length


def has_whole_boxes(file: BinaryIO) -> bool:
    """Whether no box is longer than the file."""
    ends = [box.end for box in iter_boxes(file)]
    return max(ends, default=0) <= file.seek(0, 2)


def _has_whole_codestream(file: BinaryIO) -> bool:
    """Of JP2 only what stands before the end of its picture counts."""
    start = next((box.start for box in iter_boxes(file) if box.kind == b"jp2c"), None)
    return start is not None and has_whole_stream(file, start)


def has_whole_stream(file: BinaryIO, start: int = 0) -> bool:
    """Whether a JPEG 2000 codestream has its end: go from marker to marker, and over tile-parts."""
    at = start + 2
    for _ in range(MAX_PARTS):
        file.seek(at)
        part = file.read(10)
        marker, length = part[:2], int.from_bytes(part[2:4], "big")
        if marker == _END_OF_STREAM:
            return True
        if marker == _TILE_PART:
            length = int.from_bytes(part[6:10], "big")
            if length < _SHORTEST_TILE_PART:  # up to the end
                break
            at += length
        elif marker[:1] == b"\xff" and length >= 2:
            at += 2 + length
        else:
            break
    # Compressed data cannot contain the mark (T.800 B.10.1, D.2).
    return has_mark(file, _END_OF_STREAM, at)


def _has_gif_trailer(file: BinaryIO) -> bool:
    """Go from block to block up to the trailer."""
    file.seek(0)
    _skip_colors(file, file.read(13)[10:11])
    left = MAX_GIF_BLOCKS
    while (kind := file.read(1)) != _GIF_TRAILER:
        if kind == _GIF_IMAGE:
            _skip_colors(file, file.read(9)[8:9])
        elif kind != _GIF_EXTENSION:
            return False
        file.seek(1, 1)  # the label of an extension, or the first code size of an image
        left -= _skip_blocks(file, left) + 1
        if left <= 0:
            return True
    return True


def read_gif_size(file: BinaryIO) -> tuple[int, int] | None:
    """Width and height: the screen, or its first image where that is larger; None without one.

    Raises TooMuch where so much precedes the image that Pillow would read it for minutes: it adds
    each block of a comment to all before it.
    """
    file.seek(0)
    screen = file.read(13)
    if len(screen) < 13:
        return None
    width, height = struct.unpack("<HH", screen[6:10])
    _skip_colors(file, screen[10:11])
    while (kind := file.read(1)) == _GIF_EXTENSION:
        file.seek(1, 1)
        _skip_blocks(file, MAX_GIF_BLOCKS, MAX_GIF_START)
        if file.tell() > MAX_GIF_START:
            raise TooMuch("Its comments are longer than any need to be.")
    place = file.read(8)
    if kind != _GIF_IMAGE or len(place) < 8:
        return None
    left, top, image_width, image_height = struct.unpack("<HHHH", place)
    return max(width, left + image_width), max(height, top + image_height)


def _skip_blocks(file: BinaryIO, most: int, end: int | None = None) -> int:
    """Skip blocks up to an empty one, at most so many and not beyond ``end``; count them."""
    for count in range(most):
        length = file.read(1)
        if length in (b"", b"\0") or (end is not None and file.tell() > end):
            return count
        file.seek(length[0], 1)
    return most


def _skip_colors(file: BinaryIO, flags: bytes) -> None:
    if flags and flags[0] & 0x80:
        file.seek(3 << (flags[0] & 7) + 1, 1)


def _has_bitmap_rows(file: BinaryIO) -> bool:
    """Whether the rows are there; the length in the header of the file is often wrong."""
    file.seek(0)
    head = file.read(54)
    if len(head) < 26:
        return False
    offset, header = struct.unpack("<II", head[10:18])
    kind = packed = 0
    if header == 12:
        width, height, _, bits = struct.unpack("<HHHH", head[18:26])
    elif len(head) < 38:
        return False
    else:
        width, height, _, bits, kind, packed = struct.unpack("<iiHHII", head[18:38])
    length = packed if kind in _RLE else (abs(width) * bits + 31) // 32 * 4 * abs(height)
    return offset + length <= file.seek(0, 2)


def _has_pnm_rows(file: BinaryIO) -> bool:
    """Whether the rows of PBM, PGM or PPM are there; true of a long header without sizes."""
    file.seek(0)
    head = file.read(PNM_HEAD)
    if found := _PNM_BITS.match(head):
        width, height = map(int, found.groups())
        length = (width + 7) // 8 * height
    elif found := _PNM_BYTES.match(head):
        width, height, most = map(int, found.groups())
        length = width * height * (1 + (most > 255)) * (3 if head.startswith(b"P6") else 1)
    else:
        return len(head) == PNM_HEAD
    return found.end() + length <= file.seek(0, 2)
