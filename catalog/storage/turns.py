"""Few threads of a process ask a server that may not answer, such as the broker."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

# Others wait so long for those that ask, and nobody asks so soon after there was no answer.
WAIT_SECONDS = 0.5
PAUSE_SECONDS = 10


class CircuitBreaker:
    """``number`` threads ask a server at a time, and ``waiting`` ones wait for them.

    After it did not answer, none do; then one does.

    All of them may ask again once it has answered that one.
    """

    def __init__(
        self,
        *,
        no_answer: tuple[type[Exception], ...],
        refuse: Callable[[], Exception],
        number: int = 1,
        waiting: int = 1_000,
        wait_seconds: float = WAIT_SECONDS,
        pause_seconds: float = PAUSE_SECONDS,
    ) -> None:
        """Errors of ``no_answer`` begin a pause; ``refuse`` makes what others get meanwhile."""
        self._no_answer, self._refuse = no_answer, refuse
        self._wait_seconds, self._pause_seconds = wait_seconds, pause_seconds
        self._few, self._one = threading.BoundedSemaphore(number), threading.BoundedSemaphore()
        self._waiting = threading.BoundedSemaphore(waiting)
        self._answers, self._paused_until = True, 0.0

    @contextmanager
    def take(self) -> Iterator[None]:
        places = self._few if self._answers else self._one
        if self._is_paused() or not (places.acquire(blocking=False) or self._wait(places)):
            raise self._refuse()
        try:
            if self._is_paused():
                raise self._refuse()
            answers = True
            try:
                yield
            except self._no_answer:
                self._answers = answers = False
                self._paused_until = time.monotonic() + self._pause_seconds
                raise
            finally:
                if not self._is_paused():
                    self._answers = answers
        finally:
            places.release()

    def _wait(self, places: threading.Semaphore) -> bool:
        """Whether a place has come in time; where the server is slow, few threads wait for it."""
        if not (self._answers and self._waiting.acquire(blocking=False)):
            return False
        try:
            return places.acquire(timeout=self._wait_seconds)
        finally:
            self._waiting.release()

    def forget(self) -> None:
        self._answers, self._paused_until = True, 0.0

    def _is_paused(self) -> bool:
        return time.monotonic() < self._paused_until
