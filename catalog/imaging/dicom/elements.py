"""Reads all elements of a DICOM file, but leaves its pixels where they are."""

import errno
import io
from collections.abc import Callable
from typing import BinaryIO

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from catalog.imaging.budget import Budget
from catalog.imaging.dicom.fragments import check_fragments
from catalog.imaging.dicom.stream import UNDEFINED_LENGTH, open_dicom, read_behind

# Without pixels; when it is written, values in sequences are in memory three times.
MAX_BYTES = 48 << 20
_CHARACTER_SET = 0x00080005


def read_elements(file: BinaryIO, budget: Budget, on_inflate: Callable[[], object]) -> Dataset:
    """All elements of a DICOM file; the pixels are a FilePart.

    ``on_inflate`` is called before the file takes much memory, for as long as its elements do.

    Raises NotReadable for directories and files that are cut short or inflate to too much, and
    whatever pydicom does.
    """
    stream = open_dicom(
        file,
        None,
        max_value=MAX_BYTES,
        budget=budget,
        most_bytes=MAX_BYTES,
        on_inflate=on_inflate,
    )
    dataset, pixels = stream.header, stream.pixels
    if pixels is None:
        return dataset
    fragments = check_fragments(stream)
    behind = read_behind(stream, fragments.end, max_value=MAX_BYTES, budget=budget)
    behind.pop(_CHARACTER_SET, None)  # the texts before it are in another one
    # Its `update` would interpret private elements, whatever they cost.
    dataset._dict.update(behind._dict)
    tag = Tag(pixels.keyword)
    is_encapsulated = pixels.length == UNDEFINED_LENGTH
    last = fragments.last or pixels.offset
    value = FilePart(stream.body, pixels.offset, last) if last > pixels.offset else b""
    vr = pixels.vr if pixels.vr != "UN" else "OB" if is_encapsulated else "OW"
    dataset[tag] = DataElement(tag, vr, value, is_undefined_length=is_encapsulated)
    return dataset


class FilePart(io.BufferedIOBase):
    """The bytes of ``file`` from ``start`` to ``end``; pydicom copies them when it writes.

    A zero follows where their number is odd, as PS3.5 7.1.1 wants it even.
    """

    def __init__(self, file: BinaryIO, start: int, end: int) -> None:
        self._file, self._start, self._end = file, start, end
        self._length = end - start + (end - start) % 2
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._length}[whence]
        self._at = max(0, base + offset)
        return self._at

    def read(self, size: int | None = -1, /) -> bytes:
        """Raises OSError, also where the file has become shorter."""
        left = max(0, self._length - self._at)
        size = left if size is None or size < 0 else min(size, left)
        place = self._start + self._at
        self._file.seek(place)
        wanted = max(0, min(size, self._end - place))
        data = self._file.read(wanted)
        if len(data) != wanted:
            raise OSError(errno.EIO, "the file became shorter while it was read")
        self._at += size
        return data.ljust(size, b"\0")
