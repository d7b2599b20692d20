"""Finds images by ids: their own within the source, and those of their subjects."""

from collections.abc import Sequence
from functools import reduce
from operator import or_

from django.db.models import Q

from catalog.models import Image

# A shorter prefix of an id would match half of the catalog.
MIN_PREFIX = 4


def find_by_ids(
    groups: Sequence[Sequence[str]], *, dataset_ids: Sequence[int]
) -> tuple[Q, list[list[str]]]:
    """The images of these datasets with an id of each group; and the groups of words that are none.

    A group of which only some words are ids is divided: ids and texts are no alternatives.
    An id is taken as typed, or all in capitals or small letters. Where no id is equal, the word may
    be the beginning of an image's id. All words together may be an id that has spaces.
    """
    words = [word for group in groups for word in group]
    if len(words) > 1 and _exists(whole := _equals(" ".join(words), dataset_ids)):
        return whole, []
    condition, others = Q(), []
    for group in groups:
        found = {word: _find_id(word, dataset_ids) for word in group}
        with_ids = [has_id for has_id in found.values() if has_id is not None]
        condition &= reduce(or_, with_ids, Q())
        if rest := [word for word, has_id in found.items() if has_id is None]:
            others.append(rest)
    return condition, others


def _find_id(word: str, dataset_ids: Sequence[int]) -> Q | None:
    equal = _equals(word, dataset_ids)
    if _exists(equal):
        return equal
    if len(word) < MIN_PREFIX or not any(char.isdigit() for char in word):
        return None
    # The datasets are named in each part, so that each is found by an index.
    begins = Q()
    for text in _cases(word):
        begins |= Q(dataset__in=dataset_ids, source_id__startswith=text)
    return begins if _exists(begins) else None


def _equals(text: str, dataset_ids: Sequence[int]) -> Q:
    cases = _cases(text)
    return Q(dataset__in=dataset_ids, source_id__in=cases) | (
        Q(dataset__in=dataset_ids, subject_id__in=cases) & ~Q(subject_id="")
    )


def _cases(text: str) -> list[str]:
    return sorted({text, text.upper(), text.lower()})


def _exists(condition: Q) -> bool:
    return Image.objects.filter(condition, profile__isnull=False).exists()
