"""One thread of a process at a time asks a server that may not answer, such as the broker."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

# Others wait so long for the thread that asks, and nobody asks so soon after it got no answer.
LOCK_SECONDS = 0.5
PAUSE_SECONDS = 10


class OneAtATime:
    """One thread asks a server at a time, and none soon after it did not answer."""

    def __init__(
        self,
        *,
        no_answer: tuple[type[Exception], ...],
        refuse: Callable[[], Exception],
        pause_seconds: float = PAUSE_SECONDS,
    ) -> None:
        """Errors of ``no_answer`` begin a pause; ``refuse`` makes what others get meanwhile."""
        self._no_answer, self._refuse = no_answer, refuse
        self._pause_seconds = pause_seconds
        self._lock = threading.Lock()
        self._paused_until = 0.0

    @contextmanager
    def take(self) -> Iterator[None]:
        if self._is_paused() or not self._lock.acquire(timeout=LOCK_SECONDS):
            raise self._refuse()
        try:
            if self._is_paused():
                raise self._refuse()
            try:
                yield
            except self._no_answer:
                self._paused_until = time.monotonic() + self._pause_seconds
                raise
        finally:
            self._lock.release()

    def forget(self) -> None:
        self._paused_until = 0.0

    def _is_paused(self) -> bool:
        return time.monotonic() < self._paused_until
