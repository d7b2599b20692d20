"""The items of a collection in pieces, which the two processes of a build share out among them."""

import fcntl
import mmap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from collections_app.models import Collection

ITEMS = 10_000
# Small enough that neither process waits long for the last piece of the other one.
SHARED_ITEMS, SHARED_BYTES = 1000, 64 << 20


class Piece(NamedTuple):
    """Positions of items, both included."""

    first: int
    last: int


def cut(collection: Collection, *, items: int | None = None) -> list[Piece]:
    """All items of the collection, so many to a piece."""
    items = items or ITEMS
    whole = _num_items(collection)
    return [Piece(start + 1, min(start + items, whole)) for start in range(0, whole, items)]


def _num_items(collection: Collection) -> int:
    return collection.num_images + collection.num_left_out


class SharedPieces:
    """Pieces that one process takes from the front and another from the back, until they meet.

    To be made before the fork. Also tells the one how far the other one is. ``lock_fd`` is a file
    that both have open; whoever dies gives its lock up.
    """

    def __init__(self, collection: Collection, lock_fd: int) -> None:
        # Of all items: many of them may have no file, and nobody needs a piece for each of those.
        average = collection.num_bytes // max(1, _num_items(collection))
        self.items = min(SHARED_ITEMS, max(1, SHARED_BYTES // max(1, average)))
        self._pieces = cut(collection, items=self.items)
        self._lock_fd = lock_fd
        self._ends = memoryview(mmap.mmap(-1, mmap.PAGESIZE)).cast("q")[:4]
        self._ends[1] = len(self._pieces)

    def from_front(self) -> Iterator[Piece]:
        """Take the first of the pieces that are left, one after another."""
        return self._take(at_front=True)

    def from_back(self) -> Iterator[Piece]:
        """Take the last of the pieces that are left, one after another."""
        return self._take(at_front=False)

    def _take(self, *, at_front: bool) -> Iterator[Piece]:
        while True:
            with self._locked():
                front, back = self._ends[:2]
                if front == back:
                    return
                if at_front:
                    self._ends[0] = front + 1
                else:
                    self._ends[1] = back - 1
            yield self._pieces[front if at_front else back - 1]

    def stop(self) -> None:
        """Leave nothing to take: the build has failed."""
        with self._locked():
            self._ends[0] = self._ends[1]

    @contextmanager
    def _locked(self) -> Iterator[None]:
        fcntl.lockf(self._lock_fd, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.lockf(self._lock_fd, fcntl.LOCK_UN)

    @property
    def count(self) -> int:
        """The number of all pieces."""
        return len(self._pieces)

    @property
    def progress(self) -> tuple[int, int]:
        """Entries and bytes of contents that were written from the back."""
        return self._ends[2], self._ends[3]

    def reporter(self) -> Callable[[int, int], None]:
        """Adds the progress of the next piece from the back."""
        entries_before, bytes_before = self.progress

        def report(entries: int, size: int) -> None:
            self._ends[2], self._ends[3] = entries_before + entries, bytes_before + size

        return report
