"""Reads the text of a cell: an object, as JSON or as Python writes it, or names and values."""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from catalog.importers.parsers import unescape

Pairs = list[tuple[str, Any]]

# What may stand around an object: a byte-order mark, and the fence of Markdown.
_AROUND = "\ufeff \t\r\n`"
_STARTS = ("{", "[", '"', "'", "(", "json")
_OPENERS, _CLOSERS = {"{": "{", "[": "[", "(": "["}, {"}": "}", "]": "]", ")": "]"}
_WORDS = {"None": "null", "null": "null", "True": "true", "true": "true", "False": "false",
          "false": "false", "nan": "NaN", "NaN": "NaN", "inf": "Infinity",
          "-inf": "-Infinity"}  # fmt: skip
_TOKEN = re.compile(
    r"""
    \s* (?:
        (?P<key> [\w.+-]+ | \(\s*\w+\s*,\s*\w+\s*\)) (?=\s*:) | (?P<mark> [][{}(),:;])
        | [bu]? (?:'(?P<single>(?:[^'\\]|\\.)*)' | "(?P<double>(?:[^"\\]|\\.)*)")
        | (?P<word> [\w.+-]+)
    )
    """,
    re.VERBOSE | re.DOTALL,
)
_WHOLE_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)", re.ASCII)
_LOOKS = re.compile(r"(?:json)?[\s\[(\"']*\{")
# What stands before a colon, behind what separates pairs.
_BEFORE_VALUE, _BETWEEN_PAIRS = re.compile("[:=：＝]"), re.compile(r"[{\[(,;\n]")
_QUOTES = re.compile(r"[\"'`]")
_LONGEST_NAME = 200


def may_be_object(text: str) -> bool:
    """Whether a text begins as an object does, a list of such or a quoted one."""
    return "{" in text and text.lstrip(_AROUND).startswith(_STARTS)


def looks_like_object(text: str) -> bool:
    """The same without what is a list of something else."""
    return bool(_LOOKS.match(text.lstrip(_AROUND)))


def read_object(text: str, make: Callable[[Pairs], Any]) -> Any:
    """The object, of whose pairs `make` makes a value.

    Besides JSON this understands what pandas writes of a column of dicts, keys without quotes,
    commas too many, and several objects, which are a list. Raises ValueError and RecursionError.
    """
    text = text.strip(_AROUND)
    try:
        return json.loads(text, object_pairs_hook=make)
    except ValueError:
        found = json.loads(f"[{_write_as_json(text)}]", object_pairs_hook=make)
        return found[0] if len(found) == 1 else found


def iter_names(text: str) -> Iterator[str]:
    """What stands before a colon or an equals sign in a text that is no object."""
    for piece in _BEFORE_VALUE.split(text)[:-1]:
        name = _BETWEEN_PAIRS.split(piece)[-1].strip(" \t\r\"'`\\")
        if name:
            yield name[-_LONGEST_NAME:]


def iter_quoted(text: str) -> Iterator[str]:
    """What stands between two quotes of any kind, as a name in `('PatientName', 'Doe')` does."""
    for piece in _QUOTES.split(text):
        if len(piece) <= _LONGEST_NAME and (name := piece.strip(" \\")):
            yield name


def _write_as_json(text: str) -> str:
    written: list[str] = []
    place, end = 0, len(text)
    while place < end:
        found = _TOKEN.match(text, place)
        if not found:
            raise ValueError("It has a sign that no object has.")
        place = found.end()
        last = written[-1] if written else ","
        sign = found["mark"]
        if sign is None:
            written.append(_write_value(found))
        elif sign in _OPENERS:
            # Objects without anything between them, as one a line.
            written.extend([","] if last in _CLOSERS else [])
            written.append(_OPENERS[sign])
        elif sign in _CLOSERS:
            if last == ",":
                written.pop()
            written.append(_CLOSERS[sign])
        else:
            written.append("," if sign == ";" else sign)
    if written and written[-1] == ",":
        written.pop()
    return "".join(written)


def _write_value(found: re.Match[str]) -> str:
    for quoted in (found["single"], found["double"]):
        if quoted is not None:
            return json.dumps(unescape(quoted))
    if (key := found["key"]) is not None:
        return json.dumps(key)
    word = found["word"]
    if word in _WORDS:
        return _WORDS[word]
    return word if _WHOLE_NUMBER.fullmatch(word) else repr(float(word))
