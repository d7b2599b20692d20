"""All spellings that a query may contain, and the correction of typos. Django-free."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

from catalog.ages import AgeRange
from catalog.search.query.age_phrases import AGE_WORDS
from catalog.search.query.dataset_names import NamedDataset, find_names
from catalog.search.query.phrases import (
    COMMERCIAL_PHRASES,
    ORDINARY_WORDS,
    PHRASES,
    PLAIN_PHRASES,
    REFUSALS,
    STOP_WORDS,
    TOO_COMMON,
    WIDER_LABELS,
)
from catalog.search.query.signs import (
    Shapes,
    find_poles,
    find_shape,
    group_by_signs,
    has_signs,
    name_poles,
    shape_of,
)
from catalog.search.query.similar_words import SimilarWords
from catalog.search.query.word_forms import loosen, may_hold_typo, singular
from vocab.text import TermRef, normalize

MAX_WORDS_LOOSELY = 6
MAX_TYPOS = 2
DATASET, YEAR = "dataset", "year"
# Filters whose words a tag of whole datasets may have too: "children", "open access".
CHOICES_LIKE_TAGS = frozenset({"age", "access"})

# A term, a range of ages, or the code of a choice of the filters sex, age, local, year and access.
Value = TermRef | AgeRange | str
Meaning = tuple[str, tuple[Value, ...]]


@dataclass(frozen=True, slots=True)
class Reading:
    """The meaning of a spelling: any of ``values`` of the filter ``name``; no name: plain words.

    ``others`` are the terms of other vocabularies with the same spelling. ``corrected`` is the
    normal form of the correct spelling if the words had a typo. ``signed`` are the labels that only
    signs keep apart, by their shapes.
    """

    name: str
    values: tuple[Value, ...] = ()
    others: tuple[TermRef, ...] = ()
    corrected: str = ""
    signed: Shapes = ()

    @property
    def meaning(self) -> Meaning:
        return self.name, self.values

    @property
    def labels(self) -> tuple[TermRef, ...]:
        """The labels among all possible meanings."""
        every = (*self.values, *self.others)
        return tuple(v for v in every if isinstance(v, TermRef) and v.vocabulary == "label")

    def with_signs(self, shape: str) -> "Reading | None":
        """The meaning of words that were typed in this shape; None if no label has these signs.

        Without a sign they mean the label without one, else those of any sign.
        """
        if refs := find_shape(shape, self.signed):
            return Reading("label", refs, corrected=self.corrected)
        return self if self.name != "label" or not has_signs(shape) else None


PLAIN = Reading("")


class Spellings:
    """All spellings, found exactly, loosely or despite a typo. Immutable, so it can be shared.

    ``terms`` maps normal forms to terms, in order of preference of their vocabularies.
    ``commercial`` are the licences that allow commercial use. ``choices`` are the codes and names
    of the filters ``sex``, ``age``, ``local``, ``access`` and ``year``; queries cannot name a
    filter that is missing here. ``labels`` are the labels by their own normal forms, which keep
    signs. ``known_words`` (of titles, descriptions) are never corrected. The names of ``datasets``
    mean the filter ``dataset`` (see ``dataset_names``), to which ``plain_words`` are no hint.
    """

    def __init__(
        self,
        terms: Mapping[str, Sequence[TermRef]],
        *,
        labels: Mapping[str, Sequence[TermRef]] | None = None,
        commercial: Sequence[TermRef] = (),
        choices: Mapping[str, Iterable[tuple[str, str]]] | None = None,
        known_words: Iterable[str] = (),
        datasets: Iterable[NamedDataset] = (),
        plain_words: Collection[str] = (),
    ) -> None:
        self._offered = {name: dict(pairs) for name, pairs in (choices or {}).items()}
        self.has_ages = "age" in self._offered
        self.has_years = YEAR in self._offered
        self.commercial = Reading("license", tuple(commercial))
        self._readings = self._read_phrases()
        self._add_terms(terms)
        self._add_signed(labels or {})
        self._widen()
        words = _split(self._readings)
        self._datasets = self._add_datasets(datasets, plain_words)
        self._loose = self._index_loosely()
        self._known = words | _split(map(normalize, known_words)) | _split(self._datasets)
        self._known |= STOP_WORDS | TOO_COMMON | ORDINARY_WORDS | REFUSALS
        self._similar = SimilarWords(words)
        self._longest: dict[str, int] = {}
        for parts in map(str.split, self._readings):
            self._longest[parts[0]] = max(len(parts), self._longest.get(parts[0], 0))

    def find(self, words: Sequence[str], *, with_typo: bool = True) -> Reading | None:
        """The meaning of these words together; None if there is none, or no single best one.

        ``words`` are normal forms. An exact spelling wins over one that differs in spaces, link
        words or a plural, and that wins over one with a typo in one word.
        """
        if reading := self._readings.get(" ".join(words)):
            return reading
        if len(words) > MAX_WORDS_LOOSELY:
            return None
        if key := self._find_loosely(words):
            return self._readings[key]
        return self._correct(words) if with_typo else None

    def is_exact(self, words: Sequence[str]) -> bool:
        """Whether these words are a spelling as they are."""
        return " ".join(words) in self._readings

    def read(self, text: str) -> Reading | None:
        """The meaning of a word or phrase on its own, without correcting it."""
        words = normalize(text).split()
        reading = self.find(words, with_typo=False)
        return reading.with_signs(shape_of(text)) if reading else self.find_dataset(words)

    def find_dataset(self, words: Sequence[str]) -> Reading | None:
        """The dataset whose slug or title these words are, if all of them are one typed word."""
        refs = self._datasets.get(" ".join(words))
        return Reading(DATASET, tuple(refs)) if refs else None

    def names_of(self, reading: Reading) -> tuple[str, ...]:
        """The names of the values."""
        return tuple(
            self._offered[reading.name][value] if isinstance(value, str) else value.name
            for value in reading.values
        )

    def find_years(self, first: int | None, last: int | None) -> tuple[str, ...]:
        """The codes that mean all years from ``first`` to ``last``; none if they cannot be told.

        Early years are one code together, so that "before 2005" cannot be told.
        """
        codes = self._offered[YEAR]
        single = {int(code): code for code in codes if code.isdecimal()}
        earliest = min(single)
        if (earliest if first is None else first) < earliest or (last or earliest) < earliest - 1:
            return ()
        early = [code for code in codes if first is None and code == f"before-{earliest}"]
        chosen = [code for year, code in single.items()
                  if year >= (first or earliest) and (last is None or year <= last)]  # fmt: skip
        return (*chosen, *early)

    def find_other_years(self, codes: Sequence[str]) -> tuple[str, ...]:
        """The codes of all other years that are known."""
        offered = self._offered[YEAR]
        return tuple(code for code in offered if code not in codes and code != "unknown")

    def longest_from(self, word: str) -> int:
        """The maximum number of words of a spelling that begins with ``word``."""
        return max(self._longest.get(word, 0), MAX_WORDS_LOOSELY)

    def is_name(self, words: Sequence[str]) -> bool:
        """Whether these words are the name of a dataset and not a spelling of a term."""
        key = " ".join(words)
        return key in self._datasets and key not in self._readings

    def _read_phrases(self) -> dict[str, Reading]:
        readings = dict.fromkeys(PLAIN_PHRASES, PLAIN)
        if self.commercial.values:
            readings |= dict.fromkeys(COMMERCIAL_PHRASES, self.commercial)
        for (name, *codes), phrases in PHRASES.items():
            if self._offered.get(name, {}).keys() >= set(codes):
                readings |= dict.fromkeys(phrases, Reading(name, tuple(codes)))
        if self.has_ages:
            readings |= {word: Reading("age", (ages,)) for word, ages in AGE_WORDS.items()}
        return readings

    def _add_terms(self, terms: Mapping[str, Sequence[TermRef]]) -> None:
        for key, refs in terms.items():
            if key and refs and key not in STOP_WORDS and key not in TOO_COMMON:
                self._readings[key] = _choose_reading(key, self._readings, refs)

    def _add_signed(self, labels: Mapping[str, Sequence[TermRef]]) -> None:
        """Tell apart the labels that only differ by signs, which may be words: "HER2 negative"."""
        for key, shapes in group_by_signs(labels).items():
            if key in self._readings:
                self._readings[key] = replace(self._readings[key], signed=shapes)
        for base, poles in find_poles(labels).items():
            for phrase, refs in name_poles(base, poles):
                # Where no label says so, the words must not be read as the opposite.
                self._readings.setdefault(phrase, Reading("label", refs) if refs else PLAIN)
            if base not in STOP_WORDS and base not in TOO_COMMON:
                every = tuple(dict.fromkeys(ref for refs in poles.values() for ref in refs))
                known = self._readings.setdefault(base, Reading("label", every))
                of_poles = {shape_of(f"{base}{sign}"): refs for sign, refs in poles.items()}
                signed = tuple((of_poles | dict(known.signed)).items())
                self._readings[base] = replace(known, signed=signed)

    def _widen(self) -> None:
        """Have all spellings of the label "Nodule or mass" also mean each of these labels."""
        wider = self._find_wider_labels()
        for key, reading in self._readings.items():
            alternatives = [self._readings.get(part) for part in key.split(" or ")]
            parts = [part for part in alternatives if part and part.name == reading.name]
            if reading.name and 1 < len(parts) == len(alternatives):
                every = (value for each in (reading, *parts) for value in each.values)
                wider[reading.name, reading.values] = tuple(dict.fromkeys(every))
        for key, reading in self._readings.items():
            values = wider.get((reading.name, reading.values), reading.values)
            # Also as written with a sign: "nodule/mass".
            signed = tuple(
                (shape, tuple(ref for ref in wider.get(("label", refs), refs)
                              if isinstance(ref, TermRef)))
                for shape, refs in reading.signed
            )  # fmt: skip
            if (values, signed) != (reading.values, reading.signed):
                self._readings[key] = replace(reading, values=values, signed=signed)

    def _find_wider_labels(self) -> dict[Meaning, tuple[Value, ...]]:
        """The values of readings, by name and values, that are to have more."""
        labels = {
            ref.code: ref
            for reading in self._readings.values()
            for ref in reading.values
            if isinstance(ref, TermRef) and ref.vocabulary == "label"
        }
        return {
            ("label", (labels[code],)): (labels[code], *(labels[c] for c in held if c in labels))
            for code, held in WIDER_LABELS.items()
            if code in labels
        }

    def _add_datasets(
        self, datasets: Iterable[NamedDataset], plain_words: Collection[str]
    ) -> Mapping[str, Sequence[TermRef]]:
        """Add the names that mean a dataset within a query; returns those that do as a whole."""
        # Licences are called after those who give them: "RSNA" is no word for a licence alone.
        of_terms = _split(key for key, found in self._readings.items() if found.name != "license")
        names = find_names(datasets, term_words=of_terms, plain_words=plain_words)
        for key, refs in names.distinct.items():
            self._readings.setdefault(key, Reading(DATASET, tuple(refs)))
        return names.whole

    def _index_loosely(self) -> dict[str, str]:
        """From loose forms to spellings, without forms that have several meanings.

        Of the names of datasets only those with a number: "chest x-ray" is not "ChestX".
        """
        buckets: dict[str, list[str]] = {}
        for key, reading in self._readings.items():
            if reading.name == DATASET and not any(map(str.isdecimal, key)):
                continue
            if loose := loosen(key.split()):
                buckets.setdefault(loose, []).append(key)
        index = {}
        for loose, found in buckets.items():
            # The name of a dataset takes no spelling from a term.
            keys = [key for key in found if self._readings[key].name != DATASET] or found
            chosen = [key for key in keys if key.replace(" ", "") == loose] or keys
            if len({self._readings[key].meaning for key in chosen}) == 1:
                index[loose] = chosen[0]
        return index

    def _find_loosely(self, words: Sequence[str]) -> str | None:
        loose = loosen(words)
        return self._loose.get(loose) if loose else None

    def _correct(self, words: Sequence[str]) -> Reading | None:
        """The best spelling that differs by typos; None if two are equally good.

        Two words may have typos, as long as the spelling has these words and no others.
        """
        wrong = [at for at, word in enumerate(words) if not self._is_known(word)]
        if not 0 < len(wrong) <= MAX_TYPOS or not all(may_hold_typo(words[at]) for at in wrong):
            return None
        best: dict[Meaning, tuple[float, str]] = {}
        for candidates in product(*(self._similar.find(words[at]) for at in wrong)):
            right = dict(zip(wrong, candidates, strict=True))
            fixed = [right[at][0] if at in right else word for at, word in enumerate(words)]
            cost = sum(cost for _, cost in candidates)
            key = " ".join(fixed)
            loose = self._find_loosely(fixed) if len(wrong) == 1 else None
            if found := key if key in self._readings else loose:
                meaning = self._readings[found].meaning
                best[meaning] = min((cost, found), best.get(meaning, (cost, found)))
        ranked = sorted(best.values())
        if not ranked or (len(ranked) > 1 and ranked[0][0] == ranked[1][0]):
            return None
        return replace(self._readings[ranked[0][1]], corrected=ranked[0][1])

    def _is_known(self, word: str) -> bool:
        return word in self._known or singular(word) in self._known


def _split(texts: Iterable[str]) -> set[str]:
    return {word for text in texts for word in text.split()}


def _choose_vocabulary(key: str, refs: Sequence[TermRef]) -> Reading:
    """The first vocabulary wins, except that a tag's own name wins over a label's alias.

    "Cancer" is the tag Cancer rather than another word for the finding Malignant.
    """
    chosen = refs[0].vocabulary
    if chosen == "label" and not any(_is_own(key, r) for r in refs if r.vocabulary == "label"):
        chosen = next((r.vocabulary for r in refs if _is_own(key, r)), chosen)
    values = tuple(dict.fromkeys(ref for ref in refs if ref.vocabulary == chosen))
    return Reading(chosen, values, tuple(ref for ref in refs if ref.vocabulary != chosen))


def _choose_reading(key: str, readings: Mapping[str, Reading], refs: Sequence[TermRef]) -> Reading:
    """A word for an age or an access is one, where its other meaning is a tag of whole datasets."""
    chosen, known = _choose_vocabulary(key, refs), readings.get(key, PLAIN)
    if known.name in CHOICES_LIKE_TAGS and chosen.name == "tag":
        return replace(known, others=tuple(refs))
    return chosen


def _is_own(key: str, ref: TermRef) -> bool:
    return key in (normalize(ref.code), normalize(ref.name))
