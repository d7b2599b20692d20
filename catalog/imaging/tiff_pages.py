"""Chooses the page of a TIFF to show: a small copy of a large picture, not an empty one.

A pyramid, as of a slide, holds its picture several times, each smaller than the last. A page is
taken for such a copy if it has the shape and the kind of pixels of the first and says that it is
reduced (TIFF 6.0, NewSubfileType, bit 0) or is made of tiles as the first is.
"""

import struct
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from PIL import TiffImagePlugin

from catalog.limits import MAX_PREVIEW_PIXELS

MAX_PAGES = 64  # those that are looked at
_SUBFILE_TYPE, _REDUCED, _PHOTOMETRIC, _TILE_WIDTH = 254, 1, 262, 322
# Classic and BigTIFF, in both byte orders.
_MARKS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
# What Pillow raises at a damaged directory of a page.
_DAMAGED = (EOFError, OSError, SyntaxError, ValueError, LookupError, TypeError, struct.error)


@dataclass(frozen=True, slots=True)
class Page:
    """What the directory of a page says."""

    width: int
    height: int
    kind: tuple[object, ...]  # of its pixels
    is_tiled: bool
    is_reduced: bool


def is_tiff(file: BinaryIO) -> bool:
    file.seek(0)
    mark = file.read(4)
    file.seek(0)
    return mark in _MARKS


def go_to_page(picture: TiffImagePlugin.TiffImageFile, max_edge: int) -> list[str]:
    """Turn to the page to show, and return what to say of it.

    It is the smallest copy of the first page that fills `max_edge`. If the first page has no copies
    and is empty, it is the next of its size that is not.
    """
    pages = _read_pages(picture)
    copies = [page for page in pages[1:] if _is_copy(page, pages[0])]
    best = _choose_copy([pages[0], *copies], max_edge)
    shown = pages.index(best)
    picture.seek(shown)
    if len(pages) > 1 and not copies and _num_pixels(best) <= MAX_PREVIEW_PIXELS:
        shown = _skip_empty(picture, pages)
    notes = []
    if others := len(pages) - len(copies) - 1:
        least = "at least " if len(pages) == MAX_PAGES else ""
        notes.append(f"Page {shown + 1} of {least}{others + 1} is shown.")
    if best is not pages[0]:
        notes.append(f"It is drawn from the file's own copy of {best.width}×{best.height} pixels.")
    elif shown:
        notes.append("The pages before it are empty: all of their pixels have one value.")
    return notes


def _read_pages(picture: TiffImagePlugin.TiffImageFile) -> list[Page]:
    """The first MAX_PAGES pages, up to one that is damaged; nothing is decoded."""
    pages = [_read_page(picture)]
    for index in range(1, MAX_PAGES):
        try:
            picture.seek(index)
        except _DAMAGED:
            break
        pages.append(_read_page(picture))
    return pages


def _read_page(picture: TiffImagePlugin.TiffImageFile) -> Page:
    tags = picture.tag_v2
    return Page(
        width=picture.width,
        height=picture.height,
        kind=(picture.mode, tags.get(_PHOTOMETRIC)),
        is_tiled=_TILE_WIDTH in tags,
        is_reduced=tags.get(_SUBFILE_TYPE) == _REDUCED,
    )


def _is_copy(page: Page, whole: Page) -> bool:
    """Each edge of a copy is rounded, by less than a pixel of its own."""
    skew = abs(page.width * whole.height - page.height * whole.width)
    return (
        page.kind == whole.kind
        and _num_pixels(page) < _num_pixels(whole)
        and skew < whole.width + whole.height
        and (page.is_reduced or (page.is_tiled and whole.is_tiled))
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


def _skip_empty(picture: TiffImagePlugin.TiffImageFile, pages: list[Page]) -> int:
    """Turn to the first page that shows something, of those like the first; return its index.

    Together, the pages that are decoded have no more pixels than one page may have.
    """
    alike = [index for index, page in enumerate(pages) if page == pages[0]]
    for index in alike[: max(1, MAX_PREVIEW_PIXELS // _num_pixels(pages[0]))]:
        try:
            picture.seek(index)
            if not _is_uniform(picture):
                return index
        except _DAMAGED:
            if index == 0:
                raise
            break
    picture.seek(0)
    return 0


def _is_uniform(picture: TiffImagePlugin.TiffImageFile) -> bool:
    values = np.asarray(picture)
    return bool((values == values[0, 0]).all())
