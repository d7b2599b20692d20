"""Reads the names in a text that is no object, and what stands behind each, in any notation.

The text is taken as words, whose gaps are all that programs and people write between a name and its
value. What has a colon or an equals sign behind it is a name. So are the last words of that, as the
value before may be parted from it by a space alone: `Age: 45 Sex: M`. Names that no other text has
are known wherever they stand: `('PatientName', 'Doe')`, `| DOB | 4.3.1961 |`.
"""

import re
from collections.abc import Iterator

from pydicom.datadict import keyword_dict

from catalog.importers.tables.identifying_columns import is_identifying
from catalog.importers.tables.identifying_dicom import list_spellings
from catalog.importers.tables.identifying_patterns import THING
from catalog.importers.tables.identifying_values import LONGEST_VALUE, tells_value
from catalog.importers.tables.identifying_words import fold_name

# What tables say of people besides.
FACTS = frozenset({
    "age", "sex", "gender", "alter", "geschlecht", "edad", "sexo", "genero", "sexe", "genre", "eta",
    "sesso", "idade", "leeftijd", "geslacht", "年龄", "性别", "年齢", "性別", "возраст", "пол",
})  # fmt: skip
_SURE = [
    "patient name", "name of patient", "name of the patient", "pt name", "first name", "last name",
    "middle name", "given name", "family name", "maiden name", "surname", "lastname", "birth date",
    "birthday", "date of birth", "born", "dob", "year of birth",
    "yob", "mrn", "geburtsdatum", "nachname", "vorname",
    "patientenname", "date de naissance", "nom de famille", "prénom", "fecha de nacimiento",
    "apellidos", "data di nascita", "cognome", "data de nascimento", "geboortedatum", "achternaam",
    "voornaam",
]  # fmt: skip
_OF_DICOM = [name for name in list_spellings() if is_identifying(name)]
_NAMES = [*_SURE, *map(str.lower, _OF_DICOM)]
_FOLDED = frozenset(map(fold_name, _NAMES))
_MOST_WORDS = 4
# The last words of such names, in lower case, and the names that are written as one.
_LAST = {name.split()[-1] for name in _NAMES}.union(
    name.replace(" ", sign) for name in _NAMES for sign in ("", "_", "-")
)
# The same for all texts, which must be fast: as most are written, and those of DICOM as one.
_OFTEN = {*_SURE, *(name.split()[-1] for name in _SURE)}
SURE_WORDS = frozenset(
    {"D.O.B.", "D.O.B", *_OF_DICOM, *_OFTEN, *map(str.title, _OFTEN), *map(str.upper, _OFTEN)}
)
_NEEDS_DIGIT = re.compile("birth|[dy]ob|mrn|geb|nais|nac|nasc|number")
# What stands behind the name of a column in a list of such.
_COLUMNS = frozenset(map(str.lower, keyword_dict)) | FACTS | _FOLDED
_LONGEST_NAME = 200
_LAST_LATIN = "\u024f"
_MOST_PARTS, _PARTS_OF_PAIR = 20, 5
_QUOTES = ("'", '"')

_SIGNS = r"""\s:=：＝<>\[\](){}"`,;；，。|\\•·→"""
# An apostrophe within a word is a part of it, and so is the colon of a time.
_WORD = rf"\w[^{_SIGNS}']*+(?:(?:(?<=\w)'(?=\w)|(?<=\d\d):(?=\d\d))[^{_SIGNS}']*+)*+"
_PIECES = re.compile(rf"({_WORD}(?: {_WORD})*+)")
_TOLD = re.compile(r"[:=：＝]")
_IS_NAME = re.compile(r"""["'`\s]*+[:=：＝]""")
_NO_VALUE = re.compile(
    r"""''|""|\[\s*+\]|\(\s*+\)|<\s*+>|[:=：＝][^\w:=：＝]*?[,;；，|]|[,;|]\s*+[,;|]"""
)
_PARTED = re.compile(r"[,;；，|\n]")
# Two spaces do so before the next name: `Name: nodule 3  Age/Sex: 45/M`.
_END = re.compile(r"[,;；，|\n\t]|  (?=\w[\w/ ]{1,30}[:=：＝])")
_WIDE = re.compile(r"\s\s|[\t\n|→]|//|[-=]>")
_BEFORE_PAIR, _BEHIND_PAIR = re.compile(r"""[\[(]\s?["']\Z"""), re.compile(r"""["']?\s?[\])]""")
_DECIMAL_TAG = re.compile(r"(?<=[\[(])\((\d{1,5}), ?(\d{1,5})\)(?=\s?,)")
_Pair = tuple[str, str]


def iter_named(text: str) -> Iterator[_Pair]:
    """The names in a text and what stands behind each; of one, there may be several forms."""
    text = _DECIMAL_TAG.sub(lambda tag: f"'{int(tag[1]):04x}{int(tag[2]):04x}'", text)
    # Gaps and pieces by turns, from the first gap to the last one.
    parts = _PIECES.split(text)
    has_sure = not _LAST.isdisjoint(" ".join(parts[1::2]).lower().split(" "))
    was_told, context = False, ""
    for place in range(1, len(parts), 2):
        piece, gap = parts[place], parts[place + 1]
        if is_told := bool(_TOLD.search(gap)):
            words, value = piece.split(" "), _find_value(parts, place)
            for name in _list_forms(words, context, is_behind_value=was_told):
                yield name[-_LONGEST_NAME:], value
            context = "" if value else piece[-_LONGEST_NAME:]
        elif _is_pair(parts[place - 1 : place + 4]):
            yield piece, parts[place + 2]
        if has_sure and not _LAST.isdisjoint(piece.lower().split(" ")):
            yield from _iter_sure(parts, place, is_told=is_told)
        if not is_told:
            context = ""
        was_told = is_told


def _is_pair(parts: list[str]) -> bool:
    """Whether two pieces, with the gaps around, are alone in brackets."""
    return (
        len(parts) == _PARTS_OF_PAIR
        and parts[0][-1:] in _QUOTES
        and bool(_BEFORE_PAIR.search(parts[0]) and _BEHIND_PAIR.match(parts[-1]))
    )


def _find_value(parts: list[str], place: int) -> str:
    """What stands in the line behind a piece, unless that is the next name."""
    name, gap, value, behind = (*parts[place : place + 4], "", "")[:4]
    if not value or _NO_VALUE.search(gap):
        return ""
    if not _IS_NAME.match(behind):
        line = "".join(parts[place + 2 : place + 2 + _MOST_PARTS])
        return _END.split(line[:LONGEST_VALUE], maxsplit=1)[0]
    words = value[:LONGEST_VALUE].split(" ")
    kind = "patient name" if "name" in name.lower() else ""
    is_empty = _PARTED.search(gap) or not tells_value(kind, words[0])
    return "" if is_empty else " ".join(words[:-1])


def _list_forms(words: list[str], context: str, *, is_behind_value: bool) -> Iterator[str]:
    """The words before a colon as a name: all, the last ones, and with the name around it."""
    if len(words) > 1 or not THING.fullmatch(context.lower()):
        yield " ".join(words)
    if context:
        yield f"{context} {' '.join(words)}"
    # A single word may be the last of a sentence, and one behind a thing is that thing's.
    fewest = 1 if is_behind_value or _is_apart(words) else 2
    for count in range(fewest, min(len(words), _MOST_WORDS + 1)):
        around = words[-count - 1]
        if not THING.fullmatch(around.lower()):
            yield " ".join(words[-count:])
        if around[-1] == ".":
            break


def _is_apart(words: list[str]) -> bool:
    """Whether the last word is a name by itself: `CT. Address:`, `Chest SSN:`, `Отчет ФИО:`."""
    before, last = words[-2:] if len(words) > 1 else ("", "")
    is_short = last.isupper() and not before.isupper()
    return before.endswith((".", "!", "?")) or is_short or last[:1] > _LAST_LATIN


def _iter_sure(parts: list[str], place: int, *, is_told: bool) -> Iterator[_Pair]:
    """The names that no other text has, with a value behind, whatever stands between."""
    words = parts[place].split(" ")
    for end, word in enumerate(words, 1):
        if word.lower() not in _LAST:
            continue
        for start in range(max(0, end - _MOST_WORDS), end):
            name = fold_name("".join(words[start:end]))
            if name not in _FOLDED:
                continue
            if end < len(words):
                value, is_wide = " ".join(words[end : end + _MOST_WORDS]), False
            else:
                value, is_wide = _find_value(parts, place), bool(_WIDE.search(parts[place + 1]))
            if (is_told and end == len(words)) or _is_value(name, value, is_wide=is_wide):
                yield " ".join(words[start:end]), value


def _is_value(name: str, value: str, *, is_wide: bool) -> bool:
    """Whether that is a value without a sign before it, neither the next word nor a column."""
    words = value.split()[:3]
    if not words or any(fold_name("".join(words[:end])) in _COLUMNS for end in range(1, 4)):
        return False
    if "name" not in name and _NEEDS_DIGIT.search(name):
        return any(map(str.isdigit, value))
    return is_wide or "^" in value or not value[0].islower()
