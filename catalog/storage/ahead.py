"""Fetches items in threads: while one is waited for, the next are on their way."""

import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Generic, TypeVar
from urllib.parse import urlsplit

from django.conf import settings

from catalog.storage.problems import SourceProblem, Unreachable

# Items whose fetching has begun before the first of them is done: a large file stops few others.
AHEAD = 64
# Files of all of these together: lists of thousands wait for each other, as they take memory.
MAX_FILES = 20_000
WAIT_SECONDS = 0.5
CLOSE_SECONDS = 5.0
# So many in a row show that the source does not answer at all.
MAX_UNREACHABLE = 8
Item = TypeVar("Item")
Result = TypeVar("Result")


class Stopped(Exception):
    """The run is over; a transfer ends here."""


@dataclass(eq=False, slots=True)
class _Flight(Generic[Item, Result]):
    """An item on its way, and how many files are known of it."""

    item: Item
    num_files: int
    future: Future[Result] = field(default_factory=Future)


class FetchAhead(Generic[Item, Result]):
    """Calls ``fetch`` for items in threads; ``files`` are more threads, for the files of an item.

    ``count_known`` tells how many files of an item are known before. Close it at the end.
    """

    def __init__(
        self, fetch: Callable[[Item], Result], count_known: Callable[[Item], int] = lambda item: 0
    ) -> None:
        self._fetch, self._count_known = fetch, count_known
        self._stopped = threading.Event()
        self._unreachable: Counter[str] = Counter()
        self.files = ThreadPoolExecutor(settings.FETCH_PARALLEL, "fetch")
        # As many, since an item may have a single file. The files of all share the transfers.
        self._items = ThreadPoolExecutor(settings.FETCH_PARALLEL, "items")
        self._waiting: deque[_Flight[Item, Result]] = deque()
        self._num_files, self._landed = 0, threading.Condition()
        self._thread = threading.local()

    def run(
        self, items: Iterable[Item], on_wait: Callable[[], None]
    ) -> Iterator[tuple[Item, Result | SourceProblem]]:
        """Each item with its result or with its problem, in order.

        ``on_wait`` is called in the caller's thread, at least twice a second.
        """
        for item in items:
            num_files = self._count_known(item)
            while self._waiting and not self._has_room(num_files):
                yield from self._take(on_wait)
            self._begin(item, num_files)
            if len(self._waiting) == AHEAD:
                yield from self._take(on_wait)
        while self._waiting:
            yield from self._take(on_wait)

    def _begin(self, item: Item, num_files: int) -> None:
        flight = _Flight[Item, Result](item, num_files)
        with self._landed:
            self._num_files += num_files
            self._waiting.append(flight)
        flight.future = self._items.submit(self._fly, flight)

    def _fly(self, flight: _Flight[Item, Result]) -> Result:
        self._thread.flight = flight
        try:
            return self._fetch(flight.item)
        finally:
            del self._thread.flight  # else it would be kept until the thread has another

    def _take(self, on_wait: Callable[[], None]) -> Iterator[tuple[Item, Result | SourceProblem]]:
        flight = self._waiting[0]
        outcome = _await(flight.future, on_wait)
        with self._landed:
            self._waiting.popleft()
            self._landed.notify_all()
        yield flight.item, outcome
        with self._landed:
            self._num_files -= flight.num_files
            self._landed.notify_all()

    def admit(self, num_files: int) -> None:
        """Wait until there is room for so many files of the item that this thread fetches.

        There always is for the first item, as all wait for it.
        """
        flight: _Flight[Item, Result] = self._thread.flight
        more = num_files - flight.num_files
        if more <= 0:
            return
        with self._landed:
            while self._waiting[0] is not flight and not self._has_room(more):
                self._landed.wait(WAIT_SECONDS)
                self.check_stopped()
            self._num_files += more
            flight.num_files = num_files

    def _has_room(self, num_files: int) -> bool:
        return self._num_files + num_files <= MAX_FILES

    def ask(self, address: str, function: Callable[[], Result]) -> Result:
        """The function's result; Unreachable at once if many in a row of its source were so."""
        source = urlsplit(address).netloc
        if self._unreachable[source] >= MAX_UNREACHABLE:
            raise Unreachable("the source did not answer, for this and for others before")
        try:
            result = function()
        except Unreachable:
            self._unreachable[source] += 1
            raise
        self._unreachable[source] = 0
        return result

    def check_stopped(self) -> None:
        """Raises Stopped in threads whose work nobody waits for any more."""
        if self._stopped.is_set():
            raise Stopped

    def close(self) -> None:
        """End all transfers.

        A source that has yet to answer is not waited for: its thread ends when the request does.
        """
        self._stopped.set()
        for pool in (self._items, self.files):
            pool.shutdown(wait=False, cancel_futures=True)
        # Those that are cancelled never count as done there.
        running = [each.future for each in self._waiting if not each.future.cancelled()]
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
            # Its frames have the lists of files, and lead back to it: they would stay for long.
            return problem.with_traceback(None)
