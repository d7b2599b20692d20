"""Folders of small real files for imports: pictures, NIfTI volumes, DICOM files."""

import gzip
import io
import os
import stat
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from catalog.tests.imaging.dicom_files import make_dicom


def write_files(root: Path, files: Mapping[str, bytes]) -> Path:
    """Write ``{path: content}`` below a folder, which is made, and return the folder."""
    root.mkdir(parents=True, exist_ok=True)
    for path, content in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    return root


def make_picture(width: int = 8, height: int = 6, *, form: str = "PNG", shade: int = 9) -> bytes:
    """A plain grey picture."""
    out = io.BytesIO()
    Image.new("L", (width, height), shade).save(out, form)
    return out.getvalue()


def make_scan(**elements: Any) -> bytes:
    """A small DICOM file with pixels, 5 columns by 4 rows."""
    return make_dicom(np.arange(20, dtype=np.uint16).reshape(4, 5), **elements)


def make_nifti(
    *edges: int,
    version: int = 1,
    order: str = "<",
    datatype: int = 4,
    voxel: tuple[float, ...] = (1.0, 1.0, 2.5),
    units: int = 2,
    count: int | None = None,
    mark: bytes | None = None,
    num_bytes: int | None = None,
    packed: bool = False,
) -> bytes:
    """A NIfTI-1 or NIfTI-2 file of zeros; by default 16-bit voxels, measured in millimetres.

    ``count`` is the number of dimensions that the header states, ``num_bytes`` how many bytes of
    voxels follow it; both are right unless they are given.
    """
    dim = (len(edges) if count is None else count, *edges, *[1] * (7 - len(edges)))
    pixdim = (1.0, *voxel, *[0.0] * (7 - len(voxel)))
    length = 348 if version == 1 else 540
    header = bytearray(length + 4)
    struct.pack_into(f"{order}i", header, 0, length)
    if version == 1:
        struct.pack_into(f"{order}8h", header, 40, *dim)
        struct.pack_into(f"{order}hh", header, 70, datatype, 16)
        struct.pack_into(f"{order}8f", header, 76, *pixdim)
        struct.pack_into(f"{order}f", header, 108, len(header))
        struct.pack_into("B", header, 123, units)
        header[344:348] = mark or b"n+1\0"
    else:
        header[4:12] = mark or b"n+2\0\r\n\x1a\n"
        struct.pack_into(f"{order}hh", header, 12, datatype, 16)
        struct.pack_into(f"{order}8q", header, 16, *dim)
        struct.pack_into(f"{order}8d", header, 104, *pixdim)
        struct.pack_into(f"{order}q", header, 168, len(header))
        struct.pack_into(f"{order}i", header, 500, units)
    if num_bytes is None:
        num_bytes = int(np.prod([max(edge, 0) for edge in edges])) * 2
    content = bytes(header) + bytes(num_bytes)
    return gzip.compress(content, mtime=0) if packed else content


@contextmanager
def as_someone_else(folder: Path) -> Iterator[None]:
    """Root may read everything, so for a moment this is nobody, who may enter ``folder``."""
    if os.geteuid():
        yield
        return
    # pytest keeps its folders, of which there are more under xdist, to itself.
    for each in (folder, *folder.parents):
        if each.stat().st_uid == 0 and "pytest" in str(each):
            each.chmod(0o755)
    for each in folder.iterdir():
        if each.stat().st_mode & stat.S_IRWXU:
            each.chmod(0o755)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)
