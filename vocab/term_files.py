"""Reads terms from a file: TOML as in ``vocab/data``, or CSV."""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from vocab.toml_text import parse_toml

COLUMNS = ("code", "name", "description", "aliases")
# Lists of aliases by the code of the area in whose images only they hold; CSV has a column for
# each: aliases_in.lung.
IN_AREAS = "aliases_in"
ALIAS_SEPARATOR = "|"
_TABLE = re.compile(r"^[ \t]*+\[\[[ \t]*+term[ \t]*+\]\]", re.MULTILINE)


class BadTermFile(Exception):
    """A file of terms that cannot be used; each of ``problems`` names a line and what to do."""

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class FileTerm:
    """One term of a file: its first line, and its fields.

    ``aliases`` is a list, ``aliases_in`` has lists by the codes of areas.
    """

    line: int
    fields: dict[str, Any]


def read_terms(path: Path, *, extra: Sequence[str] = ()) -> list[FileTerm]:
    """The terms of a ``.toml`` or ``.csv`` file, in its order.

    ``extra`` are the vocabulary's own fields besides ``COLUMNS``. In CSV, aliases are separated by
    ``|``, those of an area are in a column such as ``aliases_in.lung``, and an empty cell does not
    change a field.

    Raises:
        BadTermFile: lists every problem with its line.
        OSError: the file cannot be read.
    """
    text = _read_text(path)
    kind = path.suffix.lower()
    if kind not in (".toml", ".csv"):
        raise BadTermFile(f"{path.name} is neither .toml nor .csv. Rename it to what it is.")
    terms = list(_iter_toml(text) if kind == ".toml" else _iter_csv(text))
    problems = [problem for term in terms for problem in _check(term, {*COLUMNS, *extra})]
    problems += _find_repeated(terms)
    if not terms:
        problems.append(f"{path.name} has no terms.")
    if problems:
        raise BadTermFile(*problems)
    return terms


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise BadTermFile(f"line {line}: this is not UTF-8. Save the file as UTF-8.") from error


def _iter_toml(text: str) -> Iterator[FileTerm]:
    try:
        found = parse_toml(text)
    except (ValueError, RecursionError) as error:
        raise BadTermFile(f"This is not TOML: {error}") from error
    tables = found.get("term", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise BadTermFile("Write each term as a separate table under [[term]].")
    starts = list(_find_starts(text))
    # If terms are written in another way than with one header each, their lines are not known.
    lines = starts if len(starts) == len(tables) else [0] * len(tables)
    for line, table in zip(lines, tables, strict=True):
        yield FileTerm(line, table)


def _find_starts(text: str) -> Iterator[int]:
    """The lines of the headers of terms."""
    line = 1
    last = 0
    for found in _TABLE.finditer(text):
        line += text.count("\n", last, found.start())
        last = found.start()
        yield line


def _iter_csv(text: str) -> Iterator[FileTerm]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    line = 1
    try:
        header = [name.strip().lower() for name in next(reader, [])]
        if "code" not in header:
            raise BadTermFile(f"line 1: name the columns in it: {','.join(COLUMNS)}")
        line = reader.line_num + 1
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield FileTerm(line, _read_cells(line, header, cells))
            line = reader.line_num + 1
    except csv.Error as error:
        raise BadTermFile(f"line {line}: {error}. A quote inside quotes is doubled.") from error


def _read_cells(line: int, header: list[str], cells: list[str]) -> dict[str, Any]:
    if len(cells) > len(header):
        raise BadTermFile(
            f"line {line}: {len(cells)} cells under {len(header)} columns. Put text with commas "
            "into double quotes."
        )
    pairs = zip(header, (cell.strip() for cell in cells), strict=False)
    given: dict[str, Any] = {name: cell for name, cell in pairs if cell}
    for name in [*given]:
        start, dot, area = name.partition(".")
        if name == "aliases":
            given[name] = _split_aliases(given[name])
        elif dot and start == IN_AREAS:
            given.setdefault(IN_AREAS, {})[area] = _split_aliases(given.pop(name))
    return given


def _split_aliases(cell: str) -> list[str]:
    words = (word.strip() for word in cell.split(ALIAS_SEPARATOR))
    return [word for word in words if word]


def _check(term: FileTerm, known: set[str]) -> Iterator[str]:
    for name in term.fields.keys() - known:
        yield f"{place(term)}: there is no field “{name}”; there are {', '.join(sorted(known))}."
    for name in ("code", "name", "description", "broader"):
        if not isinstance(term.fields.get(name, ""), str):
            yield f"{place(term)}: {name} is not a text. Put it into quotes."
    if not term.fields.get("code"):
        yield f"{place(term)}: a term needs a code, such as “pleural-effusion”."
    texts = [each for each in term.fields.values() if isinstance(each, str)]
    aliases, in_areas = term.fields.get("aliases", []), term.fields.get(IN_AREAS, {})
    if not _is_texts(aliases):
        yield f'{place(term)}: aliases is not a list of texts. Write ["one", "two"].'
    elif not isinstance(in_areas, dict) or not all(map(_is_texts, in_areas.values())):
        yield (
            f"{place(term)}: {IN_AREAS} has no lists of texts by codes of areas. "
            f'Write {IN_AREAS}.lung = ["one", "two"].'
        )
    elif any("\0" in text for text in chain(texts, aliases, *in_areas.values())):
        yield f"{place(term)}: a text contains a NUL, which no database stores. Remove it."


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _find_repeated(terms: Sequence[FileTerm]) -> list[str]:
    seen: dict[str, FileTerm] = {}
    problems = []
    for term in terms:
        code = str(term.fields.get("code", ""))
        if code and code in seen:
            problems.append(f"{place(term)}: {code} is already at {place(seen[code])}. Remove one.")
        seen.setdefault(code, term)
    return problems


def place(term: FileTerm) -> str:
    """The place of the term in the file, for messages."""
    return f"line {term.line}" if term.line else f"term {term.fields.get('code', '?')}"
