"""Reading a ZIP's directory, as a reader that knows nothing of our writer (APPNOTE.TXT 6.3.10).

Sections 4.3.7 (local header), 4.3.12 (central record), 4.3.14 to 4.3.16 (end records), 4.5.3
(ZIP64). Stricter than the format: what medagg never writes (several disks, comments, encryption,
bytes before the first entry) is refused or reported.
"""

import os
import stat
import struct
from collections.abc import Iterator
from typing import NamedTuple

MAX_16 = 0xFFFF
MAX_32 = 0xFFFFFFFF
LOCAL_SIZE = 30

_END = struct.Struct("<4s4H2IH")
_LOCATOR64 = struct.Struct("<4sIQI")
_END64 = struct.Struct("<4sQ2H2I4Q")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_LOCAL = struct.Struct("<4s5H3I2H")
_FIELD = struct.Struct("<2H")
_NUMBER = struct.Struct("<Q")
_PIECE = 1 << 20
_ZIP64 = 1
_DOS_FOLDER = 0x10


class BadArchive(Exception):
    """The archive cannot be read any further; the message says why."""


class Directory(NamedTuple):
    """Where the central records are; `problems` do not keep them from being read."""

    num_entries: int
    start: int
    size: int
    problems: list[str]

    @property
    def end(self) -> int:
        return self.start + self.size


class Header(NamedTuple):
    """What a local header and a central record both say of an entry; sizes in bytes."""

    name: bytes
    flags: int
    method: int
    timestamp: tuple[int, int]
    crc32: int
    packed: int
    size: int


class Record(NamedTuple):
    """A central record; `offset` is where its local header should be."""

    header: Header
    offset: int
    attributes: int

    @property
    def is_file(self) -> bool:
        """Whether it is to be unpacked as a regular file: neither as a link nor as a folder."""
        kind = stat.S_IFMT(self.attributes >> 16)
        return kind in (0, stat.S_IFREG) and not self.attributes & _DOS_FOLDER


def read_exactly(fd: int, size: int, at: int) -> bytes:
    """`size` bytes from offset `at`; raises BadArchive if they are not there or unreadable."""
    parts = []
    while size:
        try:
            part = os.pread(fd, size, at)
        except OSError as error:
            raise BadArchive(f"cannot be read at byte {at:,}: {error.strerror}") from error
        if not part:
            raise BadArchive(f"ends at byte {at:,}, where more should come: it is truncated")
        parts.append(part)
        size, at = size - len(part), at + len(part)
    return b"".join(parts)


# --- The end of the file ---
def find_directory(fd: int) -> Directory:
    """Find the directory by the records that end the file.

    Raises:
        BadArchive: it is no ZIP, or its end is missing or contradicts itself.
    """
    file_size = os.fstat(fd).st_size
    tail_at = max(0, file_size - _END.size - MAX_16)
    tail = read_exactly(fd, file_size - tail_at, tail_at)
    found = tail.rfind(b"PK\5\6", 0, max(0, len(tail) - _END.size + 4))
    if found < 0:
        is_zip = file_size >= 4 and read_exactly(fd, 4, 0) == b"PK\3\4"
        raise BadArchive("has no end: it is truncated" if is_zip else "is not a ZIP archive")
    at = tail_at + found
    _, disk, start_disk, here, count, size, start, comment = _END.unpack_from(tail, found)
    if disk or start_disk or here != count:
        raise BadArchive("says that it is one of several parts, which medagg never writes")
    problems = []
    if rest := file_size - at - _END.size:
        problems.append(f"{rest:,} bytes follow after its end")
    elif comment:
        problems.append("its end announces a comment, which is not there")
    if count == MAX_16 or MAX_32 in (size, start):
        count, size, start, at = _read_end64(fd, at, (count, size, start))
    if start + size != at:
        raise BadArchive(
            "does not have its directory where its end says: bytes were cut out or put in"
        )
    return Directory(count, start, size, problems)


def _read_end64(fd: int, end_at: int, short: tuple[int, int, int]) -> tuple[int, int, int, int]:
    """(count, size, start) of the directory, and where the first of the end records begins."""
    locator_at = end_at - _LOCATOR64.size
    at = locator_at - _END64.size
    if at < 0 or read_exactly(fd, 4, locator_at) != b"PK\6\7":
        return (*short, end_at)  # the numbers just happen to be the largest ones
    _, disk, says_at, disks = _LOCATOR64.unpack(read_exactly(fd, _LOCATOR64.size, locator_at))
    fields = _END64.unpack(read_exactly(fd, _END64.size, at))
    mark, length, _, _, own_disk, start_disk, here, count, size, start = fields
    if mark != b"PK\6\6" or says_at != at or length != _END64.size - 12:
        raise BadArchive("has a damaged ZIP64 end record")
    if disk or disks != 1 or own_disk or start_disk or here != count:
        raise BadArchive("says that it is one of several parts, which medagg never writes")
    limits = (MAX_16, MAX_32, MAX_32)
    long = (count, size, start)
    if any(s not in (limit, n) for s, n, limit in zip(short, long, limits, strict=True)):
        raise BadArchive("has two end records that contradict each other")
    return (*long, at)


# --- Records ---
def iter_records(fd: int, directory: Directory) -> Iterator[Record]:
    """The central records in their order, in flat memory.

    Raises:
        BadArchive: a record is damaged, so that the following ones cannot be found.
    """
    buffer, used, at = b"", 0, directory.start
    for number in range(1, directory.num_entries + 1):
        # The longest record fits: its three lengths have 16 bits each.
        if len(buffer) - used < _CENTRAL.size + 3 * MAX_16 and at < directory.end:
            part = read_exactly(fd, min(_PIECE, directory.end - at), at)
            buffer, used, at = buffer[used:] + part, 0, at + len(part)
        try:
            record, used = _parse_record(buffer, used)
        except (struct.error, ValueError) as error:
            raise BadArchive(f"has a damaged directory, at entry {number:,}") from error
        yield record
    if rest := len(buffer) - used + directory.end - at:
        raise BadArchive(f"has a directory with {rest:,} bytes after its last entry")


def _parse_record(data: bytes, at: int) -> tuple[Record, int]:
    # fmt: off
    (mark, _, _, flags, method, time, date, crc, packed, size, name_size, extra_size, comment_size,
     disk, _, attributes, offset) = _CENTRAL.unpack_from(data, at)
    # fmt: on
    name_at = at + _CENTRAL.size
    extra_at = name_at + name_size
    end = extra_at + extra_size + comment_size
    if mark != b"PK\1\2" or disk or comment_size or end > len(data):
        raise ValueError("not a central record as medagg writes it")
    if extra_size:
        numbers = _zip64_numbers(data[extra_at : extra_at + extra_size])
        size, packed, offset = _fill_in(numbers, size, packed, offset)
    name = data[name_at:extra_at]
    header = Header(name, flags, method, (date, time), crc, packed, size)
    return Record(header, offset, attributes), end


def local_lengths(fixed: bytes) -> tuple[int, int]:
    """Bytes of the name and of the extra field that follow the fixed part of a local header.

    Raises ValueError if it is none.
    """
    if fixed[:4] != b"PK\3\4":
        raise ValueError("not a local header")
    name_size, extra_size = _FIELD.unpack_from(fixed, LOCAL_SIZE - 4)
    return name_size, extra_size


def parse_local(fixed: bytes, name: bytes, extra: bytes) -> Header:
    """A local header from its parts; raises ValueError for a broken extra field."""
    _, _, flags, method, time, date, crc, packed, size, _, _ = _LOCAL.unpack(fixed)
    if extra:
        size, packed = _fill_in(_zip64_numbers(extra), size, packed)
    return Header(name, flags, method, (date, time), crc, packed, size)


def _zip64_numbers(extra: bytes) -> list[int]:
    """The 64-bit numbers of the ZIP64 field; none if there is no such field."""
    at, numbers = 0, []
    while at < len(extra):
        if at + _FIELD.size > len(extra):
            raise ValueError("the extra field is cut off")
        kind, size = _FIELD.unpack_from(extra, at)
        at += _FIELD.size
        if at + size > len(extra):
            raise ValueError("the extra field is cut off")
        if kind == _ZIP64:
            numbers = [n for (n,) in _NUMBER.iter_unpack(extra[at : at + size // 8 * 8])]
        at += size
    return numbers


def _fill_in(numbers: list[int], *short: int) -> list[int]:
    """The 32-bit numbers, those that are "too large" replaced by the 64-bit ones in order."""
    rest = iter(numbers)
    full = [next(rest, -1) if number == MAX_32 else number for number in short]
    if -1 in full:
        raise ValueError("a ZIP64 number is missing")
    return full
