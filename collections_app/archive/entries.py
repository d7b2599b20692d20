"""The entries of an archive, the summary that the writer returns, and the error of a bad file."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple

BadKind = Literal["missing", "changed", "unreadable", "unsafe"]


@dataclass(slots=True, eq=False)
class FileEntry:
    """A file of the catalog with its recorded size and checksums; written without compression.

    `open_fd(path)` opens the file for reading and returns a new file descriptor, which the writer
    closes. It may be called more than once for a file. It must not follow links out of the
    dataset's folder (ELOOP, EXDEV and ValueError are reported as "unsafe") and must not wait for a
    FIFO (O_NONBLOCK). It may raise `BadEntry` itself.

    `size` in bytes, `sha256` in lower-case hex. `mtime_ns` (nanoseconds since 1970, as in
    `os.stat_result.st_mtime_ns`) and `crc32` may be None; the file is then read and hashed.
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
    """A text made for this archive; written without compression.

    `chunks` is consumed once, while the text is written. `sha256` (lower-case hex) is set then, so
    that a later text such as SHA256SUMS can list it.
    """

    name: str
    chunks: Iterable[bytes]
    sha256: str = ""


Entry = FileEntry | TextEntry


class BadEntry(Exception):
    """A file that cannot go into the archive, with a reason a user can read.

    kind "missing": no file at that path; "changed": the bytes differ from the catalog's;
    "unreadable": the system cannot read it; "unsafe": a link, or not a regular file.
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
