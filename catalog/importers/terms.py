"""Resolves a source's words for modalities, areas and labels to the ids of terms."""

import hashlib
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

from django.db import connection
from django.db.models import QuerySet

from catalog.importers.rows import LabelRow
from catalog.models import Finding
from vocab.lookup import Vocabularies, current_vocabularies
from vocab.models import Label, LabelAlias
from vocab.text import TermRef, normalize

# No real list of findings has more new words, so the column must contain something else.
MAX_NEW_LABELS = 2_000
_NAME_LENGTH: int = Label._meta.get_field("name").max_length or 0
_CODE_LENGTH: int = Label._meta.get_field("code").max_length or 0
_NOT_CODE = re.compile(r"[^a-z0-9]+")
_by_label = attrgetter("label_id")
# Only one importer at a time adds labels, so that two cannot deadlock.
_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('new labels', 0))"


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


Meaning = int | None | BadWord


class Words(dict[str, Meaning]):
    """From words to the ids of the terms of one vocabulary that they mean, or None.

    Filled on demand. Codes win over names, names over aliases.
    """

    def __init__(self, vocabularies: Vocabularies, vocabulary: str) -> None:
        super().__init__({"": None})
        self._vocabularies = vocabularies
        self._vocabulary = vocabulary

    def __missing__(self, word: str) -> Meaning:
        terms = self._vocabularies.find(self._vocabulary, [word])[word]
        meaning: Meaning = terms[0].id if terms else None
        if len(terms) > 1:
            meaning = BadWord(word, _explain_several(terms))
        self[word] = meaning
        return meaning


@dataclass(frozen=True, slots=True)
class _KnownLabel:
    id: int
    name: str


class LabelWords:
    """Resolves a source's labels. Words without a term become inactive labels."""

    def __init__(self, vocabularies: Vocabularies) -> None:
        self._vocabularies = vocabularies
        self._words: dict[str, _KnownLabel | BadWord] = {}
        self._given: dict[LabelRow, GivenLabel] = {}
        # By normal form: labels that search does not show, and those added here.
        self._hidden = _load_hidden()
        self._names: dict[int, str] = {}
        self._hidden_names = {label.id: label.name for label in self._hidden.values()}
        self._num_new = 0

    def resolve(self, rows: tuple[LabelRow, ...]) -> LabelSet | BadWord:
        """The labels of one image; several words for one label become one.

        Its finding is the strongest (positive before uncertain before negative), with the highest
        confidence of these.

        Raises:
            ManyNewLabels: more than ``MAX_NEW_LABELS`` words were new.
        """
        given = []
        for row in rows:
            label = self._given.get(row) or self._give(row)
            if isinstance(label, BadWord):
                return label
            given.append(label)
        given.sort(key=_by_label)
        if len({label.label_id for label in given}) < len(given):
            given = [self._join(list(group)) for _, group in groupby(given, key=_by_label)]
        names = self._hidden_names
        hidden = (names.get(label.label_id) for label in given) if names else ()
        return LabelSet(tuple(given), tuple(name for name in hidden if name))

    def _give(self, row: LabelRow) -> GivenLabel | BadWord:
        label = self._words.get(row.word)
        if label is None:
            label = self._words[row.word] = self._find(row.word)
        if isinstance(label, BadWord):
            return label
        if problem := _find_problem(row):
            return BadWord(row.word, problem)
        self._names[label.id] = label.name
        word = row.word.strip()
        words = () if word == label.name else (word,)
        given = GivenLabel(label.id, row.finding, row.confidence, words)
        if row.confidence is None:  # else there may be as many as there are images
            self._given[row] = given
        return given

    def _join(self, group: list[GivenLabel]) -> GivenLabel:
        """One label from all words for it."""
        if len(group) == 1:
            return group[0]
        finding = min((each.finding for each in group), key=Finding.values.index)
        shares = [each.confidence for each in group if each.finding == finding]
        confidence = max((share for share in shares if share is not None), default=None)
        name = self._names[group[0].label_id]
        words = tuple(dict.fromkeys(word for each in group for word in each.words or (name,)))
        kept = () if words == (name,) else words
        return GivenLabel(group[0].label_id, finding, confidence, kept)

    def _find(self, word: str) -> _KnownLabel | BadWord:
        key = normalize(word)
        if not is_storable(word):
            return BadWord(word, "It contains a NUL or half a character. Check the encoding.")
        if not _is_readable(word.strip()):
            return BadWord(word, "It contains control characters. Write the label as plain text.")
        if not key:
            return BadWord(word, "A label needs a letter or a digit. Correct or empty the cell.")
        if len(word.strip()) > _NAME_LENGTH:
            return BadWord(
                word, f"A label has at most {_NAME_LENGTH} characters. Check the separator."
            )
        terms = self._vocabularies.find("label", [word])[word]
        if len(terms) > 1:
            return BadWord(word, _explain_several(terms))
        if terms:
            return _KnownLabel(terms[0].id, terms[0].name)
        if key not in self._hidden:
            self._add_label(word.strip(), key)
        return self._hidden[key]

    def _add_label(self, name: str, key: str) -> None:
        """Add an inactive label, unless another import has added it meanwhile."""
        with connection.cursor() as cursor:
            cursor.execute(_LOCK)
        self._hidden = _load_hidden() | self._hidden
        if key in self._hidden:
            self._hidden_names[self._hidden[key].id] = self._hidden[key].name
            return
        if self._num_new >= MAX_NEW_LABELS:
            raise ManyNewLabels(
                f"More than {MAX_NEW_LABELS:,} labels are in no vocabulary, such as “{name}”. "
                "Check which column is read as labels, and how its values are separated."
            )
        label = Label.objects.create(code=_make_code(key), name=name, is_active=False)
        self._hidden[key] = _KnownLabel(label.pk, name)
        self._hidden_names[label.pk] = name
        self._num_new += 1


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


def load_words() -> tuple[Words, Words, LabelWords]:
    """Modalities, areas and labels as they are now."""
    vocabularies = current_vocabularies()
    return Words(vocabularies, "modality"), Words(vocabularies, "area"), LabelWords(vocabularies)


def _find_problem(row: LabelRow) -> str:
    if row.finding not in Finding.values:
        return f"There is no finding “{row.finding}”. There are: {', '.join(Finding.values)}."
    if row.confidence is not None and not 0 <= row.confidence <= 1:
        return f"The confidence {row.confidence} is not between 0 and 1."
    return ""


def _explain_several(terms: Sequence[TermRef]) -> str:
    codes = ", ".join(sorted(term.code for term in terms))
    return f"The word means several terms. Write one of the codes: {codes}."


def _load_hidden() -> dict[str, _KnownLabel]:
    """The inactive labels by normal form: codes win over names, names over aliases."""
    hidden: QuerySet = Label.objects.filter(is_active=False).order_by("-id")
    labels = {pk: (code, name) for pk, code, name in hidden.values_list("pk", "code", "name")}
    found: dict[str, _KnownLabel] = {}
    for term_id, key in LabelAlias.objects.filter(term__in=hidden).values_list("term_id", "key"):
        found[key] = _KnownLabel(term_id, labels[term_id][1])
    for pk, (_, name) in labels.items():
        found[normalize(name)] = _KnownLabel(pk, name)
    for pk, (code, name) in labels.items():
        found[normalize(code)] = _KnownLabel(pk, name)
    return found


def _make_code(key: str) -> str:
    """A code that no label has, from a normal form; one without Latin letters gets a hash."""
    base = _NOT_CODE.sub("-", key).strip("-")[: _CODE_LENGTH - 4].strip("-")
    if not base:
        base = f"label-{hashlib.sha256(key.encode()).hexdigest()[:8]}"
    taken = set(Label.objects.filter(code__startswith=base).values_list("code", flat=True))
    codes = (base, *(f"{base}-{number}" for number in range(2, 1000)))
    return next(code for code in codes if code not in taken)


def metadata_of_label(given: GivenLabel) -> Mapping[str, object]:
    """The source's own words, if they differ from the label's name."""
    if len(given.words) == 1:
        return {"word": given.words[0]}
    return {"words": list(given.words)} if given.words else {}
