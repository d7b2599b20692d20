"""DICOM files made for a test, and the real ones that pydicom ships."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence

from catalog.imaging.dicom.deidentify import Pseudonyms, deidentify

ROOT = Path(pydicom.__file__).parent / "data"


def find_shipped() -> list[Path]:
    """Every file beside pydicom's tests that claims to be DICOM, in order."""
    files = (path for path in ROOT.rglob("*") if path.is_file() and path.suffix != ".py")
    return sorted(path for path in files if path.read_bytes()[128:132] == b"DICM")


def read_shipped(name: str) -> bytes:
    """The bytes of one of pydicom's test files."""
    return (ROOT / "test_files" / name).read_bytes()


def make_dicom(
    pixels: np.ndarray | None = None, *, syntax: str = uid.ExplicitVRLittleEndian, **elements: Any
) -> bytes:
    """A small DICOM file; `pixels` is (rows, columns), (frames, rows, columns) or (…, 3) for color.

    `elements` go by keyword; None leaves one out that would be there.
    """
    dataset = Dataset()
    dataset.SOPClassUID = uid.SecondaryCaptureImageStorage
    dataset.SOPInstanceUID = uid.UID("1.2.3.4")
    dataset.Modality = "OT"
    if pixels is not None:
        _add_pixels(dataset, pixels, big_endian=syntax == uid.ExplicitVRBigEndian)
    for keyword, value in elements.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    return write_dicom(dataset, syntax)


def write_dicom(dataset: Dataset, syntax: str) -> bytes:
    """`dataset` as a file in the given transfer syntax."""
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = uid.UID(syntax)
    dataset.file_meta.MediaStorageSOPClassUID = uid.UID(dataset.get("SOPClassUID", "1.2"))
    dataset.file_meta.MediaStorageSOPInstanceUID = uid.UID("1.2.3.4")
    out = io.BytesIO()
    pydicom.dcmwrite(out, dataset, enforce_file_format=True)
    return out.getvalue()


def make_item(**elements: Any) -> Sequence:
    """A sequence of one item."""
    item = Dataset()
    for keyword, value in elements.items():
        setattr(item, keyword, value)
    return Sequence([item])


def _add_pixels(dataset: Dataset, pixels: np.ndarray, *, big_endian: bool) -> None:
    color = pixels.ndim > 2 and pixels.shape[-1] == 3
    rows, columns = pixels.shape[-3:-1] if color else pixels.shape[-2:]
    bits = pixels.dtype.itemsize * 8
    dataset.Rows, dataset.Columns = rows, columns
    if pixels.ndim - color == 3:
        dataset.NumberOfFrames = pixels.shape[0]
    dataset.SamplesPerPixel = 3 if color else 1
    dataset.PhotometricInterpretation = "RGB" if color else "MONOCHROME2"
    if color:
        dataset.PlanarConfiguration = 0
    dataset.BitsAllocated = dataset.BitsStored = bits
    dataset.HighBit, dataset.PixelRepresentation = bits - 1, int(pixels.dtype.kind == "i")
    data = pixels.astype(pixels.dtype.newbyteorder(">" if big_endian else "<")).tobytes()
    if pixels.dtype.kind == "f":
        dataset.FloatPixelData = data
    else:
        dataset.add_new("PixelData", "OB" if bits == 8 else "OW", data + b"\0" * (len(data) % 2))


def deidentified(content: bytes, pseudonyms: Pseudonyms) -> bytes:
    """What becomes of a file with these contents."""
    out = io.BytesIO()
    deidentify(io.BytesIO(content), out, pseudonyms)
    return out.getvalue()


def damage(content: bytes, changes: list[tuple[int, bytes]], length: int) -> tuple[bytes, bytes]:
    """The file with bytes written over at places, whole and cut to a length."""
    damaged = bytearray(content)
    for place, data in changes:
        damaged[place : place + len(data)] = data
    return bytes(damaged), bytes(damaged[:length])
