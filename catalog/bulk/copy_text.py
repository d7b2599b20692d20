"""Fields of COPY's text format, in which rows go into PostgreSQL and come out of it.

https://www.postgresql.org/docs/18/sql-copy.html, "Text Format": a line a row, tabs between fields;
control characters and backslashes in them are written with a backslash. NULL is ``\\N``.
"""

import re

_ESCAPE = re.compile(rb"\\(.)", re.DOTALL)
_ESCAPED = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}


def escape_field(value: str) -> str:
    """The field for a text: only what would end a field or a line has to be escaped."""
    value = value.replace("\\", "\\\\").replace("\t", "\\t")
    return value.replace("\n", "\\n").replace("\r", "\\r")


def unescape_field(field: bytes) -> bytes:
    """The bytes that a field stands for; NULL is not told from text."""
    if b"\\" not in field:
        return field
    return _ESCAPE.sub(lambda found: _ESCAPED.get(found[1], found[1]), field)
