"""Reading a finished archive from start to end and comparing it with the expected entries.

Names, sizes and order of the entries are known, so every byte is known except the contents of
images. Their SHA-256 is computed for the caller to compare. Memory use is constant.
"""

import hashlib
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from collections_app.archive import records
from collections_app.archive.digest import Digest
from collections_app.archive.entries import TextEntry

_BLOCK = 1 << 20


class ArchiveDiffers(Exception):
    """The file is not the archive that was written; the message says where it differs."""


class FileCheck(NamedTuple):
    """SHA-256 (hex) of a file's contents, and whether the CRC-32 in its header is right."""

    sha256: str
    crc_matches: bool


class ArchiveReader:
    """Reads an archive from its first to its last byte.

    `file` must be at its start. Call `check_text` or `check_file` for each entry in order, then
    `finish`. All three raise ArchiveDiffers, and OSError when the disk cannot be read.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._sha256 = hashlib.sha256()
        self._position = 0
        self._directory = records.CentralDirectory()

    def check_text(self, entry: TextEntry) -> None:
        """Check that the next entry is this text, byte for byte, and set its `sha256`."""
        header = self._read_header(entry.name, None)
        digest = Digest()
        for chunk in entry.chunks:
            digest.update(chunk)
            self._expect(chunk, entry.name)
        if (digest.crc32, digest.size) != header:
            raise ArchiveDiffers(f"{entry.name}: its header has another CRC-32 or size")
        entry.sha256 = digest.sha256

    def check_file(self, name: str, size: int) -> FileCheck:
        """Check that the next entry has this name and size in bytes; return its checksums."""
        crc, _ = self._read_header(name, size)
        digest = Digest()
        for block in self._blocks(size):
            digest.update(block)
        return FileCheck(digest.sha256, digest.crc32 == crc)

    def finish(self) -> str:
        """Check the directory and the end of the file; return the SHA-256 of the whole file."""
        for block in self._directory.end_of_archive(self._position):
            self._expect(block, "the central directory")
        if self._file.read(1):
            raise ArchiveDiffers("there are bytes after its end")
        return self._sha256.hexdigest()

    def _read_header(self, name: str, size: int | None) -> tuple[int, int]:
        """CRC-32 and size from the header, after all its other fields were checked."""
        at, encoded = self._position, name.encode()
        header = b"".join(self._blocks(len(records.local_header(encoded, 0, size or 0))))
        crc, short_size = records.read_crc_and_size(header)
        size = short_size if size is None else size
        if header != records.local_header(encoded, crc, size):
            raise ArchiveDiffers(f"{name}: its header is not the one that was written")
        self._directory.add(records.central_record(encoded, crc, size, at))
        return crc, size

    def _expect(self, data: bytes, where: str) -> None:
        if b"".join(self._blocks(len(data))) != data:
            raise ArchiveDiffers(f"{where}: its bytes are not those that were written")

    def _blocks(self, size: int) -> Iterator[bytes]:
        """The next `size` bytes, one block at a time."""
        while size:
            block = self._file.read(min(size, _BLOCK))
            if not block:
                raise ArchiveDiffers(f"it ends too early, at byte {self._position:,}")
            self._sha256.update(block)
            self._position += len(block)
            size -= len(block)
            yield block
