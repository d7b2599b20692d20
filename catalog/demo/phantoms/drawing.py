"""Drawing with whole numbers: soft shapes, blurs, grain, lettering and dice for the phantoms.

Floating point may differ in its last bit between processors and libraries; integers cannot. They
have 32 bits, which is half the work of 64. Lengths are in *units*, five to a pixel, x to the right
and y downwards. A *field* is a distance in units from an edge, positive inside; a *cover* says how
much a shape covers a pixel, 0 to 256.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int32]

SIZE = 208  # pixels, both ways
UNITS = 5  # to a pixel
FULL = 256  # the cover of a pixel that lies wholly inside

X: Ints = (np.arange(SIZE, dtype=np.int32) * UNITS + UNITS // 2).reshape(1, SIZE)
Y: Ints = X.reshape(SIZE, 1)

# Three columns by five rows a letter; each digit is one row in binary, 4 being the left pixel.
_LETTERS = {
    "A": "25755", "C": "34443", "E": "74647", "H": "55755", "I": "72227", "L": "44447",
    "N": "65555", "P": "65644", "S": "34216", "T": "72222", "Y": "55222",
    " ": "00000",
}  # fmt: skip
_LETTER_WIDTH, _LETTER_STEP = 3, 4


@dataclass(frozen=True, slots=True)
class Dice:
    """Chance that is a function of names: the same name gives the same roll, in any order."""

    subject: str
    image: str = ""

    def roll(self, purpose: str, low: int, high: int) -> int:
        """A whole number from `low` to `high`, both included."""
        return low + int.from_bytes(self.bytes(purpose, 8)) % (high - low + 1)

    def bytes(self, purpose: str, count: int) -> bytes:
        """`count` bytes that look random."""
        name = f"medagg-phantom:1:{self.subject}:{self.image}:{purpose}"
        return hashlib.shake_128(name.encode()).digest(count)


def soften(field: Ints, softness: int) -> Ints:
    """Turn a field into a cover that rises smoothly from `-softness` to `softness` units."""
    return _make_ramp(softness).take(field + softness, mode="clip")


@cache
def _make_ramp(softness: int) -> Ints:
    """Every value of `soften`, as a table: dividing each pixel would take most of the time."""
    t = np.arange(2 * softness + 1, dtype=np.int32) * FULL // (2 * softness)
    return t * t * (3 * FULL - 2 * t) >> 16


def measure_ellipse(dx: Ints, dy: Ints, half_width: int, half_height: int) -> Ints:
    """The field of an ellipse, from the distances to its center. True near the edge only."""
    outside = dx * dx * 1024 // half_width**2 + dy * dy * 1024 // half_height**2
    return (1024 - outside) * min(half_width, half_height) // 2048


def trace_curve(points: Sequence[tuple[int, int]], at: Ints, rounding: int = 24) -> Ints:
    """The curve through `points` (place, value; places rising) at the places `at`, rounded off.

    Before the first point and after the last the curve is level.
    """
    return _trace_whole_curve(tuple(points), rounding).take(at, mode="clip")


@cache
def _trace_whole_curve(points: tuple[tuple[int, int], ...], rounding: int) -> Ints:
    """At every place of a picture, as a table: few curves serve all pictures."""
    places = np.arange(UNITS * SIZE, dtype=np.int32)
    line = np.full(places.shape, points[0][1], np.int32)
    for (start, low), (end, high) in pairwise(points):
        part = np.clip(places - start, 0, end - start)
        line += (high - low) * part // (end - start)
    return blur_axis(blur_axis(line, rounding, 0), rounding, 0)


def blur(values: Ints, radius: int) -> Ints:
    """The mean over a square of `2 * radius + 1` pixels; beyond the border its pixels repeat."""
    return blur_axis(blur_axis(values, radius, 0), radius, 1)


def blur_axis(values: Ints, radius: int, axis: int) -> Ints:
    """The running mean along one axis, rounded down."""
    size, width = values.shape[axis], 2 * radius + 1
    padded = values.take(np.arange(-radius - 1, size + radius), axis=axis, mode="clip")
    sums = padded.cumsum(axis=axis, dtype=np.int32)
    first, last = [slice(None)] * values.ndim, [slice(None)] * values.ndim
    first[axis], last[axis] = slice(0, -width), slice(width, None)
    return (sums[tuple(last)] - sums[tuple(first)]) // width


def scatter_grain(dice: Dice, purpose: str) -> Ints:
    """Noise between -128 and 127, each pixel on its own, shape (SIZE, SIZE)."""
    noise = np.frombuffer(dice.bytes(purpose, SIZE * SIZE), np.uint8)
    return noise.reshape(SIZE, SIZE).astype(np.int32) - 128


def write_text(picture: Ints, text: str, *, left: int, top: int, value: int) -> None:
    """Burn `text` into `picture`; `left` and `top` in pixels, a letter being 3 wide and 5 high."""
    for index, letter in enumerate(text):
        for row, digit in enumerate(_LETTERS[letter]):
            for column in range(_LETTER_WIDTH):
                if int(digit) >> (_LETTER_WIDTH - 1 - column) & 1:
                    picture[top + row, left + index * _LETTER_STEP + column] = value
