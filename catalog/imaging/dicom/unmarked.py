"""Tells whether a file that is not taken for DICOM begins as its data sets do (PS3.5 7.1).

Readers of DICOM that are told to read any file show what is in such a one, names too: ACR-NEMA,
files that lost their mark, or their SOP class.
"""

import struct
from typing import BinaryIO, NamedTuple

from pydicom.datadict import dictionary_has_tag
from pydicom.valuerep import EXPLICIT_VR_LENGTH_32

from catalog.imaging.dicom.stream import MAX_FIRST_VALUE, UNDEFINED_LENGTH, VRS, is_dicom

_HEAD = 1024  # bytes
_PREAMBLE = 128  # bytes, which some writers leave without the mark that follows them
_ITEMS = 0xFFFE
_MOST_ELEMENTS = 8  # that are looked at
_META = 2  # always with VRs
_MOST_COMMANDS = 32  # of group 0, always without VRs
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
    """Whether two known elements of DICOM are among those at its beginning.

    A volume of numbers hardly looks so: their lengths would be 64 KiB or more. The file is left at
    its start.
    """
    try:
        return any(
            _begins(file, start, order, is_explicit=is_explicit)
            for start in (0, _PREAMBLE, _skip_commands(file))
            for order, is_explicit in (("<", False), ("<", True), (">", False), (">", True))
        )
    finally:
        file.seek(0)


def _skip_commands(file: BinaryIO) -> int:
    """Where the data set of a message begins, as of captures and old archives; else 0.

    Its set of commands begins with the length of its group (PS3.7 6.3.1), which some leave out.
    """
    position = 0
    for _ in range(_MOST_COMMANDS):
        element = _read_element(file, position, "<", is_explicit=False)
        if element is None or element.tag >> 16:
            return position
        if not dictionary_has_tag(element.tag) or element.length > MAX_FIRST_VALUE:
            return 0
        position = element.end
    return 0


def _begins(file: BinaryIO, start: int, order: str, *, is_explicit: bool) -> bool:
    known, is_meta = set[int](), is_explicit
    for _ in range(_MOST_ELEMENTS):
        element = _read_element(file, start, order, is_explicit=is_explicit)
        if element is None or not _may_be(element, is_explicit=is_explicit):
            # Behind the file meta information the encoding may be another.
            return is_meta and bool(known) and _begins(file, start, order, is_explicit=False)
        is_meta = is_meta and element.tag >> 16 == _META
        start = element.end
        # Numbers of which many are zero may look like an empty element or a group's length.
        if element.tag & 0xFFFF and element.length and dictionary_has_tag(element.tag):
            known.add(element.tag)
            if len(known) > 1:
                return True
    return False


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
    # Items follow what holds them at once.
    following = 0 if length == UNDEFINED_LENGTH or group == _ITEMS else length
    return _Element(group << 16 | number, length, position + size + following)


def _may_be(element: _Element, *, is_explicit: bool) -> bool:
    group, number = element.tag >> 16, element.tag & 0xFFFF
    if group == _ITEMS:
        return True
    if group < _FIRST_GROUP and not (group == _META and is_explicit):
        return False
    if number == 0:  # the length of its group
        return element.length == 4
    if element.length == UNDEFINED_LENGTH:
        return True
    is_known = dictionary_has_tag(element.tag) or bool(group & 1)
    return is_known and (is_explicit or element.length <= MAX_FIRST_VALUE)
