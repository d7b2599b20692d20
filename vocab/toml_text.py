"""Reads TOML that anybody may have written: in bounded time and memory."""

import re
import tomllib
from typing import Any

# Nobody nests tables so deep. tomllib keeps each beginning of a dotted key, so that one of 60,000
# parts takes 14 GB.
MAX_PARTS = 32
# The part of a key starts where no other one goes on, and is never divided otherwise.
_PART = r"(?:(?<![\w-])[\w-]++|\"(?:[^\"\\\n]|\\.)*+\"|'[^'\n]*+')"
_LONG_KEY = re.compile(rf"(?:{_PART}[ \t]*+\.[ \t]*+){{{MAX_PARTS}}}")


def parse_toml(text: str) -> dict[str, Any]:
    """The tables of a TOML file.

    Raises:
        ValueError: it is no TOML, or a key has more than MAX_PARTS parts.
        RecursionError: its values are nested too deeply.
    """
    if found := _LONG_KEY.search(text):
        line = text.count("\n", 0, found.start()) + 1
        raise ValueError(f"a key has more than {MAX_PARTS} parts (at line {line})")
    return tomllib.loads(text)
