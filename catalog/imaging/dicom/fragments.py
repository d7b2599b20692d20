"""Finds out where pixel data end, and whether encapsulated ones are whole (PS3.5 A.4): from
fragment to fragment, and whether the last one has the end mark of its format. Nothing is decoded.
"""

import struct
from typing import BinaryIO, NamedTuple

from pydicom import uid

from catalog.imaging.dicom.stream import UNDEFINED_LENGTH, DicomStream
from catalog.imaging.problems import CutShort

_ITEM, _DELIMITER = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0"
_HTJ2K = (uid.HTJ2KLossless, uid.HTJ2KLosslessRPCL, uid.HTJ2K)
# EOI of JPEG and JPEG-LS, and EOC of JPEG 2000; zeros may follow, to make the length even.
_END_MARK = b"\xff\xd9"
_TAIL = 64
MAX_FRAGMENTS = 1_000_000  # that are looked at; slides of gigapixels have some 100,000
_WITH_END_MARK = frozenset({
    *uid.JPEGTransferSyntaxes, *uid.JPEGLSTransferSyntaxes, *uid.JPEG2000TransferSyntaxes, *_HTJ2K,
})  # fmt: skip
# Each frame has fragments of its own; in a video they are shared.
_BY_FRAME = _WITH_END_MARK - {uid.JPEG2000MCLossless, uid.JPEG2000MC} | {uid.RLELossless}


class Fragments(NamedTuple):
    """What compressed pixel data lack, and where they end."""

    missing_frames: int = 0
    has_end: bool = True
    # The positions behind the last one, and behind the mark of their end; where they are known. Of
    # other pixel data both are their end, and without any, where parsing ended.
    last: int | None = None
    end: int | None = None


def check_fragments(stream: DicomStream, *, frames: int = 1) -> Fragments:
    """Go through the fragments of the pixel data; raises CutShort where one is not whole."""
    pixels = stream.pixels
    if pixels is None:
        return Fragments(last=stream.end, end=stream.end)
    if pixels.length == UNDEFINED_LENGTH:
        return _check(stream.body, pixels.offset, str(stream.transfer_syntax), frames)
    end = pixels.offset + pixels.length
    return Fragments(last=end, end=end)


def _check(file: BinaryIO, start: int, syntax: str, frames: int) -> Fragments:
    size = file.seek(0, 2)
    count, at, length = -1, start, 0  # the first item is the table of offsets
    while count < MAX_FRAGMENTS:
        file.seek(at)
        header = file.read(8)
        if header[:4] != _ITEM:
            break
        count += 1
        length = struct.unpack("<I", header[4:])[0] if len(header) == 8 else size
        at += 8 + length
        if at > size:
            raise CutShort("The file is cut short: it ends within its compressed pixels.")
    else:
        return Fragments()
    if header[:4] != _DELIMITER and header:
        if len(header) < 8:
            raise CutShort("The file is cut short: it ends within its compressed pixels.")
        return Fragments()  # not as PS3.5 has it, so nothing is said
    missing = max(0, frames - max(0, count)) if syntax in _BY_FRAME else 0
    has_end = syntax not in _WITH_END_MARK or _has_end(file, at, length)
    return Fragments(missing, has_end, at, at + len(header))


def _has_end(file: BinaryIO, end: int, length: int) -> bool:
    """Whether the fragment that ends at ``end`` has the mark."""
    tail = min(_TAIL, length)
    file.seek(end - tail)
    return _END_MARK in file.read(tail)
