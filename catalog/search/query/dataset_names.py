"""The names by which people ask for a dataset. Django-free.

A title such as "KiTS23: Kidney and Kidney Tumor Segmentation" gives "kits23" and "kits",
"MIMIC-CXR" gives "mimic cxr" and "mimic". A name that only consists of words of the vocabularies
("brain tumor") means the terms, unless it is typed exactly like a slug or title ("Pancreas-CT").
"""

import re
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from catalog.search.query.phrases import ORDINARY_WORDS, STOP_WORDS, TOO_COMMON
from vocab.text import TermRef, normalize

# Three capitals may be an institution with many datasets ("NIH") or a tracer ("FDG").
MIN_LETTERS, MIN_NAME = 4, 3
_IN_PARENTHESES = re.compile(r"\(([^()]*)\)")
_BEFORE_SUBTITLE = re.compile(r"[^:(]+")
# A capital or digit after the first character: "BraTS", "fastMRI", "HAM10000".
_ACRONYM = re.compile(r"[^\W_]+[A-Z0-9][^\W_]*")
_NUMBER_AT_END = re.compile(r"[\s_-]*\d+$")


class NamedDataset(NamedTuple):
    ref: TermRef
    title: str
    slug: str


@dataclass(frozen=True, slots=True)
class DatasetNames:
    """Datasets by the normal forms of their names.

    ``distinct`` names are recognised anywhere, ``whole`` ones only as a word between white space.
    """

    distinct: Mapping[str, Sequence[TermRef]]
    whole: Mapping[str, Sequence[TermRef]]


def find_names(
    datasets: Iterable[NamedDataset], *, term_words: Container[str], plain_words: Container[str]
) -> DatasetNames:
    """``term_words`` are words of spellings of terms, ``plain_words`` those of running text."""
    distinct: dict[str, dict[TermRef, None]] = {}
    whole: dict[str, dict[TermRef, None]] = {}
    for dataset in datasets:
        names = [*_list_names(dataset), *_list_proper_names(dataset, plain_words)]
        for key in map(normalize, names):
            if _is_distinct(key, term_words):
                distinct.setdefault(key, {})[dataset.ref] = None
        for name in (dataset.slug, dataset.title):
            if len(name.split()) == 1 and normalize(name) not in STOP_WORDS:
                whole.setdefault(normalize(name), {})[dataset.ref] = None
    return DatasetNames(
        {key: tuple(refs) for key, refs in distinct.items() if key},
        {key: tuple(refs) for key, refs in whole.items() if key},
    )


def _list_names(dataset: NamedDataset) -> Iterator[str]:
    title, slug = dataset.title, dataset.slug
    yield title
    yield from _IN_PARENTHESES.findall(title)
    head = _BEFORE_SUBTITLE.match(title)
    for name in [slug, *([head[0].strip()] if head else [])]:
        yield name
        yield from _without_number(name)
    for word in (word.strip("():,;.") for word in title.split()):
        parts = [part for part in word.split("-") if _ACRONYM.fullmatch(part)]
        if parts and _has_letters(word):
            yield word
            yield from _without_number(word)
            yield from filter(_has_letters, parts)


def _without_number(name: str) -> Iterator[str]:
    short = _NUMBER_AT_END.sub("", name)
    if _has_letters(short):
        yield short


def _has_letters(name: str) -> bool:
    return sum(char.isalpha() for char in name) >= MIN_LETTERS


def _list_proper_names(dataset: NamedDataset, plain_words: Container[str]) -> Iterator[str]:
    """The first word of the title if the slug begins with it too and no text has it in lower case:
    "Shenzhen", "Messidor"."""
    first, begins = (re.split(r"[\W_]", name, maxsplit=1)[0] for name in dataset[1:])
    word = first.casefold()
    if _has_letters(first) and first.istitle() and word == begins and word not in plain_words:
        yield first


def _is_distinct(key: str, term_words: Container[str]) -> bool:
    known = (term_words, STOP_WORDS, ORDINARY_WORDS, TOO_COMMON)
    return len(key) >= MIN_NAME and any(
        not word.isdecimal() and not any(word in words for words in known) for word in key.split()
    )
