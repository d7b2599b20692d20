"""What the free words of a query are among images: ids, or words of the images' own texts."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, cached_property

from django.db.models import Q

from catalog.search.columns import Ints
from catalog.search.full_text import rank_datasets
from catalog.search.image_ids import Ids, find_by_ids
from catalog.search.image_texts import count_by_any, count_by_words, occurs, show_phrase
from catalog.search.query import ParsedQuery, Word
from catalog.search.relevance import find_excluded_terms
from catalog.search.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Lookups:
    """What a word is, asked of the database once for all filter sets of one request."""

    ids: Ids
    count_by_words: Callable[..., tuple[Ints, Ints]] = field(
        default_factory=lambda: cache(count_by_words)
    )
    count_by_any: Callable[[tuple[str, ...]], tuple[Ints, Ints]] = field(
        default_factory=lambda: cache(count_by_any)
    )
    occurs: Callable[[str], bool] = field(default_factory=lambda: cache(occurs))
    rank_datasets: Callable[[str], dict[int, float]] = field(
        default_factory=lambda: cache(rank_datasets)
    )


class ImageWords:
    """The words of a query that name no term, by what single images have of them."""

    def __init__(self, query: ParsedQuery, snapshot: Snapshot, lookups: Lookups) -> None:
        self._query, self._snapshot, self._lookups = query, snapshot, lookups

    @cached_property
    def _by_ids(self) -> tuple[Q, list[list[str]]]:
        groups = [[word.text for word in group] for group in self._query.word_groups]
        return find_by_ids(groups, self._lookups.ids)

    @property
    def in_texts(self) -> list[list[str]]:
        """The words that are no ids: of a group, "siemens or philips", own texts have one."""
        return self._by_ids[1]

    @property
    def of_ids(self) -> list[list[str]]:
        """The words that are ids of images or of their subjects; of a group, an image has one."""
        texts = [[word.text for word in group] for group in self.groups]
        return [group for group in texts if group not in self.in_texts]

    @property
    def groups(self) -> list[list[Word]]:
        """The words in groups of alternatives, each of ids alone or of words of texts alone."""
        divided = [
            [word for word in group if self.is_in_texts(word) == is_text]
            for group in self._query.word_groups
            for is_text in (False, True)
        ]
        return [group for group in divided if group]

    def is_in_texts(self, word: Word) -> bool:
        return any(word.text in group for group in self.in_texts)

    @cached_property
    def excluded(self) -> dict[Word, Q | None]:
        """The excluded words that single images have: the images with the id, None for texts."""
        found: dict[Word, Q | None] = {}
        for word in self._query.words:
            if word.is_excluded and not find_excluded_terms(word, self._snapshot):
                with_id = self._lookups.ids.find(word.text)
                if with_id is not None or self._lookups.occurs(word.text):
                    found[word] = with_id
        return found

    @property
    def not_in_texts(self) -> list[str]:
        """The excluded words that are in the own texts of images."""
        return [word.text for word, with_id in self.excluded.items() if with_id is None]

    @cached_property
    def id_condition(self) -> Q:
        """The condition on the ids of single images."""
        condition = self._by_ids[0]
        for with_id in self.excluded.values():
            if with_id is not None:
                condition &= ~with_id
        return condition

    @property
    def may_concern_most(self) -> bool:
        """Whether most images may have a word, or lack it: beginnings of ids, and excluded words.

        Of an excluded word the database is not asked what it is: that takes long enough.
        """
        excluded = (word for word in self._query.words if word.is_excluded)
        if any(not find_excluded_terms(word, self._snapshot) for word in excluded):
            return True
        words = [word for group in self.of_ids for word in group]
        return any(self._lookups.ids.find_equal(word) is None for word in words)

    def show(self, text: str) -> str:
        """A word as it is looked for: "subject-1…" where what begins so is found, too."""
        if self._lookups.ids.find(text) is None:
            return show_phrase(text)
        return text if self._lookups.ids.find_equal(text) else f"{text}…"
