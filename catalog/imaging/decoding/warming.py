"""Renders small pictures of its own: what libraries prepare at their first use is then there.

A fork of the kept process would prepare it for its one picture; that takes as long as the picture.
"""

import gc
import io

import numpy as np
from PIL import AvifImagePlugin, Image
from pydicom import dcmwrite, uid
from pydicom.dataset import Dataset, FileMetaDataset

from catalog.imaging.rendering import render_preview

_RAMP = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)


def warm_up() -> None:
    """Make this process ready to be forked for pictures."""
    Image.init()
    # Threads would only add memory: two pictures at once keep the processors busy.
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    grey = Image.fromarray((_RAMP >> 4).astype(np.uint8))
    pictures = [_save(Image.fromarray(_RAMP), "PNG"), _save(grey, "PNG")]
    pictures += [_save(grey.convert("RGB"), "JPEG"), _save(grey, "TIFF"), _make_dicom()]
    for content in pictures:
        render_preview(io.BytesIO(content), name="", max_edge=32)
    gc.collect()
    gc.freeze()  # else the collector writes to, and so copies, all memory that forks share


def _save(picture: Image.Image, kind: str) -> bytes:
    out = io.BytesIO()
    picture.save(out, kind)
    return out.getvalue()


def _make_dicom() -> bytes:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = uid.SecondaryCaptureImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = uid.UID("1.2")
    dataset.SOPClassUID = uid.SecondaryCaptureImageStorage
    dataset.Rows, dataset.Columns = _RAMP.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit, dataset.PixelRepresentation = 15, 0
    dataset.WindowCenter, dataset.WindowWidth = "2000", "3000"
    dataset.add_new("PixelData", "OW", _RAMP.astype("<u2").tobytes())
    out = io.BytesIO()
    dcmwrite(out, dataset, enforce_file_format=True)
    return out.getvalue()
