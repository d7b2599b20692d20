"""Whether a text that is no object tells who somebody is: a name, and a value behind it.

The names are those of the rule for columns, before a colon or an equals sign, first of a pair in
brackets, and as elements and attributes of XML; and the attributes of DICOM, by tag in any form
that programs print, or by keyword as a word of its own. The value has to tell something.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from itertools import pairwise

from catalog.importers.tables.identifying_columns import is_bare_name, is_identifying
from catalog.importers.tables.identifying_dicom import (
    is_dumped,
    is_keyword,
    is_listed_tag,
    list_spellings,
    strip_tag,
)
from catalog.importers.tables.identifying_values import tells_value
from catalog.importers.tables.object_texts import iter_paired, iter_pairs
from catalog.importers.tables.xml_texts import iter_marked
from vocab.text import normalize

# A text without these has no name and value, unless a tag or a keyword stands in it.
_SIGNS = re.compile(r"[:=：＝<\[(\t\n]")
# Most other texts are addresses, dates, times and numbers.
_PLAIN = re.compile(r"\w++://\S++|[\d\s:./TZ+,-]++")
_PAIRED = re.compile(r"[:=：＝]")
_GAP = re.compile(r"\s\s+|\t|//|->|=>|\|")
_LETTERS, _DIGITS = re.compile(r"[^\W\d_]{2}"), re.compile(r"\d+")
# No name that identifies people is longer, or has more words.
_LONGEST_NAME, _MOST_SPACES = 80, 8
# What tables say of people besides: a bare name beside it is a person's.
_FACTS = frozenset({
    "age", "sex", "gender", "alter", "geschlecht", "edad", "sexo", "genero", "sexe", "genre", "eta",
    "sesso", "idade", "leeftijd", "geslacht", "年龄", "性别", "年齢", "性別", "возраст", "пол",
})  # fmt: skip
_BIRTH = re.compile("birth|dob")
# In texts about a study these are mostly firms and kinds: `operator=GE`.
_VAGUE = re.compile("operators?|occupation", re.IGNORECASE)
_IDENTIFIES, _BARE, _FACT, _OTHER = "identifies", "bare", "fact", ""
_SPELLINGS = frozenset(filter(is_identifying, list_spellings()))


def may_tell(text: str) -> bool:
    """Whether a text is to be looked at; soon told for most."""
    if _SIGNS.search(text):
        return not _PLAIN.fullmatch(text)
    if "|" in text and not _SPELLINGS.isdisjoint(map(str.strip, text.split("|"))):
        return True
    if " " not in text:
        return False
    return "00" in text or "  " in text or not _SPELLINGS.isdisjoint(text.split())


def tells_person(text: str) -> bool:
    """Whether a text has the name of something that identifies people, and its value."""
    return (
        bool(_PAIRED.search(text) and _has_pair(iter_pairs(text)))
        or bool(("[" in text or "(" in text) and _has_pair(iter_paired(text)))
        or ("<" in text and _has_pair(iter_marked(text)))
        or is_dumped(text)
        or _has_spelling(text)
    )


def _has_pair(pairs: Iterable[tuple[str, str | None]]) -> bool:
    """Whether a name identifies people; so does a bare one beside an age or a sex."""
    has_name = has_fact = False
    for name, value in pairs:
        name = _shorten(name)
        kind = _find_kind(name)
        if kind == _IDENTIFIES and _is_value(name, value):
            return True
        has_name = has_name or (kind == _BARE and tells_value("name", value))
        has_fact = has_fact or kind == _FACT or (kind == _IDENTIFIES and _is_birth(name))
    return has_name and has_fact


def _shorten(name: str) -> str:
    """What is judged of a name: without a tag before it, and one for all of a numbered series."""
    # A tag before it is all that is judged besides.
    if len(name) > 2 * _LONGEST_NAME:
        return ""
    if is_listed_tag(name):
        return name
    name = strip_tag(name)
    if len(name) > _LONGEST_NAME or name.count(" ") > _MOST_SPACES or not _LETTERS.search(name):
        return ""
    return _DIGITS.sub("0", name)


def _is_birth(name: str) -> bool:
    return bool(_BIRTH.search(name.casefold()))


@lru_cache(maxsize=1 << 14)
def _find_kind(name: str) -> str:
    if is_identifying(name) or is_listed_tag(name):
        return _OTHER if _VAGUE.fullmatch(name) else _IDENTIFIES
    if is_bare_name(name):
        return _BARE
    return _FACT if normalize(name) in _FACTS else _OTHER


def _has_spelling(text: str) -> bool:
    """Whether a keyword or name of DICOM stands before a value, with only space between them.

    A single space is one in a sentence, too, so what stands behind has to look like a value.
    """
    words = text.split()
    if not _SPELLINGS.isdisjoint(words):
        for name, value in pairwise(words):
            if name in _SPELLINGS and not value[0].islower() and _is_value(name, value):
                return True
    if not _GAP.search(text):
        return False
    return any(
        name in _SPELLINGS and _is_value(name, value)
        for line in text.splitlines()
        for name, value in pairwise(map(str.strip, _GAP.split(line)))
    )


def _is_value(name: str, value: str | None) -> bool:
    """Whether a value tells something, and is not the next one of several names of columns."""
    return not (value and is_keyword(value)) and tells_value(name, value)
