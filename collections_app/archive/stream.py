"""A file's bytes in order, each read once and hashed on the way."""

import hashlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from collections_app.archive.directory import BadArchive

BUFFER = 1 << 20

BytesCallback = Callable[[int], None]


class Stream:
    """The file's bytes in order. A thread of its own hashes them all, beside what reads them."""

    def __init__(
        self, fd: int, size: int, pool: ThreadPoolExecutor, on_bytes: BytesCallback | None
    ) -> None:
        self._fd = fd
        self._size = size
        self._pool = pool
        self._on_bytes = on_bytes
        self._sha256 = hashlib.sha256()
        # One is read while the other is still being hashed.
        self._buffers = [memoryview(bytearray(BUFFER)) for _ in range(2)]
        self._hashing: list[Future[None] | None] = [None, None]
        self._turn = 0
        self._fresh = self._buffers[0][:0]
        self._read = 0

    @property
    def position(self) -> int:
        """Offset of the next byte."""
        return self._read - len(self._fresh)

    def views(self, size: int) -> Iterator[memoryview]:
        """The next `size` bytes in pieces, each valid until the next is asked for."""
        while size:
            if not self._fresh:
                self._fill()
            view, self._fresh = self._fresh[:size], self._fresh[size:]
            size -= len(view)
            yield view

    def take(self, size: int) -> bytes:
        """The next `size` bytes."""
        if size <= len(self._fresh):
            taken, self._fresh = bytes(self._fresh[:size]), self._fresh[size:]
            return taken
        return b"".join(self.views(size))

    def skip(self, size: int) -> None:
        """Hash the next `size` bytes with the file and forget them."""
        for _ in self.views(size):
            pass

    def _fill(self) -> None:
        turn = self._turn = 1 - self._turn
        if earlier := self._hashing[turn]:
            earlier.result()
        try:
            count = os.preadv(self._fd, [self._buffers[turn]], self._read)
        except OSError as error:
            raise BadArchive(f"cannot be read at byte {self._read:,}: {error.strerror}") from error
        if not count:
            raise BadArchive(f"became shorter while it was read: it ends at byte {self._read:,}")
        self._fresh = self._buffers[turn][:count]
        self._hashing[turn] = self._pool.submit(self._sha256.update, self._fresh)
        self._read += count
        if self._on_bytes:
            self._on_bytes(self._read)

    def finish(self) -> str:
        """The SHA-256 of all bytes that were read."""
        for hashing in self._hashing:
            if hashing:
                hashing.result()
        return self._sha256.hexdigest()
