"""The parser: from the words of a query to filters."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import chain

from catalog.ages import find_other_ages
from catalog.search.query.age_phrases import sign_start
from catalog.search.query.alternatives import find_ors
from catalog.search.query.finder import Finder, Found
from catalog.search.query.parsed import Match, ParsedQuery, Word
from catalog.search.query.phrases import (
    AFTER_NEGATION,
    EITHER_WAY,
    EXCLUSIONS,
    NEGATIONS,
    REFUSALS,
    STOP_WORDS,
)
from catalog.search.query.signs import has_signs, shape_of
from catalog.search.query.spellings import (
    CHOICES_LIKE_TAGS,
    YEAR,
    Reading,
    Spellings,
)
from catalog.search.query.tokens import QUOTED, clean_text, cut_pieces, read_phrase
from catalog.search.query.year_phrases import read_single_year, read_years
from vocab.text import normalize

_MAX_WORDS_AFTER_REFUSAL = 3
_LIST_SIGN = re.compile(r"\s*[,;&+/]\s*")


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
    skipped: list[tuple[int, int]] = []
    at = 0
    for quoted in [*QUOTED.finditer(clean), None]:
        end = quoted.start() if quoted else len(clean)
        pieces = cut_pieces(clean, at, end, spellings)
        parser = _Parser(clean[:end], clean, pieces, spellings)
        parser.read()
        matches += parser.matches
        negation = parser.take_negation(end) if quoted else None
        words += parser.words
        skipped += parser.skipped
        if quoted:
            words += read_phrase(clean, quoted, negation)
            at = quoted.end()
    ors = tuple(find_ors(clean, [*matches, *words]))
    return ParsedQuery(clean, tuple(matches), tuple(words), ors, tuple(skipped))


@dataclass(slots=True)
class _Parser(Finder):
    """Parses the words up to a quoted phrase or the end of ``text``, from the left.

    The methods ``_read_…`` take the position of a word and return the position to continue from,
    or 0 if they do not recognise it.
    """

    matches: list[Match] = field(default_factory=list)
    words: list[Word] = field(default_factory=list)
    skipped: list[tuple[int, int]] = field(default_factory=list)

    def read(self) -> None:
        at = 0
        while at < len(self.pieces):
            read = self._skip_either_way(at) or self._read_years(at) or self._read_ages(at)
            read = read or self._read_spelling(at) or self._read_negation(at)
            at = read or self._leave(at, at + 1)

    def _skip_either_way(self, at: int) -> int:
        """What is behind "with or without" is not asked for."""
        for words in EITHER_WAY:
            stop = at + len(words)
            if stop < len(self.pieces) and self.words_of(at, stop) == words:
                while stop < len(self.pieces) - 1 and self.pieces[stop].word in AFTER_NEGATION:
                    stop += 1
                end = max(self.find(stop).stop, stop + 1)
                self.skipped.append((self.pieces[at].start, self.pieces[end - 1].end))
                return end
        return 0

    def _read_years(self, at: int) -> int:
        if not self.spellings.has_years:
            return 0
        for after, is_negated in self._list_places(at):
            if not self.pieces[after].may_start:
                continue
            begin = sign_start(self.text, self.pieces[after].start)
            for end, low, high in read_years(self.text, begin, is_negated=is_negated):
                stop = self.piece_after(end)
                codes = self.spellings.find_years(low, high)
                if not codes or not self.pieces[stop - 1].may_end:
                    continue
                if is_negated:
                    return self._take_other_years(at, stop, codes, self.text[begin:end])
                return self._take(at, stop, Reading(YEAR, codes), begin=begin, end=end)
        return 0

    def _find_listed_years(self, at: int) -> tuple[int, tuple[str, ...], str] | None:
        """The piece after the years of the same list as those before ``at``, these, and as typed.

        A comma or "and" adds a single year only: "not 2019, after 2015" is both.
        """
        if not 0 < at < len(self.pieces):
            return None
        is_or = self.says_or(at)
        is_joined = is_or or (self.pieces[at].word == "and" and at + 1 < len(self.pieces))
        between = self.text[self.pieces[at - 1].end : self.pieces[at].start]
        if not is_joined and not _LIST_SIGN.fullmatch(between):
            return None
        start = self.pieces[at + is_joined].start
        phrases = read_years(self.text, start) if is_or else ()
        for end, low, high in chain(phrases, read_single_year(self.text, start)):
            if codes := self.spellings.find_years(low, high):
                return self.piece_after(end), codes, self.text[start:end]
        return None

    def _list_places(self, at: int) -> list[tuple[int, bool]]:
        """Where a phrase may begin, and whether it is negated: "not before 2015" may be either."""
        if self.pieces[at].is_excluded:
            return [(at, True)]
        return [(at, False), *((after, True) for after in self.list_negated(at))]

    def _take_other_years(self, at: int, stop: int, codes: tuple[str, ...], excluded: str) -> int:
        """The years that a negation leaves: "not 2019, 2020" is none of both."""
        all_excluded = [excluded]
        while following := self._find_listed_years(stop):
            stop, more, typed = following
            codes += more
            all_excluded.append(typed)
        others = self.spellings.find_other_years(codes)
        return self._take(at, stop, Reading(YEAR, others), excluded=tuple(all_excluded))

    def _read_ages(self, at: int) -> int:
        if not self.spellings.has_ages:
            return 0
        if at and self.pieces[at - 1].chunk == self.pieces[at].chunk:
            return 0
        for after, is_negated in self._list_places(at):
            # "-60-69" is a number of something.
            if is_negated and after == at and self.pieces[at].word[0].isdigit():
                continue
            found = self.find_ages(after)
            if found and is_negated:
                return self._take_other_ages(at, found)
            if found and found.reading:
                begin, end = found.start, found.end
                return self._take(at, found.stop, found.reading, begin=begin, end=end)
        return 0

    def _take_other_ages(self, at: int, found: Found) -> int:
        """The ages that a negation leaves: "not under 18 or over 65" is from 18 to 65."""
        negated = [found]
        while places := self.list_after_or(negated[-1].stop):
            further = [self.find_ages(place) or self.find(place) for place in places]
            ages = [each for each in further if each.reading and each.reading.name == "age"]
            if not ages:
                break
            negated.append(ages[0])
        readings = [each.reading for each in negated if each.reading]
        values = find_other_ages(value for reading in readings for value in reading.values)
        if not values:
            return 0
        others = replace(readings[0], values=values)
        excluded = tuple(self.text[each.start : each.end] for each in negated)
        return self._take(at, negated[-1].stop, others, excluded=excluded)

    def _read_spelling(self, at: int) -> int:
        stop, reading, start, end = self.find(at)
        if not reading or self.pieces[at].is_excluded:
            return 0
        # "No finding of pneumonia" is not "no finding".
        if self.skip_negation(at) > stop:
            return 0
        if not reading.name and self._has_sign(at, stop, start, end):
            words = self.text[start:end]
            self.words.append(Word(words, start, end, is_quoted=" " in words))
            return stop
        if not reading.name or self._is_refused(at, reading):
            return self._leave(at, stop)
        return self._take(at, stop, reading, begin=start, end=end)

    def _read_negation(self, at: int) -> int:
        """What is negated, with the rest of its list: a label, ages, or words to exclude."""
        places = [place for place, is_negated in self._list_places(at) if is_negated]
        known = [each for each in map(self.find, places) if each.reading]
        found = max(known, key=_rank_negated) if known else None
        if not found or not (reading := found.reading):
            negates_any = places and self.words_of(at, places[0]) in EXCLUSIONS
            return self._leave_other(at, places[-1]) if negates_any else 0
        stop, _, start, end = found
        if reading.name == "age" and (read := self._take_other_ages(at, found)):
            return read
        if not reading.labels:
            name = reading.name
            stop = self._leave_excluded(at, stop, start, end, name)
            while further := self.find_listed(stop, reading.name):
                begin = stop + self.says_or(stop)
                stop = self._leave_excluded(begin, further.stop, further.start, further.end, name)
            return stop
        readings = [reading]
        while (further := self.find_listed(stop, "label")) and further.reading:
            readings.append(further.reading)
            stop, end = further.stop, further.end
        return self._take(at, stop, _negate(readings), end=end)

    def _leave_excluded(self, at: int, stop: int, start: int, end: int, name: str = "") -> int:
        """Negated words that are not a label become excluded words."""
        words, begin = self.text[start:end], self.start_of(at)
        self.words.append(
            Word(words, begin, end, is_quoted=" " in words, is_excluded=True, filter_name=name)
        )
        return stop

    def _leave_other(self, at: int, begin: int) -> int:
        """The excluded word, or words joined by punctuation, that name nothing."""
        stop = begin + 1
        while not self.pieces[stop - 1].may_end:
            stop += 1
        words = self.words_of(begin, stop)
        # "Patient no 5" counts patients.
        if STOP_WORDS.issuperset(words) or all(map(str.isdecimal, words)):
            return 0
        # "No images before 2005" excludes more than the word "before".
        if any(read_years(self.text, self.pieces[begin].start)):
            return 0
        return self._leave_excluded(at, stop, self.pieces[begin].start, self.pieces[stop - 1].end)

    def _has_sign(self, at: int, stop: int, start: int, end: int) -> bool:
        """Whether the text of a spelling has signs of a label before, within or after it."""
        return (start, end) != (self.pieces[at].start, self.pieces[stop - 1].end) or has_signs(
            shape_of(self.text[start:end])
        )

    def take_negation(self, end: int) -> int | None:
        """Where a negation of the phrase at ``end`` begins, which then is no word of its own."""
        parts: list[Match | Word] = [*self.matches, *self.words]
        last = max(parts, key=lambda part: part.start) if parts else None
        if (
            not isinstance(last, Word)
            or last.is_excluded
            or (normalize(last.text),) not in NEGATIONS
        ):
            return None
        if not AFTER_NEGATION.issuperset(normalize(self.text[last.end : end]).split()):
            return None
        self.words.remove(last)
        return last.start

    def _is_refused(self, at: int, reading: Reading) -> bool:
        """Whether a refusal precedes: "not licensed for commercial use"."""
        if reading.values != self.spellings.commercial.values:
            return False
        taken = self.matches[-1].end if self.matches else 0
        before = self.pieces[max(at - _MAX_WORDS_AFTER_REFUSAL, 0) : at]
        return any(piece.word in REFUSALS for piece in before if piece.start >= taken)

    def _take(
        self,
        at: int,
        stop: int,
        reading: Reading,
        begin: int | None = None,
        end: int = 0,
        excluded: tuple[str, ...] = (),
    ) -> int:
        start = self.start_of(at) if begin is None else begin
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
                excluded=excluded,
            )
        )
        return stop

    def _leave(self, at: int, stop: int) -> int:
        """Keep words as plain text: closed chunks as a whole, and no stop words."""
        while at < stop:
            end = at + 1
            while not self.pieces[end - 1].may_end:
                end += 1
            if not STOP_WORDS.issuperset(self.words_of(at, end)):
                start, last = self.start_of(at), self.pieces[end - 1].end
                words = self.text[self.pieces[at].start : last]
                is_excluded = self.pieces[at].is_excluded
                self.words.append(Word(words, start, last, is_excluded=is_excluded))
            at = end
        return at


def _rank_negated(found: Found) -> tuple[bool, bool]:
    """Of "not diagnosed with COVID", COVID: a term, and not one of which a word would be a typo."""
    reading = found.reading
    return bool(reading and reading.name), not (reading and reading.corrected)


def _negate(readings: Sequence[Reading]) -> Reading:
    labels = dict.fromkeys(label for reading in readings for label in reading.labels)
    corrected = " or ".join(reading.corrected for reading in readings if reading.corrected)
    return Reading("not_label", tuple(labels), corrected=corrected)
