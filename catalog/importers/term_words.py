"""Resolves a source's words for modalities, areas and licences to the ids of terms."""

from collections.abc import Collection, Sequence

from vocab.lookup import Vocabularies
from vocab.models import NOT_STATED, License
from vocab.text import TermRef

# The term for sources that do not say which of several kinds they mean.
MOST_WORDS = 20_000
_GENERAL = frozenset({"xray"})


class Words(dict[str, int | None]):
    """From words to the ids of the terms of one vocabulary that they mean, or None.

    Filled on demand. Codes win over names, names over aliases. ``own_ids`` are the terms of the
    dataset: of several kinds that a word may mean ("X-ray") the dataset's own is meant, if it has
    exactly one of them.
    """

    def __init__(
        self, vocabularies: Vocabularies, vocabulary: str, own_ids: Collection[int] = ()
    ) -> None:
        super().__init__({"": None})
        self._vocabularies = vocabularies
        self._vocabulary = vocabulary
        self._own_ids = frozenset(own_ids)
        self._several: dict[str, str] = {}

    def __missing__(self, word: str) -> int | None:
        if len(self) >= MOST_WORDS:
            self.forget()
        terms = self._vocabularies.find(self._vocabulary, [word])[word]
        chosen = self[word] = self._choose(terms)
        if terms and chosen is None:
            codes = ", ".join(sorted(term.code for term in terms))
            self._several[word] = f"{word}, which may mean {codes}"
        return chosen

    def forget(self) -> None:
        """Begin anew, so that memory does not grow with a column that has no words for terms."""
        self.clear()
        self._several.clear()
        self[""] = None

    def _choose(self, terms: Sequence[TermRef]) -> int | None:
        # Only a general term stands for what is narrower: "head" is not the dataset's brain.
        meant = {pk for term in terms for pk in (term.ids if _is_general(term) else (term.id,))}
        own = meant & self._own_ids
        if len(own) == 1:
            return next(iter(own))
        general = [term.id for term in terms if len(terms) == 1 or _is_general(term)]
        return general[0] if general else None

    def is_unknown(self, word: str) -> bool:
        """Whether it is a word, and no term is meant by it."""
        return word != "" and self[word] is None

    def describe(self, word: str) -> str:
        """A word without a term, for the report."""
        return self._several.get(word, word)


def _is_general(term: TermRef) -> bool:
    return term.code in _GENERAL


class LicenseWords(Words):
    """The same for licences; unknown words mean a licence that is not stated.

    That term is added if need be, but not in a ``dry_run``.
    """

    def __init__(self, vocabularies: Vocabularies, *, dry_run: bool = False) -> None:
        super().__init__(vocabularies, "license")
        self._unknown: set[str] = set()
        self._dry_run = dry_run

    def forget(self) -> None:
        super().forget()
        self._unknown.clear()

    def __missing__(self, word: str) -> int | None:
        known = super().__missing__(word)
        if known is None:
            self._unknown.add(word)
            known = self[word] = _find_not_stated(dry_run=self._dry_run)
        return known

    def is_unknown(self, word: str) -> bool:
        return super().is_unknown(word) or word in self._unknown


def _find_not_stated(*, dry_run: bool) -> int | None:
    if dry_run:
        return License.objects.filter(code=NOT_STATED).values_list("pk", flat=True).first()
    fields = {"name": "Not stated", "is_active": False}
    license_, _ = License.objects.get_or_create(code=NOT_STATED, defaults=fields)
    return int(license_.pk)
