"""Refuses codestreams whose decoding would cost far more than their pixels.

Each scan of a JPEG goes over the whole picture (ITU-T T.81 B.2.3), and a file of a megabyte has
room for a hundred thousand. A decoder of JPEG 2000 takes memory for each component and each tile
that the header states (ITU-T T.800 A.5.1), before it reads any of them.
"""

import re
import struct

from catalog.imaging.budget import TooMuch, check_memory

MAX_SCANS = 500  # of a small picture
MAX_SCANNED_PIXELS = 1_000_000_000  # pixels times scans
MAX_SEGMENTS = 10_000
MAX_TILES = 4096
MAX_COMPONENTS = 4
_SIZ = b"\xff\x4f\xff\x51"
# Neither a stuffed byte, nor a restart, nor a fill byte.
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_START, _END, _ALONE, _SCAN = 0xD8, 0xD9, 0x01, 0xDA


def check_scans(data: bytes, width: int, height: int) -> None:
    """Raises TooMuch if the JPEG in ``data`` goes over its picture too many times."""
    most = min(MAX_SCANS, max(1, MAX_SCANNED_PIXELS // max(1, width * height)))
    at = scans = 0
    for _ in range(MAX_SEGMENTS):
        found = _MARKER.search(data, at)
        if not found:
            return
        at, marker = found.start(), data[found.start() + 1]
        if marker == _END:
            return
        scans += marker == _SCAN
        if scans > most:
            raise TooMuch(f"It has more than {most} scans, which would take too long to decode.")
        alone = marker in (_START, _ALONE)
        at += 2 if alone else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    raise TooMuch("It has more segments than any JPEG needs.")


def check_jpeg_2000(data: bytes) -> None:
    """Raises TooMuch if the first codestream in ``data`` states too many components or tiles."""
    at = data.find(_SIZ)
    if at < 0 or len(data) < at + 42:
        return  # nothing that could be decoded
    right, bottom, left, top, tile_width, tile_height, tile_left, tile_top, components = (
        struct.unpack(">8IH", data[at + 8 : at + 42])
    )
    if components > MAX_COMPONENTS:
        raise TooMuch(f"It has {components} components (limit: {MAX_COMPONENTS}).")
    if not (tile_width and tile_height and right > left and bottom > top):
        return  # refused by every decoder
    columns = -(-(right - tile_left) // tile_width)
    rows = -(-(bottom - tile_top) // tile_height)
    if columns * rows > MAX_TILES:
        raise TooMuch(f"It has {columns * rows} tiles (limit: {MAX_TILES}).")
    # The decoder has 32 bits for a sample, twice where tiles become a picture.
    copies = 1 if columns * rows == 1 else 2
    check_memory(right - left, bottom - top, 4 * copies * components)
