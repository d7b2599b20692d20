"""Finds the words of spellings that are similar to a misspelt one. Django-free."""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from rapidfuzz import process
from rapidfuzz.distance import OSA

from catalog.search.query.word_forms import (
    MIN_LETTERS,
    is_opposite,
    may_hold_typo,
    singular,
    sound_of,
)

MIN_LETTERS_FOR_TWO = 8
# A typo in the first letter is rare; a word spelt as it sounds is likelier than a random typo.
FIRST_LETTER_COST = 0.5
SPELT_BY_EAR_COST = 0.75
CACHED_WORDS = 4096


class SimilarWords:
    """Words that may have been meant, by their lengths and sounds. Immutable but for its cache."""

    def __init__(self, words: Iterable[str]) -> None:
        targets = sorted(w for w in words if w.isalpha() and len(w) >= MIN_LETTERS - 1)
        self._by_length = _group((len(word), word) for word in targets)
        self._by_sound = _group((sound_of(word), word) for word in targets)
        self._sounds_by_length = _group((len(sound), sound) for sound in self._by_sound)
        self.find = lru_cache(CACHED_WORDS)(self._find)

    def _find(self, word: str) -> tuple[tuple[str, float], ...]:
        """The words that are similar to ``word``, each with its cost."""
        costs: dict[str, float] = {}
        for form in {word, singular(word)}:
            if may_hold_typo(form):
                for target, cost in self._measure(form):
                    if not is_opposite(form, target):
                        costs[target] = min(cost, costs.get(target, cost))
        return tuple(costs.items())

    def _measure(self, word: str) -> Iterable[tuple[str, float]]:
        limit = 2 if len(word) >= MIN_LETTERS_FOR_TWO else 1
        for target, edits in _find_near(word, self._by_length, limit):
            yield target, edits + FIRST_LETTER_COST * (target[0] != word[0])
        sound = sound_of(word)
        for heard, edits in _find_near(sound, self._sounds_by_length, limit - 1):
            cost = edits + SPELT_BY_EAR_COST + FIRST_LETTER_COST * (heard[0] != sound[0])
            for target in self._by_sound[heard]:
                yield target, cost


def _find_near(
    word: str, by_length: Mapping[int, Sequence[str]], limit: int
) -> Iterable[tuple[str, int]]:
    """The words within ``limit`` edits (a transposition is one), with their numbers of edits."""
    for length in range(len(word) - limit, len(word) + limit + 1):
        for found, edits, _ in process.extract(
            word, by_length.get(length, ()), scorer=OSA.distance, score_cutoff=limit, limit=None
        ):
            yield found, edits


def _group(pairs: Iterable[tuple[Any, str]]) -> dict[Any, list[str]]:
    groups: dict[Any, list[str]] = {}
    for key, word in pairs:
        groups.setdefault(key, []).append(word)
    return groups
