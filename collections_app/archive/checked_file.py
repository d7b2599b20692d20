"""Source files of an archive: opened, compared with the catalog, read, and compared again.

Every failure is raised as `BadEntry`, except when the process is out of descriptors or memory.
"""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO, NoReturn

from collections_app.archive.digest import Digest
from collections_app.archive.entries import BadEntry, BadKind, FileEntry

_CHUNK = 1 << 20
_HOLES_FROM = 64 << 20

_KIND_OF_ERRNO: dict[int, BadKind] = {
    errno.ENOENT: "missing",
    errno.ENOTDIR: "missing",
    errno.ELOOP: "unsafe",
    errno.EXDEV: "unsafe",
}
_REASONS: dict[BadKind, str] = {
    "missing": "the file is missing",
    "unsafe": "the path contains a link, or leads out of the dataset's folder",
}
# Whoever writes what is made of a file meets these as well.
_OF_NO_FILE = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOSPC, errno.EDQUOT}


class CheckedFile:
    """An open file whose size is the one in the catalog. Close it after use.

    Raises BadEntry if it cannot be opened, is not a regular file, or has another size.
    """

    __slots__ = ("_stat", "entry", "fd")

    def __init__(self, entry: FileEntry) -> None:
        self.entry = entry
        try:
            self.fd = entry.open_fd(entry.path)
        except OSError as error:
            self.fail(error)
        except ValueError as error:
            raise BadEntry(entry.name, "unsafe", str(error)) from error
        try:
            self._stat = self._fstat()
            self._refuse_other_file()
        except BadEntry:
            self.close()
            raise

    def _fstat(self) -> os.stat_result:
        try:
            return os.fstat(self.fd)
        except OSError as error:
            self.fail(error)

    def _refuse_other_file(self) -> None:
        if not stat.S_ISREG(self._stat.st_mode):
            raise BadEntry(self.entry.name, "unsafe", "not a regular file")
        if self._stat.st_size != self.entry.size:
            found, known = self._stat.st_size, self.entry.size
            raise self.changed(f"the file has {found:,} bytes, the catalog says {known:,}")

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self.fd)

    @property
    def is_known(self) -> bool:
        """Whether size and mtime are the catalog's, so that its checksums are still valid."""
        entry = self.entry
        return entry.crc32 is not None and self._stat.st_mtime_ns == entry.mtime_ns

    def read_into(self, room: memoryview, offset: int) -> int:
        """Fill `room` from `offset` of the file; return the number of bytes read, never 0."""
        try:
            size = os.preadv(self.fd, [room], offset)
        except OSError as error:
            self.fail(error)
        if not size:
            raise self.changed("the file became shorter while it was read")
        return size

    def extents(self) -> Iterator[tuple[int, int]]:
        """(start, end) of the parts that hold data; the parts between them are zeros.

        Looks for holes only in large files that mostly consist of them. In other files the search
        costs more than it saves.
        """
        size = self._stat.st_size
        if size < _HOLES_FROM or self._stat.st_blocks * 512 > size // 2:
            yield 0, size
            return
        start = self._seek(0, os.SEEK_DATA)
        while start < size:
            end = self._seek(start, os.SEEK_HOLE)
            yield start, end
            start = self._seek(end, os.SEEK_DATA)

    def _seek(self, offset: int, what: int) -> int:
        try:
            return min(os.lseek(self.fd, offset, what), self.entry.size)
        except OSError as error:
            if error.errno == errno.ENXIO:  # no data up to the end
                return self.entry.size
            self.fail(error)

    def confirm_untouched(self) -> None:
        """Raise BadEntry if the file was modified since it was opened."""
        now = self._fstat()
        if now.st_mtime_ns != self._stat.st_mtime_ns or now.st_size != self._stat.st_size:
            raise self.changed("the file changed while it was read")

    def confirm_digest(self, digest: Digest) -> None:
        """Raise BadEntry if the bytes read are not those in the catalog."""
        if digest.sha256 != self.entry.sha256:
            raise self.changed("the contents differ from the catalog's (SHA-256)")

    def changed(self, reason: str) -> BadEntry:
        """The error to raise for different contents."""
        return BadEntry(self.entry.name, "changed", reason)

    def fail(self, error: OSError) -> NoReturn:
        """Raise the BadEntry for this error, or the error itself if it is not the file's fault."""
        if error.errno in _OF_NO_FILE:
            raise error
        kind = _KIND_OF_ERRNO.get(error.errno or 0, "unreadable")
        reason = _REASONS.get(kind) or f"the file cannot be read: {error.strerror or error}"
        raise BadEntry(self.entry.name, kind, reason) from error


def check_entry(entry: FileEntry, *, on_step: Callable[[], None] = lambda: None) -> BadEntry | None:
    """The problem of this file, or None if it is as the catalog says.

    Reads the file only if its size is right and its mtime is not the catalog's. `on_step` is called
    for each megabyte read. It may raise to stop the reading.
    """
    try:
        source = CheckedFile(entry)
    except BadEntry as bad:
        return bad
    try:
        if not source.is_known:
            _read_and_confirm(source, on_step)
    except BadEntry as bad:
        return bad
    finally:
        source.close()
    return None


@contextmanager
def open_confirmed(entry: FileEntry) -> Iterator[BinaryIO]:
    """This file at its start, whose contents are the catalog's, until the end of the block.

    Raises:
        BadEntry: they are not, or have changed by the end; or the block cannot read it.
    """
    source = CheckedFile(entry)
    try:
        _read_and_confirm(source, lambda: None)
        with os.fdopen(source.fd, "rb", closefd=False) as file:
            yield file
        source.confirm_untouched()
    except OSError as error:
        source.fail(error)
    finally:
        source.close()


def _read_and_confirm(source: CheckedFile, on_step: Callable[[], None]) -> None:
    digest, room = Digest(), memoryview(bytearray(min(_CHUNK, source.entry.size)))
    while digest.size < source.entry.size:
        part = room[: source.entry.size - digest.size]
        digest.update(part[: source.read_into(part, digest.size)])
        on_step()
    source.confirm_untouched()
    source.confirm_digest(digest)
