"""Finds images by words of their own texts.

These texts are a few values of an image's metadata, under the keywords of DICOM: Manufacturer,
ManufacturerModelName, BodyPartExamined, StudyDescription, SeriesDescription, ProtocolName,
ViewPosition, and ``view`` of a table. Other values (ids, dates, numbers) are not searched. The
function catalog_image_text in the database has the list. A word of four letters or more may be the
beginning of one, as the page shows: PadChest writes "PhilipsMedicalSystems".
"""

import re
from collections.abc import Collection, Sequence

import numpy as np
from django.db import connection
from django.db.models import Q

from catalog.search import queries
from catalog.search.any_of import AnyOf
from catalog.search.columns import Ints

# The beginning of fewer letters would be that of too many words.
MIN_PREFIX = 4
# Of each group, any word.
Groups = Sequence[Sequence[str]]
_WORD = re.compile(r"[^\W_]+")


def count_by_words(groups: Groups, *, without: Sequence[str] = ()) -> tuple[Ints, Ints]:
    """Profiles and the numbers of their images with a word of each group, and none of the others.

    The words of a phrase follow each other. Texts are parsed, without a Python object for each.
    """
    return _count(_write_query(groups, without))


def count_by_any(words: Sequence[str]) -> tuple[Ints, Ints]:
    """The same for images with any of the words."""
    return _count(_write_any(words))


def has_words(
    groups: Groups,
    *,
    without: Sequence[str] = (),
    profiles: Collection[int] | None = None,
) -> Q:
    """The same as a condition on single images, or only on those of a few profiles."""
    if groups:
        return Q(AnyOf("text_key", _find_keys(_write_query(groups, without), profiles)))
    excluded = _find_keys(_write_any(without), profiles)
    return Q(text_key__isnull=True) | ~Q(AnyOf("text_key", excluded))


def occurs(word: str) -> bool:
    """Whether any image's texts have the word or phrase."""
    if not (query := _write_phrase(word)):
        return False
    with connection.cursor() as cursor:
        cursor.execute(queries.HAS_TEXT, [query])
        return bool(cursor.fetchone()[0])


def _count(query: str) -> tuple[Ints, Ints]:
    with connection.cursor() as cursor:
        cursor.execute(queries.COUNT_BY_TEXT, [query])
        ids, numbers = (np.fromstring(t, dtype=np.int64, sep=",") for t in cursor.fetchone())
    return ids, numbers


def _find_keys(query: str, profiles: Collection[int] | None) -> str:
    """The keys of the texts that match, as an array in PostgreSQL's syntax."""
    with connection.cursor() as cursor:
        if profiles is None:
            cursor.execute(queries.FIND_TEXTS, [query])
        else:
            cursor.execute(queries.FIND_TEXTS_OF_PROFILES, [query, list(profiles)])
        return str(cursor.fetchone()[0])


def _write_query(groups: Groups, without: Sequence[str]) -> str:
    """The words in PostgreSQL's syntax."""
    wanted = [f"({words})" for words in map(_write_any, groups) if words]
    excluded = [f"!{phrase}" for phrase in map(_write_phrase, without) if phrase]
    return " & ".join([*wanted, *excluded])


def _write_any(words: Sequence[str]) -> str:
    return " | ".join(filter(None, map(_write_phrase, words)))


def _write_phrase(phrase: str) -> str:
    parts = " <-> ".join(f"'{part}'" for part in _WORD.findall(phrase.lower()))
    return f"({parts}:*)" if _may_begin(phrase) else parts and f"({parts})"


def _may_begin(phrase: str) -> bool:
    parts = _WORD.findall(phrase)
    return bool(parts) and len(parts[-1]) >= MIN_PREFIX


def show_phrase(phrase: str) -> str:
    """The words as they are looked for: "phil…" where what begins so is found, too."""
    return f"{phrase}…" if _may_begin(phrase) else phrase
