"""What goes into an archive, what comes back, and what can be wrong with an entry."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple

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


@dataclass(slots=True, eq=False)
class TextEntry:
    """A text made for this archive; written stored.

    `chunks` is consumed once, while the text is written. `sha256` (lower-case hex) is empty until
    then: a later text such as SHA256SUMS can list the earlier ones.
    """

    name: str
    chunks: Iterable[bytes]
    sha256: str = ""


Entry = FileEntry | TextEntry


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
