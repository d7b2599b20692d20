"""Photometric Interpretation (PS3.3 C.7.6.3.1.2) as files write it: lower case, spaced, or absent.

GDCM, on which many viewers are built, goes on without a valid value as this does: one sample is
MONOCHROME2, three are RGB. That is a guess, so a note tells it.

YBR_PARTIAL_422 is read as YBR_FULL_422, which has the same order of samples. Either is read as
YBR_FULL where no pixels share their chroma, as software leaves it that decompresses JPEG. Terms
that pydicom does not know are not shown, as their colours would be taken for RGB.
"""

import re
from typing import Any

from pydicom.dataset import Dataset

from catalog.imaging.dicom.stream import read_value
from catalog.imaging.problems import NotReadable

# The terms of the standard, and those that it retired.
_TERMS = (
    "MONOCHROME1", "MONOCHROME2", "PALETTE COLOR", "RGB", "YBR_FULL", "YBR_FULL_422",
    "YBR_PARTIAL_420", "YBR_PARTIAL_422", "YBR_ICT", "YBR_RCT", "HSV", "ARGB", "CMYK",
)  # fmt: skip
_PARTIAL = "YBR_PARTIAL_422"
_NOT_SHOWN = frozenset(("YBR_PARTIAL_420", "HSV", "ARGB", "CMYK"))
_NO_LETTER = re.compile("[^A-Z0-9]")
_BY_LETTERS = {_NO_LETTER.sub("", term): term for term in _TERMS}
_GUESSES = {1: "MONOCHROME2", 3: "RGB"}
# Of these several pixels share their chroma, where they are not compressed (PS3.3 C.7.6.3.1.2).
_SHARES = {"YBR_FULL_422": (2, 3), "YBR_PARTIAL_422": (2, 3), "YBR_PARTIAL_420": (1, 2)}
_MEANINGS = {1: "low values are shown dark", 3: "the samples are shown as red, green and blue"}


def correct_photometric(
    header: Dataset, *, is_compressed: bool, is_full: bool, notes: list[str]
) -> None:
    """Set the header's Photometric Interpretation to the term that is meant.

    ``is_full`` says that the pixel data have as many samples as if no pixels shared any.
    Raises `NotReadable` where it cannot be told, as colour that is compressed may be RGB or YBR,
    and for terms that are not shown.
    """
    stated = _first(read_value(header, "PhotometricInterpretation"))
    term = _find_term(stated)
    if term is None:
        what = f"“{stated}”, which DICOM does not know, as" if stated else "no"
        samples = read_value(header, "SamplesPerPixel")
        if samples not in _GUESSES or (samples > 1 and is_compressed):
            raise NotReadable(
                f"The header states {what} photometric interpretation, so that its colours cannot"
                " be told."
            )
        term = _GUESSES[samples]
        notes.append(f"The header states {what} photometric interpretation: {_MEANINGS[samples]}.")
    if term in _NOT_SHOWN:
        raise NotReadable(f"Colours given as {term} are not shown.")
    if term == _PARTIAL:
        notes.append(f"The colours are given as {_PARTIAL}: they have less contrast here.")
        term = "YBR_FULL_422"
    if term == "YBR_FULL_422" and is_full:
        notes.append(f"The colours are given as {term}, but its pixels do not share their colours.")
        term = "YBR_FULL"
    header.PhotometricInterpretation = term


def count_bits(samples: int, bits: int, photometric: Any) -> int:
    """The bits that so many samples take, of pixels that are not compressed."""
    part, whole = _SHARES.get(_find_term(_first(photometric)) or "", (1, 1))
    return samples * bits * part // whole


def _find_term(stated: str) -> str | None:
    return _BY_LETTERS.get(_NO_LETTER.sub("", stated.upper()))


def _first(value: Any) -> str:
    """The first value as text without control characters, at most 16 long as the VR is."""
    if value is not None and not isinstance(value, str):
        value = next(iter(value), "")
    return "".join(c for c in str(value or "") if c.isprintable()).strip()[:16]
