"""A PNG writer whose output depends on the pixels alone.

zlib's compressors differ between versions and builds, so the pixels go into *stored* deflate
blocks: larger, and the same bytes everywhere.
"""

import struct
import zlib

import numpy as np
import numpy.typing as npt

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GRAY_8_BIT = (8, 0, 0, 0, 0)  # depth, gray, deflate, adaptive filters, no interlace
_ZLIB_HEADER = b"\x78\x01"  # 32 KiB window, fastest
_LARGEST_BLOCK = 0xFFFF  # a stored block gives its length in 16 bits


def encode_gray_png(pixels: npt.NDArray[np.uint8]) -> bytes:
    """Return `pixels`, shape (height, width), as an uncompressed 8-bit grayscale PNG.

    Formats: PNG (ISO/IEC 15948), zlib (RFC 1950), deflate (RFC 1951). Raises `ValueError` for an
    array that is not two-dimensional, not uint8, or empty.
    """
    if pixels.ndim != 2 or pixels.dtype != np.uint8 or pixels.size == 0:
        raise ValueError("Give a two-dimensional array of uint8 with at least one pixel.")
    height, width = pixels.shape
    rows = np.zeros((height, width + 1), np.uint8)  # each row begins with its filter: 0, none
    rows[:, 1:] = pixels
    return b"".join(
        (
            _SIGNATURE,
            _frame_chunk(b"IHDR", struct.pack(">2I5B", width, height, *_GRAY_8_BIT)),
            _frame_chunk(b"IDAT", _store_zlib(rows.tobytes())),
            _frame_chunk(b"IEND", b""),
        )
    )


def _frame_chunk(kind: bytes, content: bytes) -> bytes:
    check = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)


def _store_zlib(content: bytes) -> bytes:
    starts = range(0, len(content), _LARGEST_BLOCK)
    blocks = b"".join(
        _store_block(content[at : at + _LARGEST_BLOCK], is_last=at == starts[-1]) for at in starts
    )
    return _ZLIB_HEADER + blocks + struct.pack(">I", zlib.adler32(content))


def _store_block(part: bytes, *, is_last: bool) -> bytes:
    return struct.pack("<BHH", is_last, len(part), len(part) ^ 0xFFFF) + part
