"""What a picture may cost: memory, and readings of its file; checked before anything is decoded."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO

MEMORY_BYTES = 480 << 20  # of the process that decodes, the decoders themselves included
_DECODER_BYTES = 90 << 20
PIXEL_BYTES = MEMORY_BYTES - _DECODER_BYTES
# A part of a header, such as an element or a chunk, takes one to four. A thousand frames, each
# described by sixty elements, are still read; so many reads take one or two seconds.
MAX_READS = 200_000
MAX_READ_BYTES = 128 << 20
MIN_PASSED = 64 << 10  # a value that nobody looks at, and that is worth a step over it
_TOO_MUCH = "It has more parts, or longer texts, than are read of one file."


class TooMuch(ValueError):
    """The file would take more time or memory than its picture is worth; the message says why."""


def check_memory(width: int, height: int, bytes_per_pixel: float) -> None:
    """Raises TooMuch if pixels, with all copies of them that are needed, do not fit."""
    if width * height * bytes_per_pixel > PIXEL_BYTES:
        raise TooMuch(f"{width}×{height} pixels of this kind are too many for a preview.")


class Budget:
    """How many parts of a file may still be read, in all steps of one job."""

    def __init__(self, reads: int = MAX_READS) -> None:
        self._left = reads
        self.has_twice = False  # whether an element stands in an item again

    @property
    def is_spent(self) -> bool:
        """Whether more was asked for than there was."""
        return self._left < 0

    def spend(self, reads: int = 1) -> None:
        """Raises TooMuch, of which parsers make other exceptions at some places: see ``told``."""
        self._left -= reads
        if self._left < 0:
            raise TooMuch(_TOO_MUCH)

    def empty(self) -> None:
        """Raises TooMuch, as all that is spent later does."""
        self.spend(max(0, self._left) + 1)

    @contextmanager
    def told(self) -> Iterator[None]:
        """Raises TooMuch for whatever a parser made of it."""
        try:
            yield
        except Exception as error:
            if self.is_spent:
                raise TooMuch(_TOO_MUCH) from error
            raise


class Metered:
    """A file that may be read so many times, and so many bytes; then it raises TooMuch.

    Every parser reads for each part of a file that it goes through or keeps. So this bounds its
    time and its memory, whatever the file says of itself.
    """

    def __init__(
        self,
        file: BinaryIO,
        budget: Budget | None = None,
        *,
        most_bytes: int = MAX_READ_BYTES,
        passes: Callable[[int, str], bool] | None = None,
    ) -> None:
        self.seek, self.tell, self.fileno = file.seek, file.tell, file.fileno
        self._read, self._bytes = file.read, most_bytes
        self._budget = budget or Budget()
        self.spend = self._budget.spend
        self.has_twice = False  # see ``catalog.imaging.dicom.pydicom_limits``
        self._passes, self._passed = passes, 0
        place = file.tell()
        self._length = file.seek(0, 2)
        file.seek(place)

    def expect(self, tag: int, vr: str | None, length: int) -> None:
        """The next read may be of this value. One that is to be passed over reads as empty."""
        is_passed = length > MIN_PASSED and self._passes is not None and self._passes(tag, vr or "")
        self._passed = length if is_passed else 0

    def read(self, size: int = -1) -> bytes:
        """As of a file; never more than what may still be read, and a byte."""
        if size == self._passed > 0:
            self.seek(min(self.tell() + size, self._length))
            self.spend(1)
            return b""
        if size is None or size < 0 or size > self._bytes:
            size = self._bytes + 1
        # Python takes memory for as much as is asked for, before it reads.
        data = self._read(min(size, self._length + 1))
        self._bytes -= len(data)
        if self._bytes < 0:
            self._budget.empty()
        self.spend(1)
        return data
