"""Renders previews of images for pages: PNG, JPEG, TIFF, DICOM and others as WebP.

It runs in the processes of ``decoding``, since a file may make a decoder crash.

The format is recognised by the content of a file, not by its name. A preview contains only pixels:
no EXIF data, no comments, no colour profile.
"""

import io
from typing import BinaryIO

from catalog.imaging.dicom.header import render_pixels
from catalog.imaging.dicom.stream import is_dicom
from catalog.imaging.nifti import UnreadableNifti, is_pair_header, read_nifti_header
from catalog.imaging.picture import Picture
from catalog.imaging.pillow_pictures import FORMATS, render_picture
from catalog.imaging.preview import Preview
from catalog.imaging.problems import CannotRender, NotReadable

__all__ = ["FORMATS", "render_preview"]

# Inflating this much takes about a second; what is larger is not checked again after its import.
_MAX_INFLATED_BYTES = 256 << 20


_HEAD = 1024
_NO_VOLUMES = "Volumes in NIfTI files have no preview."


def render_preview(file: BinaryIO, *, name: str, max_edge: int) -> Preview:
    """The image in `file` (seekable, binary) as WebP, its longest edge at most `max_edge` pixels.

    `name` is only used in error messages. Raises `CannotRender`.
    """
    picture = _render(file, name, max_edge)
    out = io.BytesIO()
    picture.image.save(out, "WEBP", quality=82, method=4)
    return Preview(out.getvalue(), picture.notes)


def _render(file: BinaryIO, name: str, max_edge: int) -> Picture:
    try:
        if _is_dicom(file):
            return render_pixels(file, max_edge=max_edge)
        return render_picture(file, name=name, max_edge=max_edge)
    except NotReadable as error:
        raise CannotRender(error.reason) from error
    except CannotRender as error:
        if not name.lower().endswith((".nii", ".nii.gz", ".hdr")):
            raise
        raise CannotRender(_explain_nifti(file)) from error


def _is_dicom(file: BinaryIO) -> bool:
    head = file.read(_HEAD)
    file.seek(0)
    return is_dicom(head)


def _explain_nifti(file: BinaryIO) -> str:
    """Volumes have no preview; a damaged one says what is wrong with it."""
    file.seek(0)
    if is_pair_header(file.read(_HEAD)):
        return _NO_VOLUMES
    file.seek(0)
    try:
        read_nifti_header(file, max_inflated=_MAX_INFLATED_BYTES)
    except UnreadableNifti as error:
        return str(error)
    return _NO_VOLUMES
