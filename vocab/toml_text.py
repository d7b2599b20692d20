"""Reads TOML that anybody may have written: in bounded time and memory."""

import re
import tomllib
from typing import Any

# Nobody nests tables so deep. tomllib keeps each beginning of a dotted key, so that one of 60,000
# parts takes 14 GB.
MAX_PARTS = 32
# What TOML consists of, gone through once: a comment, a string of several lines, or parts of a key
# with dots between them, to which a string in one line is equal. What has no end goes on to that of
# its line, or of the text.
_PART = r"(?:[\w-]++|\"(?:[^\"\\\n]|\\.)*+\"?|'[^'\n]*+'?)"
_DOT = r"[ \t]*+\.[ \t]*+"
_TOKEN = re.compile(
    r"\#[^\n]*+"
    r"|\"{3}(?:[^\"\\]|\\[\s\S]|\"(?!\"\"))*+\"{0,5}+"
    r"|'{3}(?:[^']|'(?!''))*+'{0,5}+"
    rf"|{_PART}(?:{_DOT}{_PART})*+"
)
_LONG_KEY = re.compile(rf"(?:{_PART}{_DOT}){{{MAX_PARTS}}}")


def parse_toml(text: str) -> dict[str, Any]:
    """The tables of a TOML file.

    Raises:
        ValueError: it is no TOML, or a key has more than MAX_PARTS parts.
        RecursionError: its values are nested too deeply.
    """
    for token in _TOKEN.finditer(text):
        if token[0].count(".") >= MAX_PARTS and _LONG_KEY.match(token[0]):
            line = text.count("\n", 0, token.start()) + 1
            raise ValueError(f"a key has more than {MAX_PARTS} parts (at line {line})")
    return tomllib.loads(text)
