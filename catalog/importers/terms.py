"""Resolves a source's words for labels to the ids of terms, and loads all words of an import."""

import unicodedata
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

from catalog.importers.new_labels import (
    KnownLabel,
    NewLabels,
    load_hidden,
    load_hidden_in_areas,
)
from catalog.importers.rows import LabelRow
from catalog.importers.statements import read_statements
from catalog.importers.term_words import LicenseWords, Words
from catalog.models import Finding
from vocab.lookup import Vocabularies, current_vocabularies, join_meanings
from vocab.models import Label
from vocab.text import TermRef, normalize, normalize_label

# No real list of findings has more new words, so the column must contain something else.
MAX_NEW_LABELS = 2_000
MAX_RENAMED = 200
# From the strongest to the weakest.
_FINDINGS: tuple[str, ...] = tuple(Finding.values)
_NAME_LENGTH: int = Label._meta.get_field("name").max_length or 0
_by_label = attrgetter("label_id")


class ManyNewLabels(Exception):
    """A column of labels has too many new words; the message says what to do."""


class BadWord(NamedTuple):
    """A word that cannot be used; ``reason`` says why and what to do."""

    word: str
    reason: str


class GivenLabel(NamedTuple):
    """A label to be stored; ``words`` are the source's words, unless they are just its name."""

    label_id: int
    finding: str
    confidence: float | None
    words: tuple[str, ...]


class LabelSet(NamedTuple):
    """The labels of an image, ascending by id, and the names of those that are inactive."""

    labels: tuple[GivenLabel, ...]
    new_names: tuple[str, ...]


class LabelWords:
    """Resolves a source's labels.

    Of a known label a word may state the finding, as in "no pneumonia". Words without a term are
    in ``new``, and become inactive labels. ``renamed`` has the names of labels by the words that
    are aliases of them, the first ``MAX_RENAMED`` of these; ``elsewhere`` has, by words that were
    not read so, what they mean in images of other areas.
    """

    def __init__(self, vocabularies: Vocabularies) -> None:
        self._vocabularies = vocabularies
        self._words: dict[tuple[str, str, int | None], KnownLabel | BadWord] = {}
        # By the area of images, as it decides what some words mean.
        self._given: defaultdict[int | None, dict[LabelRow, GivenLabel]] = defaultdict(dict)
        self.new = NewLabels()
        self.renamed: dict[str, str] = {}
        self.elsewhere: dict[str, str] = {}
        # By normal form: labels that search does not show, and the new ones.
        self._hidden = load_hidden()
        self._hidden_in_areas: dict[int, dict[str, KnownLabel]] = {}
        self._names: dict[int, str] = {}
        self._hidden_names = {label.id: label.name for label in self._hidden.values()}

    def resolve(self, rows: tuple[LabelRow, ...], area_id: int | None = None) -> LabelSet | BadWord:
        """The labels of one image of an area; several words for one label become one.

        Its finding is the strongest (positive before uncertain before negative), with the highest
        confidence of these.

        Raises:
            ManyNewLabels: more than ``MAX_NEW_LABELS`` words were new.
        """
        given = []
        known = self._given[area_id]
        for row in rows:
            label = known.get(row) or self._give(row, area_id)
            if isinstance(label, BadWord):
                return label
            given.append(label)
        given.sort(key=_by_label)
        if len({label.label_id for label in given}) < len(given):
            given = [self._join(list(group)) for _, group in groupby(given, key=_by_label)]
        names = self._hidden_names
        hidden = (names.get(label.label_id) for label in given) if names else ()
        return LabelSet(tuple(given), tuple(name for name in hidden if name))

    def _give(self, row: LabelRow, area_id: int | None) -> GivenLabel | BadWord:
        asked = (row.word, row.finding, area_id)
        label = self._words.get(asked)
        if label is None:
            label = self._words[asked] = self._find(*asked)
        if isinstance(label, BadWord):
            return label
        if problem := _find_problem(row):
            return BadWord(row.word, problem)
        self._names[label.id] = label.name
        word = row.word.strip()
        words = () if word == label.name else (word,)
        given = GivenLabel(label.id, label.finding or row.finding, row.confidence, words)
        if row.confidence is None:  # else there may be as many as there are images
            self._given[area_id][row] = given
        return given

    def _join(self, group: list[GivenLabel]) -> GivenLabel:
        """One label from all words for it."""
        if len(group) == 1:
            return group[0]
        finding = min((each.finding for each in group), key=_FINDINGS.index)
        shares = [each.confidence for each in group if each.finding == finding]
        confidence = max((share for share in shares if share is not None), default=None)
        name = self._names[group[0].label_id]
        words = tuple(dict.fromkeys(word for each in group for word in each.words or (name,)))
        kept = () if words == (name,) else words
        return GivenLabel(group[0].label_id, finding, confidence, kept)

    def _find(self, word: str, finding: str, area_id: int | None) -> KnownLabel | BadWord:
        if not is_storable(word):
            return BadWord(word, "It contains a NUL or half a character. Check the encoding.")
        if not _is_readable(word.strip()):
            return BadWord(word, "It contains control characters. Write the label as plain text.")
        if not normalize(word):
            return BadWord(word, "A label needs a letter or a digit. Correct or empty the cell.")
        if len(word.strip()) > _NAME_LENGTH:
            return BadWord(
                word, f"A label has at most {_NAME_LENGTH} characters. Check the separator."
            )
        terms = self._vocabularies.find_label(word, area_id)
        if len(terms) > 1:
            return BadWord(word, _explain_several(terms))
        if terms:
            self._note_renamed(word, terms[0])
            return KnownLabel(terms[0].id, terms[0].name)
        if stated := self._find_stated(word, finding, area_id):
            return stated
        key = normalize_label(word)
        if hidden := self._find_hidden(key, area_id):
            return hidden
        self._note_elsewhere(word)
        if key not in self._hidden:
            self._add_label(word.strip(), key)
        return self._hidden[key]

    def _find_hidden(self, key: str, area_id: int | None) -> KnownLabel | None:
        """The inactive label of an alias that holds in images of the area only."""
        if area_id is None:
            return None
        if area_id not in self._hidden_in_areas:
            related = self._vocabularies.related_areas.get(area_id, ())
            self._hidden_in_areas[area_id] = load_hidden_in_areas(related)
        return self._hidden_in_areas[area_id].get(key)

    def _note_elsewhere(self, word: str) -> None:
        """Also of a word that states a finding."""
        for each in (word, *(rest for rest, _ in read_statements(word))):
            meanings = self._vocabularies.meanings_in_areas(each)
            if meanings and len(self.elsewhere) < MAX_RENAMED:
                self.elsewhere[word.strip()] = join_meanings(meanings)

    def _note_renamed(self, word: str, term: TermRef) -> None:
        is_same = normalize_label(word) in map(normalize_label, (term.name, term.code))
        if not is_same and len(self.renamed) < MAX_RENAMED:
            self.renamed[word.strip()] = term.name

    def _find_stated(self, word: str, finding: str, area_id: int | None) -> KnownLabel | None:
        """The active label of which the word states a finding.

        A word in a place for other findings is not read: "no mass" among the negative ones may mean
        either.
        """
        for rest, stated in read_statements(word):
            terms = self._vocabularies.find_label(rest, area_id)
            if len(terms) == 1 and finding in (Finding.POSITIVE, stated):
                if stated == finding == Finding.NEGATIVE:
                    return None
                return KnownLabel(terms[0].id, terms[0].name, stated)
        return None

    def _add_label(self, name: str, key: str) -> None:
        if len(self.new) >= MAX_NEW_LABELS:
            raise ManyNewLabels(
                f"More than {MAX_NEW_LABELS:,} labels are in no vocabulary, such as “{name}”. "
                "Check which column is read as labels, and how its values are separated."
            )
        label = self._hidden[key] = self.new.add(key, name)
        self._hidden_names[label.id] = name


def is_text(value: str) -> bool:
    """Whether it is valid Unicode, without the lone surrogates of undecodable bytes."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_storable(value: str) -> bool:
    """Whether PostgreSQL can store it: Unicode without NUL."""
    return "\0" not in value and is_text(value)


def _is_readable(value: str) -> bool:
    """Whether it has no control or invisible characters; spaces of any width are allowed."""
    return value.isprintable() or all(
        each.isprintable() or unicodedata.category(each) == "Zs" for each in value
    )


class ImageWords(NamedTuple):
    """The words of images for terms, by vocabulary."""

    modalities: Words
    areas: Words
    licenses: LicenseWords
    views: Words
    labels: LabelWords


def load_words(modality_ids: Collection[int] = (), *, dry_run: bool = False) -> ImageWords:
    """The vocabularies of images as they are now; ``modality_ids`` are the dataset's own."""
    vocabularies = current_vocabularies()
    return ImageWords(
        Words(vocabularies, "modality", modality_ids),
        Words(vocabularies, "area"),
        LicenseWords(vocabularies, dry_run=dry_run),
        Words(vocabularies, "view"),
        LabelWords(vocabularies),
    )


def _find_problem(row: LabelRow) -> str:
    if row.finding not in _FINDINGS:
        return f"There is no finding “{row.finding}”. There are: {', '.join(_FINDINGS)}."
    if row.confidence is not None and not 0 <= row.confidence <= 1:
        return f"The confidence {row.confidence} is not between 0 and 1."
    return ""


def _explain_several(terms: Sequence[TermRef]) -> str:
    codes = ", ".join(sorted(term.code for term in terms))
    return f"The word means several terms. Write one of the codes: {codes}."


def metadata_of_label(given: GivenLabel) -> Mapping[str, object]:
    """The source's own words, if they differ from the label's name."""
    if len(given.words) == 1:
        return {"word": given.words[0]}
    return {"words": list(given.words)} if given.words else {}
