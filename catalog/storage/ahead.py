"""Fetches items in threads: while one is waited for, the next are on their way."""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Generic, TypeVar

from django.conf import settings

from catalog.storage.problems import SourceProblem, Unreachable

# Items whose fetching has begun before the first of them is done: a large file stops few others.
AHEAD = 64
WAIT_SECONDS = 0.5
CLOSE_SECONDS = 5.0
# So many in a row show that the source does not answer at all.
MAX_UNREACHABLE = 8
Item = TypeVar("Item")
Result = TypeVar("Result")


class Stopped(Exception):
    """The run is over; a transfer ends here."""


class FetchAhead(Generic[Item, Result]):
    """Calls ``fetch`` for items in threads; ``files`` are more threads, for the files of an item.

    Close it at the end.
    """

    def __init__(self, fetch: Callable[[Item], Result]) -> None:
        self._fetch = fetch
        self._stopped = threading.Event()
        self._unreachable = 0
        self.files = ThreadPoolExecutor(settings.FETCH_PARALLEL, "fetch")
        # As many, since an item may have a single file. The files of all share the transfers.
        self._items = ThreadPoolExecutor(settings.FETCH_PARALLEL, "items")
        self._waiting: deque[tuple[Item, Future[Result]]] = deque()

    def run(
        self, items: Iterable[Item], on_wait: Callable[[], None]
    ) -> Iterator[tuple[Item, Result | SourceProblem]]:
        """Each item with its result or with its problem, in order.

        ``on_wait`` is called in the caller's thread, at least twice a second.
        """
        for item in items:
            self._waiting.append((item, self._items.submit(self._fetch, item)))
            if len(self._waiting) == AHEAD:
                yield self._take(on_wait)
        while self._waiting:
            yield self._take(on_wait)

    def _take(self, on_wait: Callable[[], None]) -> tuple[Item, Result | SourceProblem]:
        item, future = self._waiting[0]
        outcome = _await(future, on_wait)
        self._waiting.popleft()
        return item, outcome

    def ask(self, function: Callable[[], Result]) -> Result:
        """The function's result; Unreachable at once if many in a row were so."""
        if self._unreachable >= MAX_UNREACHABLE:
            raise Unreachable("the source did not answer, for this and for others before")
        try:
            result = function()
        except Unreachable:
            self._unreachable += 1
            raise
        self._unreachable = 0
        return result

    @property
    def is_stopped(self) -> bool:
        return self._stopped.is_set()

    def check_stopped(self) -> None:
        """Raises Stopped in threads whose work nobody waits for any more."""
        if self.is_stopped:
            raise Stopped

    def close(self) -> None:
        """End all transfers.

        A source that has yet to answer is not waited for: its thread ends when the request does.
        """
        self._stopped.set()
        for pool in (self._items, self.files):
            pool.shutdown(wait=False, cancel_futures=True)
        # Those that are cancelled never count as done there.
        running = [future for _, future in self._waiting if not future.cancelled()]
        wait(running, CLOSE_SECONDS)


def _await(future: "Future[Result]", on_wait: Callable[[], None]) -> Result | SourceProblem:
    while True:
        on_wait()
        try:
            return future.result(WAIT_SECONDS)
        except TimeoutError:
            if future.done():  # the disk's, not that of waiting
                raise
        except SourceProblem as problem:
            return problem
