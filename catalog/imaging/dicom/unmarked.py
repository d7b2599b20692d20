"""Tells whether a file that is not taken for DICOM begins as its data sets do (PS3.5 7.1).

Readers of DICOM that are told to read any file show what is in such a one, names too: ACR-NEMA,
files that lost their mark, or their SOP class.
"""

import struct
from typing import BinaryIO, NamedTuple

from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.valuerep import EXPLICIT_VR_LENGTH_32

from catalog.imaging.dicom.stream import MAX_FIRST_VALUE, UNDEFINED_LENGTH, VRS, is_dicom

_HEAD = 1024  # bytes
_PREAMBLE = 128  # bytes, which some writers leave without the mark that follows them
_ITEMS = 0xFFFE
_FIRST_GROUP = 8  # of data sets; those below are of messages, file meta information and directories
_HEADER = 12  # bytes of the longest header of an element


class _Element(NamedTuple):
    tag: int
    length: int
    end: int  # the position of the next one


def may_be_dicom(file: BinaryIO) -> bool:
    """Whether a file is DICOM, or begins as its data sets do. It is left at its start."""
    file.seek(0)
    return is_dicom(file.read(_HEAD)) or begins_data_set(file)


def begins_data_set(file: BinaryIO) -> bool:
    """Whether two elements of DICOM stand at its beginning. It is left at its start.

    A volume of numbers hardly looks so: their lengths would be 64 KiB or more.
    """
    try:
        return any(
            _begins(file, start, order, is_explicit=is_explicit)
            for start in (0, _PREAMBLE)
            for order, is_explicit in (("<", False), ("<", True), (">", False), (">", True))
        )
    finally:
        file.seek(0)


def _begins(file: BinaryIO, start: int, order: str, *, is_explicit: bool) -> bool:
    first = _read_element(file, start, order, is_explicit=is_explicit)
    if first is None or not _is_known(first):
        return False
    second = _read_element(file, first.end, order, is_explicit=is_explicit)
    if second is None or (second.tag <= first.tag and not is_explicit):
        return False
    if not first.length or first.tag & 0xFFFF == 0:  # numbers that are mostly zeros may be so
        return _is_known(second) and second.tag >> 16 == first.tag >> 16
    return _is_known(second) or second.tag >> 16 == _ITEMS or _may_be_private(second.tag)


def _read_element(
    file: BinaryIO, position: int, order: str, *, is_explicit: bool
) -> _Element | None:
    file.seek(position)
    head = file.read(_HEADER)
    if len(head) < 8:
        return None
    group, number = struct.unpack(f"{order}HH", head[:4])
    size, length = 8, struct.unpack(f"{order}I", head[4:8])[0]
    if is_explicit and group != _ITEMS:
        if head[4:6] not in VRS:
            return None
        length = struct.unpack(f"{order}H", head[6:8])[0]
        if head[4:6].decode() in EXPLICIT_VR_LENGTH_32:
            if len(head) < _HEADER:
                return None
            size, length = _HEADER, struct.unpack(f"{order}I", head[8:])[0]
    # Items of a sequence of undefined length follow it at once.
    following = 0 if length == UNDEFINED_LENGTH else length
    return _Element(group << 16 | number, length, position + size + following)


def _is_known(element: _Element) -> bool:
    if element.tag >> 16 < _FIRST_GROUP:
        return False
    if element.tag & 0xFFFF == 0:
        return element.length == 4  # the length of its group
    if not dictionary_has_tag(element.tag):
        return False
    if element.length == UNDEFINED_LENGTH:
        return dictionary_VR(element.tag) == "SQ"
    return element.length <= MAX_FIRST_VALUE


def _may_be_private(tag: int) -> bool:
    return tag >> 16 > 8 and tag >> 16 & 1 == 1
