"""Reading a finished archive once more, in step with what it must hold.

Names, sizes and order of the entries are known, so every byte of the file is, but for the contents
of images: these are recognised by their SHA-256. Memory is flat.
"""

import hashlib
from collections.abc import Iterator
from io import FileIO
from typing import NamedTuple

from collections_app.archive import records
from collections_app.archive.digest import Digest
from collections_app.archive.entries import TextEntry

_BLOCK = 1 << 20


class ArchiveDiffers(Exception):
    """The file is not the archive that was written; the message says where."""


class FileCheck(NamedTuple):
    """SHA-256 (hex) of a file's contents, and whether its header has their CRC-32."""

    sha256: str
    has_crc: bool


class ArchiveReader:
    """Reads an archive from its first to its last byte.

    `file` is at its start. Call `check_text` and `check_file` for each entry in order, then
    `finish`. All of them raise ArchiveDiffers, and OSError when the disk cannot be read.
    """

    def __init__(self, file: FileIO) -> None:
        self._file = file
        self._sha256 = hashlib.sha256()
        self._position = 0
        self._directory = records.CentralDirectory()

    def check_text(self, entry: TextEntry) -> None:
        """The next entry must be this text, byte for byte; sets its `sha256`."""
        header = self._read_header(entry.name, None)
        digest = Digest()
        for chunk in entry.chunks:
            digest.update(chunk)
            self._expect(chunk, entry.name)
        if (digest.crc32, digest.size) != header:
            raise ArchiveDiffers(f"{entry.name}: another CRC-32 or size stands in its header")
        entry.sha256 = digest.sha256

    def check_file(self, name: str, size: int) -> FileCheck:
        """The next entry must have this name and size, in bytes; says what its contents are."""
        crc, _ = self._read_header(name, size)
        digest = Digest()
        for block in self._blocks(size):
            digest.update(block)
        return FileCheck(digest.sha256, digest.crc32 == crc)

    def finish(self) -> str:
        """The directory and the end of the file follow; returns the whole file's SHA-256."""
        for block in self._directory.end_of_archive(self._position):
            self._expect(block, "the central directory")
        if self._file.read(1):
            raise ArchiveDiffers("there are bytes behind its end")
        return self._sha256.hexdigest()

    def _read_header(self, name: str, size: int | None) -> tuple[int, int]:
        """CRC-32 and size as the header has them, which is otherwise as it must be."""
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
            raise ArchiveDiffers(f"{where}: other bytes than those that were written")

    def _blocks(self, size: int) -> Iterator[bytes]:
        """The next `size` bytes, a block at a time."""
        while size:
            block = self._file.read(min(size, _BLOCK))
            if not block:
                raise ArchiveDiffers(f"it ends too early, at byte {self._position:,}")
            self._sha256.update(block)
            self._position += len(block)
            size -= len(block)
            yield block
