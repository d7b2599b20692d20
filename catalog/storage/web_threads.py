"""The threads of a web process: what may hold one for seconds takes a share, the rest is for pages.

Passwords have threads of their own, so that nobody is kept from signing in. Of the share, files
that are sent, files that are read, large searches and previews each take a part.
"""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from django.conf import settings

RETRY_SECONDS = 30
PASSWORDS_AT_ONCE = 2


class Threads(NamedTuple):
    """What the threads of a process are for; ``share`` are for neither pages nor passwords."""

    for_pages: int
    passwords_waiting: int
    share: int


def divide_threads(number: int) -> Threads:
    for_pages, waiting = number // 4, max(1, number // 5)
    share = max(1, number - for_pages - PASSWORDS_AT_ONCE - waiting)
    return Threads(for_pages, waiting, share)


FOR_PAGES, PASSWORDS_WAITING, SHARE = divide_threads(settings.WEB_THREADS)
share = threading.BoundedSemaphore(SHARE)
# Set where this process answers requests (medagg.wsgi), which wait for no other server for long.
serves_pages = threading.Event()


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
    """Work that ``number`` threads do at a time, while ``waiting`` more wait for seconds.

    The last ``kept`` of these places are for clients that have none, so that one client does not
    keep all others from it; no client has more than ``of_one``.
    """

    def __init__(
        self,
        number: int,
        *,
        waiting: int = 1,
        kept: int = 0,
        of_one: int | None = None,
        wait_seconds: float = 10,
    ) -> None:
        self.wait_seconds = wait_seconds
        self._of_one = number + waiting if of_one is None else of_one
        self._working = threading.BoundedSemaphore(number)
        self._num_places, self._kept = number + waiting, kept
        self._clients: Counter[str] = Counter()
        self._counting = threading.Lock()

    @contextmanager
    def turn(self, client: str = "", *, waits: bool = True) -> Iterator[None]:
        """Raises NoThreadLeft: it is not this client's turn soon."""
        with self._place(client):
            if not self._working.acquire(timeout=self.wait_seconds if waits else 0):
                raise NoThreadLeft
            try:
                yield
            finally:
                self._working.release()

    @contextmanager
    def _place(self, client: str) -> Iterator[None]:
        with self._counting:
            num_left, num_here = self._num_places - self._clients.total(), self._clients[client]
            if num_left <= (self._kept if num_here else 0) or num_here >= self._of_one:
                raise NoThreadLeft
            self._clients[client] += 1
        try:
            yield
        finally:
            with self._counting:
                self._clients[client] -= 1
                self._clients += Counter()  # those at zero are forgotten
