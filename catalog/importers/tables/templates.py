"""Templates of values from the columns of a row: `images/{patientid|lower}.jpg`.

A template is text with columns in braces; `{{` and `}}` are braces. The name of a column may be
followed by filters, each after a `|`. There is nothing else: no attributes, formats or code.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import partial
from operator import itemgetter

from catalog.importers.parsers import clean, clean_id
from catalog.importers.rows import SourceError
from catalog.importers.tables.lines import show

Cells = list[str]
Getter = Callable[[Cells], str]
Filter = Callable[[str], str]

# More than any id or path has: each is as long as a cell may be.
MAX_PARTS = 100
# Characters that may be made of a row's cells.
MAX_MADE = 1_000_000
_TOKEN = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]|[^{}]+")


class NoColumn(SourceError):
    """A column that the description names and the table does not have."""


class BadTemplate(ValueError):
    """The template cannot be understood; the message says why."""


# --- Filters ---
def take_basename(text: str) -> str:
    """`a/b.png` → `b.png`."""
    return text.rstrip("/").rsplit("/", 1)[-1]


def take_stem(text: str) -> str:
    """`a/b.png` → `b`; `.gz` is removed together with the suffix before it."""
    name = take_basename(text)
    name = name[:-3] if name.lower().endswith(".gz") else name
    return name.rsplit(".", 1)[0] or name


def _take_part(number: int, text: str) -> str:
    parts = _split_path(text)
    index = number - 1 if number > 0 else number
    return parts[index] if -len(parts) <= index < len(parts) else ""


def _take_from(number: int, text: str) -> str:
    return "/".join(_split_path(text)[number - 1 if number > 0 else number :])


def _split_path(text: str) -> list[str]:
    parts = text.split("/")
    if "" in parts or "." in parts:
        return [part for part in parts if part not in ("", ".")]
    return parts


def _pad(width: int, text: str) -> str:
    return text.zfill(width)


def _turn_slashes(text: str) -> str:
    """`a\\b` → `a/b`, for paths from Windows."""
    return text.replace("\\", "/")


_PLAIN_FILTERS: dict[str, Filter] = {
    "lower": str.lower,
    "upper": str.upper,
    "basename": take_basename,
    "stem": take_stem,
    "slash": _turn_slashes,
}
# With a number: `{Path|part -3}` is the third part of a path from its end.
_NUMBER_FILTERS: dict[str, Callable[[int, str], str]] = {
    "part": _take_part,
    "from": _take_from,
    "pad": _pad,
}
_NUMBER = re.compile(r" *-?[1-9][0-9]?")


def _parse_filter(text: str) -> Filter:
    name, _, number = text.strip().partition(" ")
    if name in _PLAIN_FILTERS and not number:
        return _PLAIN_FILTERS[name]
    if name in _NUMBER_FILTERS and _NUMBER.fullmatch(number):
        return partial(_NUMBER_FILTERS[name], int(number))
    known = [*_PLAIN_FILTERS, *(f"{name} NUMBER" for name in _NUMBER_FILTERS)]
    raise BadTemplate(f"“{text.strip()}” is no filter; there are {', '.join(known)}.")


# --- Templates ---
@dataclass(frozen=True, slots=True)
class Part:
    """A column with its filters or, without a column, literal text."""

    text: str = ""
    column: str = ""
    filters: tuple[Filter, ...] = ()


@dataclass(frozen=True, slots=True)
class Template:
    text: str
    parts: tuple[Part, ...]

    @property
    def columns(self) -> list[str]:
        return [part.column for part in self.parts if part.column]

    @property
    def whole(self) -> str:
        """The column if the template is just that column, without filters; else ''."""
        is_one = len(self.parts) == 1 and not self.parts[0].filters
        return self.parts[0].column if is_one else ""


class TextTooLong(Exception):
    """What a template makes of a row's cells has more than MAX_MADE characters."""


def parse_template(text: str) -> Template:
    """Raises `BadTemplate`."""
    parts: list[Part] = []
    for found in _TOKEN.finditer(text):
        token = found[0]
        if token in ("{{", "}}"):
            parts.append(Part(token[0]))
        elif token in ("{", "}"):
            raise BadTemplate(f"A brace has no partner in “{text}”; write {{{{ or }}}} for one.")
        elif token.startswith("{"):
            parts.append(_parse_column(found[1]))
        else:
            parts.append(Part(token))
    if len(parts) > MAX_PARTS:
        raise BadTemplate(
            f"“{text[:60]}…” has {len(parts):,} parts (limit: {MAX_PARTS}). Shorten it."
        )
    return Template(text, tuple(parts))


def _parse_column(text: str) -> Part:
    column, *filters = text.split("|")
    if not column.strip():
        raise BadTemplate("Braces need a column's name: {Image Index}.")
    return Part(column=column.strip(), filters=tuple(map(_parse_filter, filters)))


# --- Against a table ---
@dataclass(frozen=True, slots=True)
class Header:
    """The position of each column. If `is_open`, a missing column is empty in all rows."""

    name: str
    index: Mapping[str, int]
    is_open: bool = False
    # What keys of the description ask for in vain: see ``of_key``.
    missing: list[str] = field(default_factory=list, compare=False)

    def require_all(self) -> None:
        """Raises `NoColumn` with a line for each key that names a column in vain."""
        if self.missing:
            raise NoColumn("\n".join(self.missing))

    def find(self, column: str) -> int | None:
        """Raises `SourceError` for a missing column, with the most similar one."""
        if column in self.index or self.is_open:
            return self.index.get(column)
        folded = {name.casefold(): name for name in self.index}
        near = get_close_matches(column.casefold(), folded, n=1)
        hint = f" Did you mean “{show(folded[near[0]])}”?" if near else ""
        if len(self.index) == 1:
            hint += ' If it holds several, give the delimiter: delimiter = ";".'
        names = ", ".join(f"“{show(name)}”" for name in [*self.index][:12])
        more = " …" if len(self.index) > 12 else ""
        raise NoColumn(
            f"{self.name} has no column “{column}”.{hint} It has {names}{more}. If these are no "
            "names, the table has no header: name its columns with header = […]."
        )


@contextmanager
def of_key(header: Header, section: str, key: str) -> Iterator[None]:
    """Note the key of the description that names a column in vain; `require_all` raises then."""
    try:
        yield
    except NoColumn as error:
        header.missing.append(f"{section} {key}: {error}")


def compile_value(templates: tuple[Template, ...], header: Header, clean: Filter = clean) -> Getter:
    """A function that returns the first template that is not empty in a row, or ''.

    A template is empty when one of its columns is, `clean`ed. Raises `SourceError` for unknown
    columns.
    """
    getters = [_compile(template, header, clean) for template in templates]
    if len(getters) == 1:
        return getters[0]
    if not getters:
        return lambda cells: ""

    def find_first(cells: Cells) -> str:
        for get in getters:
            if text := get(cells):
                return text
        return ""

    return find_first


def compile_id(templates: tuple[Template, ...], header: Header) -> Getter:
    """The same for ids, and for the paths and keys that are made of them."""
    return compile_value(templates, header, clean_id)


def compile_raw(templates: tuple[Template, ...], header: Header) -> Getter:
    """The same for callers that clean the text themselves: a single column is returned as it is."""
    if len(templates) == 1 and (column := templates[0].whole):
        index = header.find(column)
        if index is not None:
            return itemgetter(index)
    return compile_value(templates, header)


def _compile(template: Template, header: Header, clean: Filter) -> Getter:
    if not template.columns:
        text = "".join(part.text for part in template.parts)
        return lambda cells: text
    getters = [_compile_part(part, header, clean) for part in template.parts]
    if len(getters) == 1:
        return getters[0]

    def join(cells: Cells) -> str:
        texts = [get(cells) for get in getters]
        if sum(map(len, texts)) > MAX_MADE:
            raise TextTooLong(template.text)
        return "".join(texts) if all(texts) else ""

    return join


def _compile_part(part: Part, header: Header, clean: Filter) -> Getter:
    if not part.column:
        return lambda cells: part.text
    index, filters = header.find(part.column), part.filters
    if index is None:
        return lambda cells: ""
    if not filters:
        return lambda cells: clean(cells[index])

    def take(cells: Cells) -> str:
        text = clean(cells[index])
        for change in filters:
            text = change(text) if text else ""
        return text

    return take
