"""Windowing: maps measured values to the 256 grey levels of a preview."""

from collections.abc import Callable

import numpy as np
from PIL import Image

SAMPLE_SIZE = 250_000  # values that percentiles are taken from
CHUNK = 1 << 20  # values that are mapped at once, which bounds the memory

Curve = Callable[[np.ndarray], np.ndarray]


def find_range(values: np.ndarray) -> tuple[float, float]:
    """Return the (low, high) that a picture of `values` (any shape, any real dtype) should span.

    These are the 0.5th and 99.5th percentiles, so that a hot pixel or a burnt-in mark does not
    darken the rest; or the extremes if these are equal, as in sparse masks. NaN and infinities are
    ignored.
    """
    flat = values.ravel()
    sample = flat[:: max(1, flat.size // SAMPLE_SIZE)].astype(np.float64)
    sample = sample[np.isfinite(sample)]
    if not sample.size:
        return 0.0, 0.0
    low, high = np.percentile(sample, (0.5, 99.5))
    if low == high:
        low, high = np.nanmin(flat), np.nanmax(flat)
    return float(low), float(high)


def stretch(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Map `low` to 0 and `high` to 255, linearly and clipped; uint8, same shape.

    An empty range gives black; NaN gives black.
    """
    if not high > low:
        return np.zeros(values.shape, np.uint8)
    return to_grey((values.astype(np.float64) - low) / (high - low))


def to_grey(fractions: np.ndarray) -> np.ndarray:
    """Map 0.0–1.0 to 0–255 (uint8), rounded and clipped. NaN gives 0."""
    levels = np.nan_to_num(fractions * 255.0, nan=0.0)
    return np.rint(np.clip(levels, 0.0, 255.0)).astype(np.uint8)


def apply_curve(values: np.ndarray, curve: Curve) -> np.ndarray:
    """Return `curve(values)` as uint8 in bounded memory; `curve` maps single values.

    Integers of up to 16 bits have few distinct values: the curve is evaluated once for each of
    them and looked up, which is several times faster than evaluating it for every pixel.
    """
    if values.dtype.kind in "iu" and values.dtype.itemsize <= 2:
        first = int(values.min())
        curve = _tabulate(curve, first, int(values.max()))
    flat = values.reshape(-1)
    result = np.empty(flat.size, np.uint8)
    for start in range(0, flat.size, CHUNK):
        result[start : start + CHUNK] = curve(flat[start : start + CHUNK])
    return result.reshape(values.shape)


def _tabulate(curve: Curve, first: int, last: int) -> Curve:
    table = curve(np.arange(first, last + 1, dtype=np.int32))
    return lambda values: table[values.astype(np.int32) - first]


def fit_within(image: Image.Image, max_edge: int, *, pixel_aspect: float = 1.0) -> Image.Image:
    """Return `image` with its longest edge at most `max_edge` pixels; never enlarged.

    `pixel_aspect` is the height of a pixel divided by its width. If pixels are not square, the
    image is shrunk along their short side, so that shapes are not distorted.
    """
    width, height = float(image.width), float(image.height)
    if pixel_aspect > 1:
        width /= pixel_aspect
    else:
        height *= pixel_aspect
    scale = min(1.0, max_edge / max(width, height))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    if size == image.size:
        return image
    return image.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
