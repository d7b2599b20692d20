"""Pictures that Pillow reads: PNG, JPEG, TIFF and others, as the eye should see them."""

import os
import warnings
from pathlib import PurePosixPath
from typing import Any, BinaryIO, cast

import numpy as np
from PIL import Image, ImageFile, ImageOps, TiffImagePlugin

from catalog.imaging.budget import Metered, TooMuch, check_memory
from catalog.imaging.codestream_limits import check_jpeg_2000, check_scans
from catalog.imaging.grey_levels import apply_curve, find_range, fit_within, stretch
from catalog.imaging.picture import Picture
from catalog.imaging.picture_ends import find_end_check, read_gif_size
from catalog.imaging.picture_sizes import is_avif, is_webp, read_avif_size, read_webp_size
from catalog.imaging.problems import CannotRender
from catalog.imaging.tiff_pages import check_tiles, choose_page, is_tiff, open_tiff
from catalog.limits import MAX_PREVIEW_PIXELS

# The formats that Pillow may open here; no dataset uses the others.
FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP", "PPM", "JPEG2000", "AVIF")
_WIDE_MODES = ("I", "F", "I;16", "I;16L", "I;16B", "I;16N")
_TRANSPARENT_MODES = ("LA", "PA", "RGBA", "RGBa", "La")
_BACKGROUND = (24, 24, 24)
# Bytes that a pixel takes at most, with all copies: as decoded, turned, flattened, and spread. The
# decoders of WebP and AVIF have canvases of their own.
_BYTES_PER_PIXEL = {"1": 3, "L": 3, "P": 6, "I;16": 9, "I;16L": 9, "I;16B": 9, "I;16N": 9}
_TRANSPARENT_BYTES, _COLOR_BYTES, _WIDE_BYTES, _CANVAS_BYTES = 13, 8, 17, 20
_MAX_READ_BYTES = 1 << 30  # compressed; the limit on memory is lower
_MAX_JPEG_BYTES, _MAX_HEADER_BYTES = 64 << 20, 1 << 20
_JPEG, _JPEG_2000 = b"\xff\xd8\xff", (b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  \r\n\x87\n")
_PHOTOMETRIC_TAG, _MIN_IS_WHITE = 262, 0  # TIFF 6.0, PhotometricInterpretation
# An eighth of the 256 levels: a picture without a lighter one is nearly black, such as a mask of 0
# and 1 or a map of a few labels.
_DARK = 32


def render_picture(file: BinaryIO, *, name: str, max_edge: int) -> Picture:
    """The picture in `file`, its longest edge at most `max_edge`. Raises `CannotRender`."""
    try:
        with warnings.catch_warnings():
            # The limit on pixels below replaces Pillow's warning.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with _open(file) as picture:
                return _draw(picture, max_edge)
    except TooMuch as error:
        raise CannotRender(str(error)) from error
    except (OSError, SyntaxError, ValueError, RuntimeError, Image.DecompressionBombError) as error:
        raise CannotRender(_explain(error, file, name)) from error


def _open(file: BinaryIO) -> Image.Image:
    if is_tiff(file):
        return open_tiff(file)
    _check_start(file)
    file.seek(0)
    return Image.open(cast("BinaryIO", Metered(file, most_bytes=_MAX_READ_BYTES)), formats=FORMATS)


def _check_start(file: BinaryIO) -> None:
    """Raises TooMuch for what would already cost too much when it is opened."""
    head = file.read(16)
    if head.startswith(b"GIF8"):
        read_gif_size(file)
    elif head.startswith(_JPEG_2000):
        file.seek(0)
        check_jpeg_2000(file.read(_MAX_HEADER_BYTES))
    elif is_webp(head) or is_avif(head):
        size = read_webp_size(file) if is_webp(head) else read_avif_size(file)
        if size:
            check_memory(*size, _CANVAS_BYTES)


def _explain(error: Exception, file: BinaryIO, name: str) -> str:
    if "truncated" in str(error).lower() or _ends_early(file):
        return "The file is cut short: it ends before its picture does. Get it again."
    return " ".join(f"A {PurePosixPath(name).suffix} file like this cannot be shown.".split())


def _ends_early(file: BinaryIO) -> bool:
    """Whether the file is shorter than its own lengths, offsets and marks say."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(12)
    if head[:4] == b"RIFF":
        return int.from_bytes(head[4:8], "little") + 8 > size
    if head[:4] in (b"II*\0", b"MM\0*"):
        return int.from_bytes(head[4:8], "little" if head[:1] == b"I" else "big") >= size
    is_whole = find_end_check(head)
    return is_whole is not None and not is_whole(file)


def _draw(picture: Image.Image, max_edge: int) -> Picture:
    notes: list[str] = []
    if isinstance(picture, TiffImagePlugin.TiffImageFile):
        picture, notes = choose_page(picture, max_edge)
    elif getattr(picture, "is_animated", False):
        notes.append("The file holds several frames: the first is shown.")
    _check_size(picture)
    _check_cost(picture, max_edge)
    stored = picture.size
    if picture.format == "JPEG":
        # Lets the decoder skip most of a large photograph.
        picture.draft(None, (max_edge, max_edge))
    _turn(picture, stored, notes)
    if picture.mode in _WIDE_MODES:
        shown = _spread(picture, is_negative=_is_min_is_white(picture))
    else:
        shown = _flatten(picture)
        if not _is_transparent(picture):
            shown = _lift(shown, notes)
        if _is_min_is_white(picture):
            shown = _lift_negative(shown, notes)
    return Picture(fit_within(shown, max_edge), tuple(notes))


def _turn(picture: Image.Image, stored: tuple[int, int], notes: list[str]) -> None:
    """Turn the picture as its EXIF data say; ``stored`` is its size, whatever was decoded of it."""
    before = picture.size
    ImageOps.exif_transpose(picture, in_place=True)
    if picture.size != before:
        width, height = stored
        notes.append(f"It is turned as its EXIF data say; in the file it is {width}×{height}.")


def _check_size(picture: Image.Image) -> None:
    if picture.width * picture.height > MAX_PREVIEW_PIXELS:
        raise CannotRender(f"{picture.width}×{picture.height} pixels are too many for a preview.")


def _check_cost(picture: Image.Image, max_edge: int) -> None:
    """Raises TooMuch for pixels, tiles and scans that would take too much to decode."""
    if isinstance(picture, TiffImagePlugin.TiffImageFile):
        check_tiles(picture)
    each: float = _BYTES_PER_PIXEL.get(picture.mode, _COLOR_BYTES)
    if picture.format == "JPEG":
        file: Any = cast("ImageFile.ImageFile", picture).fp
        at = file.tell()
        file.seek(0)
        check_scans(file.read(_MAX_JPEG_BYTES), *picture.size)
        file.seek(at)
        # A progressive picture is collected in whole, as 16 bits for each value of a component.
        values = 2 * len(picture.getbands()) if picture.info.get("progressive") else 0
        shrinks = max(picture.size) >= 2 * max_edge
        each = values + (each / 4 if shrinks else each)
    elif _is_transparent(picture):
        each = _TRANSPARENT_BYTES
    elif picture.mode in ("I", "F"):
        each = _WIDE_BYTES
    check_memory(*picture.size, each)


def _is_min_is_white(picture: Image.Image) -> bool:
    """Whether the lowest value is white; Pillow inverts such grey of up to 8 bits itself."""
    tags = getattr(picture, "tag_v2", {})
    return tags.get(_PHOTOMETRIC_TAG) == _MIN_IS_WHITE


def _spread(picture: Image.Image, *, is_negative: bool) -> Image.Image:
    """Map grey of more than 8 bits to the range of its values."""
    values = np.asarray(picture)
    low, high = find_range(values)
    levels = apply_curve(values, lambda part: stretch(part, low, high))
    return Image.fromarray(255 - levels if is_negative else levels)


def _lift(picture: Image.Image, notes: list[str]) -> Image.Image:
    """Spread a nearly black picture over all levels, so that masks and maps of labels are seen."""
    highest = int((np.flatnonzero(picture.histogram()) % 256).max())
    if not 0 < highest < _DARK:
        return picture
    notes.append(f"All values are at most {highest} of 255: they are spread, to be seen.")
    levels = [min(255, round(level * 255 / highest)) for level in range(256)]
    return picture.point(levels * len(picture.getbands()))


def _lift_negative(picture: Image.Image, notes: list[str]) -> Image.Image:
    """The same, where low values are nearly white."""
    return ImageOps.invert(_lift(ImageOps.invert(picture), notes))


def _is_transparent(picture: Image.Image) -> bool:
    return picture.mode in _TRANSPARENT_MODES or "transparency" in picture.info


def _flatten(picture: Image.Image) -> Image.Image:
    """Grey or colour without transparency, on a dark background like that of radiographs."""
    if picture.mode in ("L", "1"):
        return picture.convert("L")
    if _is_transparent(picture):
        layer = picture if picture.mode == "RGBA" else picture.convert("RGBA")
        ground = Image.new("RGB", layer.size, _BACKGROUND)
        ground.paste(layer, mask=layer.getchannel("A"))
        return ground
    return picture.convert("RGB")
