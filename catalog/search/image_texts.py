"""Finds images by words of their own texts.

These texts are a few values of an image's metadata, under the keywords of DICOM: Manufacturer,
ManufacturerModelName, BodyPartExamined, StudyDescription, SeriesDescription, ProtocolName,
ViewPosition, and ``view`` of a table. Other values (ids, dates, numbers) are not searched. The
function catalog_image_text in the database has the list. A word of four letters or more may be the
beginning of one: PadChest writes "PhilipsMedicalSystems".
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
_WORD = re.compile(r"[^\W_]+")


def count_by_words(words: Sequence[str]) -> tuple[Ints, Ints]:
    """Profiles and the numbers of their images with all of these words.

    The words of a phrase follow each other. Texts are parsed, without a Python object for each.
    """
    with connection.cursor() as cursor:
        cursor.execute(queries.COUNT_BY_TEXT, [_write_query(words)])
        ids, numbers = (np.fromstring(t, dtype=np.int64, sep=",") for t in cursor.fetchone())
    return ids, numbers


def has_words(words: Sequence[str], *, profiles: Collection[int] | None = None) -> Q:
    """The same as a condition on single images, or only on those of a few profiles."""
    query = _write_query(words)
    with connection.cursor() as cursor:
        if profiles is None:
            cursor.execute(queries.FIND_TEXTS, [query])
        else:
            cursor.execute(queries.FIND_TEXTS_OF_PROFILES, [query, list(profiles)])
        (keys,) = cursor.fetchone()
    return Q(AnyOf("text_key", keys))


def _write_query(words: Sequence[str]) -> str:
    """The words in PostgreSQL's syntax."""
    return " & ".join(filter(None, map(_write_phrase, words)))


def _write_phrase(phrase: str) -> str:
    parts = " <-> ".join(f"'{part}'" for part in _WORD.findall(phrase.lower()))
    return f"({parts}:*)" if parts and len(phrase) >= MIN_PREFIX else parts and f"({parts})"
