"""Lets pydicom parse sequences and values, but no more than so many elements and bytes of them.

It makes an object of each element and item, which takes a hundred bytes of memory and microseconds
for eight bytes of a file. What reads the bytes for it is asked at least once for each of them, so
that is where they are counted: a count of our own could be led to see fewer than pydicom does. Of
values that it has to interpret, such as names and UIDs, it may take microseconds for each byte.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager

from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.filereader import read_sequence
from pydicom.valuerep import CUSTOMIZABLE_CHARSET_VR

from catalog.imaging.dicom.stream import find_vr
from catalog.imaging.problems import NotReadable

MAX_ELEMENTS = 100_000
# Tag and length, the rest of a long length, and the value; items have less.
READS_OF_AN_ELEMENT = 3
# So many bytes of a value to interpret take as long as a read; of one in a character set, a byte.
_BYTES_OF_A_READ = 8
# Sequences are copied at each level.
_COPIED_IN_A_READ = 256
_TOO_MANY = f"It has more than {MAX_ELEMENTS:,} elements, or longer texts than any image needs."


class Budget:
    """How often may still be read."""

    def __init__(self) -> None:
        self.reads_left = MAX_ELEMENTS * READS_OF_AN_ELEMENT
        self.has_twice = False  # whether an element stands in an item again

    def spend(self, count: int = 1) -> None:
        """Raises NotReadable, which pydicom turns into something else at some places."""
        self.reads_left -= count
        if self.reads_left < 0:
            raise NotReadable(_TOO_MANY)

    @contextmanager
    def told(self) -> Iterator[None]:
        """Raises NotReadable for whatever pydicom made of it."""
        try:
            yield
        except Exception as error:
            if self.reads_left < 0:
                raise NotReadable(_TOO_MANY) from error
            raise


class _CountedBytes(io.BytesIO):
    def __init__(self, content: bytes, budget: Budget) -> None:
        super().__init__(content)
        self._budget = budget

    def read(self, size: int | None = -1, /) -> bytes:
        self._budget.spend()
        return super().read(size)

    def spend(self, reads: int) -> None:
        """As of ``Metered``."""
        self._budget.spend(reads)

    @property
    def has_twice(self) -> bool:
        """Of all that is read for this budget."""
        return self._budget.has_twice

    @has_twice.setter
    def has_twice(self, has_twice: bool) -> None:
        self._budget.has_twice = has_twice


def spend_on_values(dataset: Dataset, tag: int, budget: Budget) -> None:
    """Count what an element that is not parsed yet costs where its value has to be interpreted."""
    raw = dataset.get_item(tag)
    if isinstance(raw, RawDataElement) and raw.value:
        vr = find_vr(raw)
        is_slow = vr == "UN" or vr in CUSTOMIZABLE_CHARSET_VR
        of_length = len(raw.value) // (1 if is_slow else _BYTES_OF_A_READ)
        budget.spend(max(raw.value.count(b"\\"), of_length))


def parse_sequence(dataset: Dataset, tag: int, budget: Budget) -> bool:
    """Parse an element that is a sequence, if it is not yet; else pydicom would, uncounted.

    Returns whether all of it was parsed, and not only what stands before a mark of its end.
    """
    raw = dataset.get_item(tag)
    if not isinstance(raw, RawDataElement) or not raw.value:
        return True
    budget.spend(len(raw.value) // _COPIED_IN_A_READ)
    content = _CountedBytes(raw.value, budget)
    items = read_sequence(
        content,
        raw.is_implicit_VR,
        raw.is_little_endian,
        len(raw.value),
        dataset._character_set,
        raw.value_tell,
    )
    dataset[tag] = DataElement(raw.tag, "SQ", items, raw.value_tell)
    return not raw.value[content.tell() :].strip(b"\0")
