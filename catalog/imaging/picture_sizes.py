"""The size of a WebP or AVIF picture, by its header alone.

Pillow reads such a file to its end and prepares for decoding only to tell its size. WebP: RFC 9649.
AVIF: boxes of ISO/IEC 14496-12, properties of items of ISO/IEC 23008-12 6.5 and 9.3.
"""

import struct
from collections.abc import Iterator
from typing import BinaryIO

from catalog.imaging.picture_ends import iter_boxes

AVIF_BRANDS = (b"avif", b"avis", b"mif1", b"msf1")
MAX_META = 1 << 20


class NoSize(ValueError):
    """The header is damaged."""


def is_webp(head: bytes) -> bool:
    return head[:4] == b"RIFF" and head[8:12] == b"WEBP"


def is_avif(head: bytes) -> bool:
    return head[4:8] == b"ftyp" and head[8:12] in AVIF_BRANDS


def read_webp_size(file: BinaryIO) -> tuple[int, int]:
    """Width and height. Raises NoSize."""
    file.seek(12)
    chunk = file.read(18)
    kind, data = chunk[:4], chunk[8:]
    if kind == b"VP8X" and len(data) == 10:
        return _read_3(data, 4) + 1, _read_3(data, 7) + 1
    if kind == b"VP8L" and len(data) >= 5 and data[0] == 0x2F:
        bits = int.from_bytes(data[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 " and len(data) == 10 and data[3:6] == b"\x9d\x01\x2a":
        width, height = struct.unpack("<HH", data[6:])
        return width & 0x3FFF, height & 0x3FFF
    raise NoSize


def _read_3(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 3], "little")


def read_avif_size(file: BinaryIO) -> tuple[int, int] | None:
    """Width and height of the main picture; None if the header does not tell. Raises NoSize."""
    meta = next((box for box in iter_boxes(file) if box.kind == b"meta"), None)
    if meta is None or meta.end - meta.start > MAX_META:
        raise NoSize
    file.seek(meta.start)
    data = file.read(meta.end - meta.start)
    try:
        found = dict(_split(data[4:]))
        properties = dict(_split(found[b"iprp"]))
        item = int.from_bytes(found[b"pitm"][4 : 6 if found[b"pitm"][0] == 0 else 8], "big")
        kinds = list(_split(properties[b"ipco"]))
        for index in _read_properties(properties[b"ipma"], item):
            if 1 <= index <= len(kinds) and kinds[index - 1][0] == b"ispe":
                width, height = struct.unpack(">4xII", kinds[index - 1][1][:12])
                return width, height
    except (LookupError, struct.error) as error:
        raise NoSize from error
    return None


def _split(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The boxes in ``data``, as kind and content."""
    at = 0
    while at + 8 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        if length < 8:
            return
        yield data[at + 4 : at + 8], data[at + 8 : at + length]
        at += length


def _read_properties(data: bytes, item: int) -> list[int]:
    """The numbers of the properties of ``item``, from 1 on."""
    is_long_id, is_long_index = data[0] > 0, data[3] & 1
    at, width = 8, 2 if is_long_index else 1
    for _ in range(int.from_bytes(data[4:8], "big")):
        size = 4 if is_long_id else 2
        number, count = int.from_bytes(data[at : at + size], "big"), data[at + size]
        at += size + 1
        if number == item:
            mask = 0x7FFF if is_long_index else 0x7F
            places = range(at, at + count * width, width)
            return [int.from_bytes(data[p : p + width], "big") & mask for p in places]
        at += count * width
    return []
