"""Chooses the page of a TIFF to show: a small copy of a large picture, not an empty one.

A pyramid, as of a slide, holds its picture several times, each smaller than the last. A page is
taken for such a copy if it has the shape and the kind of pixels of the main one and says that it is
reduced (TIFF 6.0, NewSubfileType, bit 0), is made of tiles as that is, or is one of its sub-pages.
The main page is the first that does not say that it is reduced.
"""

import struct
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import numpy as np
from PIL import TiffImagePlugin

from catalog.imaging.budget import TooMuch
from catalog.imaging.tiff_directories import check_directories, check_subdirectories
from catalog.imaging.tiff_subpages import open_subpage, read_offsets
from catalog.limits import MAX_PREVIEW_PIXELS

MAX_PAGES = 64  # those that are looked at
_SUBFILE_TYPE, _REDUCED, _PHOTOMETRIC, _TILE_WIDTH = 254, 1, 262, 322
_BITS, _SAMPLES, _TILE_HEIGHT = 258, 277, 323
# Small copies have tiles of the same size as the main page; more than this, no software writes.
MAX_TILE_BYTES = 64 << 20
# Classic and BigTIFF, in both byte orders.
TIFF_MARKS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
# What Pillow raises at a damaged directory of a page.
_DAMAGED = (EOFError, OSError, SyntaxError, ValueError, LookupError, TypeError, struct.error)


@dataclass(frozen=True, slots=True)
class Page:
    """What the directory of a page says; a sub-page has an offset, and the index of its page."""

    width: int
    height: int
    kind: tuple[object, ...]  # of its pixels
    is_tiled: bool
    is_reduced: bool
    index: int = field(compare=False)
    offset: int = field(default=0, compare=False)


def is_tiff(file: BinaryIO) -> bool:
    file.seek(0)
    mark = file.read(4)
    file.seek(0)
    return mark in TIFF_MARKS


def open_tiff(file: BinaryIO) -> TiffImagePlugin.TiffImageFile:
    """However large: ``Image.open`` refuses a slide of gigapixels, and nothing is decoded here.

    Raises TooMuch if the directories of its first pages are too large to be read.
    """
    check_directories(file, MAX_PAGES)
    file.seek(0)
    return TiffImagePlugin.TiffImageFile(file)


def choose_page(
    picture: TiffImagePlugin.TiffImageFile, max_edge: int
) -> tuple[TiffImagePlugin.TiffImageFile, list[str]]:
    """Return the page to show, and what to say of it.

    It is the smallest copy of the main page that fills `max_edge`. If the main page has no copies
    and is empty, it is the next of its size that is not.
    """
    pages = _read_pages(picture)
    whole = _find_main(pages)
    copies = [page for page in pages if _is_copy(page, whole)]
    num_others = len(pages) - len(copies) - 1
    copies += [page for page in _read_subpages(picture, whole) if _is_copy(page, whole)]
    best = _choose_copy([whole, *copies], max_edge)
    shown = best.index
    picture = _turn_to(picture, best)
    if len(pages) > 1 and not copies and _num_pixels(best) <= MAX_PREVIEW_PIXELS:
        shown = _skip_empty(picture, pages, whole)
    notes = []
    if num_others:
        least = "at least " if len(pages) == MAX_PAGES else ""
        notes.append(f"Page {shown + 1} of {least}{num_others + 1} is shown.")
    if best is not whole:
        notes.append(f"It is drawn from the file's own copy of {best.width}×{best.height} pixels.")
    elif shown != whole.index:
        notes.append("The pages before it are empty: all of their pixels have one value.")
    return picture, notes


def check_tiles(picture: TiffImagePlugin.TiffImageFile) -> None:
    """Raises TooMuch if a tile of the page is larger than any needs to be, and so its decoder."""
    tags = picture.tag_v2
    edges = [int(tags.get(tag) or 0) for tag in (_TILE_WIDTH, _TILE_HEIGHT)]
    bits = max(tags.get(_BITS) or (8,)) * int(tags.get(_SAMPLES) or 1)
    if edges[0] * edges[1] * bits > 8 * MAX_TILE_BYTES:
        raise TooMuch(f"Its tiles of {edges[0]}×{edges[1]} pixels are too large.")


def read_main_size(picture: TiffImagePlugin.TiffImageFile) -> tuple[int, int]:
    """Width and height of the main page, at its full resolution."""
    page = _read_page(picture, 0)
    if page.is_reduced:
        page = _find_main(_read_pages(picture))
    return page.width, page.height


def holds_pages(file: BinaryIO, picture: TiffImagePlugin.TiffImageFile) -> bool:
    """Whether the strips and tiles of the first page and of its sub-pages lie within the file."""
    size = file.seek(0, 2)
    page = picture.tag_v2.offset
    if not _holds(picture, size):
        return False
    try:
        offsets = read_offsets(file, page, MAX_PAGES)
        check_subdirectories(file, offsets)
        subpages = [open_subpage(file, at) for at in offsets]
    except TooMuch:
        raise
    except _DAMAGED:
        return False
    return all(_holds(each, size) for each in subpages)


def _holds(picture: TiffImagePlugin.TiffImageFile, size: int) -> bool:
    tags = picture.tag_v2
    for offsets, lengths in ((273, 279), (324, 325)):
        parts = zip(tags.get(offsets, ()), tags.get(lengths, ()), strict=False)
        if any(offset + length > size for offset, length in parts):
            return False
    return True


def _find_main(pages: list[Page]) -> Page:
    return next((page for page in pages if not page.is_reduced), pages[0])


def _read_pages(picture: TiffImagePlugin.TiffImageFile) -> list[Page]:
    """The first MAX_PAGES pages, up to one that is damaged; nothing is decoded."""
    pages = [_read_page(picture, 0)]
    for index in range(1, MAX_PAGES):
        try:
            picture.seek(index)
        except _DAMAGED:
            break
        pages.append(_read_page(picture, index))
    return pages


def _read_subpages(picture: TiffImagePlugin.TiffImageFile, page: Page) -> list[Page]:
    """The sub-pages of a page, up to one that is damaged."""
    picture.seek(page.index)
    file: Any = picture.fp
    found: list[Page] = []
    with suppress(*_DAMAGED):
        offsets = read_offsets(file, picture.tag_v2.offset or 0, MAX_PAGES)
        check_subdirectories(file, offsets)
        for offset in offsets:
            found.append(_read_page(open_subpage(file, offset), page.index, offset))
    return found


def _turn_to(picture: TiffImagePlugin.TiffImageFile, page: Page) -> TiffImagePlugin.TiffImageFile:
    picture.seek(page.index)
    if not page.offset:
        return picture
    file: Any = picture.fp
    return open_subpage(file, page.offset)


def _read_page(picture: TiffImagePlugin.TiffImageFile, index: int, offset: int = 0) -> Page:
    tags = picture.tag_v2
    return Page(
        width=picture.width,
        height=picture.height,
        kind=(picture.mode, tags.get(_PHOTOMETRIC)),
        is_tiled=_TILE_WIDTH in tags,
        is_reduced=tags.get(_SUBFILE_TYPE) == _REDUCED,
        index=index,
        offset=offset,
    )


def _is_copy(page: Page, whole: Page) -> bool:
    """Each edge of a copy is rounded, by less than a pixel of its own."""
    skew = abs(page.width * whole.height - page.height * whole.width)
    return (
        page.kind == whole.kind
        and _num_pixels(page) < _num_pixels(whole)
        and skew < whole.width + whole.height
        and (page.is_reduced or page.offset > 0 or (page.is_tiled and whole.is_tiled))
    )


def _choose_copy(copies: list[Page], max_edge: int) -> Page:
    """The smallest that fills `max_edge`, else the largest that is not too large to decode."""
    small = [page for page in copies if _num_pixels(page) <= MAX_PREVIEW_PIXELS]
    enough = [page for page in small if max(page.width, page.height) >= max_edge]
    if enough:
        return min(enough, key=_num_pixels)
    return max(small, key=_num_pixels, default=copies[0])


def _num_pixels(page: Page) -> int:
    return page.width * page.height


def _skip_empty(picture: TiffImagePlugin.TiffImageFile, pages: list[Page], main: Page) -> int:
    """Turn to the first page that shows something, of those like the main one; return its index.

    Together, the pages that are decoded have no more pixels than one page may have.
    """
    alike = [page.index for page in pages if page == main]
    for index in alike[: max(1, MAX_PREVIEW_PIXELS // _num_pixels(main))]:
        try:
            picture.seek(index)
            if not _is_uniform(picture):
                return index
        except _DAMAGED:
            if index == main.index:
                raise
            break
    picture.seek(main.index)
    return main.index


def _is_uniform(picture: TiffImagePlugin.TiffImageFile) -> bool:
    values = np.asarray(picture)
    return bool((values == values[0, 0]).all())
