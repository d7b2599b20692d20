"""A parsed query: its filters, its other words, and the query without one of them."""

import re
from collections.abc import Container, Mapping
from dataclasses import dataclass

from catalog.search.query.spellings import Value
from vocab.text import TermRef

# An image has at most one value of these filters, so two values can only be alternatives.
SINGLE_VALUED = frozenset({"modality", "area", "license", "sex", "age", "local", "dataset"})
# Dashes and similar characters between a match and its neighbours; commas may stay.
_GLUED_BEFORE = re.compile(r'[^\w\s",;]+$')
_GLUED_AFTER = re.compile(r'^[^\w\s",;]+')
_LOOSE_ENDS = re.compile(r"^[\s,;/&]+|[\s,;/&]+$")
_NEEDLESS = re.compile(r"\s+(?=[,;])|[,;]\s*(?=[,;])")


@dataclass(frozen=True, slots=True)
class Match:
    """Words of the query that became a filter.

    ``name`` is the URL parameter. ``values`` are terms, or codes for sex, age and local: any of
    them has to match (for ``not_label``: none of them may). ``names`` are the names of the values.
    ``words`` are ``text[start:end]`` of the parsed query. ``corrected`` is the spelling that
    replaced a typo, or empty. ``is_alternative``: "or" or a slash joins it to the previous match.
    """

    words: str
    name: str
    values: tuple[Value, ...]
    names: tuple[str, ...]
    start: int
    end: int
    corrected: str = ""
    is_alternative: bool = False

    def as_words(self) -> list["Word"]:
        """The match as plain words; ``not_label`` becomes excluded words, by the labels' names."""
        if self.name != "not_label":
            return [Word(self.words, self.start, self.end)]
        return [
            Word(name, self.start, self.end, is_quoted=" " in name, is_excluded=True)
            for name in self.names
        ]

    @property
    def codes(self) -> list[str]:
        """The values in the URL."""
        return [value.code if isinstance(value, TermRef) else value for value in self.values]


@dataclass(frozen=True, slots=True)
class Word:
    """A word or quoted phrase that names no filter; ``text`` has no quotes and no minus sign."""

    text: str
    start: int
    end: int
    is_quoted: bool = False
    is_excluded: bool = False

    def __str__(self) -> str:
        """In the syntax of full-text search: "a phrase", -not."""
        text = f'"{self.text}"' if self.is_quoted else self.text
        return f"-{text}" if self.is_excluded else text


@dataclass(frozen=True, slots=True)
class ParsedQuery:
    """The filters that a query names and its other words, both in the order of the query.

    ``text`` is the query in Unicode form NFKC with plain quotes in pairs; positions refer to it.
    """

    text: str = ""
    matches: tuple[Match, ...] = ()
    words: tuple[Word, ...] = ()

    @property
    def rest(self) -> tuple[str, ...]:
        """The words that name no filter, as typed but without quotes, to be compared with ids."""
        return tuple(word.text for word in self.words)

    @property
    def search_text(self) -> str:
        """The same words in the syntax of full-text search: "a phrase", -not."""
        return " ".join(map(str, self.words))

    @property
    def groups(self) -> tuple[tuple[Match, ...], ...]:
        """Groups of matches: every group has to match, by any of its matches.

        "CT or MRI" is one group, and so are "CT" and "MRI" anywhere in the query. "pneumonia
        effusion" is two groups, since an image can have both.
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
        """The same query if only the filters ``names`` exist.

        Matches of other filters become plain words, or are dropped if they are in ``dropping``.
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
        """Replace parts of the text, last one first, so that earlier positions stay valid."""
        text = self.text
        for part in sorted(words, key=lambda part: -part.start):
            # A remaining dash would exclude the word after it.
            before = _GLUED_BEFORE.sub("", text[: part.start])
            after = _GLUED_AFTER.sub("", text[part.end :])
            text = f"{before} {words[part]} {after}"
        return _NEEDLESS.sub("", " ".join(text.split()))
