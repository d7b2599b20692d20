"""How many elements a data set has, counted without parsing it.

A parser makes an object of each element and item, which takes a hundred bytes of memory for a byte
of the file. So they are counted first, at a few per microsecond of what parsing would take.
"""

import struct

from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.valuerep import EXPLICIT_VR_LENGTH_32, VR

MAX_ELEMENTS = 300_000
_UNDEFINED = 0xFFFFFFFF
_DELIMITERS = 0xFFFE  # the group of items and of the ends of items and sequences
_END_OF_SEQUENCE = 0xE0DD
_PIXELS = frozenset((0x7FE00008, 0x7FE00009, 0x7FE00010))
_SHORT = frozenset(vr.encode() for vr in VR if len(vr) == 2 and vr not in EXPLICIT_VR_LENGTH_32)
_LONG = frozenset(vr.encode() for vr in EXPLICIT_VR_LENGTH_32)


def has_too_many(data: bytes, *, implicit: bool, little: bool) -> bool:
    """Whether a file or a sequence's value has more than MAX_ELEMENTS elements and items.

    The encoding is that of the data set; a file's preamble and meta information may stand before.
    """
    return count_elements(data, implicit=implicit, little=little) > MAX_ELEMENTS


def count_elements(
    data: bytes, *, implicit: bool, little: bool, most: int = MAX_ELEMENTS + 1
) -> int:
    """The number of elements and items on all levels, at most ``most`` (PS3.5 7.1 and 7.5)."""
    of_data_set, position, count = ("<" if little else ">"), 0, 0
    is_meta = data[128:132] == b"DICM"
    if is_meta:
        position = 132
    while position + 8 <= len(data) and count < most:
        if is_meta and data[position : position + 2] != b"\2\0":
            is_meta = False
        order = "<" if is_meta else of_data_set
        group, element = struct.unpack_from(f"{order}HH", data, position)
        count += 1
        if group == _DELIMITERS:
            position += 8  # what is in an item follows
            continue
        vr = b"" if implicit and not is_meta else data[position + 4 : position + 6]
        header, length = _read_length(data, position, vr, order)
        position += header
        tag = group << 16 | element
        if length == _UNDEFINED and tag in _PIXELS:
            position = _skip_fragments(data, position, order)
        elif not (length == _UNDEFINED or vr == b"SQ" or (vr not in _SHORT and _is_sequence(tag))):
            position += length
    return count


def _read_length(data: bytes, position: int, vr: bytes, order: str) -> tuple[int, int]:
    """The lengths of the element's header and of its value."""
    if vr in _SHORT:
        return 8, struct.unpack_from(f"{order}H", data, position + 6)[0]
    if vr not in _LONG:  # implicit VR, as within UN
        return 8, struct.unpack_from(f"{order}I", data, position + 4)[0]
    if position + 12 > len(data):
        return 12, 0
    return 12, struct.unpack_from(f"{order}I", data, position + 8)[0]


def _is_sequence(tag: int) -> bool:
    return dictionary_has_tag(tag) and dictionary_VR(tag) == "SQ"


def _skip_fragments(data: bytes, position: int, order: str) -> int:
    """The place behind encapsulated pixels (PS3.5 A.4)."""
    while position + 8 <= len(data):
        group, element, length = struct.unpack_from(f"{order}HHI", data, position)
        position += 8
        if (group, element) == (_DELIMITERS, _END_OF_SEQUENCE):
            break
        position += length
    return position
