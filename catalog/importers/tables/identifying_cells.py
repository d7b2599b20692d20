"""Which parts of a cell tell who somebody is: keys of objects in it, and names in a text.

The names are judged by the rule for columns, `identifying_columns`.
"""

import json
import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

from catalog.importers.rows import SourceError
from catalog.importers.tables.identifying_columns import (
    find_unsafe_together,
    is_identifying,
    is_identifying_within,
)
from catalog.importers.tables.identifying_texts import may_tell, tells_person
from catalog.importers.tables.identifying_values import is_name_of_person
from catalog.importers.tables.lines import show
from catalog.importers.tables.object_texts import (
    Pairs,
    iter_names,
    iter_quoted,
    looks_like_object,
    may_be_object,
    read_object,
)

# Of the objects in a cell: each key is judged by its name, and an image has few of them.
MAX_KEYS = 10_000
# Judging one takes a tenth of a millisecond, once for a few thousand that come again.
MAX_DIFFERENT_KEYS = 2_000
# Longer texts are refused as metadata, whatever they hold.
_LONGEST_TEXT = 200_000
# Keys of objects that say what their value is, as in lists of DICOM's elements.
_NAMING = (
    "tag", "keyword", "key", "attribute", "field", "element", "property", "question",
    "question_text", "trait_type",
)  # fmt: skip
# Those that do so beside a value only, as in the answers of a form; and in objects, as FHIR has.
_NAMING_COLUMNS = (
    "name", "field_name", "fieldname", "variable", "column", "item", "linkid", "field_label",
    "variable_name", "attribute_name", "qnam", "qlabel",
)  # fmt: skip
_NAMING_A_VALUE = (
    *_NAMING_COLUMNS, "label", "title", "text", "url", "system", "code", "concept", "type",
)  # fmt: skip
# Addresses, in FHIR, of what is meant.
_ADDRESSES = frozenset({"url", "system"})
# FHIR calls an answer `valueString`, SDTM `QVAL`, OMOP `value_as_string`.
_VALUE = re.compile(
    r"(?i:q?vals?|values?|answers?|value_as_(?:string|text)"
    r"|(?:attribute|answer|response|field|item|metadata|result)[_ ]?(?:value|text))"
    r"|value(?!Type|Set|Count)[A-Z]\w*"
)
# Where FHIR has words for a code.
_WORDS_OF_CODE = ("text", "display", "coding")
# Of a table that is an object: the names of its columns, and its cells.
_COLUMNS = ("columns", "fields", "header", "headers")
_KINDS = ("type", "valuetype", "value_type")
_CELLS = frozenset({"data", "rows", "values", "records"})
_LONGEST_FACT, _BETWEEN_WORDS = 300, re.compile(r"[\s,;/|()]+")
_PERSON_OF_FHIR = re.compile(r"(?:^|/)(?:Patient|Practitioner(?:Role)?|(?:Related)?Person)(?:/|$)")
_PERSON_NAME = re.compile(r"""\bvr["']?\s*[:=]\s*["']?PN\b""", re.IGNORECASE)


class TooManyKeys(SourceError):
    """The objects in a cell have more than MAX_KEYS keys, or MAX_DIFFERENT_KEYS."""


def drop_from_value(value: Any, column: str) -> Any:
    """A list or an object without keys that identify people; nothing if it is one person's.

    Raises TooManyKeys.
    """
    if _has_too_many_keys(value):
        raise TooManyKeys(
            f"The objects in “{show(column)}” have more than {MAX_KEYS:,} keys, or "
            f"{MAX_DIFFERENT_KEYS:,} different ones. Write what belongs to other images into "
            "rows of their own, or leave the column out."
        )
    return "" if tells_person_of(value, column) else _drop_identifying(value, column)


def drop_from_text(text: str, column: str, *, is_in_keep: bool = False) -> str:
    """The text; if it is an object, without keys that identify people, at any depth.

    It stays as it is if there are none. One of too many keys or levels to be judged is left out,
    and so is what cannot be read but begins as an object, if anything in it seems such a key. Any
    other text is left out as a whole if it has a name and a value of a person, as a printed DICOM
    header has, unless the description's `keep` names the column.
    """
    if len(text) > _LONGEST_TEXT:
        return text
    if "{" not in text or not may_be_object(text):
        return "" if not is_in_keep and may_tell(text) and tells_person(text) else text
    doubled: Pairs = []

    def make(pairs: Pairs) -> dict[str, Any]:
        found = dict(pairs)
        doubled.extend(pairs if len(found) < len(pairs) else ())
        return found

    try:
        value = read_object(text, make)
        kept = drop_from_value(value, column)
    except ValueError:
        return "" if looks_like_object(text) and _seems_to_tell(text, column) else text
    except (RecursionError, TooManyKeys):
        return ""
    if kept == value and not doubled:
        return text
    # An escape may be half a sign, which cannot be stored.
    written = json.dumps(kept, ensure_ascii=False).encode(errors="replace").decode()
    return written if kept else ""


def drop_from_fact(text: str, column: str, *, is_in_keep: bool = False) -> str:
    """The same of a cell that should be an age or a sex, and is not: it may have a name alone."""
    found = _BETWEEN_WORDS.split(text[:_LONGEST_FACT])
    if not is_in_keep and any(map(is_name_of_person, map(" ".join, pairwise(found)))):
        return ""
    return drop_from_text(text, column, is_in_keep=is_in_keep)


def is_naming(column: str) -> bool:
    """Whether a column says what stands in another one, as `field_name` does."""
    return column.casefold() in (*_NAMING, *_NAMING_COLUMNS, "vr", "valuetype", "value_type")


def is_of_value(key: str) -> bool:
    """Whether what stands there may be called by another key or column."""
    return bool(_VALUE.fullmatch(key))


def _has_too_many_keys(value: Any) -> bool:
    """Whether judging the keys, at any depth, takes too long."""
    count, different = 0, set[tuple[str, str]]()
    left: list[tuple[str, Any]] = [("", value)]
    while left:
        parent, each = left.pop()
        if isinstance(each, list):
            left.extend((parent, item) for item in each)
            continue
        pairs = (
            each.items() if isinstance(each, dict) else [each] if isinstance(each, tuple) else ()
        )
        inner = [(str(key), item) for key, item in pairs]
        left.extend(inner)
        count += len(inner)
        different.update((parent, key) for key, _ in inner)
        if count > MAX_KEYS or len(different) > MAX_DIFFERENT_KEYS:
            return True
    return False


def _drop_identifying(value: Any, parent: str) -> Any:
    """The value without keys, at any depth, that identify people.

    `parent` is the key of the value, also for the items of a list. Pairs are entries of Parquet
    maps.
    """
    if isinstance(value, dict):
        unsafe = find_unsafe_together(value)
        if _refers_to_person(value):
            unsafe |= {"display"}
        return {
            key: _drop_identifying(each, key)
            for key, each in value.items()
            if key not in unsafe and _is_kept(parent, key, each)
        }
    if isinstance(value, list):
        return [
            (each[0], _drop_identifying(each[1], str(each[0])))
            if isinstance(each, tuple)
            else _drop_identifying(each, parent)
            for each in value
            if (_is_kept(parent, str(each[0]), each[1]) if isinstance(each, tuple)
                else not tells_person_of(each, parent))
        ]  # fmt: skip
    return drop_from_text(value, parent) if isinstance(value, str) else value


def _refers_to_person(found: Mapping[str, Any]) -> bool:
    """Whether an object is a reference of FHIR to somebody, who is named in its `display`."""
    said = (found.get("reference"), found.get("type"))
    return any(isinstance(each, str) and _PERSON_OF_FHIR.search(each) for each in said)


def _is_kept(parent: str, key: str, value: Any) -> bool:
    return not is_identifying_within(parent, key) and not tells_person_of(value, key)


def tells_person_of(value: Any, parent: str) -> bool:
    """Whether an object says of itself that its value is a person's: `{"vr": "PN", "Value": …}`.

    So does a table: `{"columns": ["PatientName"], "data": …}`.
    """
    pairs: Any = ()
    if isinstance(value, dict):
        pairs = value.items()
    elif isinstance(value, list):
        pairs = [each for each in value if isinstance(each, tuple)]
    if not pairs:
        return False
    has_value = any(is_of_value(str(key)) for key, _ in pairs)
    found = {str(key).casefold(): each for key, each in pairs}
    return _has_name_of_dicom(found) or any(
        is_identifying_within(parent, name) for name in _iter_naming(found, has_value=has_value)
    )


def _has_name_of_dicom(found: Mapping[str, Any]) -> bool:
    """Whether an element of DICOM, or an item of a report, has the name of a person."""
    kinds = {str(found.get(key, "")).strip().upper() for key in _KINDS}
    return str(found.get("vr", "")).strip().upper() == "PN" or "PNAME" in kinds


def _iter_naming(found: Mapping[str, Any], *, has_value: bool) -> Iterator[str]:
    """What an object, by its keys in lower case, says that its value is, or its columns."""
    for key in (*_NAMING, *(_NAMING_A_VALUE if has_value else ())):
        for text in _iter_texts(found.get(key)):
            name = text.rpartition("/")[2] if key in _ADDRESSES else text
            # That of a file ends otherwise.
            if key not in _ADDRESSES or "." not in name:
                yield name
    if not _CELLS.isdisjoint(found):
        for key in _COLUMNS:
            columns = found.get(key)
            for column in columns if isinstance(columns, list) else ():
                called = column.get("name") if isinstance(column, dict) else column
                if isinstance(called, str):
                    yield called


def _iter_texts(value: Any) -> Iterator[str]:
    """A text, or the words for a code of FHIR."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        yield from (text for each in value if isinstance(each, dict) for text in _iter_texts(each))
    elif isinstance(value, dict):
        yield from (text for key in _WORDS_OF_CODE for text in _iter_texts(value.get(key)))


def _seems_to_tell(text: str, column: str) -> bool:
    names, quoted = set(iter_names(text)), set(iter_quoted(text))
    return (
        len(names) + len(quoted) > MAX_DIFFERENT_KEYS
        or bool(_PERSON_NAME.search(text))
        or any(is_identifying_within(column, name) for name in names)
        or any(map(is_identifying, quoted))
    )
