"""A parsed query: its filters, its other words, and the query without one of them."""

import re
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from catalog.ages import are_disjoint
from catalog.search.query.phrases import STOP_WORDS
from catalog.search.query.spellings import Value
from vocab.text import TermRef

# An image has at most one value of these filters, so two values can only be alternatives.
SINGLE_VALUED = frozenset(
    {
        "modality",
        "area",
        "view",
        "license",
        "sex",
        "age",
        "local",
        "dataset",
        "access",
        "year",
    }
)
# Of these only whole datasets can be asked. Elsewhere each word of "after 2020" is one of its own.
_OF_DATASETS = frozenset({"access", "year"})
_WORD = re.compile(r"[^\s,;]+")
# Dashes and similar characters between a match and its neighbours; commas may stay. Before it they
# may stand alone: "pneumonia - CT" without the CT is no "pneumonia -".
_GLUED_BEFORE = re.compile(r'(?:^|(?<=\s))[^\w\s",;]+\s+$|[^\w\s",;]+$')
_GLUED_AFTER = re.compile(r'^[^\w\s",;]+')
# At the end of what precedes, a sign of a label that would be a dash before another word.
_LOOSE_SIGN = re.compile(r'\s[^\w\s",;]+$')
_LOOSE_ENDS = re.compile(r"^[\s,;/&]+|[\s,;/&]+$")
_NEEDLESS = re.compile(r"\s+(?=[,;])|[,;]\s*(?=[,;])")


@dataclass(frozen=True, slots=True)
class Match:
    """Words of the query that became a filter.

    ``name`` is the URL parameter. ``values`` are terms, ranges of ages or codes for choices: any of
    them has to match (for ``not_label``: none of them may). ``names`` are the names of the values.
    ``words`` are ``text[start:end]`` of the parsed query. ``corrected`` is the spelling that
    replaced a typo, or empty.
    ``others`` are the terms that the words name where there are no ages: the tag of "children".
    ``excluded`` are the words of ages that are negated: "children" of "not children", which means
    all other ages, or several after "or".
    """

    words: str
    name: str
    values: tuple[Value, ...]
    names: tuple[str, ...]
    start: int
    end: int
    corrected: str = ""
    others: tuple[TermRef, ...] = ()
    excluded: tuple[str, ...] = ()

    def as_words(self) -> list["Word"]:
        """The match as plain words; what is negated becomes excluded words."""
        if self.excluded:
            return [
                Word(text, self.start, self.end, is_quoted=" " in text, is_excluded=True)
                for text in self.excluded
            ]
        if self.name in _OF_DATASETS:
            start = self.start
            return [
                Word(found[0], start + found.start(), start + found.end(), match_start=start)
                for found in _WORD.finditer(self.words)
                if found[0].casefold() not in STOP_WORDS
            ]
        if self.name != "not_label":
            return [Word(self.words, self.start, self.end, filter_name=self.name)]
        return [
            Word(
                name,
                self.start,
                self.end,
                is_quoted=" " in name,
                is_excluded=True,
                filter_name="label",
            )
            for name in self.names
        ]

    def as_other_term(self) -> "Match":
        """The match as the term that its words name besides an age, if there is one."""
        if not self.others:
            return self
        names = tuple(term.name for term in self.others)
        return replace(
            self, name=self.others[0].vocabulary, values=self.others, names=names, others=()
        )

    @property
    def place(self) -> int:
        """Where "or" may stand before it."""
        return self.start

    @property
    def codes(self) -> list[str]:
        """The values in the URL, and ranges of ages as 66- or 40-50."""
        return [value if isinstance(value, str) else value.code for value in self.values]


@dataclass(frozen=True, slots=True)
class Word:
    """A word or quoted phrase that names no filter; ``text`` has no quotes and no minus sign.

    ``match_start`` is where the match begins of which it is one of several words. ``filter_name``
    is the filter of which a word names a value that is not looked up there, if any.
    """

    text: str
    start: int
    end: int
    is_quoted: bool = False
    is_excluded: bool = False
    match_start: int | None = None
    filter_name: str = ""

    @property
    def place(self) -> int:
        """Where "or" may stand before it."""
        return self.start if self.match_start is None else self.match_start

    def __str__(self) -> str:
        """In the syntax of full-text search: "a phrase", -not."""
        text = f'"{self.text}"' if self.is_quoted else self.text
        return f"-{text}" if self.is_excluded else text


@dataclass(frozen=True, slots=True)
class ParsedQuery:
    """The filters that a query names and its other words, both in the order of the query.

    ``text`` is the query in Unicode form NFKC with plain quotes in pairs; positions refer to it.
    ``ors`` are the pairs of parts, by their positions in it, that "or" or a slash joins.
    ``skipped`` are the ends of what is not asked for, as it stands behind "with or without".
    """

    text: str = ""
    matches: tuple[Match, ...] = ()
    words: tuple[Word, ...] = ()
    ors: tuple[tuple[int, int], ...] = ()
    skipped: tuple[tuple[int, int], ...] = ()

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
        effusion" is two groups, since an image can have both, and so is "adult under 40".
        """
        groups: list[list[Match]] = []
        for match in self.matches:
            same = (
                g
                for g in reversed(groups)
                if (match.name in SINGLE_VALUED or self._is_or(g[-1], match))
                and g[-1].name == match.name
                and (self._is_alternative(match) or not _narrows(match, g))
            )
            if group := next(same, None):
                group.append(match)
            else:
                groups.append([match])
        return tuple(tuple(group) for group in groups)

    @property
    def word_groups(self) -> list[list[Word]]:
        """The words that are not excluded, in groups of alternatives: "siemens or philips"."""
        groups: list[list[Word]] = []
        for word in self.words:
            if word.is_excluded:
                continue
            before = groups[-1][-1] if groups else word
            joined = (before.place, word.place) in self.ors and self._are_alone(before, word)
            if joined:
                groups[-1].append(word)
            else:
                groups.append([word])
        return groups

    def find_broken_ors(self, groups: Iterable[Sequence[Match | Word]]) -> list[str]:
        """The pairs joined by "or" of which the parts are in different groups: "ct or edema"."""
        numbers = {part.place: number for number, group in enumerate(groups) for part in group}
        parts: list[Match | Word] = [*self.matches, *self.words]
        texts = {part.place: self.text[part.place : part.end] for part in parts}
        # "No CT or MRI" is neither.
        excluded = {word.start for word in self.words if word.is_excluded}
        return [
            f"{texts[one]} or {texts[other]}"
            for one, other in self.ors
            if one in texts and other in texts and not {one, other} <= excluded
            if numbers.get(one, -1) != numbers.get(other, -2)
        ]

    def _is_or(self, before: Match, match: Match) -> bool:
        """Never of what is excluded: "no pneumonia or no effusion" is neither."""
        return match.name != "not_label" and (before.start, match.start) in self.ors

    def _is_alternative(self, match: Match) -> bool:
        return any(place == match.start for _, place in self.ors)

    def _are_alone(self, *words: Word) -> bool:
        """Whether none is one of several words that were a match, as those of "after 2019"."""
        places = [word.place for word in self.words]
        return all(places.count(word.place) == 1 for word in words)

    def only(self, names: Container[str], *, dropping: Container[str] = ()) -> "ParsedQuery":
        """The same query if only the filters ``names`` exist.

        Matches of other filters become plain words, or are dropped if they are in ``dropping``.
        """
        matches = [m if m.name in names else m.as_other_term() for m in self.matches]
        others = [m for m in matches if m.name not in names and m.name not in dropping]
        kept = tuple(match for match in matches if match.name in names or match in others)
        return replace(self, matches=kept).with_words(*others)

    def as_other_terms(self, names: Container[str]) -> "ParsedQuery":
        """The same query with other terms for these filters: the tag of "children" for an age."""
        return replace(
            self,
            matches=tuple(m.as_other_term() if m.name in names else m for m in self.matches),
        )

    def with_words(self, *matches: Match) -> "ParsedQuery":
        """The same query with the words of ``matches`` as plain words."""
        words = [word for match in matches for word in match.as_words()]
        return replace(
            self,
            matches=tuple(match for match in self.matches if match not in matches),
            words=tuple(sorted((*self.words, *words), key=lambda word: word.start)),
        )

    def without(self, *parts: Match | Word) -> str:
        """The query without the words of ``parts``."""
        return _LOOSE_ENDS.sub("", self._replace(dict.fromkeys(parts, "")))

    def as_text(self, match: Match) -> str:
        """The query with the words of ``match`` in quotes, which makes them plain words."""
        return self._replace({match: f'"{match.words}"'})

    def replacing(self, match: Match, words: str) -> str:
        """The query with other words in the place of ``match``."""
        return self._replace({match: words})

    def _replace(self, words: Mapping[Match | Word, str]) -> str:
        """Replace parts of the text; the signs that belong to its other parts stay."""
        replaced = {(part.start, part.end): word for part, word in words.items()}
        parts: list[Match | Word] = [*self.matches, *self.words]
        spans = sorted({(part.start, part.end) for part in parts})
        text, at, was_replaced = "", 0, False
        for start, end in [*spans, (len(self.text), len(self.text))]:
            between, word = self.text[at:start], replaced.get((start, end))
            # A remaining dash would exclude the word after it.
            if word is not None:
                bare = _GLUED_BEFORE.sub("", between)
                is_sign = bare != between and _LOOSE_SIGN.search(self.text, 0, at)
                between = f"{bare}," if is_sign else bare
            if was_replaced:
                between = _GLUED_AFTER.sub("", between)
            text += between + (self.text[start:end] if word is None else f" {word} ")
            at, was_replaced = end, word is not None
        return _NEEDLESS.sub("", " ".join(text.split()))


def _narrows(match: Match, group: list[Match]) -> bool:
    """Whether both can hold, though there is one age or year: "over 60 under 80"."""
    # "No adults over 65" is nobody.
    if match.excluded or any(other.excluded for other in group):
        return True
    if match.name in _OF_DATASETS:
        return any(set(match.codes) & set(other.codes) for other in group)
    if match.name != "age":
        return False
    return not are_disjoint(match.values, [value for other in group for value in other.values])
