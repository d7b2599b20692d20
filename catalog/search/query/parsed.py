"""What a query means: filters, other words, and how to take a filter back."""

import re
from collections.abc import Container, Mapping
from dataclasses import dataclass

from catalog.search.query.spellings import Value
from vocab.text import TermRef

# Filters of which an image has at most one value: two of them can only be alternatives.
SINGLE_VALUED = frozenset({"modality", "area", "license", "sex", "age", "local"})
# Dashes and the like between a match and its neighbors; commas may stay.
_GLUED_BEFORE = re.compile(r'[^\w\s",;]+$')
_GLUED_AFTER = re.compile(r'^[^\w\s",;]+')
_LOOSE_ENDS = re.compile(r"^[\s,;/&]+|[\s,;/&]+$")
_NEEDLESS = re.compile(r"\s+(?=[,;])|[,;]\s*(?=[,;])")


@dataclass(frozen=True, slots=True)
class Match:
    """Words of the query that became a filter.

    ``name`` is the parameter in the URL and ``values`` what it takes: terms, or codes for sex, age
    and local; any of them will do (for ``not_label``: none). ``names`` are the values for people.
    ``words`` are ``text[start:end]`` of the parsed query. ``meant`` is the spelling that a typo
    stood for, or empty. ``is_alternative``: an "or" or a slash joins it to the match before.
    """

    words: str
    name: str
    values: tuple[Value, ...]
    names: tuple[str, ...]
    start: int
    end: int
    meant: str = ""
    is_alternative: bool = False

    def as_words(self) -> list["Word"]:
        """The same as plain words; what shall not be there as excluded ones, by its names."""
        if self.name != "not_label":
            return [Word(self.words, self.start, self.end)]
        return [
            Word(name, self.start, self.end, is_quoted=" " in name, is_excluded=True)
            for name in self.names
        ]

    @property
    def codes(self) -> list[str]:
        """The values as they stand in the URL."""
        return [value.code if isinstance(value, TermRef) else value for value in self.values]


@dataclass(frozen=True, slots=True)
class Word:
    """A word or quoted phrase that names nothing; ``text`` is without quotes and minus sign."""

    text: str
    start: int
    end: int
    is_quoted: bool = False
    is_excluded: bool = False

    def __str__(self) -> str:
        """As a full-text search takes it: "a phrase", -not."""
        text = f'"{self.text}"' if self.is_quoted else self.text
        return f"-{text}" if self.is_excluded else text


@dataclass(frozen=True, slots=True)
class ParsedQuery:
    """The filters that a query names, and the words that name none, both in their order.

    ``text`` is the query in Unicode form NFKC with plain quotes in pairs; positions are in it.
    """

    text: str = ""
    matches: tuple[Match, ...] = ()
    words: tuple[Word, ...] = ()

    @property
    def rest(self) -> tuple[str, ...]:
        """The words that name nothing, as typed but without quotes: to be compared with ids."""
        return tuple(word.text for word in self.words)

    @property
    def search_text(self) -> str:
        """The same words in the syntax of search engines: "a phrase", -not."""
        return " ".join(map(str, self.words))

    @property
    def groups(self) -> tuple[tuple[Match, ...], ...]:
        """Matches by what must hold: every group, and in a group any of its matches.

        "CT or MRI" is a group, and so are "CT" and "MRI" wherever they stand; "pneumonia effusion"
        are two, since an image can have both.
        """
        groups: list[list[Match]] = []
        for match in self.matches:
            joined = match.name in SINGLE_VALUED or match.is_alternative
            same = (g for g in reversed(groups) if joined and g[-1].name == match.name)
            if group := next(same, None):
                group.append(match)
            else:
                groups.append([match])
        return tuple(tuple(group) for group in groups)

    def only(self, names: Container[str], *, dropping: Container[str] = ()) -> "ParsedQuery":
        """The same query where only the filters ``names`` exist.

        What names another filter is plain words, or nothing where the filter is in ``dropping``.
        """
        others = [m for m in self.matches if m.name not in names and m.name not in dropping]
        words = [word for match in others for word in match.as_words()]
        return ParsedQuery(
            self.text,
            tuple(match for match in self.matches if match.name in names),
            tuple(sorted((*self.words, *words), key=lambda word: word.start)),
        )

    def without(self, *parts: Match | Word) -> str:
        """The query without the words of ``parts``."""
        return _LOOSE_ENDS.sub("", self._replace(dict.fromkeys(parts, "")))

    def as_text(self, match: Match) -> str:
        """The query with the words of ``match`` in quotes, which makes them plain words."""
        return self._replace({match: f'"{match.words}"'})

    def _replace(self, words: Mapping[Match | Word, str]) -> str:
        """Other words in place of parts: from the end, so that places before them stay true."""
        text = self.text
        for part in sorted(words, key=lambda part: -part.start):
            # A dash that is left over would exclude what follows it.
            before = _GLUED_BEFORE.sub("", text[: part.start])
            after = _GLUED_AFTER.sub("", text[part.end :])
            text = f"{before} {words[part]} {after}"
        return _NEEDLESS.sub("", " ".join(text.split()))
