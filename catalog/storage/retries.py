"""Errors of a source that may pass are tried again."""

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from catalog.storage.problems import SourceProblem

T = TypeVar("T")
_PAUSES = (1.0, 4.0, 15.0)


def try_again(
    function: Callable[[], T],
    on_bytes: Callable[[int], None] = lambda count: None,
    *,
    pauses: Sequence[float] | None = None,
) -> T:
    """The function's result; errors that may pass soon are tried again after growing ``pauses``.

    Raises:
        SourceProblem: a lasting one, or the last one.
    """
    for pause in (*(_PAUSES if pauses is None else pauses), None):
        try:
            return function()
        except SourceProblem as problem:
            if not problem.may_pass_soon or pause is None:
                raise
        _wait(pause, on_bytes)
    raise AssertionError


def _wait(seconds: float, on_bytes: Callable[[int], None]) -> None:
    """A pause in which ``on_bytes`` can still stop the fetching."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        on_bytes(0)
        time.sleep(min(0.5, left))
