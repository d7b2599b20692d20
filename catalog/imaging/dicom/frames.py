"""Chooses the frame to show: the middle one, unless it is empty and another is not."""

from collections.abc import Callable

import numpy as np

MAX_TRIES = 16  # frames that are decoded at most


def choose_frame(
    decode: Callable[[int], np.ndarray], count: int, *, tries: int
) -> tuple[int, np.ndarray]:
    """Return a frame of `count` and its index: the middle one, or one that shows something.

    At most `tries` frames are decoded, from the first to the last at even steps. Raises what
    `decode` does on the middle frame; another that cannot be decoded ends the search.
    """
    middle = count // 2
    frame = decode(middle)
    if not is_uniform(frame):
        return middle, frame
    for index in _spread(count, min(tries, MAX_TRIES) - 1):
        try:
            other = decode(index)
        except Exception:  # noqa: BLE001
            # Decoders may raise any exception; the middle frame can still be shown.
            break
        if not is_uniform(other):
            return index, other
    return middle, frame


def _spread(count: int, tries: int) -> list[int]:
    """At most `tries` indexes, the first and the last among them, without the middle."""
    steps = np.linspace(0, count - 1, max(0, min(tries, count)))
    return [index for index in dict.fromkeys(steps.astype(int).tolist()) if index != count // 2]


def is_uniform(frame: np.ndarray) -> bool:
    """Whether all pixels are alike, or not one is a number."""
    if frame.dtype.kind == "f" and not np.isfinite(frame).any():
        return True
    return bool((frame == frame[0, 0]).all())


def describe_frame(index: int, count: int, *, stated: int, frame: np.ndarray) -> list[str]:
    """Say which frame is shown, of files that have or state several."""
    if max(count, stated) <= 1:
        return []
    notes = [f"Frame {index + 1} of {count} is shown."]
    if index != count // 2:
        notes.append("The middle frame is empty: all of its pixels have one value.")
    elif is_uniform(frame):
        notes.append("It is empty: all of its pixels have one value.")
    if stated > count:
        notes.append(f"The header states {stated} frames; the others are missing in the file.")
    return notes
