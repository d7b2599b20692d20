"""Files and entries for the tests of the archive writer."""

import hashlib
import os
import resource
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from collections_app.archive import (
    ArchiveSummary,
    Entry,
    FileEntry,
    TextEntry,
    write_archive,
)

MIB = 1 << 20
SMALL, LARGE = b"pixels" * 100, bytes(range(256)) * (3 * MIB // 256)
"""What fits the writer's buffer, and what the kernel copies."""

OPEN_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def open_plainly(path: str) -> int:
    """Open a file at any path; `BeneathOpener` has the rules of what may be opened."""
    return os.open(path, OPEN_FLAGS)


def catalog_file(path: Path, name: str = "", **known: Any) -> FileEntry:
    """An entry that knows of the file what an import learns; `known` overrides single facts."""
    data = path.read_bytes()
    entry = FileEntry(
        name=name or path.name,
        open_fd=open_plainly,
        path=str(path),
        size=len(data),
        crc32=zlib.crc32(data),
        sha256=hashlib.sha256(data).hexdigest(),
        mtime_ns=path.stat().st_mtime_ns,
    )
    return replace(entry, **known)


def text(name: str, *chunks: bytes) -> TextEntry:
    """A text as an entry."""
    return TextEntry(name, chunks)


def make_file(path: Path, data: bytes = b"pixels") -> Path:
    """Write a file and create its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def build(target: Path, entries: Iterable[Entry], **options: Any) -> ArchiveSummary:
    """Write the archive to a new file."""
    with target.open("wb") as out:
        return write_archive(out, entries, **options)


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """Limit the size of files to `size` bytes, as if the disk were full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def open_descriptors() -> int:
    """How many file descriptors this process holds."""
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - counts what the kernel lists
