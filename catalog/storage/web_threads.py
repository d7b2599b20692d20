"""The threads of a web process: what may hold one for seconds takes a share, the rest is for pages.

Previews, files that are read or sent and passwords have smaller limits besides, so that none of
them takes all of the share.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings

SHARE = max(1, settings.WEB_THREADS * 3 // 4)
RETRY_SECONDS = 30
share = threading.BoundedSemaphore(SHARE)


class NoThreadLeft(Exception):
    """All threads that are not for pages are taken; come again in RETRY_SECONDS."""


@contextmanager
def hold_thread() -> Iterator[None]:
    """Count this thread among those that are not for pages. Raises NoThreadLeft."""
    if not share.acquire(blocking=False):
        raise NoThreadLeft
    try:
        yield
    finally:
        share.release()


class FewAtATime:
    """Work that ``number`` threads do at a time, while a quarter of all may wait for seconds."""

    def __init__(self, number: int, *, wait_seconds: float = 10) -> None:
        self.wait_seconds = wait_seconds
        self._working = threading.BoundedSemaphore(number)
        self._waiting = threading.BoundedSemaphore(max(1, settings.WEB_THREADS // 4))

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Raises NoThreadLeft: it is nobody's turn soon."""
        if not self._waiting.acquire(blocking=False):
            raise NoThreadLeft
        try:
            is_mine = self._working.acquire(timeout=self.wait_seconds)
        finally:
            self._waiting.release()
        if not is_mine:
            raise NoThreadLeft
        try:
            yield
        finally:
            self._working.release()
