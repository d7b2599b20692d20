"""Which columns, and keys of objects in them, tell who somebody is. One rule for all importers.

The rule has three parts, by a column's name alone, in any spelling (`PatientName`, `patient_name`,
`Prénom`), and by the parts of a name (`Name, Vorname`, `PatName_Last`): in English, German, French,
Spanish, Italian, Portuguese or Dutch by `identifying_patterns`, in further languages and scripts by
the lists of `identifying_words`, in scripts without spaces also by the parts of a name in
`identifying_parts`, and as attributes of DICOM by the list for files, by keyword
(`AdmissionID`, `tags.AdmissionID`), name or tag (`00100010`), which DICOM's JSON has:

- What *identifies* people never gets into the catalog: names and initials of patients, relatives
  and staff; user names; date, year and place of birth; addresses, telephone numbers, mail; numbers
  by which authorities, insurers and hospitals know somebody; accession numbers. A description
  that names such a column is refused; only an age may be computed from a date of birth.
- What *may* identify people is kept only if a description names the column: a `Patient ID` is a
  pseudonym in most published tables and a hospital's own number in others, a bare `Name` is that
  of a file, a finding or a person, a `Radiologist` is a number or a name, a `provider_name` or
  `performer.display` that of a firm, and an `AdmissionID`, as all else on DICOM's list, may be
  replaced. So may a longer name with one of the above in it (`date_of_birth_known` says nothing,
  `date_of_birth_iso` all), also as one word of several (`surname_en`) or within one
  (`rawpatientname`). `subject = "{Patient ID}"` says that these are pseudonyms.
- *Free text*, such as reports and their sections, comments, notes and a `text`, may name people.
  It is kept only if `[metadata]` names the column: `keep = ["Report"]`.

Every other column is kept. Dates of studies and places are among them, so whoever publishes a table
must have removed people from these. The import report names each column that was left out. DICOM
files, and the JSON files beside NIfTI volumes, need no such rule: of these only fixed lists are
read, in which this rule finds nothing.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from pydicom.datadict import keyword_for_tag

from catalog.imaging.dicom.identifying import is_listed
from catalog.importers.tables import identifying_patterns as known
from catalog.importers.tables import identifying_words as words
from catalog.importers.tables.identifying_dicom import find_tags, is_tag, join_names
from catalog.importers.tables.identifying_parts import has_identifying_part, is_text_of_parts
from catalog.importers.tables.identifying_values import has_mail_address
from vocab.text import decompose, normalize

_IDENTIFYING_NAMES, _MAYBE_NAMES, _FREE_TEXT_NAMES = map(
    words.fold_names, (words.IDENTIFYING, words.MAYBE, words.FREE_TEXT)
)
_WORDS_WITHIN = _IDENTIFYING_NAMES - words.fold_names(words.VAGUE_WORDS)
# Each part between them is a name of its own: `Name, Vorname`.
_BETWEEN_NAMES = re.compile(r"[,;/|&+()\[\]{}]+")
# As in `MR#`.
_NUMBER_SIGN = re.compile(r"#\s*$")
# The place in a list, as in `performer.0.display`; not an age: `birth-23 months`.
_COUNT = re.compile(r" \d+(?= (?!years?|months?|weeks?|days?))")
# Also in `OrderingMDLastName`.
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z]{2})(?=[A-Z][a-z])")
_LONGEST_WITHIN = 4
_LONGEST_JOINED = 60
_LONGEST_LANGUAGE = 2
_MOST_WORDS = 40
_MOST_PARTS = 20
# Letters that look like Latin ones, in lower case.
_LOOK_ALIKE = str.maketrans(
    "асԁеһіјкмнорԛѕтвԝхуαεικνορτυχβηıօ", "acdehijkmhopqstbwxyaeiknoptuxbhio"
)
# What a name has beyond is not looked at: none is so long.
_LONGEST_NAME = 200
_LONGEST_PARENT = 60  # of which each key within is judged
# As German is written where there are no umlauts.
# As in `N° dossier`.
_NUMERO = re.compile(r"\b[nN]\.?\s?[°º]")
_UMLAUTS = (("ae", "a"), ("oe", "o"), ("ue", "u"))


def is_identifying(column: str) -> bool:
    """Whether a column identifies people, by any spelling of its name."""
    return _identifies(_cut(column))


def may_identify(column: str) -> bool:
    """Whether a column identifies people or not, depending on the table."""
    return _is_first_or_last(_cut(column)) or _may_identify_somebody(column)


def _may_identify_somebody(column: str) -> bool:
    return _matches(known.MAYBE, _MAYBE_NAMES, column) or _may_identify_within(_cut(column))


def is_free_text(column: str) -> bool:
    """Whether a column is text that somebody wrote, such as a report, and may name people."""
    if is_text_of_parts(_cut(column)):
        return True
    if known.NOTES.fullmatch(" ".join(_split_words(_cut(column)))):
        return True
    is_dicom = not _TEXTS_OF_DICOM.isdisjoint(_find_forms(_cut(column)).plain)
    return is_dicom or _matches(known.FREE_TEXT, _FREE_TEXT_NAMES, column)


def is_left_out(column: str) -> bool:
    """Whether a column is left out where no description names it."""
    return is_identifying(column) or may_identify(column) or is_free_text(column)


def find_unsafe_together(columns: Iterable[str]) -> frozenset[str]:
    """The columns that may identify people for what stands beside them.

    `fname` beside one such as `lname`, else it is the name of a file; `data` beside its
    `contentType`, as FHIR has notes and other files; and the births of UK Biobank and CPRD.
    """
    joined = {column: _join(_cut(column)) for column in columns}
    names = frozenset(joined.values())
    has_last = any(map(known.LAST_NAME.fullmatch, names))
    return frozenset(
        column
        for column, name in joined.items()
        if (has_last and name == "fname")
        or (name == "mob" and "yob" in names)
        or (known.BIRTH_OF_BIOBANK.fullmatch(name) and not names.isdisjoint(known.ID_OF_BIOBANK))
        or (name.endswith("data") and f"{name.removesuffix('data')}contenttype" in names)
    )


def is_bare_name(column: str) -> bool:
    """Whether a column is just called `Name`: that of a file, a finding or a person."""
    return bool(known.BARE_NAME.fullmatch(_fold(_cut(column))))


def is_identifying_within(parent: str, key: str) -> bool:
    """The same for the key of an object in `parent`, such as `name` in `patient`.

    A bare name is regarded as that of a person, unless the parent is a thing such as `finding`. No
    description can name such a key, so neither what may identify people nor free text is kept.
    """
    return _is_identifying_within(_cut(parent)[-_LONGEST_PARENT:], _cut(key))


@lru_cache(maxsize=1 << 16)
def _is_identifying_within(parent: str, key: str) -> bool:
    if is_bare_name(key):
        return not known.THING.fullmatch(_fold(parent))
    # A `text` in an object is more often that of a label than of a report.
    is_text = is_free_text(key) or _join(f"{parent} {key}") == "textdiv"
    return (is_text and _join(key) != "text") or any(
        is_identifying(each) or _may_identify_somebody(each) for each in (key, f"{parent} {key}")
    )


class _Forms(NamedTuple):
    """What is compared of a name: its letters as lists have them, and as patterns have them."""

    folded: frozenset[str]
    plain: frozenset[str]


def _matches(pattern: re.Pattern[str], names: frozenset[str], column: str) -> bool:
    forms = _find_forms(_cut(column))
    return not names.isdisjoint(forms.folded) or any(map(pattern.fullmatch, forms.plain))


def _identifies(column: str) -> bool:
    return (
        _matches(known.IDENTIFYING, _IDENTIFYING_NAMES, column)
        or _has_identifying_part(column)
        or _is_tag_of_person(column)
    )


def _is_tag_of_person(column: str) -> bool:
    """Whether a name is a tag of DICOM, and nothing else, that tells who somebody is."""
    return is_tag(column) and any(is_identifying(keyword_for_tag(tag)) for tag in find_tags(column))


@lru_cache(maxsize=1 << 12)
def _has_identifying_part(column: str) -> bool:
    """Whether one of several names, such as `Name, Vorname`, identifies people."""
    return any(
        _matches(known.IDENTIFYING, _IDENTIFYING_NAMES, part)
        and not known.VAGUE_PART.fullmatch(_join(part))
        and not known.UNSURE_PART.fullmatch(_join(part))
        for part in _split_parts(column)
    ) or _has_names_alone(column)


def _has_names_alone(column: str) -> bool:
    """Whether each word is a name, as in `Name Vorname`, and one of them a person's."""
    found = _split_words(column)
    return (
        len(found) > 1
        and all(
            (known.BARE_NAME.fullmatch(word) or known.IDENTIFYING.fullmatch(word))
            and not known.VAGUE.fullmatch(word)
            for word in found
        )
        and not all(map(known.BARE_NAME.fullmatch, found))
    )


@lru_cache(maxsize=1 << 12)
def _may_identify_within(column: str) -> bool:
    """Whether some words of a longer name, such as `PatientName_Kanji`, identify people."""
    if has_mail_address(column):
        return True
    if has_identifying_part(column) or not _WORDS_WITHIN.isdisjoint(words.list_spans(column)):
        return True
    parts = _split_parts(column)
    if any(known.UNSURE_PART.fullmatch(_join(part)) for part in parts) or _has_bare_name(parts):
        return True
    if any(is_listed(tag) or is_left_out(keyword_for_tag(tag)) for tag in find_tags(column)):
        return True
    found = _split_words(column)
    written = " ".join(found)
    patterns = (known.SEPARATED, known.NAME_AND_MORE, known.SPECIALIST)
    if any(pattern.fullmatch(written) for pattern in patterns):
        return True
    if any(map(known.WITHIN_WORD.search, found)) or _has_name_of_dicom(found):
        return True
    spans = (
        (start, start + length)
        for length in range(1, min(_LONGEST_WITHIN, len(found) - 1) + 1)
        for start in range(len(found) - length + 1)
        # The patterns have no other letters.
        if found[start].isascii()
    )
    return any(_tells_within(found, start, end) for start, end in spans)


def _is_first_or_last(column: str) -> bool:
    """Whether a column is called just `first`, or `Last, First`."""
    parts = _split_parts(column) or [column]
    return all(known.FIRST_OR_LAST.fullmatch(_join(part)) for part in parts)


def _has_bare_name(parts: list[str]) -> bool:
    """Whether one of several names is just `Name`, unless another says whose or in what language.

    `Name & Age` is a person's; `class/name` and `name (en)` are not.
    """
    others = [part for part in parts if not known.BARE_NAME.fullmatch(_join(part))]
    return len(others) < len(parts) and not any(
        _is_language(_join(part)) or known.THING.fullmatch(_fold(part)) for part in others
    )


def _is_language(part: str) -> bool:
    """Whether a part may be the code of a language; `Name/ID` is hardly a name in Indonesian."""
    return len(part) <= _LONGEST_LANGUAGE and part != "id"


def _has_name_of_dicom(found: list[str]) -> bool:
    """Whether some words are a name on DICOM's list; `occupation` only as the last."""
    for start in range(len(found)):
        name = ""
        for end, word in enumerate(found[start:], start + 1):
            name += word
            if name not in _STARTS_OF_DICOM:
                break
            is_vague = end < len(found) and known.VAGUE_WORD.fullmatch(name)
            if name in _NAMES_OF_DICOM and not is_vague:
                return True
    return False


def _tells_within(found: list[str], start: int, end: int) -> bool:
    name = "".join(found[start:end])
    if not _identifies_within(name) or known.VAGUE.fullmatch(name):
        return False
    if known.NAME_OF_THING.fullmatch(name) and known.THING.fullmatch(" ".join(found[:start])):
        return False
    if end - start == 1:
        return _is_sure_word(name) and not known.OF_DEVICE.intersection(found[end : end + 1])
    return found[end - 1] not in known.COUNTED or bool(known.COUNTS_PEOPLE.search(name))


@lru_cache(maxsize=1 << 14)
def _identifies_within(name: str) -> bool:
    return len(name) <= _LONGEST_JOINED and bool(
        known.IDENTIFYING.fullmatch(name) or known.ROLE_NAME.fullmatch(name)
    )


def _is_sure_word(word: str) -> bool:
    return bool(known.SURE_WORD.fullmatch(word)) or not known.VAGUE_WORD.fullmatch(word)


def _split_parts(column: str) -> list[str]:
    """The parts of a name that has several."""
    parts = _BETWEEN_NAMES.split(column)
    return [part for part in parts if part.strip()][:_MOST_PARTS] if len(parts) > 1 else []


def _split_words(column: str) -> list[str]:
    return _COUNT.sub("", _fold(_CAMEL.sub(" ", column))).split()[:_MOST_WORDS]


def _join(name: str) -> str:
    return _fold(name).replace(" ", "")


@lru_cache(maxsize=1 << 12)
def _fold(name: str) -> str:
    """The normal form, with Latin letters for those of other scripts that look like them."""
    return normalize(name).translate(_LOOK_ALIKE)


def _cut(name: str) -> str:
    """The part of a name that is looked at; one sign may be eighteen letters."""
    short = name.strip()[:_LONGEST_NAME]
    return (
        short
        if short.isascii()
        else decompose(_NUMERO.sub("numero ", words.undo_double_encoding(short)))[:_LONGEST_NAME]
    )


@lru_cache(maxsize=1 << 12)
def _find_forms(column: str) -> _Forms:
    column = _NUMBER_SIGN.sub(" no", column)
    folded = _fold(column)
    is_gene = known.GENE.fullmatch(folded)
    spaced = folded if is_gene else words.strip_endings(folded, " x", " y", "dicom")
    name, plain = spaced.replace(" ", ""), _COUNT.sub("", spaced).replace(" ", "")
    forms = [name, plain]
    for written, umlaut in _UMLAUTS:
        plain = plain.replace(written, umlaut)
    return _Forms(words.fold_parts(column), frozenset((*forms, plain)))


_TEXTS_OF_DICOM = join_names(_join, are_texts=True)
_NAMES_OF_DICOM = join_names(_join, are_texts=False) | _TEXTS_OF_DICOM
_STARTS_OF_DICOM = frozenset(
    name[:end] for name in _NAMES_OF_DICOM for end in range(1, len(name) + 1)
)
