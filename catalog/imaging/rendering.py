"""Renders previews of images for pages: PNG, JPEG, TIFF, DICOM and others as WebP.

The format is recognised by the content of a file, not by its name. A preview contains only pixels:
no EXIF data, no comments, no colour profile.
"""

import io
import warnings
from pathlib import PurePosixPath
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps

from catalog.imaging.dicom.header import NotReadable, render_pixels
from catalog.imaging.dicom.stream import is_dicom
from catalog.imaging.grey_levels import apply_curve, find_range, fit_within, stretch
from catalog.limits import MAX_PREVIEW_PIXELS

CONTENT_TYPE = "image/webp"
# The formats that Pillow may open here; no dataset uses the others.
FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP", "PPM", "JPEG2000")
_WIDE_MODES = ("I", "F", "I;16", "I;16L", "I;16B", "I;16N")
_BACKGROUND = (24, 24, 24)


class CannotRender(Exception):
    """No preview can be made; `reason` says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def render_preview(file: BinaryIO, *, name: str, max_edge: int) -> bytes:
    """The image in `file` (seekable, binary) as WebP, its longest edge at most `max_edge` pixels.

    `name` is only used in error messages. Raises `CannotRender`.
    """
    picture = _render_dicom(file, max_edge) if _is_dicom(file) else _open(file, name, max_edge)
    out = io.BytesIO()
    picture.save(out, "WEBP", quality=82, method=4)
    return out.getvalue()


def _is_dicom(file: BinaryIO) -> bool:
    head = file.read(1024)
    file.seek(0)
    return is_dicom(head)


def _render_dicom(file: BinaryIO, max_edge: int) -> Image.Image:
    try:
        return render_pixels(file, max_edge=max_edge)
    except NotReadable as error:
        raise CannotRender(error.reason) from error


def _open(file: BinaryIO, name: str, max_edge: int) -> Image.Image:
    try:
        with warnings.catch_warnings():
            # The limit on pixels below replaces Pillow's warning.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(file, formats=FORMATS) as picture:
                return _shrink(picture, max_edge)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        kind = PurePosixPath(name).suffix or "this"
        raise CannotRender(f"A {kind} file like this cannot be shown.") from error


def _shrink(picture: Image.Image, max_edge: int) -> Image.Image:
    if picture.width * picture.height > MAX_PREVIEW_PIXELS:
        raise CannotRender(f"{picture.width}×{picture.height} pixels are too many for a preview.")
    if picture.mode in _WIDE_MODES:
        return fit_within(_spread(picture), max_edge)
    if picture.format == "JPEG":
        # Lets the decoder skip most of a large photograph.
        picture.draft(None, (max_edge, max_edge))
    upright = ImageOps.exif_transpose(picture)
    return fit_within(_flatten(upright), max_edge)


def _spread(picture: Image.Image) -> Image.Image:
    """Map grey of more than 8 bits to the range of its values."""
    values = np.asarray(picture)
    low, high = find_range(values)
    return Image.fromarray(apply_curve(values, lambda part: stretch(part, low, high)), "L")


def _flatten(picture: Image.Image) -> Image.Image:
    """Grey or colour without transparency, on a dark background like that of radiographs."""
    if picture.mode in ("L", "1"):
        return picture.convert("L")
    if picture.mode in ("LA", "PA", "RGBA", "RGBa", "La") or "transparency" in picture.info:
        layer = picture.convert("RGBA")
        ground = Image.new("RGB", layer.size, _BACKGROUND)
        ground.paste(layer, mask=layer.getchannel("A"))
        return ground
    return picture.convert("RGB")
