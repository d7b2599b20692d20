"""The records of a ZIP file as bytes (APPNOTE.TXT 4.3.7, 4.3.12, 4.3.14 to 4.3.16, 4.5.3).

Everything that could vary is fixed: UTF-8 names (flag bit 11, also for ASCII), the timestamp
1980-01-01 00:00, made by UNIX, a regular file with mode 0644, no comments.
"""

import struct
import zlib
from collections.abc import Iterator

STORED = 0
DEFLATED = 8

MAX_16 = 0xFFFF
MAX_32 = 0xFFFFFFFF

LOCAL_CRC_OFFSET = 14  # where the CRC-32 stands in a local header

_UTF8 = 0x0800
_TIME, _DATE = 0x0000, 0x0021
_NEEDS_PLAIN, _NEEDS_ZIP64 = 20, 45
_MADE_BY = 3 << 8 | _NEEDS_ZIP64
_ATTRIBUTES = 0o100644 << 16

# The fields that are the same in every record are packed once: there are a million records.
_LOCAL = struct.Struct("<14s3I2H")
_LOCAL_STARTS = {
    (needs, method): struct.pack("<4s5H", b"PK\3\4", needs, _UTF8, method, _TIME, _DATE)
    for needs in (_NEEDS_PLAIN, _NEEDS_ZIP64)
    for method in (STORED, DEFLATED)
}
_CENTRAL = struct.Struct("<16s3I2H10sI")
_CENTRAL_STARTS = {
    (needs, method): struct.pack("<4s6H", b"PK\1\2", _MADE_BY, needs, _UTF8, method, _TIME, _DATE)
    for needs, method in _LOCAL_STARTS
}
_PLAIN_LOCAL, _PLAIN_CENTRAL = (
    starts[_NEEDS_PLAIN, STORED] for starts in (_LOCAL_STARTS, _CENTRAL_STARTS)
)
_CENTRAL_MIDDLE = struct.pack("<3HI", 0, 0, 0, _ATTRIBUTES)  # no comment, disk 0, not as text
_END = struct.Struct("<4s4H2IH")
_END64 = struct.Struct("<4sQ2H2I4Q")
_LOCATOR64 = struct.Struct("<4sIQI")
LOCAL_SIZE = _LOCAL.size
_LOCAL_EXTRA_SIZE = struct.calcsize("<2H2Q")
_CRC = struct.Struct("<I")


def local_header(name: bytes, method: int, crc: int, packed: int, size: int) -> bytes:
    """The header before an entry's data; with a ZIP64 field if a size needs more than 32 bits."""
    needs, extra = _NEEDS_PLAIN, b""
    if packed >= MAX_32 or size >= MAX_32:
        # A local header must give both sizes in its ZIP64 field, even if one would fit.
        needs, extra = _NEEDS_ZIP64, _zip64_extra(size, packed)
        packed = size = MAX_32
    start = _LOCAL_STARTS[needs, method]
    return _LOCAL.pack(start, crc, packed, size, len(name), len(extra)) + name + extra


def stored_size(*, count: int, name_bytes: int, size: int, num_large: int) -> int:
    """What stored files take before the directory: their headers, names and `size` bytes together.

    `num_large` of them have a size that needs ZIP64: `MAX_32` or more.
    """
    return count * LOCAL_SIZE + name_bytes + size + num_large * _LOCAL_EXTRA_SIZE


def pack_crc(crc: int) -> bytes:
    """The CRC-32 as it stands at LOCAL_CRC_OFFSET of a header, for patching it afterwards."""
    return _CRC.pack(crc)


def central_record(name: bytes, method: int, crc: int, packed: int, size: int, at: int) -> bytes:
    """An entry's record in the central directory; `at` is the offset of its local header."""
    needs, extra = _NEEDS_PLAIN, b""
    if packed >= MAX_32 or size >= MAX_32 or at >= MAX_32:
        needs = _NEEDS_ZIP64
        extra = _zip64_extra(*(number for number in (size, packed, at) if number >= MAX_32))
        packed, size, at = min(packed, MAX_32), min(size, MAX_32), min(at, MAX_32)
    start, middle = _CENTRAL_STARTS[needs, method], _CENTRAL_MIDDLE
    fixed = _CENTRAL.pack(start, crc, packed, size, len(name), len(extra), middle, at)
    return fixed + name + extra


def pack_stored(view: memoryview, start: int, name: bytes, crc: int, size: int, at: int) -> bytes:
    """Put the local header of a stored file under 4 GiB into `view`, from `start` on.

    Returns its central record; `at` is the offset of the header in the archive.
    """
    length = len(name)
    _LOCAL.pack_into(view, start, _PLAIN_LOCAL, crc, size, size, length, 0)
    view[start + LOCAL_SIZE : start + LOCAL_SIZE + length] = name
    if at >= MAX_32:
        return central_record(name, STORED, crc, size, size, at)
    return _CENTRAL.pack(_PLAIN_CENTRAL, crc, size, size, length, 0, _CENTRAL_MIDDLE, at) + name


def end_records(count: int, size: int, at: int) -> bytes:
    """What ends the file: the directory's number of entries, size and offset, ZIP64 if needed."""
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

    A million of them are over 100 MB. They repeat each other, so full pieces are held compressed;
    how well that zlib compresses them shows in memory only, never in the archive.
    """

    PIECE = 1 << 15  # records

    def __init__(self) -> None:
        self._fresh: list[bytes] = []
        self._pieces: list[tuple[bool, bytes]] = []  # whether it is compressed
        self._num_before = 0
        self._size_before = 0

    @property
    def count(self) -> int:
        """The number of records."""
        return self._num_before + len(self._fresh)

    @property
    def size(self) -> int:
        """Bytes of all records."""
        return self._size_before + sum(map(len, self._fresh))

    def add(self, record: bytes) -> None:
        """Append one central record."""
        self._fresh.append(record)
        if len(self._fresh) == self.PIECE:
            self.end_piece(compress=True)

    def extend(self, other: "CentralDirectory") -> None:
        """Append the records of another one, whose last piece has ended."""
        self.end_piece(compress=False)  # only once is there anything fresh, and then not much
        self._pieces += other._pieces
        self._num_before += other._num_before
        self._size_before += other._size_before

    def end_piece(self, *, compress: bool) -> None:
        """Join the records since the last piece to a new one."""
        if self._fresh:
            piece = b"".join(self._fresh)
            self._pieces.append((compress, zlib.compress(piece, 1) if compress else piece))
            self._num_before += len(self._fresh)
            self._size_before += len(piece)
            self._fresh.clear()

    def pieces(self) -> Iterator[bytes]:
        """All records in the order in which they were added."""
        for is_compressed, piece in self._pieces:
            yield zlib.decompress(piece) if is_compressed else piece
        yield b"".join(self._fresh)
