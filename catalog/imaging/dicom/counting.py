"""Lets pydicom parse sequences and values, but no more than so many elements and bytes of them.

It makes an object of each element and item, which takes a hundred bytes of memory and microseconds
for eight bytes of a file. What reads the bytes for it is asked at least once for each of them, so
that is where they are counted: a count of our own could be led to see fewer than pydicom does. Of
values that it has to interpret, such as names and UIDs, it may take microseconds for each byte.
"""

import io

from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.filereader import read_sequence
from pydicom.valuerep import CUSTOMIZABLE_CHARSET_VR

from catalog.imaging.budget import Budget, Metered
from catalog.imaging.dicom.stream import find_vr

# So many bytes of a value to interpret take as long as a read; of one in a character set, a byte.
_BYTES_OF_A_READ = 8
# Sequences are copied at each level.
_COPIED_IN_A_READ = 256


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
    content = Metered(io.BytesIO(raw.value), budget)
    items = read_sequence(
        content,
        raw.is_implicit_VR,
        raw.is_little_endian,
        len(raw.value),
        dataset._character_set,
        raw.value_tell,
    )
    budget.has_twice |= content.has_twice
    dataset[tag] = DataElement(raw.tag, "SQ", items, raw.value_tell)
    return not raw.value[content.tell() :].strip(b"\0")
