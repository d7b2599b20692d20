"""The header of a NIfTI file: how large the volume is. Read within bounds, from gzip too. Pure.

Formats: NIfTI-1 (348 bytes, ``nifti1.h``, https://nifti.nimh.nih.gov/nifti-1) and NIfTI-2 (540
bytes, ``nifti2.h``, https://nifti.nimh.nih.gov/nifti-2), each in either byte order, told by the
header's own length in its first four bytes; gzip: RFC 1952. Places below are byte offsets.
"""

import math
import os
import struct
import zlib
from dataclasses import dataclass
from typing import BinaryIO

from catalog.importers.folders.source import Unreadable

MAX_EDGE = 2**31 - 1
_GZIP = b"\x1f\x8b"
_AUTO_GZIP = 16 + zlib.MAX_WBITS
# A gzip header may hold a name and a comment before the first byte of the file.
_MAX_GZIP_BYTES = 64 << 10
_UNITS = {1: "m", 2: "mm", 3: "µm"}
# The code of a datatype: its name, and the bits of a voxel.
_DATATYPES = {
    1: ("bit", 1),
    2: ("uint8", 8),
    4: ("int16", 16),
    8: ("int32", 32),
    16: ("float32", 32),
    32: ("complex64", 64),
    64: ("float64", 64),
    128: ("rgb24", 24),
    256: ("int8", 8),
    512: ("uint16", 16),
    768: ("uint32", 32),
    1024: ("int64", 64),
    1280: ("uint64", 64),
    1536: ("float128", 128),
    1792: ("complex128", 128),
    2048: ("complex256", 256),
    2304: ("rgba32", 32),
}


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where a version of the format keeps what is read here, as (offset, struct code)."""

    length: int
    mark: tuple[int, bytes]
    dim: tuple[int, str]
    datatype: tuple[int, str]
    pixdim: tuple[int, str]
    vox_offset: tuple[int, str]
    units: tuple[int, str]


_LAYOUTS = {
    348: _Layout(
        348, (344, b"n+1\0"), (40, "8h"), (70, "h"), (76, "8f"), (108, "f"), (123, "B")
    ),
    540: _Layout(
        540, (4, b"n+2\0\r\n\x1a\n"), (16, "8q"), (12, "h"), (104, "8d"), (168, "q"), (500, "i")
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class NiftiHeader:
    """A volume: its edges in voxels, the spatial ones first; the voxel's edges in ``unit``.

    ``unit`` is m, mm, µm or '' where the file does not say; ``voxel_size`` has up to three edges.
    """

    dimensions: tuple[int, ...]
    voxel_size: tuple[float, ...]
    unit: str
    datatype: str


def read_nifti_header(file: BinaryIO) -> NiftiHeader:
    """Read the header of a .nii or .nii.gz file, opened at its start.

    Raises:
        Unreadable: it is no NIfTI file, its header contradicts itself, or (where that can be told
            without inflating all of it) the voxels are cut short.
    """
    raw = _read_start(file)
    layout, order = _find_layout(raw)
    if len(raw) < layout.length:
        raise _damaged(f"it ends after {len(raw)} bytes of its header")
    at, mark = layout.mark
    if raw[at : at + len(mark)] != mark:
        raise _damaged("the mark of a single-file NIfTI is missing")

    def read(place: tuple[int, str]) -> tuple:
        return struct.unpack_from(order + place[1], raw, place[0])

    dimensions = _check_dimensions(read(layout.dim))
    name, bits = _check_datatype(*read(layout.datatype))
    _check_length(file, read(layout.vox_offset)[0], math.prod(dimensions) * bits)
    sizes = [abs(size) for size in read(layout.pixdim)[1 : 1 + min(3, len(dimensions))]]
    unit = _UNITS.get(read(layout.units)[0] & 7, "")
    voxel = tuple(float(f"{size:.6g}") for size in sizes if math.isfinite(size))
    return NiftiHeader(dimensions, voxel if len(voxel) == len(sizes) else (), unit, name)


def _read_start(file: BinaryIO) -> bytes:
    longest = max(_LAYOUTS)
    raw = file.read(longest)
    if raw[:2] != _GZIP:
        return raw
    raw += file.read(_MAX_GZIP_BYTES)
    try:
        return zlib.decompressobj(_AUTO_GZIP).decompress(raw, longest)
    except zlib.error as error:
        raise _damaged("its gzip stream cannot be inflated") from error


def _find_layout(raw: bytes) -> tuple[_Layout, str]:
    for order in "<>":
        length = struct.unpack_from(f"{order}i", raw.ljust(4, b"\0"))[0]
        if length in _LAYOUTS:
            return _LAYOUTS[length], order
    raise Unreadable(
        "This is not a NIfTI file: it does not begin with 348 or 540, the length of its header. "
        "Replace it, or remove it."
    )


def _check_dimensions(dim: tuple[int, ...]) -> tuple[int, ...]:
    count, edges = dim[0], dim[1:]
    if not 1 <= count <= 7:
        raise _damaged(f"it says it has {count} dimensions, where 1 to 7 are possible")
    if not all(1 <= edge <= MAX_EDGE for edge in edges[:count]):
        shown = " × ".join(map(str, edges[:count]))
        raise _damaged(f"{shown} voxels are not possible")
    return edges[:count]


def _check_datatype(code: int) -> tuple[str, int]:
    if code not in _DATATYPES:
        raise _damaged(f"it has the datatype {code}, which NIfTI does not know")
    return _DATATYPES[code]


def _check_length(file: BinaryIO, offset: float, num_bits: int) -> None:
    """A plain file must hold all its voxels; a compressed one would have to be inflated."""
    file.seek(0)
    if file.read(2) == _GZIP:
        return
    size = file.seek(0, os.SEEK_END)
    if not (math.isfinite(offset) and 0 <= offset <= size):
        raise _damaged("its voxels begin outside of the file")
    missing = int(offset) + (num_bits + 7) // 8 - size
    if missing > 0:
        raise _damaged(f"{missing} bytes of its voxels are missing")


def _damaged(what: str) -> Unreadable:
    return Unreadable(f"The NIfTI file is damaged: {what}. Get the file again, or remove it.")
