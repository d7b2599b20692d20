"""A table of a TOML file, read key by key: what is wrong is said with its place. Pure."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from catalog.importers.rows import SourceError
from catalog.importers.tables.identifying import is_identifying
from catalog.importers.tables.templates import BadTemplate, Template, parse_template


class Section:
    """One table such as `[image]`. `done` complains of keys that nobody asked for."""

    def __init__(self, values: Any, *, file: str, name: str) -> None:
        self._where = f"{file}, {name}"
        if not isinstance(values, Mapping):
            raise self.wrong("is no table. Write its keys below a line of its own.")
        self._values = values
        self._asked: set[str] = set()

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def wrong(self, what: str, key: str = "") -> SourceError:
        """The error to raise: the place, and `what` is wrong with what to do."""
        return SourceError(f"{self._where}{f' {key}' if key else ''}: {what}")

    def take(self, key: str, default: Any = None) -> Any:
        self._asked.add(key)
        return self._values.get(key, default)

    def done(self) -> None:
        for key in self._values:
            if key not in self._asked:
                near = get_close_matches(key, self._asked, n=1)
                hint = f"did you mean {near[0]}?" if near else f"there are {self._list_keys()}."
                raise self.wrong(f"there is no such key; {hint}", key)

    def _list_keys(self) -> str:
        return ", ".join(sorted(self._asked))

    # --- Kinds of values ---
    def text(self, key: str, default: str = "") -> str:
        value = self.take(key, default)
        if not isinstance(value, str):
            raise self.wrong('give a text in quotes: "…".', key)
        return value

    def choice(self, key: str, choices: Sequence[str], default: str = "") -> str:
        value = self.text(key, default)
        if value and value not in choices:
            raise self.wrong(f"“{value}” is none of {', '.join(choices)}.", key)
        return value

    def flag(self, key: str) -> bool:
        value = self.take(key, False)
        if not isinstance(value, bool):
            raise self.wrong("say true or false.", key)
        return value

    def count(self, key: str, default: int = 0) -> int:
        value = self.take(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise self.wrong("give a whole number, not below 0.", key)
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts; a single text is a list of one."""
        value = self.take(key, [])
        values = [value] if isinstance(value, str) else value
        if not isinstance(values, list) or not all(isinstance(each, str) for each in values):
            raise self.wrong('give a list of texts: ["one", "two"].', key)
        return tuple(values)

    def pairs(self, key: str) -> dict[str, str]:
        value = self.take(key, {})
        if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()):
            raise self.wrong('give pairs of texts: { "from" = "to" }.', key)
        return value

    def value(self, key: str, *, may_identify: bool = False) -> tuple[Template, ...]:
        """A template, or several of which the first that is not empty counts."""
        return tuple(self.template(key, text, may_identify) for text in self.texts(key))

    def template(self, key: str, text: str, may_identify: bool = False) -> Template:
        try:
            template = parse_template(text)
        except BadTemplate as error:
            raise self.wrong(str(error), key) from error
        for column in template.columns:
            if is_identifying(column) and not may_identify:
                raise self.wrong(
                    f"the column “{column}” tells who somebody is, and is never taken into the "
                    "catalog. Leave it out; only born may use it, for the age.",
                    key,
                )
        return template
