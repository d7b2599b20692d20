"""Finds images by ids: their own within the source, and those of their subjects."""

from collections.abc import Sequence

from django.db.models import Q

from catalog.models import Image

# A shorter prefix of an id would match half of the catalog.
MIN_PREFIX = 4


def find_by_ids(words: Sequence[str], *, dataset_ids: Sequence[int]) -> Q:
    """The images of these datasets to which each of the words belongs as an id.

    An id is taken as typed, or all in capitals or small letters. Where no id is equal, the word may
    be the beginning of an image's id. All words together may be an id that has spaces.
    """
    whole = _equals(" ".join(words), dataset_ids)
    if len(words) == 1 or not _exists(whole):
        condition = Q()
        for word in words:
            condition &= _has_id(word, dataset_ids)
        return condition
    return whole


def _has_id(word: str, dataset_ids: Sequence[int]) -> Q:
    equal = _equals(word, dataset_ids)
    is_prefix = len(word) >= MIN_PREFIX and any(char.isdigit() for char in word)
    if not is_prefix or _exists(equal):
        return equal
    # The datasets are named in each part, so that each is found by an index.
    begins = Q()
    for text in _cases(word):
        begins |= Q(dataset__in=dataset_ids, source_id__startswith=text)
    return begins


def _equals(text: str, dataset_ids: Sequence[int]) -> Q:
    cases = _cases(text)
    return Q(dataset__in=dataset_ids, source_id__in=cases) | (
        Q(dataset__in=dataset_ids, subject_id__in=cases) & ~Q(subject_id="")
    )


def _cases(text: str) -> list[str]:
    return sorted({text, text.upper(), text.lower()})


def _exists(condition: Q) -> bool:
    return Image.objects.filter(condition, profile__isnull=False).exists()
