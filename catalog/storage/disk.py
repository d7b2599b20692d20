"""What fetched files take of a disk: bytes, and names, of which most disks have an end, too."""

import errno
import fcntl
import os
import uuid
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from django.conf import settings

# A disk gives out whole blocks: millions of files of some bytes fill it as gigabytes do.
BLOCK = 4096
# So many more the disk must be able to take, for all else that writes there.
RESERVED_FILES = 10_000
# Who writes much looks at the disk again after so many bytes.
LOOK_BYTES = 4 << 20


def count_bytes(sizes: Iterable[int]) -> int:
    """The bytes that files of these sizes count for limits: each at least a block."""
    return sum(size if size > BLOCK else BLOCK for size in sizes)


def has_room(folder: Path, num_bytes: int, num_files: int) -> bool:
    """Whether the disk takes so much more, and still has its reserve."""
    status = os.statvfs(folder)
    if status.f_bavail * status.f_frsize - num_bytes < settings.ARCHIVE_RESERVE_BYTES:
        return False
    # Btrfs and others count no files.
    return not status.f_files or status.f_favail - num_files >= RESERVED_FILES


def require_room(folder: Path) -> None:
    """Raises OSError, with ENOSPC, if the disk has no more than its reserve."""
    if not has_room(folder, 0, 0):
        raise OSError(errno.ENOSPC, "the disk has no more than its reserve", str(folder))


class WatchedFile:
    """A file to which as much is written as its disk has beyond its reserve, whoever else writes.

    ``write`` raises OSError, with ENOSPC.
    """

    def __init__(self, file: BinaryIO, folder: Path) -> None:
        self._file, self._folder, self._unseen = file, folder, 0

    def write(self, data: bytes) -> int:
        self._unseen += len(data)
        if self._unseen >= LOOK_BYTES:
            self._file.flush()
            require_room(self._folder)
            self._unseen = 0
        return self._file.write(data)

    def writelines(self, chunks: Iterable[bytes]) -> None:
        for chunk in chunks:
            self.write(chunk)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


@contextmanager
def promise_room(folder: Path, num_bytes: int) -> Iterator[None]:
    """Room on a folder's disk, of which no process promises any to others until the block ends.

    A promise is the length of a file without contents, which holds as long as it is locked: that
    of a process that was killed does not.

    Raises OSError, with ENOSPC where there is no room.
    """
    promises = folder / "promised-room"
    promises.mkdir(parents=True, exist_ok=True)
    promise = promises / uuid.uuid4().hex
    with ExitStack() as stack:
        with (folder / "promised-room.lock").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not has_room(folder, num_bytes + _count_promised(promises), 0):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            stack.enter_context(open_promise(promise, num_bytes))
            stack.callback(promise.unlink, missing_ok=True)
        yield


def open_promise(path: Path, num_bytes: int) -> BinaryIO:
    """A new file without contents of this length, which is held as long as it is open."""
    promise = path.open("xb")
    fcntl.flock(promise, fcntl.LOCK_EX)
    promise.truncate(num_bytes)
    return promise


def is_held(path: Path) -> bool:
    """Whether a process has locked the file, as none does that was killed.

    Raises FileNotFoundError.
    """
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _count_promised(promises: Path) -> int:
    num_bytes = 0
    for path in promises.iterdir():
        with suppress(FileNotFoundError):
            if is_held(path):
                num_bytes += path.stat().st_size
            else:
                path.unlink()
    return num_bytes
