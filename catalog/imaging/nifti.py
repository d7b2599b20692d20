"""The header of a NIfTI file: how large the volume is. Read within bounds, from gzip too. Pure.

nibabel interprets the header. What it would pass over is checked here: the length in the first four
bytes (348 in NIfTI-1, 540 in NIfTI-2, in either byte order), the mark of a single file, and whether
the voxels are there. https://nifti.nimh.nih.gov/nifti-1, https://nifti.nimh.nih.gov/nifti-2
"""

import gzip
import math
import os
import re
import struct
import zlib
from dataclasses import dataclass
from typing import Any, BinaryIO

from nibabel.nifti1 import Nifti1Header, data_type_codes
from nibabel.nifti2 import Nifti2Header

MAX_EDGE = 2**31 - 1
_GZIP = b"\x1f\x8b"
_AUTO_GZIP = 16 + zlib.MAX_WBITS
# A gzip header may hold a name and a comment before the first byte of the file.
_MAX_GZIP_BYTES = 64 << 10
_READ_SIZE = 1 << 20
_UNITS = {1: "m", 2: "mm", 3: "µm"}
# The length of a version's header: its class, and the mark of a single file with its offset.
_VERSIONS: dict[int, tuple[Any, bytes, int]] = {
    348: (Nifti1Header, b"n+1\0", 344),
    540: (Nifti2Header, b"n+2\0\r\n\x1a\n", 4),
}


class UnreadableNifti(Exception):
    """No NIfTI file, or a damaged one; the message says what is wrong."""


@dataclass(frozen=True, slots=True)
class NiftiHeader:
    """A volume: its edges in voxels, the spatial ones first; the voxel's edges in ``unit``.

    ``unit`` is m, mm, µm or '' where the file does not say; ``voxel_size`` has up to three edges.
    """

    dimensions: tuple[int, ...]
    voxel_size: tuple[float, ...]
    unit: str
    datatype: str


def read_nifti_header(file: BinaryIO, *, max_inflated: int = 0) -> NiftiHeader:
    """Read the header of a .nii or .nii.gz file, opened at its start.

    With `max_inflated`, a .nii.gz file that does not end with the length that its voxels need is
    inflated, to find out whether they are there, but no further than to that many bytes.

    Raises:
        UnreadableNifti: it is no NIfTI file, its header contradicts itself, or its voxels are
            cut short, as far as that is looked at.
    """
    header = _parse(_read_start(file))
    dimensions = _check_dimensions(tuple(header["dim"].tolist()))
    name, bits = _check_datatype(int(header["datatype"]))
    num_bits = math.prod(dimensions) * bits
    _check_length(file, header["vox_offset"].item(), num_bits, max_inflated)
    sizes = [abs(size) for size in header["pixdim"].tolist()[1 : 1 + min(3, len(dimensions))]]
    unit = _UNITS.get(int(header["xyzt_units"]) & 7, "")
    voxel = tuple(float(f"{size:.6g}") for size in sizes if math.isfinite(size))
    return NiftiHeader(dimensions, voxel if len(voxel) == len(sizes) else (), unit, name)


def _read_start(file: BinaryIO) -> bytes:
    longest = max(_VERSIONS)
    raw = file.read(longest)
    if raw[:2] != _GZIP:
        return raw
    raw += file.read(_MAX_GZIP_BYTES)
    try:
        return zlib.decompressobj(_AUTO_GZIP).decompress(raw, longest)
    except zlib.error as error:
        raise _damaged("its gzip stream cannot be inflated") from error


def _parse(raw: bytes) -> Nifti1Header:
    start = raw[:4].ljust(4, b"\0")
    # nibabel tells the order by the number of dimensions, which may be wrong.
    for order in "<>":
        length = struct.unpack(f"{order}i", start)[0]
        if length in _VERSIONS:
            break
    else:
        raise UnreadableNifti(
            "This is not a NIfTI file: it does not begin with 348 or 540, the length of its header."
        )
    kind, mark, offset = _VERSIONS[length]
    if len(raw) < length:
        raise _damaged(f"it ends after {len(raw)} bytes of its header")
    if not raw.startswith(mark, offset):
        raise _damaged("the mark of a single-file NIfTI is missing")
    return kind(raw[:length], order, check=False)


def _check_dimensions(dim: tuple[int, ...]) -> tuple[int, ...]:
    count, edges = dim[0], dim[1:]
    if not 1 <= count <= 7:
        raise _damaged(f"it says it has {count} dimensions, where 1 to 7 are possible")
    if not all(1 <= edge <= MAX_EDGE for edge in edges[:count]):
        shown = " × ".join(map(str, edges[:count]))
        raise _damaged(f"{shown} voxels are not possible")
    return edges[:count]


def _check_datatype(code: int) -> tuple[str, int]:
    """The datatype's name, and the bits of a voxel."""
    if code == 1:  # nibabel has no name for it
        return "bit", 1
    name = str(data_type_codes.niistring.get(code, "")).removeprefix("NIFTI_TYPE_").lower()
    if not name:
        raise _damaged(f"it has the datatype {code}, which NIfTI does not know")
    # nibabel's numpy type has no bits where this machine lacks the type, such as float128.
    return name, int(re.sub("[^0-9]", "", name))


def _check_length(file: BinaryIO, offset: float, num_bits: int, max_inflated: int) -> None:
    """The file must hold all its voxels; a compressed one may have to be inflated to know it."""
    if not (math.isfinite(offset) and offset >= 0):
        raise _damaged("its voxels begin outside of the file")
    needed = int(offset) + (num_bits + 7) // 8
    file.seek(0)
    if file.read(2) == _GZIP:
        if max_inflated:
            _check_inflated(file, needed, max_inflated)
        return
    size = file.seek(0, os.SEEK_END)
    if offset > size:
        raise _damaged("its voxels begin outside of the file")
    if needed > size:
        raise _damaged(f"{needed - size} bytes of its voxels are missing")


def _check_inflated(file: BinaryIO, needed: int, max_inflated: int) -> None:
    """A gzip file ends with its length, modulo 2**32 (RFC 1952); inflated only if that differs.

    It differs in a file that is cut short, and in a whole one of several members.
    """
    file.seek(-4, os.SEEK_END)
    if int.from_bytes(file.read(4), "little") == needed % 2**32:
        return
    file.seek(0)
    if not _inflates_to(file, min(needed, max_inflated)):
        raise _damaged("it is cut short, and voxels are missing")


def _inflates_to(file: BinaryIO, wanted: int) -> bool:
    """Whether a gzip file holds at least `wanted` bytes."""
    found = 0
    try:
        with gzip.GzipFile(fileobj=file, mode="rb") as stream:
            while found < wanted and (part := stream.read(_READ_SIZE)):
                found += len(part)
    except EOFError:
        return False
    except (gzip.BadGzipFile, zlib.error) as error:
        raise _damaged("its gzip stream cannot be inflated") from error
    return found >= wanted


def _damaged(what: str) -> UnreadableNifti:
    return UnreadableNifti(f"The NIfTI file is damaged: {what}.")
