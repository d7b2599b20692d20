"""Which datasets a typed query finds, fully or in part, and in which order.

A query is a list of clauses: each group of its terms, and each of its other words. A dataset meets
a clause by its terms, by the labels of its images, or by its texts in any wording that the
vocabularies know. Datasets that meet all clauses come first. If these are few, the best of those
that lack something follow, each with what it lacks.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import dropwhile
from math import log
from operator import itemgetter
from typing import NamedTuple

from catalog.search.columns import Mask, Rows
from catalog.search.full_text import (
    ClauseText,
    Stems,
    find_stems,
    rank_clauses,
    rank_similar_titles,
)
from catalog.search.query import Match, ParsedQuery, Word, say_signs
from catalog.search.query.phrases import AFTER_NEGATION, NEGATIONS
from catalog.search.query.spellings import CHOICES_LIKE_TAGS, YEAR, Reading
from catalog.search.query.tokens import MINUS_SIGNS
from catalog.search.query.word_forms import find_root, vary_spelling
from catalog.search.snapshot import Snapshot
from vocab.text import TermRef, normalize

# Datasets that lack something follow only if fewer than this lack nothing, and are at most so many.
ENOUGH, MAX_PARTIAL = 10, 10
# What a dataset gains by meeting a clause at all, by a term, and by its name; texts add up to 1.
MET, BY_TERM, BY_NAME = 0.3, 0.4, 2.0
# What one that is widely used gains in all: less than a clause that others meet better by much.
FEATURED = 1.5
# Shorter words begin too many titles, and shorter aliases are codes: "us", "op".
MIN_BEGINNING, MIN_WORDING = 4, 3
# Datasets as a whole have no sex and no age.
NOT_OF_DATASETS = ("sex", "age")
# What a dataset is or is not: "non-commercial" in its text is no licence for commercial use. Nor is
# a number in a text an age or the year of publication.
FACTS = frozenset({"license", "local", "access", "year"})

# Words of meaning that the texts' index does not have: there "no tumor" would be any tumour.
_LIST = re.compile(r"[,;/|]|\b(?:and|n?or)\b", re.IGNORECASE)
_NOT_IN_INDEX = re.compile(
    r"\b(?:no|not|nor|non|other|few|only|same|own|before|after|under|over|above|below|without)\b",
    re.IGNORECASE,
)
# Words that are not what a title would have that resembles them: "non-rigid", "glaucoma-free".
_NEGATED = re.compile(r"\A(?:non?-|not-)|(?:-free|-naive|-negative|less)\Z", re.IGNORECASE)

Holds = Callable[[Match], Mask]


class Results(NamedTuple):
    """The datasets that a query finds, by id; None if it asks for nothing.

    ``idle_words`` are excluded words that none has. ``common_words`` are wanted ones that the index
    of texts leaves out: "he", "if". ``similar_words`` are in no text, so that titles that resemble
    them are found. ``term_texts`` are words of texts that count as terms of the query,
    and ``roots`` are beginnings that count as its other words. ``stems`` are those of the words and
    of ``term_texts``.
    """

    datasets: dict[int, "Found"] | None
    idle_words: list[str]
    common_words: list[str]
    similar_words: list[str]
    term_texts: list[str]
    roots: list[str]
    stems: Stems


class Found(NamedTuple):
    """``score`` is comparable within a query; ``missing`` are the words that are not met."""

    score: float
    num_images: int
    missing: tuple[str, ...] = ()

    @property
    def sort_key(self) -> tuple[int, float, int]:
        # Rounded, so that the number of images decides among equally good ones.
        return len(self.missing), -round(self.score, 1), -self.num_images


@dataclass(frozen=True, slots=True)
class _Clause:
    words: str
    text: ClauseText
    is_excluded: bool = False
    is_quoted: bool = False
    is_fact: bool = False
    is_term: bool = False
    met: dict[int, float] = field(default_factory=dict)


def find_datasets(
    query: ParsedQuery, snapshot: Snapshot, *, holds: Holds, image_masks: Sequence[Mask]
) -> Results:
    """What ``query`` finds.

    ``holds`` gives the datasets that have a match's terms; ``image_masks`` select image profiles.
    """
    clauses = _list_clauses(query, snapshot, holds)
    kept, common = [], []
    for clause, ranks in zip(
        clauses, rank_clauses([clause.text for clause in clauses]), strict=True
    ):
        if ranks is not None or clause.met or clause.is_fact:
            kept.append(clause)
        elif (normalize(clause.words),) not in NEGATIONS:  # whose page says what they exclude
            common.append(clause.words.removeprefix("-"))
        for pk, rank in (ranks or {}).items():
            clause.met[pk] = clause.met.get(pk, MET) + rank
    texts = [text for clause in clauses if clause.is_term for text in clause.text.wordings]
    term_texts = list(dict.fromkeys(text.strip('"') for text in texts))
    stems = find_stems([*(word.text for word in query.words), *term_texts])
    searched = [word for word in query.words if not excludes_fact(word, snapshot)]
    common += _find_stop_words(searched, stems, common)
    similar = []
    for clause in kept:
        if clause.met or clause.is_excluded or clause.is_quoted or clause.is_fact:
            continue
        for words in clause.words.split(" or "):
            if len(words) >= MIN_BEGINNING and not _NEGATED.search(words):
                found = rank_similar_titles(words, snapshot.refs)
                clause.met.update(found)
                similar += [words] if found else []
    datasets = _judge(kept, snapshot, _count_images(snapshot, image_masks)) if kept else None
    idle = [clause.words.removeprefix("-") for clause in kept
            if clause.is_excluded and not clause.met]  # fmt: skip
    roots = [root for clause in kept for root in clause.text.roots]
    return Results(datasets, idle, common, similar, term_texts, roots, stems)


def _find_stop_words(words: Iterable[Word], stems: Stems, known: Sequence[str]) -> list[str]:
    """Words, also of quotations, that the index of texts leaves out, and that are not said yet."""
    told = {*map(normalize, known), *(negation[0] for negation in NEGATIONS if len(negation) == 1)}
    left_out = [
        part
        for word in words
        for part, stem in stems[word.text].items()
        if not stem and (word.is_quoted or part.casefold() not in told)
    ]
    return list(dict.fromkeys(left_out))


def _judge(
    clauses: Sequence[_Clause], snapshot: Snapshot, num_images: Mapping[int, int]
) -> dict[int, Found]:
    excluded = set().union(*(clause.met for clause in clauses if clause.is_excluded))
    wanted = [clause for clause in clauses if not clause.is_excluded]
    active = snapshot.datasets.ids.tolist()
    weights = [log(1 + len(active) / (1 + len(clause.met))) for clause in wanted]
    featured = set(Rows(snapshot.datasets).where(
        snapshot.datasets.columns["featured"].any_of([1])).ids().tolist())  # fmt: skip
    # Where something is wanted, what meets nothing of it is neither found nor near.
    met = set().union(*(clause.met for clause in wanted)) if wanted else set(active)
    every = {}
    for pk in active:
        if pk in met and pk not in excluded:
            gains = [w * clause.met.get(pk, 0) for w, clause in zip(weights, wanted, strict=True)]
            score = FEATURED * (pk in featured) + sum(gains)
            missing = tuple([clause.words for clause in wanted if pk not in clause.met])
            every[pk] = Found(score, num_images.get(pk, 0), missing)
    full = {pk: found for pk, found in every.items() if not found.missing}
    return full | (_best_partial(every, len(wanted)) if len(full) < ENOUGH else {})


def _best_partial(every: Mapping[int, Found], num_clauses: int) -> dict[int, Found]:
    """Those that meet at least half of the clauses; if none does, those that meet the most."""
    some = {pk: found for pk, found in every.items() if 0 < len(found.missing) < num_clauses}
    fewest = min((len(found.missing) for found in some.values()), default=0)
    allowed = max(fewest, num_clauses // 2)
    near = [(found.sort_key, pk) for pk, found in some.items() if len(found.missing) <= allowed]
    return {pk: some[pk] for _, pk in sorted(near)[:MAX_PARTIAL]}


def _count_images(snapshot: Snapshot, masks: Iterable[Mask]) -> Mapping[int, int]:
    rows = Rows(snapshot.images)
    for mask in masks:
        rows = rows.where(mask)
    return rows.count().sums("dataset")


def _list_clauses(query: ParsedQuery, snapshot: Snapshot, holds: Holds) -> list[_Clause]:
    clauses = [(group[0].start, _clause_of_group(group, snapshot, holds)) for group in query.groups]
    words = [*query.word_groups, *([word] for word in query.words if word.is_excluded)]
    clauses += [(group[0].start, _clause_of_words(group, snapshot, holds)) for group in words]
    return [clause for _, clause in sorted(clauses, key=itemgetter(0))]


def _clause_of_group(group: Sequence[Match], snapshot: Snapshot, holds: Holds) -> _Clause:
    words = " or ".join(match.words for match in group)
    is_excluded = group[0].name == "not_label"
    if is_excluded:
        group = [replace(match, name="label") for match in group]
    met: dict[int, float] = {}
    for match in group:
        gain = MET + (BY_NAME if match.name == "dataset" else BY_TERM)
        met |= dict.fromkeys(_ids(snapshot, holds(match)), gain)
    wordings = [text for match in group for text in _list_wordings(match, snapshot)]
    if is_excluded:
        texts = [text for match in group for text in _type_excluded(match)] + wordings
        text = ClauseText("", list(dict.fromkeys(texts)))
        return _Clause(words, text, is_excluded=True, is_term=True, met=met)
    typed = _list_found(dict.fromkeys(map(_type, group)))
    texts = list(dict.fromkeys([*typed, *wordings]))
    is_fact = any(map(_is_fact, group)) or not texts
    text = ClauseText("", []) if is_fact else ClauseText(" or ".join(typed), texts)
    return _Clause(words, text, is_fact=is_fact, is_term=True, met=met)


def _list_found(texts: Iterable[str]) -> list[str]:
    """Those of which the index of texts has each word that carries meaning."""
    return [text for text in texts if not _NOT_IN_INDEX.search(text)]


def _is_fact(match: Match) -> bool:
    return match.name in FACTS or (match.name == "age" and has_number(match))


def has_number(match: Match) -> bool:
    return any(char.isdigit() for char in match.words)


def _type(match: Match) -> str:
    """The words of a match as they may stand in a text; signs would be no words there."""
    words = match.corrected or match.words
    signed = match.name == "label" and say_signs(words) != words
    return _quote(say_signs(words)) if signed else _plain(words)


def _type_excluded(match: Match) -> list[str]:
    """The words of excluded labels without what excludes them: "cancer" of "-cancer"."""
    words = match.corrected or match.words.lstrip(f"{MINUS_SIGNS} ")
    if say_signs(words) != words:
        return []
    # A text with any of a list is left out, whatever it lacks.
    parts = _LIST.split(words) if len(match.values) > 1 else [words]
    return list(filter(None, map(_drop_negation, parts)))


def _drop_negation(words: str) -> str:
    left = normalize(words).split()
    negation = next((each for each in NEGATIONS if tuple(left[: len(each)]) == each), ())
    return _plain(" ".join(dropwhile(AFTER_NEGATION.__contains__, left[len(negation) :])))


def _list_wordings(match: Match, snapshot: Snapshot) -> list[str]:
    """The names of the match's terms, as phrases.

    Not their aliases, of which some mean more: "microscopy" for one kind of it, or, by its stem,
    "test" for a testis.
    """
    if match.name not in snapshot.vocabularies.terms:
        return []
    names = [say_signs(value.name) for value in match.values if isinstance(value, TermRef)]
    wordings = dict.fromkeys(_list_found(names))
    return [_quote(text) for text in wordings if len(text) >= MIN_WORDING]


def _clause_of_words(group: Sequence[Word], snapshot: Snapshot, holds: Holds) -> _Clause:
    """The clause of a word, or of several of which a dataset has to have one."""
    typed = [_quote(word.text) if word.is_quoted else _plain(word.text) for word in group]
    met: dict[int, float] = {}
    wordings, roots = [*typed], list[str]()
    is_excluded = group[0].is_excluded
    if is_excluded:
        terms = find_excluded_terms(group[0], snapshot, of_datasets=True)
        for match in terms:
            met |= dict.fromkeys(_ids(snapshot, holds(match)), MET)
            wordings += _list_wordings(match, snapshot)
        if excludes_fact(group[0], snapshot):
            return _Clause(f"-{group[0].text}", ClauseText("", []), is_excluded=True, met=met)
    for word in group:
        if not word.is_quoted:
            wordings += [_plain(text) for text in vary_spelling(word.text)]
            roots += [] if is_excluded else filter(None, [find_root(word.text)])
    words = " or ".join(f"-{word.text}" if is_excluded else word.text for word in group)
    text = ClauseText(" or ".join(typed), wordings, roots)
    return _Clause(words, text, is_excluded, any(word.is_quoted for word in group), met=met)


def excludes_fact(word: Word, snapshot: Snapshot) -> bool:
    """Whether an excluded word names what no text of a dataset can say: "not CC BY"."""
    terms = find_excluded_terms(word, snapshot, of_datasets=True) if word.is_excluded else []
    return any(match.name in FACTS for match in terms)


def find_excluded_terms(
    word: Word, snapshot: Snapshot, *, of_datasets: bool = False
) -> list[Match]:
    """The terms that an excluded word names: "not MRI"; ways of access only ``of_datasets``."""
    reading = snapshot.spellings.read(word.text)
    is_access = of_datasets and reading is not None and reading.name == "access"
    if reading is not None and reading.name in CHOICES_LIKE_TAGS and not is_access:
        # Profiles do not tell all images of an age; the tag of "children" is told from datasets.
        others = reading.others
        reading = Reading(others[0].vocabulary, others) if others else None
    if reading is None or reading.name in ("", YEAR):
        return []
    names = snapshot.spellings.names_of(reading)
    return [Match(word.text, reading.name, reading.values, names, word.start, word.end)]


def _ids(snapshot: Snapshot, mask: Mask) -> list[int]:
    return Rows(snapshot.datasets).where(mask).ids().tolist()


def _quote(text: str) -> str:
    return '"{}"'.format(text.replace('"', " "))


def _plain(text: str) -> str:
    """All of the words, in any order; a minus sign excludes nothing."""
    return " ".join(word.lstrip("-") for word in text.replace('"', " ").split())
