"""Reads the tables of docs/db-schema.md: below each heading, the fields of the models it names."""

import re
from collections.abc import Iterator, Mapping

_HEADING = re.compile(r"#{1,6}\s+(?P<words>.+)")
# A backtick in the first cell makes a row one of a field; other tables of the page have none there
# or stand below headings that name no model.
_ROW = re.compile(r"\|\s*`(?P<name>\w+)`\s*\|(?P<type>[^|]*)\|")
_TYPE = re.compile(r"`(?P<column>[^`]+)`|(?P<many>M–N \w+)")


def read_documented_fields(text: str, models: Mapping[str, object]) -> dict[str, dict[str, str]]:
    """For each of ``models`` that a heading names, its fields: name to type."""
    documented: dict[str, dict[str, str]] = {}
    for name, field, type_ in _iter_rows(text, models):
        documented.setdefault(name, {})[field] = type_
    return documented


def _iter_rows(text: str, models: Mapping[str, object]) -> Iterator[tuple[str, str, str]]:
    named: list[str] = []
    for line in text.splitlines():
        if heading := _HEADING.fullmatch(line):
            words = heading["words"].split(", ")
            named = words if all(word in models for word in words) else []
        elif row := _ROW.match(line):
            type_ = _TYPE.search(row["type"])
            for name in named:
                yield name, row["name"], (type_["column"] or type_["many"]) if type_ else ""
