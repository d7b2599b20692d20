"""Reads JSON objects as rows of text, and writes any value as the text that a CSV would have."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from catalog.importers.rows import BadRow, SourceError
from catalog.importers.tables.identifying_columns import is_identifying, is_identifying_within
from catalog.importers.tables.lines import MAX_LINE, Lines, TableRow, find_flaw, show
from catalog.importers.tables.object_texts import (
    Pairs,
    iter_names,
    iter_quoted,
    looks_like_object,
    may_be_object,
    read_object,
)

MAX_COLUMNS = 10_000
# The characters of an object: small lists take twenty times as much when they are read.
MAX_OBJECT = 1 << 22
# Of the objects in a cell: each key is judged by its name, and an image has few of them.
MAX_KEYS = 10_000
# Judging one takes a tenth of a millisecond, once for a few thousand that come again.
MAX_DIFFERENT_KEYS = 2_000
# Longer texts are refused as metadata, whatever they hold.
_LONGEST_TEXT = 200_000
# Keys of objects that say what their value is, as in lists of DICOM's elements.
_NAMING = frozenset({"tag", "keyword", "key", "attribute", "field", "element", "property"})
_PERSON_NAME = re.compile(r"""\bvr["']?\s*[:=]\s*["']?PN\b""", re.IGNORECASE)


class TooManyKeys(SourceError):
    """The objects in a cell have more than MAX_KEYS keys, or MAX_DIFFERENT_KEYS."""


class Item(NamedTuple):
    """One object with the line where it begins, or what is wrong with what is shown."""

    line: int
    shown: str
    found: dict[str, Any] | str


class Doubled(dict[str, Any]):
    """An object with a key that stands twice, of which JSON would take the last in silence."""

    problem = ""


def make_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """For ``object_pairs_hook`` of ``json``."""
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    doubled = Doubled(found)
    [(key, _)] = Counter(name for name, _ in pairs).most_common(1)
    doubled.problem = f"Its key “{show(key)}” stands twice. Leave one out."
    return doubled


def find_keys(items: Iterable[Item], path: str) -> list[str]:
    """All keys of all objects, in order of their first use; objects may lack some keys."""
    keys: dict[str, None] = {}
    characters = 0
    for _, _, found in items:
        if isinstance(found, dict) and not found.keys() <= keys.keys():
            characters += sum(len(key) for key in found if key not in keys)
            keys.update(dict.fromkeys(found))
            if len(keys) > MAX_COLUMNS or characters > MAX_LINE:
                raise too_many_columns(path)
    if not keys:
        raise SourceError(
            f"{path} has no JSON object. Write one object {{…}} for each image: one a line, or all "
            "in one array, separated by commas: [{…}, {…}]."
        )
    return list(keys)


def too_many_columns(path: str) -> SourceError:
    return SourceError(
        f"{path} has more than {MAX_COLUMNS:,} columns, or very long names. Check that it has a "
        "row for each image, and remove columns that are not needed."
    )


def iter_json_lines(lines: Lines) -> Iterator[Item]:
    """The objects of JSON Lines: one a line."""
    for line in lines:
        flaw = lines.flaw
        lines.forget()
        if line.strip():
            if len(line) > MAX_OBJECT:
                flaw = f"more than {MAX_OBJECT:,} characters. Write one object a line"
            found = f"The line has {flaw}." if flaw else _load_object(line)
            yield Item(lines.number, "" if isinstance(found, dict) else show(line), found)


def iter_objects(items: Iterable[Item], header: tuple[str, ...]) -> Iterator[TableRow | BadRow]:
    """The rows of objects, with the columns of `header`."""
    for line, shown, found in items:
        texts = _write_texts(found) if isinstance(found, dict) else found
        if isinstance(texts, dict):
            yield check_texts(line, [texts.get(key, "") for key in header])
        else:
            yield BadRow(line, "", shown or show(", ".join(found)), texts)


def check_texts(line: int, cells: list[str]) -> TableRow | BadRow:
    """The row, or a BadRow if it has characters that PostgreSQL cannot store."""
    if flaw := find_flaw("".join(cells)):
        return BadRow(line, "", show(" | ".join(cells)), f"The row has {flaw}.")
    return TableRow(line, cells)


def _load_object(line: str) -> dict[str, Any] | str:
    """The object of a line, or what is wrong with it."""
    try:
        found = json.loads(line, object_pairs_hook=make_object)
    except (ValueError, RecursionError) as error:
        return f"The line is not JSON: {error}."
    if isinstance(found, Doubled):
        return found.problem
    return found if isinstance(found, dict) else "The line is not a JSON object {…}."


def _write_texts(found: dict[str, Any]) -> dict[str, str] | str:
    """The texts of an object by its columns, or what is wrong with it."""
    try:
        return {key.strip(): write_text(value, key) for key, value in found.items()}
    except TooManyKeys as error:
        return str(error)
    except RecursionError:
        return "The line has too many levels of nested objects. Make it flatter."


def write_text(value: Any, column: str) -> str:
    """A value as in a CSV; lists and objects as JSON, without keys that identify people.

    Raises TooManyKeys.
    """
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, list | dict):
        if _has_too_many_keys(value):
            raise TooManyKeys(
                f"The objects in “{show(column)}” have more than {MAX_KEYS:,} keys, or "
                f"{MAX_DIFFERENT_KEYS:,} different ones. Write what belongs to other images into "
                "rows of their own, or leave the column out."
            )
        kept = "" if _tells_person(value, column) else _drop_identifying(value, column)
        return json.dumps(kept, ensure_ascii=False, default=str) if kept or not value else ""
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return str(value)


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
        return {
            key: _drop_identifying(each, key)
            for key, each in value.items()
            if _is_kept(parent, key, each)
        }
    if isinstance(value, list):
        return [
            (each[0], _drop_identifying(each[1], str(each[0])))
            if isinstance(each, tuple)
            else _drop_identifying(each, parent)
            for each in value
            if (_is_kept(parent, str(each[0]), each[1]) if isinstance(each, tuple)
                else not _tells_person(each, parent))
        ]  # fmt: skip
    return drop_from_text(value, parent) if isinstance(value, str) else value


def _is_kept(parent: str, key: str, value: Any) -> bool:
    return not is_identifying_within(parent, key) and not _tells_person(value, key)


def _tells_person(value: Any, parent: str) -> bool:
    """Whether an object says of itself that its value is a person's: `{"vr": "PN", "Value": …}`."""
    pairs: Any = ()
    if isinstance(value, dict):
        pairs = value.items()
    elif isinstance(value, list):
        pairs = [each for each in value if isinstance(each, tuple)]
    found = {str(key).casefold(): each for key, each in pairs if isinstance(each, str)}
    if found.get("vr", "").strip().upper() == "PN":
        return True
    named = [found[key] for key in _NAMING if key in found]
    if "name" in found and any(str(key).casefold() == "value" for key, _ in pairs):
        named.append(found["name"])
    return any(is_identifying_within(parent, name) for name in named)


def drop_from_text(text: str, column: str) -> str:
    """The text; if it is an object, without keys that identify people, at any depth.

    It stays as it is if there are none. One of too many keys or levels to be judged is left out,
    and so is what cannot be read but begins as an object, if anything in it seems such a key.
    """
    if "{" not in text or len(text) > _LONGEST_TEXT or not may_be_object(text):
        return text
    doubled: Pairs = []

    def make(pairs: Pairs) -> dict[str, Any]:
        found = dict(pairs)
        doubled.extend(pairs if len(found) < len(pairs) else ())
        return found

    try:
        value = read_object(text, make)
        if _has_too_many_keys(value):
            return ""
        kept = "" if _tells_person(value, column) else _drop_identifying(value, column)
    except ValueError:
        return "" if looks_like_object(text) and _seems_to_tell(text, column) else text
    except RecursionError:
        return ""
    if kept == value and not doubled:
        return text
    # An escape may be half a sign, which cannot be stored.
    written = json.dumps(kept, ensure_ascii=False).encode(errors="replace").decode()
    return written if kept else ""


def _seems_to_tell(text: str, column: str) -> bool:
    names, quoted = set(iter_names(text)), set(iter_quoted(text))
    return (
        len(names) + len(quoted) > MAX_DIFFERENT_KEYS
        or bool(_PERSON_NAME.search(text))
        or any(is_identifying_within(column, name) for name in names)
        or any(map(is_identifying, quoted))
    )
