"""The soft time limit of a build, told where a build can end.

Celery's signal raises an exception wherever the program is. That may be within a parser, which
takes it for a mistake in a file, or for an answer.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import current_thread, main_thread
from typing import Any

from billiard.exceptions import SoftTimeLimitExceeded
from billiard.pool import SIG_SOFT_TIMEOUT


class _Limit:
    """That of this process: its signal is one for all threads."""

    is_over = False


@contextmanager
def note_time_limit() -> Iterator[None]:
    """Within it the signal raises nothing; ``check_time_limit`` does once it has come."""
    if current_thread() is not main_thread():  # no other one gets signals
        yield
        return
    _Limit.is_over = False
    before = signal.signal(SIG_SOFT_TIMEOUT, _note)
    try:
        yield
    finally:
        signal.signal(SIG_SOFT_TIMEOUT, before or signal.SIG_DFL)
        _Limit.is_over = False


def check_time_limit() -> None:
    """Raise SoftTimeLimitExceeded if the signal has come."""
    if _Limit.is_over:
        raise SoftTimeLimitExceeded


def _note(*_: Any) -> None:
    _Limit.is_over = True
