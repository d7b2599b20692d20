"""The records of a ZIP file as bytes (APPNOTE.TXT 4.3.7, 4.3.12, 4.3.14 to 4.3.16, 4.5.3).

Everything that could vary is fixed: no compression, UTF-8 names (flag bit 11, also for ASCII), the
timestamp 1980-01-01 00:00, made by UNIX, a regular file with mode 0644, no comments.
"""

import struct
import zlib
from collections.abc import Iterator

MAX_16 = 0xFFFF
MAX_32 = 0xFFFFFFFF

LOCAL_CRC_OFFSET = 14  # of the CRC-32 in a local header; the two sizes follow it

_STORED = 0
_UTF8 = 0x0800
_TIME, _DATE = 0x0000, 0x0021
_NEEDS_PLAIN, _NEEDS_ZIP64 = 20, 45
_MADE_BY = 3 << 8 | _NEEDS_ZIP64
_ATTRIBUTES = 0o100644 << 16

# Fields that are the same in every record are packed once, as there may be a million records.
_LOCAL = struct.Struct("<14s3I2H")
_PLAIN_LOCAL, _ZIP64_LOCAL = (
    struct.pack("<4s5H", b"PK\3\4", needs, _UTF8, _STORED, _TIME, _DATE)
    for needs in (_NEEDS_PLAIN, _NEEDS_ZIP64)
)
_CENTRAL = struct.Struct("<16s3I2H10sI")
_PLAIN_CENTRAL, _ZIP64_CENTRAL = (
    struct.pack("<4s6H", b"PK\1\2", _MADE_BY, needs, _UTF8, _STORED, _TIME, _DATE)
    for needs in (_NEEDS_PLAIN, _NEEDS_ZIP64)
)
_CENTRAL_MIDDLE = struct.pack("<3HI", 0, 0, 0, _ATTRIBUTES)  # no comment, disk 0, not as text
_END = struct.Struct("<4s4H2IH")
_END64 = struct.Struct("<4sQ2H2I4Q")
_LOCATOR64 = struct.Struct("<4sIQI")
LOCAL_SIZE = _LOCAL.size
_CRC = struct.Struct("<I")
_CRC_AND_SIZES = struct.Struct("<3I")


def local_header(name: bytes, crc: int, size: int) -> bytes:
    """The header before an entry's data; with a ZIP64 field if the size needs more than 32 bits."""
    if size < MAX_32:
        return _LOCAL.pack(_PLAIN_LOCAL, crc, size, size, len(name), 0) + name
    extra = _zip64_extra(size, size)
    return _LOCAL.pack(_ZIP64_LOCAL, crc, MAX_32, MAX_32, len(name), len(extra)) + name + extra


def pack_crc(crc: int) -> bytes:
    """The CRC-32 as a header has it at LOCAL_CRC_OFFSET, for patching it afterwards."""
    return _CRC.pack(crc)


def pack_crc_and_size(crc: int, size: int) -> bytes:
    """The CRC-32 followed by both sizes; `size` must be less than `MAX_32`."""
    return _CRC_AND_SIZES.pack(crc, size, size)


def read_crc_and_size(header: bytes) -> tuple[int, int]:
    """The CRC-32 and the size in a local header."""
    crc, size, _ = _CRC_AND_SIZES.unpack_from(header, LOCAL_CRC_OFFSET)
    return crc, size


def central_record(name: bytes, crc: int, size: int, at: int) -> bytes:
    """An entry's record in the central directory; `at` is the offset of its local header."""
    if size < MAX_32 and at < MAX_32:
        start, extra = _PLAIN_CENTRAL, b""
    else:
        sizes = (size, size) if size >= MAX_32 else ()
        offset = (at,) if at >= MAX_32 else ()
        start, extra = _ZIP64_CENTRAL, _zip64_extra(*sizes, *offset)
        size, at = min(size, MAX_32), min(at, MAX_32)
    fixed = _CENTRAL.pack(start, crc, size, size, len(name), len(extra), _CENTRAL_MIDDLE, at)
    return fixed + name + extra


def pack_small_file(
    view: memoryview, start: int, name: bytes, crc: int, size: int, at: int
) -> bytes:
    """Put the local header of a file under 4 GiB into `view`, from `start` on.

    Returns its central record; `at` is the offset of the header in the archive.
    """
    length = len(name)
    _LOCAL.pack_into(view, start, _PLAIN_LOCAL, crc, size, size, length, 0)
    view[start + LOCAL_SIZE : start + LOCAL_SIZE + length] = name
    if at >= MAX_32:
        return central_record(name, crc, size, at)
    return _CENTRAL.pack(_PLAIN_CENTRAL, crc, size, size, length, 0, _CENTRAL_MIDDLE, at) + name


def _end_records(count: int, size: int, at: int) -> bytes:
    """The end of the file: the directory's number of entries, size and offset; ZIP64 if needed."""
    zip64 = b""
    # A value that equals the maximum means "look in the ZIP64 record", so it needs one.
    if count >= MAX_16 or size >= MAX_32 or at >= MAX_32:
        zip64 = _END64.pack(
            b"PK\6\6", 44, _MADE_BY, _NEEDS_ZIP64, 0, 0, count, count, size, at
        ) + _LOCATOR64.pack(b"PK\6\7", 0, at + size, 1)
    short = min(count, MAX_16)
    return zip64 + _END.pack(b"PK\5\6", 0, 0, short, short, min(size, MAX_32), min(at, MAX_32), 0)


def _zip64_extra(*numbers: int) -> bytes:
    return struct.pack(f"<2H{len(numbers)}Q", 1, 8 * len(numbers), *numbers)


class CentralDirectory:
    """Collects central records until the end of the archive.

    A million records are over 100 MB. They are much alike, so they are compressed in memory; the
    archive holds them uncompressed.
    """

    BLOCK = 1 << 15  # records

    def __init__(self) -> None:
        self._fresh: list[bytes] = []
        self._blocks: list[bytes] = []
        self._size = 0

    @property
    def count(self) -> int:
        """The number of records."""
        return len(self._blocks) * self.BLOCK + len(self._fresh)

    def add(self, record: bytes) -> None:
        """Append one central record."""
        self._fresh.append(record)
        if len(self._fresh) == self.BLOCK:
            block = b"".join(self._fresh)
            self._size += len(block)
            self._blocks.append(zlib.compress(block, 1))
            self._fresh.clear()

    def end_of_archive(self, offset: int) -> Iterator[bytes]:
        """All records in the order in which they were added, and the end of the file.

        `offset` is the position of the first record in the archive.
        """
        yield from map(zlib.decompress, self._blocks)
        rest = b"".join(self._fresh)
        yield rest
        yield _end_records(self.count, self._size + len(rest), offset)
