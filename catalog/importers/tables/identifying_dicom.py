"""Attributes of DICOM that tell who somebody is, as columns name them: by keyword, name or tag.

The list is the one by which files are judged, `catalog.imaging.dicom.identifying`.
"""

import re
from collections.abc import Callable

from pydicom.datadict import dictionary_description, keyword_dict

from catalog.imaging.dicom.identifying import is_listed

_LISTED = {keyword: tag for keyword, tag in keyword_dict.items() if is_listed(tag)}
_TEXT = re.compile(r"Comment|Notes|Narrative|History|Text|EncapsulatedDocument")
# A tag as in `00100010`, `(0010,0010)`, `tag_00100010` or `00100010.Value`.
_TAG = re.compile(
    r"(?<![0-9a-z])(?:0?x|tag|dicom)?([0-9a-f]{4})[ ,_|:/-]{0,2}(?:0x)?([0-9a-f]{4})(?![0-9a-z])"
)
# As Python writes a pair of numbers: `(16, 16)`. Within a name it is a size.
_DECIMAL_TAG = re.compile(r"\(\s*(\d{1,5})\s*,\s*(\d{1,5})\s*\)")
# As programs print an element: `(0010,0010) PN [DOE]`, `(0010,0010) Patient's Name`.
_PRINTED = re.compile(r"\(([0-9a-f]{4}), ?([0-9a-f]{4})\)\s*[a-z]", re.IGNORECASE)
_AROUND_TAG = re.compile(r"(?:tag|dicom|[\W_])*")


def find_tags(column: str) -> list[int]:
    """The tags in a column's name."""
    name = column.lower()
    if pair := _DECIMAL_TAG.fullmatch(name.strip()):
        return [int(pair[1]) << 16 | int(pair[2]), *_find_hexadecimal(name)]
    return _find_hexadecimal(name)


def _find_hexadecimal(name: str) -> list[int]:
    return [int("".join(found), 16) for found in _TAG.findall(name)]


def is_tag(column: str) -> bool:
    """Whether a column's name is a tag and nothing else, in the form that DICOM has."""
    name = column.lower()
    return bool(_TAG.search(name)) and bool(_AROUND_TAG.fullmatch(_TAG.sub("", name)))


def is_dumped(text: str) -> bool:
    """Whether a text is the printed header of a file, with an element on the list."""
    return any(is_listed(int("".join(found), 16)) for found in _PRINTED.findall(text))


def join_names(join: Callable[[str], str], *, are_texts: bool) -> frozenset[str]:
    """The keywords and names on the list, without anything between words: texts, or the others."""
    listed = {word: tag for word, tag in _LISTED.items() if bool(_TEXT.search(word)) == are_texts}
    return frozenset(map(join, (*listed, *map(dictionary_description, listed.values()))))
