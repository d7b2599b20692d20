"""The display of a greyscale DICOM frame: LUTs and windows (PS3.3 C.11, C.7.6.16)."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydicom.dataset import Dataset

from catalog.imaging.dicom.stream import read_value
from catalog.imaging.grey_levels import Curve, find_range, stretch, to_grey

FRAME_GROUPS = ("PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence")
FRAME_MACROS = (
    "PixelValueTransformationSequence",
    "FrameVOILUTSequence",
    "PixelMeasuresSequence",
)

PADDING_NOTE = (
    "Pixels of the value {}, which is far below all others and reaches a corner, are taken for"
    " padding and do not count for the range of greys, though the header names no padding."
)
LUT_NOTE = (
    "The highest grey of the lookup table is {:.0f}, of {:.0f} that it states: it is taken to be of"
    " fewer bits."
)
_NEARLY = 8  # grey levels that are indistinguishable from black or white


class FrameTags:
    """The elements of one frame: its own, then those shared by all frames, then the others."""

    def __init__(self, header: Dataset, index: int) -> None:
        self.header = header
        self.places = [*_iter_macros(header, index), header]

    def numbers(self, keyword: str) -> list[float]:
        """The values of a numeric element; empty if it is absent or not all numbers."""
        for place in self.places:
            if (value := read_value(place, keyword)) is not None:
                return _to_numbers(value)
        return []

    def number(self, keyword: str) -> float | None:
        """The first value of a numeric element."""
        return next(iter(self.numbers(keyword)), None)

    def text(self, keyword: str) -> str:
        """An element as text in capitals, '' when it is absent."""
        values = (read_value(place, keyword) for place in self.places)
        return str(next((value for value in values if value), "")).upper()

    def item(self, keyword: str) -> Dataset | None:
        """The first item of a sequence."""
        for place in self.places:
            if items := read_value(place, keyword):
                return items[0]
        return None


def _iter_macros(header: Dataset, index: int) -> Iterator[Dataset]:
    for group, position in zip(FRAME_GROUPS, (index, 0), strict=True):
        items = read_value(header, group) or []
        for macro in FRAME_MACROS if position < len(items) else ():
            if inner := read_value(items[position], macro):
                yield inner[0]


def _to_numbers(value: Any) -> list[float]:
    items = [value] if isinstance(value, (str, int, float)) else value
    try:
        numbers = [float(item) for item in items]
    except (TypeError, ValueError):
        return []
    return numbers if all(map(math.isfinite, numbers)) else []


@dataclass(frozen=True, slots=True)
class LookupTable:
    """A DICOM LUT (PS3.3 C.11.1.1): `first` is the first input value; others are clamped."""

    first: int
    levels: np.ndarray
    top: float

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Look `values` up; float64 of the same shape."""
        whole = np.rint(np.nan_to_num(values.astype(np.float64)))
        return self.levels[np.clip(whole - self.first, 0, len(self.levels) - 1).astype(np.intp)]


def read_lookup_table(item: Dataset | None, *, little_endian: bool) -> LookupTable | None:
    """The table of an item of a LUT sequence; None if there is none or it is invalid."""
    if item is None:
        return None
    descriptor = _to_numbers(read_value(item, "LUTDescriptor") or [])
    data = read_value(item, "LUTData")
    if len(descriptor) != 3 or not data:
        return None
    count, first, bits = (int(number) for number in descriptor)
    levels = _to_levels(data, count or 1 << 16, little_endian)
    top = 2.0**bits - 1 if 8 <= bits <= 16 else float(levels.max())
    return LookupTable(first, levels, top) if levels.size and top > 0 else None


def _to_levels(data: Any, count: int, little_endian: bool) -> np.ndarray:
    if isinstance(data, bytes):
        packed = len(data) < 2 * count  # 8-bit entries, two to a word
        kind = "u1" if packed else "<u2" if little_endian else ">u2"
        data = np.frombuffer(data, kind, count=min(count, len(data) // np.dtype(kind).itemsize))
    return np.atleast_1d(np.asarray(data, np.float64))[:count]


def make_curve(
    tags: FrameTags, stored: np.ndarray, *, little_endian: bool, notes: list[str]
) -> Curve:
    """Return the function from stored values to grey levels, 0 black and 255 white.

    `stored` is the decoded frame, of any real dtype. Its own range is used if the file gives no
    window, or one in which the whole frame is black or white. MONOCHROME1, in which low values are
    bright, is inverted. What is guessed is added to `notes`.
    """
    modality = _read_modality(tags, little_endian)
    shade = _read_voi(tags, little_endian, notes)
    values, guess = _drop_padding(tags, stored)
    low, high = sorted(modality(np.array(find_range(values))))
    if shade is None or _is_blank(shade(np.array([low, high]))):
        if guess is not None:
            notes.append(PADDING_NOTE.format(guess))
        shade = _Stretch(float(low), float(high))
    if tags.text("PhotometricInterpretation") == "MONOCHROME1":
        return lambda values: 255 - shade(modality(values))
    return lambda values: shade(modality(values))


def _is_blank(ends: np.ndarray) -> bool:
    return bool(ends.max() < _NEARLY or ends.min() > 255 - _NEARLY)


@dataclass(frozen=True, slots=True)
class _Stretch:
    low: float
    high: float

    def __call__(self, values: np.ndarray) -> np.ndarray:
        return stretch(values, self.low, self.high)


def _read_modality(tags: FrameTags, little_endian: bool) -> Curve:
    """Stored values to those of the modality (Hounsfield units, …), PS3.3 C.11.1."""
    table = read_lookup_table(tags.item("ModalityLUTSequence"), little_endian=little_endian)
    if table is not None:
        return table
    slope, intercept = tags.number("RescaleSlope") or 1.0, tags.number("RescaleIntercept") or 0.0
    return lambda values: values.astype(np.float64) * slope + intercept


def _read_voi(tags: FrameTags, little_endian: bool, notes: list[str]) -> Curve | None:
    """The first VOI LUT of the file, else its first window (PS3.3 C.11.2); None without one."""
    table = read_lookup_table(tags.item("VOILUTSequence"), little_endian=little_endian)
    if table is not None:
        top, highest = table.top, int(table.levels.max())
        # Tables of 12 bits often say 16. None that is meant so stays below a quarter of white.
        if 0 < highest <= top / 4:
            notes.append(LUT_NOTE.format(highest, top))
            top = 2.0 ** highest.bit_length() - 1
        return lambda values: to_grey(table(values) / top)
    center, width = tags.number("WindowCenter"), tags.number("WindowWidth")
    if center is None or width is None or width <= 0:
        return None
    return make_window(center, width, tags.text("VOILUTFunction"))


def make_window(center: float, width: float, function: str) -> Curve:
    """The three window functions of PS3.3 C.11.2.1.2 and C.11.2.1.3; LINEAR unless named."""
    if function == "SIGMOID":
        return lambda values: to_grey(
            1 / (1 + np.exp(np.clip(-4 * (values - center) / width, -99, 99)))
        )
    if function == "LINEAR_EXACT":
        return lambda values: to_grey((values - center) / width + 0.5)
    if width <= 1:
        return lambda values: to_grey((values > center - 0.5).astype(np.float64))
    return lambda values: to_grey((values - (center - 0.5)) / (width - 1) + 0.5)


def _drop_padding(tags: FrameTags, stored: np.ndarray) -> tuple[np.ndarray, int | None]:
    """The values without padding (PS3.3 C.7.5.1.1.2), and the padding if it is a guess."""
    padding = tags.number("PixelPaddingValue")
    if padding is None:
        return _drop_evident_padding(stored)
    limit = tags.number("PixelPaddingRangeLimit")
    ends = (padding, padding if limit is None else limit)
    low, high = sorted(_wrap(end, stored.dtype) for end in ends)
    kept = stored[(stored < low) | (stored > high)]
    return (kept if kept.size else stored), None


def _wrap(value: float, dtype: np.dtype) -> float:
    """`value` with the sign of the pixels: −2000 is often written as 63536, its unsigned bits."""
    if dtype.kind not in "iu":
        return value
    return int(np.array(int(value), np.int64).astype(dtype))


def _drop_evident_padding(stored: np.ndarray) -> tuple[np.ndarray, int | None]:
    """The values without a padding that the header does not name, if it is evident.

    Padding lies outside of the range of the image itself (PS3.3 C.7.5.1.1.2, note 2) and around it.
    It is evident if the lowest value is negative and in a corner, and the gap above it is wider
    than the range of all other values, so that these would share less than half of the greys.
    """
    lowest = int(stored.min()) if stored.dtype.kind == "i" else 0
    if lowest >= 0 or lowest not in stored[[0, 0, -1, -1], [0, -1, 0, -1]]:
        return stored, None
    kept = stored[stored > lowest]
    low, high = find_range(kept)
    if high > low and int(kept.min()) - lowest > high - low:
        return kept, lowest
    return stored, None
