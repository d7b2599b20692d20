"""The parser: from the words of a query to filters."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import NamedTuple

from catalog.ages import find_other_ages
from catalog.search.query.age_phrases import read_ages, sign_start
from catalog.search.query.parsed import Match, ParsedQuery, Word
from catalog.search.query.phrases import (
    AFTER_NEGATION,
    EXCLUSIONS,
    NEGATIONS,
    REFUSALS,
    STOP_WORDS,
)
from catalog.search.query.signs import has_poles, has_signs, shape_of, sign_after, sign_before
from catalog.search.query.spellings import (
    CHOICES_LIKE_TAGS,
    PLAIN,
    YEAR,
    Reading,
    Spellings,
)
from catalog.search.query.tokens import QUOTED, Piece, clean_text, cut_pieces, read_phrase
from catalog.search.query.year_phrases import read_years
from vocab.text import normalize

_MAX_WORDS_AFTER_REFUSAL = 3
_BETWEEN_WORDS = re.compile(r"[+±−]")


def parse_query(text: str, spellings: Spellings) -> ParsedQuery:
    """Split ``text`` into filters and other words, from the left; the longest spelling wins.

    Words in quotes are plain words. Words joined by punctuation ("TCGA-BRCA", "a_01.png", an id)
    are split only if every part means something. A label after "no", "without" or a minus sign
    becomes ``not_label``. Signs that keep labels apart are heeded: "HER2-" is never "HER2+". Never
    raises.
    """
    clean = clean_text(text)
    matches: list[Match] = []
    words: list[Word] = []
    at = 0
    for quoted in [*QUOTED.finditer(clean), None]:
        end = quoted.start() if quoted else len(clean)
        pieces = cut_pieces(clean, at, end, spellings)
        parser = _Parser(clean[:end], clean, pieces, spellings)
        parser.read()
        matches += parser.matches
        negation = parser.take_negation(end) if quoted else None
        words += parser.words
        if quoted:
            words += read_phrase(clean, quoted, negation)
            at = quoted.end()
    ors = tuple(_find_ors(clean, [*matches, *words]))
    return ParsedQuery(clean, tuple(_mark_alternatives(clean, matches)), tuple(words), ors)


class _Found(NamedTuple):
    """A spelling up to the piece ``stop``; with its signs it is ``text[start:end]``."""

    stop: int
    reading: Reading | None
    start: int = 0
    end: int = 0


@dataclass(slots=True)
class _Parser:
    """Parses the words up to a quoted phrase or the end of ``text``, from the left.

    ``whole`` is the query with all that follows.

    The methods ``_read_…`` take the position of a word and return the position to continue from,
    or 0 if they do not recognise it.
    """

    text: str
    whole: str
    pieces: list[Piece]
    spellings: Spellings
    matches: list[Match] = field(default_factory=list)
    words: list[Word] = field(default_factory=list)

    def read(self) -> None:
        at = 0
        while at < len(self.pieces):
            read = self._read_years(at) or self._read_ages(at) or self._read_spelling(at)
            at = read or self._read_negation(at) or self._leave(at, at + 1)

    def _read_years(self, at: int) -> int:
        first = self.pieces[at]
        if not self.spellings.has_years or first.is_excluded or not first.may_start:
            return 0
        begin = sign_start(self.text, first.start)
        for end, low, high in read_years(self.text, begin):
            stop = self._piece_after(end)
            codes = self.spellings.find_years(low, high)
            if codes and self.pieces[stop - 1].may_end:
                return self._take(at, stop, Reading(YEAR, codes), begin=begin, end=end)
        return 0

    def _piece_after(self, end: int) -> int:
        """The first piece that does not begin before ``end``."""
        return next((i for i, p in enumerate(self.pieces) if p.start >= end), len(self.pieces))

    def _read_ages(self, at: int) -> int:
        first = self.pieces[at]
        if not self.spellings.has_ages or first.is_excluded:
            return 0
        if at and self.pieces[at - 1].chunk == first.chunk:
            return 0
        for after in self._list_negated(at) or [at]:
            if found := self._find_ages(after):
                stop, reading, begin, end = found
                if after > at:
                    return self._take_other_ages(at, found)
                if reading:
                    return self._take(at, stop, reading, begin=begin, end=end)
        return 0

    def _find_ages(self, at: int) -> _Found | None:
        """Typed ages that begin at ``at``."""
        begin = sign_start(self.text, self.pieces[at].start)
        for end, ages in read_ages(self.text, begin):
            stop = self._piece_after(end)
            is_whole = stop == len(self.pieces) or (
                self.pieces[stop].chunk != self.pieces[stop - 1].chunk
            )
            if is_whole:
                return _Found(stop, Reading("age", (ages,)), begin, end)
        return None

    def _take_other_ages(self, at: int, found: _Found) -> int:
        """The ages that a negation leaves: "not under 18 or over 65" is from 18 to 65."""
        negated = [found]
        while self._says_or(stop := negated[-1].stop):
            further = self._find_ages(stop + 1) or self._find(stop + 1)
            if not further.reading or further.reading.name != "age":
                break
            negated.append(further)
        readings = [each.reading for each in negated if each.reading]
        values = find_other_ages(value for reading in readings for value in reading.values)
        if not values:
            return 0
        stop = self._take(at, negated[-1].stop, replace(readings[0], values=values))
        excluded = tuple(self.text[each.start : each.end] for each in negated)
        self.matches[-1] = replace(self.matches[-1], excluded=excluded)
        return stop

    def _read_spelling(self, at: int) -> int:
        stop, reading, start, end = self._find(at)
        if not reading or self.pieces[at].is_excluded:
            return 0
        if not reading.name and self._has_sign(at, stop, start, end):
            words = self.text[start:end]
            self.words.append(Word(words, start, end, is_quoted=" " in words))
            return stop
        if not reading.name or self._is_refused(at, reading):
            return self._leave(at, stop)
        return self._take(at, stop, reading, begin=start, end=end)

    def _read_negation(self, at: int) -> int:
        """What is negated, with more after "or": a label, ages, or words that are excluded."""
        places = [at] if self.pieces[at].is_excluded else self._list_negated(at)
        found = next((found for each in places if (found := self._find(each)).reading), None)
        if not found or not (reading := found.reading):
            negates_any = places and self._words(at, places[0]) in EXCLUSIONS
            return self._leave_other(at, places[-1]) if negates_any else 0
        stop, _, start, end = found
        if reading.name == "age" and (read := self._take_other_ages(at, found)):
            return read
        if not reading.labels:
            stop = self._leave_excluded(at, stop, start, end)
            while further := self._find_after_or(stop, reading.name):
                stop = self._leave_excluded(stop + 1, further.stop, further.start, further.end)
            return stop
        readings = [reading]
        while (further := self._find_after_or(stop, "label")) and further.reading:
            readings.append(further.reading)
            stop, end = further.stop, further.end
        return self._take(at, stop, _negate(readings), end=end)

    def _find_after_or(self, stop: int, name: str) -> _Found | None:
        """What is the same filter after "or", unless a minus sign of its own excludes it."""
        if not self._says_or(stop) or self.pieces[stop + 1].is_excluded:
            return None
        found = self._find(stop + 1)
        is_same = found.reading and (
            found.reading.labels if name == "label" else found.reading.name == name
        )
        return found if is_same else None

    def _leave_excluded(self, at: int, stop: int, start: int, end: int) -> int:
        """Negated words that are not a label become excluded words."""
        words, begin = self.text[start:end], self._start_of(at)
        self.words.append(Word(words, begin, end, is_quoted=" " in words, is_excluded=True))
        return stop

    def _leave_other(self, at: int, begin: int) -> int:
        """The excluded word, or words joined by punctuation, that name nothing."""
        stop = begin + 1
        while not self.pieces[stop - 1].may_end:
            stop += 1
        words = self._words(begin, stop)
        # "Patient no 5" counts patients.
        if STOP_WORDS.issuperset(words) or all(map(str.isdecimal, words)):
            return 0
        return self._leave_excluded(at, stop, self.pieces[begin].start, self.pieces[stop - 1].end)

    def _start_of(self, at: int) -> int:
        """Where a piece begins, with the minus sign that excludes it."""
        return self.pieces[at].start - self.pieces[at].is_excluded

    def _has_sign(self, at: int, stop: int, start: int, end: int) -> bool:
        """Whether the text of a spelling has signs of a label before, within or after it."""
        return (start, end) != (self.pieces[at].start, self.pieces[stop - 1].end) or has_signs(
            shape_of(self.text[start:end])
        )

    def _says_or(self, at: int) -> bool:
        return at < len(self.pieces) - 1 and self.pieces[at].word in ("or", "nor")

    def _skip_negation(self, at: int) -> int:
        """The position after a negation; ``at`` itself if there is none."""
        for words in NEGATIONS:
            stop = at + len(words)
            if stop < len(self.pieces) and self._fits(at, stop) and self._words(at, stop) == words:
                return stop
        return at

    def _list_negated(self, at: int) -> list[int]:
        """Where what is negated may begin: right behind a negation, or further on."""
        first = stop = self._skip_negation(at)
        while (
            at < stop < len(self.pieces) - 1
            and self.pieces[stop].word in AFTER_NEGATION
            and not self.pieces[stop + 1].is_excluded
        ):
            stop += 1
        return list(dict.fromkeys((first, stop))) if first > at else []

    def take_negation(self, end: int) -> int | None:
        """Where a negation of the phrase at ``end`` begins, which then is no word of its own."""
        parts: list[Match | Word] = [*self.matches, *self.words]
        last = max(parts, key=lambda part: part.start) if parts else None
        if not isinstance(last, Word) or (normalize(last.text),) not in NEGATIONS:
            return None
        if not AFTER_NEGATION.issuperset(normalize(self.text[last.end : end]).split()):
            return None
        self.words.remove(last)
        return last.start

    def _find(self, at: int) -> _Found:
        """The longest spelling that begins at ``at``, with its meaning."""
        reach = self.spellings.longest_from(self.pieces[at].word)
        for stop in range(min(at + reach, len(self.pieces)), at, -1):
            reading = self._read_words(at, stop) if self._fits(at, stop) else None
            if reading and (found := self._heed_signs(at, stop, reading)):
                return found
        return _Found(at, None)

    def _heed_signs(self, at: int, stop: int, reading: Reading) -> _Found | None:
        """The spelling with its signs; plain words if no label has these.

        None if the sign stands between words that may be two labels: "mass + nodule".
        """
        start, end = self.pieces[at].start, self.pieces[stop - 1].end
        if reading.name != "label" and not reading.signed:
            return _Found(stop, reading, start, end)
        if any(shape[0] != "w" for shape, _ in reading.signed):
            start = sign_before(self.text, start)
        words = self.text[start:end]
        sign = sign_after(self.whole, end, is_expected=has_poles(reading.signed))
        meant = reading.with_signs(shape_of(f"{words}{sign.text if sign else ''} "))
        if not meant and _BETWEEN_WORDS.search(shape_of(words)):
            return None
        if sign and meant is not reading:
            end = sign.end
            while stop < len(self.pieces) and self.pieces[stop].start < end:
                stop += 1
        return _Found(stop, meant or PLAIN, start, end)

    def _read_words(self, at: int, stop: int) -> Reading | None:
        words = self._words(at, stop)
        return self.spellings.find(words) or (
            self.spellings.find_dataset(words) if self._is_chunk(at, stop) else None
        )

    def _is_chunk(self, at: int, stop: int) -> bool:
        """Whether these are all words of one chunk: "Pancreas-CT"."""
        chunk = self.pieces[at].chunk
        before, after = self.pieces[:at], self.pieces[stop:]
        return (
            chunk == self.pieces[stop - 1].chunk
            and not (before and before[-1].chunk == chunk)
            and not (after and after[0].chunk == chunk)
        )

    def _fits(self, at: int, stop: int) -> bool:
        whole = self.pieces[at].may_start and self.pieces[stop - 1].may_end
        return whole and not any(piece.is_excluded for piece in self.pieces[at + 1 : stop])

    def _words(self, at: int, stop: int) -> tuple[str, ...]:
        return tuple(piece.word for piece in self.pieces[at:stop])

    def _is_refused(self, at: int, reading: Reading) -> bool:
        """Whether a refusal precedes: "not licensed for commercial use"."""
        if reading.values != self.spellings.commercial.values:
            return False
        taken = self.matches[-1].end if self.matches else 0
        before = self.pieces[max(at - _MAX_WORDS_AFTER_REFUSAL, 0) : at]
        return any(piece.word in REFUSALS for piece in before if piece.start >= taken)

    def _take(
        self, at: int, stop: int, reading: Reading, begin: int | None = None, end: int = 0
    ) -> int:
        start = self._start_of(at) if begin is None else begin
        end = max(end, self.pieces[stop - 1].end)
        words = self.text[start:end]
        names = self.spellings.names_of(reading)
        self.matches.append(
            Match(
                words,
                reading.name,
                reading.values,
                names,
                start,
                end,
                reading.corrected,
                others=reading.others if reading.name in CHOICES_LIKE_TAGS else (),
            )
        )
        return stop

    def _leave(self, at: int, stop: int) -> int:
        """Keep words as plain text: closed chunks as a whole, and no stop words."""
        while at < stop:
            end = at + 1
            while not self.pieces[end - 1].may_end:
                end += 1
            if not STOP_WORDS.issuperset(self._words(at, end)):
                start, last = self._start_of(at), self.pieces[end - 1].end
                words = self.text[self.pieces[at].start : last]
                is_excluded = self.pieces[at].is_excluded
                self.words.append(Word(words, start, last, is_excluded=is_excluded))
            at = end
        return at


def _negate(readings: Sequence[Reading]) -> Reading:
    labels = dict.fromkeys(label for reading in readings for label in reading.labels)
    corrected = " or ".join(reading.corrected for reading in readings if reading.corrected)
    return Reading("not_label", tuple(labels), corrected=corrected)


def _mark_alternatives(text: str, matches: Sequence[Match]) -> Iterator[Match]:
    for before, match in zip([None, *matches], matches, strict=False):
        is_alternative = before is not None and _is_or(text[before.end : match.start])
        yield replace(match, is_alternative=is_alternative)


def _find_ors(text: str, parts: Sequence[Match | Word]) -> Iterator[tuple[int, int]]:
    """The starts of neighbours that "or" joins."""
    for before, part in pairwise(sorted(parts, key=lambda part: part.start)):
        if _is_or(text[before.end : part.start]):
            yield before.start, part.start


def _is_or(between: str) -> bool:
    words = set(normalize(between).split())
    return ("or" in words or "/" in between) and words <= {"or", "and"} and '"' not in between
