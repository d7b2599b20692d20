"""The threads of a web process: what may hold one for seconds takes a share, the rest is for pages.

Passwords have threads of their own, so that nobody is kept from signing in. Of the share, files
that are sent, files that are read, large searches and previews each take a part.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings

FOR_PAGES = settings.WEB_THREADS // 4
PASSWORDS_AT_ONCE, PASSWORDS_WAITING = 2, max(1, settings.WEB_THREADS // 5)
SHARE = max(1, settings.WEB_THREADS - FOR_PAGES - PASSWORDS_AT_ONCE - PASSWORDS_WAITING)
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
    """Work that ``number`` threads do at a time, while ``waiting`` more wait for seconds."""

    def __init__(self, number: int, *, waiting: int = 1, wait_seconds: float = 10) -> None:
        self.wait_seconds = wait_seconds
        self._working = threading.BoundedSemaphore(number)
        self._waiting = threading.BoundedSemaphore(waiting)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Raises NoThreadLeft: it is nobody's turn soon."""
        if not (self._working.acquire(blocking=False) or self._wait()):
            raise NoThreadLeft
        try:
            yield
        finally:
            self._working.release()

    def _wait(self) -> bool:
        if not self._waiting.acquire(blocking=False):
            return False
        try:
            return self._working.acquire(timeout=self.wait_seconds)
        finally:
            self._waiting.release()
