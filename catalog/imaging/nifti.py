"""The header of a NIfTI file or pair: how large the volume is, and whether all of it is there.

nibabel interprets the header. What it would pass over is checked here: the length in the first four
bytes (348 in NIfTI-1, 540 in NIfTI-2, in either byte order), the mark of a single file, and whether
the voxels are there. Of a compressed file, gzip's last four bytes (ISIZE, RFC 1952 2.3.1) say how
long the volume is. Only if they do not agree with the header (other software may have appended
something, or written several gzip members) is the file inflated, part by part, and nothing kept.
Damage within a compressed file is not noticed. https://nifti.nimh.nih.gov/nifti-1, https://nifti.nimh.nih.gov/nifti-2
"""

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
_GZIP_BLOCK = 64 << 10
_INFLATED_BLOCK = 1 << 20
# bgzip writes one for 64 KiB. Behind so many, nobody looks.
_MAX_MEMBERS = 100_000
MAX_INFLATED_BYTES = 1 << 30  # takes two or three seconds
_UNITS = {1: "m", 2: "mm", 3: "µm"}
# The length of a version's header: its class, and the marks of a single file and of the header of
# a pair, with their offset.
_VERSIONS: dict[int, tuple[Any, bytes, bytes, int]] = {
    348: (Nifti1Header, b"n+1\0", b"ni1\0", 344),
    540: (Nifti2Header, b"n+2\0\r\n\x1a\n", b"ni2\0\r\n\x1a\n", 4),
}


class UnreadableNifti(Exception):
    """No NIfTI file, or a damaged one; the message says what is wrong."""


class CutShortNifti(UnreadableNifti):
    """The end of the file is missing."""


@dataclass(frozen=True, slots=True)
class NiftiHeader:
    """A volume: its edges in voxels, the spatial ones first; the voxel's edges in ``unit``.

    ``unit`` is m, mm, µm or '' where the file does not say; ``voxel_size`` has up to three edges.
    """

    dimensions: tuple[int, ...]
    voxel_size: tuple[float, ...]
    unit: str
    datatype: str


def read_nifti_header(file: BinaryIO, *, max_inflated: int = MAX_INFLATED_BYTES) -> NiftiHeader:
    """Read the header of a .nii or .nii.gz file, opened at its start.

    A .nii.gz file that does not end with the length that its voxels need is inflated, to find out
    whether they are there, but no further than to `max_inflated` bytes.

    Raises:
        CutShortNifti: the voxels are cut short. (Beyond `max_inflated` bytes, nobody looks.)
        UnreadableNifti: it is no NIfTI file, or its header contradicts itself.
    """
    header = _parse(_read_start(file))
    found, num_bits = _describe(header)
    _check_length(file, header["vox_offset"].item(), num_bits, max_inflated)
    return found


def read_pair_header(file: BinaryIO, size: int) -> NiftiHeader:
    """Read the .hdr file of a pair, opened at its start; its .img file has ``size`` bytes.

    Raises:
        CutShortNifti: the voxels are cut short.
        UnreadableNifti: it is no NIfTI header, or contradicts itself.
    """
    header = _parse(file.read(max(_VERSIONS)), is_pair=True)
    found, num_bits = _describe(header)
    _check_size(size, header["vox_offset"].item(), num_bits)
    return found


def is_pair_header(head: bytes) -> bool:
    """Whether these first bytes are of the .hdr file of a NIfTI pair."""
    return any(head.startswith(mark, offset) for _, _, mark, offset in _VERSIONS.values())


def _describe(header: Nifti1Header) -> tuple[NiftiHeader, int]:
    """The volume, and the number of bits of its voxels."""
    dimensions = _check_dimensions(tuple(header["dim"].tolist()))
    name, bits = _check_datatype(int(header["datatype"]))
    sizes = [abs(size) for size in header["pixdim"].tolist()[1 : 1 + min(3, len(dimensions))]]
    unit = _UNITS.get(int(header["xyzt_units"]) & 7, "")
    voxel = tuple(float(f"{size:.6g}") for size in sizes if math.isfinite(size))
    found = NiftiHeader(dimensions, voxel if len(voxel) == len(sizes) else (), unit, name)
    return found, math.prod(dimensions) * bits


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


def describe_volume(header: NiftiHeader) -> dict[str, Any]:
    """What the header says, as an image's metadata."""
    found = {
        "dimensions": list(header.dimensions),
        "voxel_size": list(header.voxel_size),
        "voxel_unit": header.unit,
        "datatype": header.datatype,
    }
    return {key: value for key, value in found.items() if value not in ("", [])}


def _parse(raw: bytes, *, is_pair: bool = False) -> Nifti1Header:
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
    kind, single, pair, offset = _VERSIONS[length]
    if len(raw) < length:
        raise _cut_short(f"it ends after {len(raw)} bytes of its header")
    if not raw.startswith(pair if is_pair else single, offset):
        what = "the header of a pair" if is_pair else "a single-file NIfTI"
        raise _damaged(f"the mark of {what} is missing")
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
    """The file must hold all voxels."""
    file.seek(0)
    is_packed = file.read(2) == _GZIP
    size = file.seek(0, os.SEEK_END)
    if is_packed:
        expected = _find_end(offset, num_bits)
        if not _ends_with_length(file, expected) and _inflates_to_less(
            file, expected, max_inflated
        ):
            raise _cut_short("its gzip stream ends too early")
    else:
        _check_size(size, offset, num_bits)


def _find_end(offset: float, num_bits: int) -> int:
    if not (math.isfinite(offset) and offset >= 0):
        raise _damaged("its voxels begin outside of the file")
    return int(offset) + (num_bits + 7) // 8


def _check_size(size: int, offset: float, num_bits: int) -> None:
    expected = _find_end(offset, num_bits)
    if offset > size:
        raise _damaged("its voxels begin outside of the file")
    if expected > size:
        raise _cut_short(f"{expected - size} bytes of its voxels are missing")


def _ends_with_length(file: BinaryIO, expected: int) -> bool:
    file.seek(-4, os.SEEK_END)
    return file.read(4) == struct.pack("<I", expected & 0xFFFFFFFF)


def _inflates_to_less(file: BinaryIO, expected: int, max_inflated: int) -> bool:
    """Whether the gzip members hold fewer bytes than ``expected``, or the last one has no end."""
    file.seek(0)
    inflater, length, members = zlib.decompressobj(_AUTO_GZIP), 0, 1
    packed = b""
    while length < max_inflated and members <= _MAX_MEMBERS:
        packed = packed or file.read(_GZIP_BLOCK)
        if not packed:
            return length < expected or not inflater.eof
        if inflater.eof:
            if not packed.startswith(_GZIP):  # padding behind the last member
                return length < expected
            inflater = zlib.decompressobj(_AUTO_GZIP)
            members += 1
        try:
            length += len(inflater.decompress(packed, _INFLATED_BLOCK))
        except zlib.error as error:
            raise _damaged("its gzip stream cannot be inflated") from error
        packed = inflater.unconsumed_tail or inflater.unused_data
    return False


def _damaged(what: str) -> UnreadableNifti:
    return UnreadableNifti(f"The NIfTI file is damaged: {what}.")


def _cut_short(what: str) -> CutShortNifti:
    return CutShortNifti(f"The NIfTI file is cut short: {what}.")
