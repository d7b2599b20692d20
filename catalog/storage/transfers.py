"""Files that a web process sends itself: so many at a time that pages always have threads left."""

import errno
import fcntl
import os
import tempfile
import threading
import weakref
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from django.conf import settings

from catalog.storage.disk import WatchedFile, require_room
from catalog.storage.web_threads import NoThreadLeft, divide_threads, share

BLOCK = 1 << 20
# The archive's writer, which knows nothing of this, has the same.
DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def find_most_transfers(threads: int) -> int:
    """How many files a process with so many threads sends at a time.

    A client that reads slowly keeps its thread for as long as it takes. What nginx sends takes no
    thread and does not count. A quarter of the share is left for previews, searches and freezes.
    """
    return max(1, divide_threads(threads).share * 3 // 4)


MAX_TRANSFERS = find_most_transfers(settings.WEB_THREADS)
_slots = threading.BoundedSemaphore(MAX_TRANSFERS)


class TooManyTransfers(NoThreadLeft):
    """As many files are sent as may be; the client should come again in RETRY_SECONDS."""


class NoRoom(Exception):
    """The disk is full, but for its reserve."""


class AlreadySent(Exception):
    """Another file is sent to the same user, and has not ended yet."""


class Transfer:
    """A part of an open file that reads like a file; has a descriptor, for ``sendfile``.

    All of it goes by the descriptor's own position: a buffer, from which somebody may have read
    already, has another one.

    It counts until it is closed, at the latest until nobody holds it any more: a response that
    something on its way out has replaced is never closed. Then ``lock`` is closed, too. Raises
    TooManyTransfers, and then leaves both open.
    """

    def __init__(
        self,
        file: BinaryIO,
        *,
        start: int = 0,
        length: int | None = None,
        lock: BinaryIO | None = None,
    ) -> None:
        _take_thread()
        self._file = file
        self._end = weakref.finalize(self, _end_transfer, file, _slots, lock)
        self._start = start
        self.start_again(length)

    def start_again(self, length: int | None = None) -> None:
        """From its start, with as many bytes as the file has by now."""
        size = os.fstat(self.fileno()).st_size
        self.length = self._left = size - self._start if length is None else length
        os.lseek(self.fileno(), self._start, os.SEEK_SET)

    def read(self, size: int = BLOCK) -> bytes:
        block = os.read(self.fileno(), min(size, self._left))
        self._left -= len(block)
        return block

    def fileno(self) -> int:
        return self._file.fileno()

    def tell(self) -> int:
        return os.lseek(self.fileno(), 0, os.SEEK_CUR)

    def close(self) -> None:
        self._end()


def spool_transfer(folder: Path, chunks: Iterable[bytes], *, one_for: str = "") -> Transfer:
    """A transfer of what is written here first, into an unnamed file in ``folder``.

    It is complete before the first byte is sent, so a slow reader keeps no query open. It counts
    from before the first chunk is made: who is told to come again has cost nothing. Of transfers
    with the same ``one_for``, a file's name, one is there until it ends, of all processes here.

    Raises:
        AlreadySent, TooManyTransfers: no chunk was made.
        NoRoom, OSError: it could not be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _telling_of_full_disks(), ExitStack() as stack:
        lock = stack.enter_context(_lock_one(one_for)) if one_for else None
        file = stack.enter_context(tempfile.TemporaryFile(dir=folder))
        require_room(folder)
        watched = cast("BinaryIO", WatchedFile(file, folder))
        transfer = _fill(Transfer(file, lock=lock), watched, chunks)
        stack.pop_all()
    return transfer


def hold_transfer(content: Iterable[bytes]) -> Transfer:
    """A transfer of what is in memory, and stays there. Raises TooManyTransfers."""
    with ExitStack() as stack:
        file = stack.enter_context(_open_memory())
        transfer = _fill(Transfer(file), file, content)
        stack.pop_all()
    return transfer


def _fill(transfer: Transfer, file: BinaryIO, chunks: Iterable[bytes]) -> Transfer:
    """Write all that it is to send; after an error it is closed, and counts no more."""
    try:
        file.writelines(chunks)
        file.flush()
        transfer.start_again()
    except BaseException:
        transfer.close()
        raise
    return transfer


def _open_memory() -> BinaryIO:
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("answer"), "w+b")
    return tempfile.TemporaryFile()


@contextmanager
def _telling_of_full_disks() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        raise NoRoom(str(error)) from error


def _lock_one(name: str) -> BinaryIO:
    """A lock, which the system ends when the file is closed, or the process ends."""
    folder = settings.VAR_DIR / "transfers"
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        lock: BinaryIO = stack.enter_context((folder / name).open("ab"))
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise AlreadySent from error
        stack.pop_all()
    return lock


def _take_thread() -> None:
    if not _slots.acquire(blocking=False):
        raise TooManyTransfers
    if not share.acquire(blocking=False):
        _slots.release()
        raise TooManyTransfers


def _end_transfer(file: BinaryIO, slots: threading.BoundedSemaphore, lock: BinaryIO | None) -> None:
    try:
        file.close()  # which writes what is left, and may find the disk full
    finally:
        share.release()
        slots.release()
        if lock:
            lock.close()
