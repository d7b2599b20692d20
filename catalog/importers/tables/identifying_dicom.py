"""Attributes of DICOM that tell who somebody is, as columns name them: by keyword, name or tag.

The list is the one by which files are judged, `catalog.imaging.dicom.identifying`.
"""

import re
from collections.abc import Callable
from functools import lru_cache

from pydicom.datadict import dictionary_description, keyword_dict, keyword_for_tag

from catalog.imaging.dicom.identifying import is_listed
from catalog.importers.tables.identifying_values import LONGEST_VALUE, tells_value

_LISTED = {keyword: tag for keyword, tag in keyword_dict.items() if is_listed(tag)}
del _LISTED["LabelText"]  # in tables the text of a finding's label, not of a slide's
_TEXT = re.compile(r"Comment|Notes|Narrative|History|Text|EncapsulatedDocument")
# A tag as in `00100010`, `(0010,0010)`, `tag_00100010` or `00100010.Value`.
_TAG = re.compile(
    r"(?<![0-9a-z])(?:0?x|tag|dicom)?([0-9a-f]{4})[ ,._|:/-]{0,2}(?:0x)?([0-9a-f]{4})(?![0-9a-z])"
)
# As Python writes a pair of numbers: `(16, 16)`. Within a name it is a size.
_DECIMAL_TAG = re.compile(r"\(\s*(\d{1,5})\s*,\s*(\d{1,5})\s*\)")
# As programs print an element: `(0010,0010) PN [DOE]`, `0010|0010 = DOE`, `0010 0010 8 [3] // …`.
_PRINTED = re.compile(
    r"(?<![0-9a-z.])(?P<sign>[(\[]\s?|0x)?(?:0x)?(?P<group>[0-9a-f]{4})"
    r"(?P<between>[,|]|, |_|\s{1,3})?(?:0x)?(?P<element>[0-9a-f]{4})(?![0-9a-f])",
    re.IGNORECASE,
)
_VR = r"(?:A[EST]|CS|D[AST]|F[LD]|IS|L[OT]|O[BDFLVW]|PN|S[HLQSTV]|TM|U[CILNRSTV])"
# What has to stand behind a tag in brackets, of which a sentence may speak, too; behind one
# without; and behind one that may be any number.
_BEHIND_BRACKET = re.compile(r"""[)\]]["']?(?:\s*+[^\W_a-z]|\s*+[]:=#\[<?"'(]|[,;]\S|[^,^]*+\^)""")
_BEHIND_PART = re.compile(r"""["']?\s*+(?:[:=\t]|(?<=\s)[^\W\d_a-z]|(?<=["']),)""")
_BEHIND_NUMBER = re.compile(rf"""\s*+(?:[:=]|(?<=\s){_VR}\b|(?<=\s)\d+\s*+\[|\[)""")
# What such a program prints besides the value.
_BESIDE_VALUE = re.compile(
    rf"#\s*\d+(?:\s*,\s*\d+)?|V[RLM]=<[^<>]*>|\d+\s*\[\d+\s*\]\s*//\s*(?:[A-Z]{{3}}\b)?"
    rf"|\b{_VR}\b(?!\^)|\bno value(?: available)?\b"
)
_BEFORE_NAME = re.compile(
    r"\A(?:dicom|tag)?[_ ]?[0-9a-f]{4}[_ ,|]?[0-9a-f]{4}[_ ]+(?=\D)", re.IGNORECASE
)
_NEXT = re.compile(r"\([0-9a-f]{4},\s?[0-9a-f]{4}\)", re.IGNORECASE)
_SEVERAL_WORDS = re.compile(r"[a-z'] ?[A-Z]")
_NAMED = frozenset(_LISTED.values())
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


def is_listed_tag(name: str) -> bool:
    """The same of a tag on the list."""
    return "00" in name and is_tag(name) and any(map(is_listed, find_tags(name)))


def is_dumped(text: str) -> bool:
    """Whether a text is the printed header of a file, with the value of an element on the list."""
    if "00" not in text:
        return False
    return any(
        is_listed(tag := int(found["group"] + found["element"], 16))
        and _is_tag_in_text(found, tag, rest := _find_rest(text, found.end()))
        and _has_value(tag, rest)
        for found in _PRINTED.finditer(text)
    )


def _find_rest(text: str, start: int) -> str:
    """What stands behind a tag in its line."""
    return text[start : start + LONGEST_VALUE].partition("\n")[0]


def _is_tag_in_text(found: re.Match[str], tag: int, rest: str) -> bool:
    between = (found["between"] or "").strip()
    if found["sign"]:
        is_bare = found["sign"].lower() == "0x" and rest[:1] not in tuple(")]")
        return bool((_BEHIND_PART if is_bare else _BEHIND_BRACKET).match(rest))
    if between in (",", "|"):
        return bool(_BEHIND_PART.match(rest))
    is_named = bool(between) and rest.startswith(f"_{keyword_for_tag(tag)}")
    return is_named or bool(_BEHIND_NUMBER.match(rest))


def _has_value(tag: int, rest: str) -> bool:
    """Whether there is a value besides what programs print of an element."""
    rest = _find_names(tag).sub(" ", _BESIDE_VALUE.sub(" ", _NEXT.split(rest)[0]))
    return tells_value(dictionary_description(tag) if tag in _NAMED else "", rest)


@lru_cache(maxsize=1 << 9)
def _find_names(tag: int) -> re.Pattern[str]:
    """The names of an element, as programs print them."""
    return re.compile("|".join(map(re.escape, _list_names(tag))) or r"(?!)", re.IGNORECASE)


def _list_names(tag: int) -> list[str]:
    if tag not in _NAMED:
        return []
    name = dictionary_description(tag)
    names = {keyword_for_tag(tag), name, name.replace("'s", ""), name.replace(" Date", "date")}
    return sorted({*names, *(each.replace("'s", "") for each in names)}, key=len, reverse=True)


def list_spellings() -> list[str]:
    """The keywords and names on the list, of several words each: no other text has these."""
    names = [name for tag in _LISTED.values() for name in _list_names(tag)]
    return [name for name in names if _SEVERAL_WORDS.search(name)]


def is_keyword(word: str) -> bool:
    """Whether a word is the keyword of any attribute."""
    return word.strip(" ,;\"'") in keyword_dict


def strip_tag(name: str) -> str:
    """A name without the tag before it, as in `DICOM_0010_0010_PatientName`."""
    return _BEFORE_NAME.sub("", name, count=1) if "00" in name else name


def join_names(join: Callable[[str], str], *, are_texts: bool) -> frozenset[str]:
    """The keywords and names on the list, without anything between words: texts, or the others."""
    listed = {word: tag for word, tag in _LISTED.items() if bool(_TEXT.search(word)) == are_texts}
    return frozenset(map(join, (*listed, *map(dictionary_description, listed.values()))))
