"""Reads JSON objects as rows of text, and writes any value as the text that a CSV would have."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from catalog.importers.rows import BadRow, SourceError
from catalog.importers.tables.identifying_cells import TooManyKeys, drop_from_value
from catalog.importers.tables.lines import MAX_LINE, Lines, TableRow, find_flaw, show

MAX_COLUMNS = 10_000
# The characters of an object: small lists take twenty times as much when they are read.
MAX_OBJECT = 1 << 22


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
        kept = drop_from_value(value, column)
        written = json.dumps(kept, ensure_ascii=False, default=_write_leaf)
        return written if kept or not value else ""
    return write_bytes(value) if isinstance(value, bytes) else str(value)


def write_bytes(value: bytes) -> str:
    """The text that Parquet may have as bytes; '' of what is a file."""
    try:
        text = value.decode()
    except UnicodeError:
        return ""
    is_file = text.startswith("%PDF") or not "".join(text.split()).isprintable()
    return "" if is_file else text


def _write_leaf(value: Any) -> str:
    return "" if isinstance(value, bytes) else str(value)
