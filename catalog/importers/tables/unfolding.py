"""Stops reading a compressed table that unfolds to far more than tables do."""

import io
import os
from typing import BinaryIO

from catalog.importers.rows import SourceError

# Texts shrink to a tenth, tables of equal rows to a hundredth, and zeros to a thousandth.
MAX_RATIO = 250
ALWAYS_ALLOWED_BYTES = 1 << 30


class Unfolding(io.RawIOBase):
    """The unpacked bytes of `file`. Raises `SourceError` where they are too many for `packed`."""

    def __init__(self, file: BinaryIO, raw: BinaryIO, path: str) -> None:
        self._file, self._path = file, path
        packed = os.fstat(raw.fileno()).st_size
        self._left = self._most = max(ALWAYS_ALLOWED_BYTES, MAX_RATIO * packed)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._file.tell()

    def seek(self, place: int, whence: int = os.SEEK_SET) -> int:
        self._left = self._most
        return self._file.seek(place, whence)

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        content = self._file.read(len(buffer))
        self._left -= len(content)
        if self._left < 0:
            raise SourceError(
                f"{self._path} unfolds to more than {self._most:,} bytes, {MAX_RATIO} times its "
                "size or more, which no table does. Check the file; if it is right, unpack it."
            )
        buffer[: len(content)] = content
        return len(content)
