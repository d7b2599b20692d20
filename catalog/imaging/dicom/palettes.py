"""Looks at the palettes of a DICOM file before pydicom expands them (PS3.3 C.7.6.3.1.5, C.7.9).

A segment of a few words may stand for 65,535 entries, and an indirect one repeats others: a file of
some kilobytes would be expanded to billions.
"""

from collections.abc import Sequence

import numpy as np
from pydicom.dataset import Dataset

from catalog.imaging.budget import TooMuch
from catalog.imaging.dicom.stream import read_value

MAX_ENTRIES = 1 << 16  # of a palette, as many as its descriptor can state
_MAX_DATA = 4 * MAX_ENTRIES  # a discrete segment may have one entry, and takes three words
_DISCRETE, _INDIRECT = 0, 2
_COLORS = ("Red", "Green", "Blue")


def check_palettes(header: Dataset, *, little_endian: bool) -> None:
    """Raises TooMuch if a palette has, or expands to, more entries than there can be."""
    descriptor = read_value(header, "RedPaletteColorLookupTableDescriptor") or []
    bits = descriptor[2] if len(descriptor) == 3 else 16
    kind = "u1" if bits // 8 == 1 else "<u2" if little_endian else ">u2"
    for color in _COLORS:
        plain = read_value(header, f"{color}PaletteColorLookupTableData") or b""
        packed = read_value(header, f"Segmented{color}PaletteColorLookupTableData") or b""
        if len(plain) > 2 * MAX_ENTRIES or len(packed) > 2 * _MAX_DATA:
            raise TooMuch(f"Its {color.lower()} palette is longer than any can be.")
        words = np.frombuffer(packed, kind, count=len(packed) // np.dtype(kind).itemsize)
        if _count_entries(words.tolist(), kind == "u1") > MAX_ENTRIES:
            raise TooMuch(f"Its {color.lower()} palette expands to too many entries.")


def _count_entries(
    words: Sequence[int], is_bytes: bool, at: int = 0, segments: int | None = None
) -> int:
    """At most how many entries the segments from ``at`` on expand to, counted a bit beyond the
    most; those of an indirect segment may not be indirect (C.7.9.2.3).
    """
    entries = 0
    while at + 1 < len(words) and segments != 0 and entries <= MAX_ENTRIES:
        kind, length = words[at], words[at + 1]
        entries += 1 if not length else 0  # so that empty segments end, too
        if kind != _INDIRECT:
            entries += length
            at += 2 + (length if kind == _DISCRETE else 1)
        elif segments is not None:
            raise TooMuch("A segment of its palette repeats one that repeats others.")
        else:
            place = _read_place(words[at + 2 : at + 6], is_bytes)
            # pydicom repeats all up to the end where the number of segments is 0.
            entries += _count_entries(words, is_bytes, place, length or len(words))
            at += 2 + (4 if is_bytes else 2)
        segments = None if segments is None else segments - 1
    return entries


def _read_place(words: Sequence[int], is_bytes: bool) -> int:
    """Where an indirect segment leads, as pydicom understands it."""
    if is_bytes:
        first, second, third, fourth = [*words, 0, 0, 0, 0][:4]
        return (fourth << 8 | third) << 16 | second << 8 | first
    low, high = [*words, 0, 0][:2]
    return high << 16 | low
