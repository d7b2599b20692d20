"""Finds images by words of their own texts.

These texts are a few values of an image's metadata, under the keywords of DICOM: Manufacturer,
ManufacturerModelName, BodyPartExamined, StudyDescription, SeriesDescription, ProtocolName,
ViewPosition, and ``view`` of a table. Other values (ids, dates, numbers) are not searched. The
function catalog_image_text in the database has the list. A word of four letters or more may be the
beginning of one: PadChest writes "PhilipsMedicalSystems".
"""

import re
from collections.abc import Collection, Mapping, Sequence

from django.db import connection
from django.db.models import BooleanField, Q
from django.db.models.expressions import RawSQL

from catalog.search import queries

# The beginning of fewer letters would be that of too many words.
MIN_PREFIX = 4
_WORD = re.compile(r"[^\W_]+")


def count_by_words(words: Sequence[str]) -> Mapping[int, int]:
    """By profile the number of its images with all of these words; a phrase's follow each other."""
    with connection.cursor() as cursor:
        cursor.execute(queries.COUNT_BY_TEXT, [_write_query(words)])
        return dict(cursor.fetchall())


def has_words(words: Sequence[str], *, profiles: Collection[int] | None = None) -> Q:
    """The same as a condition on single images, or only on those of a few profiles."""
    query = _write_query(words)
    with connection.cursor() as cursor:
        if profiles is None:
            cursor.execute(queries.FIND_TEXTS, [query])
        else:
            cursor.execute(queries.FIND_TEXTS_OF_PROFILES, [query, list(profiles)])
        (keys,) = cursor.fetchone()
    # PostgreSQL looks a value up in a constant array by hashing.
    is_one = RawSQL(
        "catalog_image.text_key = ANY(%s::bigint[])", [keys], output_field=BooleanField()
    )
    return Q(is_one)


def _write_query(words: Sequence[str]) -> str:
    """The words in PostgreSQL's syntax."""
    return " & ".join(filter(None, map(_write_phrase, words)))


def _write_phrase(phrase: str) -> str:
    parts = " <-> ".join(f"'{part}'" for part in _WORD.findall(phrase.lower()))
    return f"({parts}:*)" if parts and len(phrase) >= MIN_PREFIX else parts and f"({parts})"
