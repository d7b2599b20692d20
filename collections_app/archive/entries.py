"""What goes into an archive, what comes back, and what can be wrong with an entry."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

from collections_app.archive.records import CentralDirectory, stored_size

BadKind = Literal["missing", "changed", "unreadable", "unsafe"]


@dataclass(slots=True, eq=False)
class FileEntry:
    """A file of the catalog with what the catalog knows of it; written stored.

    `open_fd(path)` opens the file for reading and returns a new file descriptor, which the writer
    closes; it may be called again for a closer look. It decides what may be opened: it must not
    follow links out of the dataset's folder (ELOOP, EXDEV and ValueError are reported as
    "unsafe") nor wait for a FIFO (O_NONBLOCK). It may raise `BadEntry` itself.

    `size` in bytes, `sha256` in lower-case hex. `mtime_ns` (nanoseconds since 1970, as in
    `os.stat_result.st_mtime_ns`) and `crc32` may be None: the file is then read and hashed.
    """

    name: str
    open_fd: Callable[[str], int]
    path: str
    size: int
    crc32: int | None
    sha256: str
    mtime_ns: int | None


@dataclass(frozen=True, slots=True, eq=False)
class PackedEntry:
    """A text made for this archive, which `pack_text` has deflated; the writer only copies it.

    The packed text is the `packed_size` bytes of the file behind the descriptor `spool_fd` from
    `offset` on, which stays open until they are written. `size` in bytes, `crc32` and `sha256`
    (lower-case hex) are those of the text itself. Where it was packed does not show in the archive.
    """

    name: str
    spool_fd: int
    offset: int
    size: int
    packed_size: int
    crc32: int
    sha256: str

    @property
    def stored_size(self) -> int:
        """What it takes in the archive, header and name included."""
        return stored_size(
            count=1, name_bytes=len(self.name.encode()), size=self.packed_size, num_large=0
        )


@dataclass(frozen=True, slots=True, eq=False)
class WrittenRun:
    """Entries that `write_run` has put into their place already; the writer only lists them.

    They take the `size` bytes of the archive from `offset` on; `directory` has their records.
    """

    offset: int
    size: int
    directory: CentralDirectory


Entry = FileEntry | PackedEntry | WrittenRun


class BadEntry(Exception):
    """A file that cannot go into the archive, with a reason a user can read.

    kind "missing": nothing at that path; "changed": other bytes than the catalog's;
    "unreadable": the system refuses or fails to read it; "unsafe": a link or not a regular file.
    """

    def __init__(self, name: str, kind: BadKind, reason: str) -> None:
        super().__init__(name, kind, reason)
        self.name = name
        self.kind = kind
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.name}: {self.reason}"


class ArchiveSummary(NamedTuple):
    """What was written: the number of entries, and the size of the archive in bytes."""

    num_entries: int
    size: int
