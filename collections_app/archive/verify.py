"""Proves an archive: reads each byte once, from the first to the last, and believes nothing.

A reader that shares no parsing with the writer. The directory leads, the local headers must
agree with it, and every byte of the file must belong to an entry, to the directory or to the end.
What is wrong becomes a message, never an exception: a damaged archive is an ordinary answer.

Memory is flat but for about 20 bytes a name, which find the names that occur twice.
"""

import hashlib
import os
import zlib
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from collections_app.archive.directory import (
    LOCAL_SIZE,
    BadArchive,
    Directory,
    Header,
    Record,
    find_directory,
    iter_records,
    local_lengths,
    parse_local,
)
from collections_app.archive.names import UniqueNames, safe_name
from collections_app.archive.stream import BUFFER, BytesCallback, Stream

MAX_PATH = 400
"""Bytes of UTF-8 in an entry's name: the slug, `names.MAX_NAME` and some room for a number."""
MAX_PROBLEMS = 100
"""How many problems are told; all are counted."""

_INFLATED = 1 << 20
_STORED, _DEFLATED = 0, 8
_UTF8 = 0x0800


class CheckedEntry(NamedTuple):
    """What an entry really holds.

    `size` (bytes) and `sha256` (hex) are of the contents as they were read; `sha256` is empty
    where they could not be. `wrong_crc` and `problem` say what is wrong, the one with the CRC-32
    and the other with all else; both are empty for an entry in order. `data_at` and `packed` tell
    where its data lies, `is_deflated` how, for `iter_contents`.
    """

    name: str
    size: int
    sha256: str
    problem: str
    wrong_crc: str = ""
    data_at: int = 0
    packed: int = 0
    is_deflated: bool = False

    @property
    def fault(self) -> str:
        """Whatever is wrong with it, or nothing."""
        return self.problem or self.wrong_crc


class ArchiveReader:
    """One reading of an archive.

    `fd` is a regular file, open for reading; its position is not used. Iterate over `entries()`
    to the end; then `sha256` is the whole file's (empty if it could not be read to its end),
    `size` its bytes, `num_entries` how many entries it has, and `problems` lists what is wrong
    with the archive as a whole: why the reading stopped, if it did, and the first MAX_PROBLEMS
    of all others, which `num_problems` counts. `on_bytes(done)` hears how many bytes have been
    read, every MiB; it may raise to stop.
    """

    def __init__(self, fd: int, *, on_bytes: BytesCallback | None = None) -> None:
        self._fd = fd
        self._on_bytes = on_bytes
        self._names = UniqueNames()
        # After an entry that cannot be followed nobody knows where the next should begin.
        self._is_lost = False
        self.size = os.fstat(fd).st_size
        self.sha256 = ""
        self.num_entries = 0
        self.num_problems = 0
        self.problems: list[str] = []

    def entries(self) -> Generator[CheckedEntry, None, None]:
        """Each entry of the directory, in its order, when it has been read."""
        try:
            directory = find_directory(self._fd)
            for problem in directory.problems:
                self._add(problem)
            with ThreadPoolExecutor(1) as pool:
                stream = Stream(self._fd, self.size, pool, self._on_bytes)
                for record in iter_records(self._fd, directory):
                    self.num_entries += 1
                    yield self._check(record, directory, stream)
                self._skip_gap(stream, directory.start, "the directory")
                stream.skip(self.size - stream.position)
                self.sha256 = stream.finish()
        except BadArchive as error:
            # First, because what shows problems may show only some of them.
            self.num_problems += 1
            self.problems.insert(0, f"the archive {error}")

    def _add(self, problem: str) -> None:
        # An archive of tiny entries can have millions of gaps.
        self.num_problems += 1
        if self.num_problems <= MAX_PROBLEMS:
            self.problems.append(problem)

    def _check(self, record: Record, directory: Directory, stream: Stream) -> CheckedEntry:
        name, problem = _decode(record.header)
        if not problem and self._names.take(name) != name:
            problem = "another entry has the same name, or one that some systems take for the same"
        if not problem and not record.is_file:
            problem = "it is marked as something else than a file"
        if record.offset < stream.position:
            self._is_lost = True
            return _unread(name, "it overlaps with an earlier entry, or is out of order")
        if record.offset + LOCAL_SIZE + len(record.header.name) > directory.start:
            self._is_lost = True
            return _unread(name, "it should begin where no entry can be")
        self._skip_gap(stream, record.offset, repr(name))
        return self._read_entry(name, problem, record.header, directory, stream)

    def _skip_gap(self, stream: Stream, until: int, before: str) -> None:
        gap = until - stream.position
        if gap and not self._is_lost:
            self._add(f"{gap:,} bytes before {before} belong to no entry")
        stream.skip(gap)
        self._is_lost = False

    def _read_entry(
        self, name: str, problem: str, header: Header, directory: Directory, stream: Stream
    ) -> CheckedEntry:
        try:
            local = _read_local(stream, directory.start)
        except ValueError:
            self._is_lost = True
            return _unread(name, problem or "its local header is damaged")
        if header.packed > directory.start - stream.position:
            self._is_lost = True
            return _unread(name, problem or "it reaches into the directory")
        problem = problem or _compare(header, local)
        data_at = stream.position
        contents = _Contents(header)
        for view in stream.views(header.packed):
            contents.feed(view)
        problem = contents.finish() or problem
        wrong_crc, sha256 = "", ""
        if contents.is_whole:
            sha256 = contents.sha256.hexdigest()
            if contents.crc32 != header.crc32:
                wrong_crc = f"its CRC-32 is {contents.crc32:08x}, not {header.crc32:08x}"
        is_deflated = header.method == _DEFLATED
        return CheckedEntry(
            name, contents.size, sha256, problem, wrong_crc, data_at, header.packed, is_deflated
        )


def _unread(name: str, problem: str) -> CheckedEntry:
    return CheckedEntry(name, 0, "", problem)


def _decode(header: Header) -> tuple[str, str]:
    """The entry's name, and what is wrong with it."""
    encoding = "utf-8" if header.flags & _UTF8 else "ascii"
    try:
        name = header.name.decode(encoding)
    except UnicodeDecodeError:
        return header.name.decode("ascii", "backslashreplace"), "its name is not UTF-8"
    if len(header.name) > MAX_PATH:
        return name, "its name is too long to be unpacked everywhere"
    if safe_name(name) != name and any(safe_name(part) != part for part in name.split("/")):
        return name, "its name is not safe to unpack"
    return name, ""


def _read_local(stream: Stream, end: int) -> Header:
    """The local header at the stream's position; raises ValueError if there is none."""
    fixed = stream.take(LOCAL_SIZE)
    name_size, extra_size = local_lengths(fixed)
    if name_size + extra_size > end - stream.position:
        raise ValueError("the header reaches into the directory")
    return parse_local(fixed, stream.take(name_size), stream.take(extra_size))


_WHAT = {"name": "the name", "flags": "the flags", "method": "the method", "timestamp": "the time",
         "crc32": "the CRC-32", "packed": "the packed size", "size": "the size"}  # fmt: skip


def _compare(header: Header, local: Header) -> str:
    if header == local:
        return ""
    differs = [_WHAT[field] for field in Header._fields
               if getattr(header, field) != getattr(local, field)]  # fmt: skip
    return f"its header and the directory disagree on {', '.join(differs)}"


class _Contents:
    """An entry's contents, unpacked and hashed as they come."""

    def __init__(self, header: Header) -> None:
        self._header = header
        self._inflate = zlib.decompressobj(-15) if header.method == _DEFLATED else None
        self._problem = ""
        if header.flags & 1:
            self._problem = "it is encrypted"
        elif header.method not in (_STORED, _DEFLATED):
            self._problem = f"it is packed by method {header.method}, which medagg never uses"
        self.sha256 = hashlib.sha256()
        self.crc32 = 0
        self.size = 0

    @property
    def is_whole(self) -> bool:
        """Whether the hash is that of the complete contents."""
        return not self._problem

    def feed(self, packed: memoryview) -> None:
        if self._problem:
            return
        if self._inflate is None:
            self._hash(packed)
            return
        if self._inflate.eof:  # zlib would gather all that follows
            self._problem = "bytes follow after its packed data"
            return
        try:
            for part in _inflate(self._inflate, packed):
                self._hash(part)
                if self.size > self._header.size:  # whatever it may grow to
                    self._problem = "it unpacks to more than it says"
                    return
        except zlib.error:
            self._problem = "its packed data is damaged"

    def _hash(self, part: bytes | memoryview) -> None:
        self.sha256.update(part)
        self.crc32 = zlib.crc32(part, self.crc32)
        self.size += len(part)

    def finish(self) -> str:
        """What is wrong, now that all of it has been fed."""
        if self._inflate and not self._problem:
            if not self._inflate.eof:
                self._problem = "its packed data ends too early"
            elif self._inflate.unused_data:
                self._problem = "bytes follow after its packed data"
        if self.size != self._header.size and not self._problem:
            self._problem = f"it has {self.size:,} bytes, not {self._header.size:,}"
        return self._problem


def _inflate(inflate: "zlib._Decompress", packed: bytes | memoryview) -> Iterator[bytes]:
    while True:
        part = inflate.decompress(packed, _INFLATED)
        if part:
            yield part
        packed = inflate.unconsumed_tail
        # A full part may leave more inside, with all of the input consumed.
        if inflate.eof or not (packed or len(part) == _INFLATED):
            return


def iter_contents(fd: int, entry: CheckedEntry) -> Iterator[bytes]:
    """The contents of an entry that has been read without a problem, in pieces of up to 1 MiB.

    Raises:
        BadArchive: the file has been changed since.
    """
    inflate = zlib.decompressobj(-15)
    end = entry.data_at + entry.packed
    for at in range(entry.data_at, end, BUFFER):
        packed = os.pread(fd, min(BUFFER, end - at), at)
        try:
            yield from _inflate(inflate, packed) if entry.is_deflated else (packed,)
        except zlib.error as error:
            raise BadArchive("was changed while it was read") from error
