"""What the words from a place in a query on mean: spellings with their signs, ages, negations."""

import re
from dataclasses import dataclass
from typing import NamedTuple

from catalog.search.query.age_phrases import read_ages, sign_start
from catalog.search.query.phrases import AFTER_NEGATION, NEGATIONS
from catalog.search.query.signs import has_poles, shape_of, sign_after, sign_before
from catalog.search.query.spellings import PLAIN, Reading, Spellings
from catalog.search.query.tokens import Piece

_BETWEEN_LISTED = re.compile(r"[,;&]|\s\+\s")
_BETWEEN_WORDS = re.compile(r"[+±−]")


class Found(NamedTuple):
    """A spelling up to the piece ``stop``; with its signs it is ``text[start:end]``."""

    stop: int
    reading: Reading | None
    start: int = 0
    end: int = 0


@dataclass(slots=True)
class Finder:
    """Finds what is named by the words up to a quoted phrase or the end of ``text``.

    ``whole`` is the query with all that follows.
    """

    text: str
    whole: str
    pieces: list[Piece]
    spellings: Spellings

    def find(self, at: int) -> Found:
        """The longest spelling that begins at ``at``, with its meaning."""
        reach = self.spellings.longest_from(self.pieces[at].word)
        for stop in range(min(at + reach, len(self.pieces)), at, -1):
            reading = self._read_words(at, stop) if self._fits(at, stop) else None
            if reading and (found := self._heed_signs(at, stop, reading)):
                return found
        return Found(at, None)

    def find_ages(self, at: int) -> Found | None:
        """Typed ages that begin at ``at``."""
        begin = sign_start(self.text, self.pieces[at].start)
        for end, ages in read_ages(self.text, begin):
            stop = self.piece_after(end)
            is_whole = stop == len(self.pieces) or (
                self.pieces[stop].chunk != self.pieces[stop - 1].chunk
            )
            if is_whole:
                return Found(stop, Reading("age", (ages,)), begin, end)
        return None

    def find_listed(self, stop: int, name: str) -> Found | None:
        """What is the same filter after "or", or after a comma of a list that ends with "or".

        Nothing that a minus sign of its own excludes.
        """
        for at in self.list_after_or(stop):
            if _is_of(found := self.find(at), name):
                return found
        if self._says_comma(stop):
            found = self.find(stop)
            if _is_of(found, name) and self.find_listed(found.stop, name):
                return found
        return None

    def list_after_or(self, at: int) -> list[int]:
        """Where the next of what is negated may begin: right behind "or", or further on."""
        if not self.says_or(at) or self.pieces[at + 1].is_excluded:
            return []
        return list(dict.fromkeys((at + 1, self._skip_between(at + 1))))

    def list_negated(self, at: int) -> list[int]:
        """Where what is negated may begin: right behind a negation, or further on."""
        first = self.skip_negation(at)
        return list(dict.fromkeys((first, self._skip_between(first)))) if first > at else []

    def _skip_between(self, at: int) -> int:
        """The position after what may stand between a negation and what it negates."""
        while (
            at < len(self.pieces) - 1
            and self.pieces[at].word in AFTER_NEGATION
            # A whole word: "image-based" is another one than "image".
            and self._is_chunk(at, at + 1)
            and not self.pieces[at + 1].is_excluded
        ):
            at += 1
        return at

    def skip_negation(self, at: int) -> int:
        """The position after a negation; ``at`` itself if there is none."""
        for words in NEGATIONS:
            stop = at + len(words)
            if (
                stop < len(self.pieces)
                and self._fits(at, stop)
                and self.words_of(at, stop) == words
            ):
                return stop
        return at

    def says_or(self, at: int) -> bool:
        return at < len(self.pieces) - 1 and self.pieces[at].word in ("or", "nor")

    def _says_comma(self, at: int) -> bool:
        return (
            0 < at < len(self.pieces)
            and not self.pieces[at].is_excluded
            and self.text[self.pieces[at - 1].end : self.pieces[at].start].strip() == ","
        )

    def _heed_signs(self, at: int, stop: int, reading: Reading) -> Found | None:
        """The spelling with its signs; plain words if no label has these.

        None if the sign stands between words that may be two labels: "mass + nodule".
        """
        start, end = self.pieces[at].start, self.pieces[stop - 1].end
        if reading.name != "label" and not reading.signed:
            return Found(stop, reading, start, end)
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
        return Found(stop, meant or PLAIN, start, end)

    def _read_words(self, at: int, stop: int) -> Reading | None:
        words = self.words_of(at, stop)
        reading = self.spellings.find(words)
        if reading and self._is_list(at, stop, reading):
            return None
        return reading or (self.spellings.find_dataset(words) if self._is_chunk(at, stop) else None)

    def _is_list(self, at: int, stop: int, reading: Reading) -> bool:
        """Whether these are two of one filter, where together they spell one: "PET, MRI"."""
        is_exact = self.spellings.is_exact(self.words_of(at, stop))
        for cut in range(at + 1, stop):
            is_and = self.pieces[cut].word == "and"
            between = self.text[self.pieces[cut - 1].end : self.pieces[cut].start]
            if not _BETWEEN_LISTED.search(between) and (is_exact or not is_and):
                continue
            sides = (self.words_of(at, cut), self.words_of(cut + is_and, stop))
            found = [self.spellings.find(words, with_typo=False) for words in sides if words]
            if [each.name for each in found if each] == [reading.name] * 2:
                return True
        return False

    def _is_chunk(self, at: int, stop: int) -> bool:
        """Whether these are all words of one chunk: "Pancreas-CT"."""
        chunk = self.pieces[at].chunk
        before, after = self.pieces[:at], self.pieces[stop:]
        return (
            chunk == self.pieces[stop - 1].chunk
            and not (before and before[-1].chunk == chunk)
            and not (after and after[0].chunk == chunk)
        )

    def piece_after(self, end: int) -> int:
        """The first piece that does not begin before ``end``."""
        return next((i for i, p in enumerate(self.pieces) if p.start >= end), len(self.pieces))

    def start_of(self, at: int) -> int:
        """Where a piece begins, with the minus sign that excludes it."""
        return self.pieces[at].start - self.pieces[at].is_excluded

    def _fits(self, at: int, stop: int) -> bool:
        whole = self.pieces[at].may_start and self.pieces[stop - 1].may_end
        return whole and not any(piece.is_excluded for piece in self.pieces[at + 1 : stop])

    def words_of(self, at: int, stop: int) -> tuple[str, ...]:
        return tuple(piece.word for piece in self.pieces[at:stop])


def _is_of(found: Found, name: str) -> bool:
    """Whether what is found is a value of this filter."""
    if found.reading is None:
        return False
    return bool(found.reading.labels) if name == "label" else found.reading.name == name
