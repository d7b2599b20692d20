"""The cache of files that lie elsewhere: on disk, by SHA-256, bounded in bytes.

A small file counts as a block of the disk, so that the number of files has an end, too.

A file is written beside, checked, and gets its name when it is whole. A build links the files that
it uses into a folder of its own: what has a second name is in use, and is not removed.
"""

import fcntl
import hashlib
import heapq
import os
import shutil
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeVar

from django.conf import settings

from catalog.storage.disk import BLOCK, LOOK_BYTES, count_bytes, has_room, is_held, open_promise
from catalog.storage.download import FetchedFile, download
from catalog.storage.problems import ListedFile, SourceProblem
from catalog.storage.retries import try_again
from catalog.wording.formats import file_size

# The time of every file in the cache: whoever writes to one changes it, and is noticed.
MTIME_NS = 315_532_800 * 10**9
# Of files that may be removed: 30 MB.
_MOST_IN_MEMORY = 100_000
T = TypeVar("T")
_IN_USE = "in-use"
_PARTIAL, _PROMISED = "partial", "promised"
# A file is not locked at once when it is made, nor while it gets its name.
_NEW_SECONDS = 60
# What others add is counted again after so many times as long as a count takes: they add some
# hundredths of the files that are there meanwhile, however many and however large these are.
_RECOUNT_FACTOR, _RECOUNT_SECONDS = 10, 60.0


class CacheFull(SourceProblem):
    """There is no room for more, as all that is there is in use, or none in the database."""

    is_lasting = False


@dataclass(frozen=True, slots=True)
class _Entry:
    used_at: float
    size: int
    path: str


class Room:
    """What is left of a promise: each file that has come takes its part of it."""

    def __init__(self, promise: IO[bytes], num_bytes: int) -> None:
        self._promise, self._left, self._taking = promise, num_bytes, threading.Lock()

    def take(self, size: int) -> None:
        """A file of this size is in the cache, or will be at once, and counts there."""
        with self._taking:
            self._left = max(0, self._left - count_bytes([size]))
            self._promise.truncate(self._left)


class FileCache:
    """The cache below ``root``; one object a build, since it counts what it adds."""

    def __init__(self, root: Path | None = None, max_bytes: int | None = None) -> None:
        self._root = root or settings.REMOTE_CACHE_ROOT
        self._max_bytes = settings.REMOTE_CACHE_MAX_BYTES if max_bytes is None else max_bytes
        self._total, self._recount_at = 0, float("-inf")
        self._counting = threading.Lock()
        # Bytes of all transfers since the disk was looked at.
        self._unseen = 0

    def fetch(
        self,
        address: str,
        file: ListedFile,
        *,
        sha256: str = "",
        on_bytes: Callable[[int], None] = lambda count: None,
        room: Room | None = None,
    ) -> FetchedFile:
        """Bring a listed file into the cache; it must have ``sha256`` where that is known.

        It takes its part of ``room``.

        Errors that may pass are tried again after growing pauses. ``on_bytes`` is called for each
        chunk, with a negative number for what is thrown away; it may raise, to stop.

        Raises:
            SourceProblem: it cannot be had, or is not what was listed or known.
            OSError: the disk.
        """
        return try_again(lambda: self._fetch_once(address, file, sha256, on_bytes, room), on_bytes)

    def _fetch_once(
        self,
        address: str,
        file: ListedFile,
        sha256: str,
        on_bytes: Callable[[int], None],
        room: Room | None,
    ) -> FetchedFile:
        def look_at_room(count: int) -> None:
            on_bytes(count)
            self._look_at_room(count)

        with self._new_file() as (partial, output):
            with output:
                self._look_at_room(BLOCK)  # a tiny file takes one, too
                fetched = download(output, address, file, sha256=sha256, on_bytes=look_at_room)
            if room:
                # Before the file counts in the cache: else there would seem to be too little.
                room.take(fetched.size)
            if self.has_whole(fetched.sha256, fetched.size):
                # Another build has brought it meanwhile, and what it holds would be a second copy.
                partial.unlink()
                return fetched
            os.utime(partial, ns=(time.time_ns(), MTIME_NS))
            target = self._path(fetched.sha256)
            _with_folder(target.parent, lambda: partial.replace(target))
        with self._counting:
            self._total += count_bytes([fetched.size])
        return fetched

    def _look_at_room(self, count: int) -> None:
        """Raises CacheFull: others, such as archives, may have taken what was promised."""
        with self._counting:
            self._unseen += max(0, count)
            if self._unseen < LOOK_BYTES:
                return
            self._unseen = 0
        if not has_room(self._root, 0, 0):
            raise CacheFull("the server's disk has no room for more")

    def has_whole(self, sha256: str, size: int) -> bool:
        """Remove the file if its size or time shows damage; whether it is there, whole."""
        path = self._path(sha256)
        try:
            status = path.stat()
        except FileNotFoundError:
            return False
        if (status.st_size, status.st_mtime_ns) != (size, MTIME_NS):
            path.unlink(missing_ok=True)
            return False
        return True

    def remove_if_damaged(self, sha256: str) -> None:
        """Read a file; one whose bytes are others is removed, whatever its size and time are."""
        path = self._path(sha256)
        with suppress(FileNotFoundError):
            with path.open("rb") as file:
                is_whole = hashlib.file_digest(file, "sha256").hexdigest() == sha256
            if not is_whole:
                path.unlink(missing_ok=True)

    def use(self, sha256: str, holder: str) -> None:
        """Keep a file for ``holder`` until ``release``; raises FileNotFoundError if it is gone.

        Who holds files is an attempt to build, by its token.
        """
        path, folder = self._path(sha256), self.folder_of(holder)
        while True:
            try:
                os.link(path, folder / sha256)
                break
            except FileExistsError:
                break
            except FileNotFoundError:
                # Also while another transfer, of the same bytes, puts its file in the place.
                if not path.exists():
                    raise
                folder.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            os.utime(path, ns=(time.time_ns(), MTIME_NS))

    def folder_of(self, holder: str) -> Path:
        """Where the files of a holder are, each by its SHA-256."""
        return self._root / _IN_USE / holder

    def release(self, holder: str) -> None:
        """The holder is done with its files."""
        shutil.rmtree(self.folder_of(holder), ignore_errors=True)

    def holders(self) -> list[str]:
        """Who holds files at present."""
        try:
            return sorted(os.listdir(self._root / _IN_USE))  # noqa: PTH208 - names only
        except FileNotFoundError:
            return []

    @contextmanager
    def reserve(self, sizes: Collection[int]) -> Iterator[Room]:
        """Room for files of these sizes until the block ends; what is unused longest is removed.

        Raises:
            CacheFull: too much is in use, or promised to others.
        """
        num_bytes = count_bytes(sizes)
        with self._promise(num_bytes, len(sizes)) as promise:
            try:
                yield Room(promise, num_bytes)
            finally:
                Path(promise.name).unlink(missing_ok=True)

    def _promise(self, num_bytes: int, num_files: int) -> IO[bytes]:
        """A file without contents, which all processes count by its length and its name.

        It holds as long as it is open, and so locked.
        """
        folder = self._root / _PROMISED
        folder.mkdir(parents=True, exist_ok=True)  # and the root, whose disk is looked at
        with (self._root / "lock").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            began = time.monotonic()
            is_old = began > self._recount_at
            if is_old or not self._fits(*self._add_promised(num_bytes, num_files)):
                self._evict(num_bytes, num_files)
                now = time.monotonic()
                self._recount_at = now + min(_RECOUNT_SECONDS, _RECOUNT_FACTOR * (now - began))
            return open_promise(folder / f"{num_files}-{uuid.uuid4().hex}", num_bytes)

    def _add_promised(self, num_bytes: int, num_files: int) -> tuple[int, int]:
        """So many bytes and files, with those that are promised to others."""
        for path in (self._root / _PROMISED).iterdir():
            with suppress(FileNotFoundError):
                if is_held(path):
                    num_bytes += path.stat().st_size
                    num_files += int(path.name.partition("-")[0])
                else:
                    path.unlink()
        return num_bytes, num_files

    def _fits(self, num_bytes: int, num_files: int) -> bool:
        is_within = self._total + num_bytes <= self._max_bytes
        return is_within and has_room(self._root, num_bytes, num_files)

    def _evict(self, num_bytes: int, num_files: int) -> None:
        # First, as what comes while files are counted may be on no list else.
        needed, has_repeated = self._add_promised(num_bytes, num_files), False
        while True:
            oldest = self._count()
            if self._remove(oldest, *needed):
                return
            # What came meanwhile was counted twice.
            needed = self._add_promised(num_bytes, num_files)
            if len(oldest) == _MOST_IN_MEMORY:
                continue
            # Only once more, as files may come for hours.
            if has_repeated or not self._fits(*needed):
                raise CacheFull(
                    f"the server's room for fetched files ({file_size(self._max_bytes)}) is full "
                    "of files that other builds are using"
                )
            has_repeated = True

    def _count(self) -> list[_Entry]:
        """Count what is there; what is in no use, the longest unused first, as far as memory goes.

        A cache may have millions of small files.
        """
        total = 0

        def iter_unused() -> Iterator[_Entry]:
            nonlocal total
            for status, path in self._iter_files():
                size = count_bytes([status.st_size])
                total += size
                if status.st_nlink == 1:
                    yield _Entry(status.st_atime, size, path)

        oldest = heapq.nsmallest(_MOST_IN_MEMORY, iter_unused(), key=lambda each: each.used_at)
        self._total = total
        return oldest

    def _remove(self, entries: Iterable[_Entry], num_bytes: int, num_files: int) -> bool:
        """Remove one after another until so much fits; whether it does."""
        for entry in entries:
            if self._fits(num_bytes, num_files):
                return True
            path = Path(entry.path)
            with suppress(FileNotFoundError):
                if path.stat().st_nlink == 1:
                    path.unlink()
                    self._total -= entry.size
        return self._fits(num_bytes, num_files)

    def _iter_files(self) -> Iterator[tuple[os.stat_result, str]]:
        for shelf in self._shelves():
            for each in os.scandir(shelf):
                with suppress(FileNotFoundError):
                    yield each.stat(follow_symlinks=False), each.path

    def _shelves(self) -> Iterable[Path]:
        return [each for each in self._root.iterdir() if len(each.name) == 2 and each.is_dir()]

    def _path(self, sha256: str) -> Path:
        return self._root / sha256[:2] / sha256

    @contextmanager
    def _new_file(self) -> Iterator[tuple[Path, IO[bytes]]]:
        """A new file, which the block closes and names; one that fails leaves none.

        Unlike that of ``replacing``, its name is its SHA-256, which is known when it is whole.
        """
        folder = self._root / _PARTIAL
        handle, name = _with_folder(folder, lambda: tempfile.mkstemp(dir=folder))
        try:
            # Not by its name with "w": ext4 writes a file that was cut to nothing to the disk when
            # it is closed, and whoever closes it waits.
            file = open(handle, "wb")  # noqa: SIM115, PTH123 - the block closes it
            fcntl.flock(file, fcntl.LOCK_EX)
            yield Path(name), file
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise

    def remove_partials(self) -> None:
        """Remove what killed processes have left."""
        with suppress(FileNotFoundError):
            for path in (self._root / _PARTIAL).iterdir():
                with suppress(FileNotFoundError):
                    # Not st_mtime: one that is about to get its name has that of the cache.
                    is_new = time.time() - path.stat().st_ctime < _NEW_SECONDS
                    if not is_new and not is_held(path):
                        path.unlink()


def _with_folder(folder: Path, function: Callable[[], T]) -> T:
    """The function's result; the folder is made where it is missing, which it rarely is."""
    try:
        return function()
    except FileNotFoundError:
        folder.mkdir(parents=True, exist_ok=True)
        return function()
