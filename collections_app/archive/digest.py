"""Checksums of a stream of bytes."""

import hashlib
import zlib


class Digest:
    """CRC-32 (unsigned), SHA-256 and size of the bytes that `update` was given."""

    __slots__ = ("_sha256", "crc32", "size")

    def __init__(self) -> None:
        self.crc32 = 0
        self.size = 0
        self._sha256 = hashlib.sha256()

    def update(self, data: bytes | memoryview) -> None:
        """Add the next bytes."""
        self.crc32 = zlib.crc32(data, self.crc32)
        self.size += len(data)
        self._sha256.update(data)

    @property
    def sha256(self) -> str:
        """The SHA-256 of the bytes so far, in lower-case hex."""
        return self._sha256.hexdigest()
