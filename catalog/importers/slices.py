"""Where the slices of a series lie, and whether they make up a volume.

Image Position and Orientation (Patient), DICOM PS3.3 C.7.6.2: the place of a slice's first voxel in
mm, and the direction cosines of its rows and columns. Programs that stack the slices of a series
take for granted that they lie in parallel planes, evenly spaced, one at each place, straight above
each other and of one size. Where they do not, that is said.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from statistics import median
from typing import Any, NamedTuple

from catalog.importers.rows import Slice

# Gaps that differ by more than this are not rounding (mm; share of the usual gap).
_GAP_MM, _GAP_SHARE = 0.01, 0.02
# Positions closer than this are one place, as of the echoes or times of one slice.
_SAME_PLACE_MM = 1e-3
# Slices of scanners that are moved on a couch lie straight above each other but for that much.
_SHIFT_MM = 0.5
# Direction cosines closer than this are one plane, as scanners round them.
_SAME_DIRECTION = 1e-3
# What slices that can be stacked have in common.
_PIXELS = frozenset({
    "width", "height", "PixelSpacing", "SamplesPerPixel", "PhotometricInterpretation",
})  # fmt: skip

PLANES = "its slices lie in several planes"
UNPLACED = "some of its slices do not say where they lie"
REPEATED = "several of its slices lie at one place"
UNEVEN = "its slices are not evenly spaced, so one may be missing"
SHIFTED = "its slices are shifted against each other, as by a tilted gantry"
MIXED = "its slices differ in size or in the kind of their pixels"


class Place(NamedTuple):
    """In the directions of the first slice of a series, in mm."""

    along_normal: float
    along_row: float
    along_column: float


def find_place(slice_: Slice, first: Slice) -> Place | None:
    """Where a slice lies; None for one in another plane than the first, or that does not say."""
    if not slice_.position or not is_in_plane(slice_, first):
        return None
    row, column = first.orientation[:3], first.orientation[3:]
    directions = (_cross(row, column), row, column)
    return Place(*(_dot(each, slice_.position) for each in directions))


def is_in_plane(slice_: Slice, first: Slice) -> bool:
    """Whether both say in which plane they lie, and it is the same one."""
    if not slice_.orientation or not first.orientation:
        return False
    pairs = zip(slice_.orientation, first.orientation, strict=True)
    return all(abs(a - b) <= _SAME_DIRECTION for a, b in pairs)


def describe_slices(
    places: Sequence[Place | None], *, varying: set[str], has_planes: bool
) -> dict[str, Any]:
    """Metadata of a series of several slices: how many places, how far apart, what is no volume.

    ``varying`` names what the slices say differently, ``has_planes`` whether one lies in another
    plane. ``num_slices`` and ``slice_spacing_mm`` are known only where all places are.
    """
    found: dict[str, Any] = {}
    faults = [PLANES] if has_planes else []
    known = [place for place in places if place is not None]
    if len(known) < len(places):
        if known and not has_planes:
            faults.append(UNPLACED)
    else:
        offsets = sorted(place.along_normal for place in known)
        gaps = [b - a for a, b in pairwise(offsets) if b - a > _SAME_PLACE_MM]
        found["num_slices"] = len(gaps) + 1
        if len(gaps) + 1 < len(known):
            faults.append(REPEATED)
        if gaps:
            usual = median(gaps)
            if max(abs(gap - usual) for gap in gaps) > max(_GAP_MM, _GAP_SHARE * usual):
                faults.append(UNEVEN)
            else:
                found["slice_spacing_mm"] = round(usual, 4)
        if _is_shifted(known):
            faults.append(SHIFTED)
    if varying & _PIXELS:
        faults.append(MIXED)
    return found | ({"not_a_volume": faults} if faults else {})


def _is_shifted(places: Sequence[Place]) -> bool:
    for values in ([each.along_row for each in places], [each.along_column for each in places]):
        if max(values) - min(values) > _SHIFT_MM:
            return True
    return False


def _cross(a: Sequence[float], b: Sequence[float]) -> tuple[float, float, float]:
    return (a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0])


def _dot(a: Sequence[float], b: Sequence[float]) -> float:
    return math.fsum(x * y for x, y in zip(a, b, strict=True))
