"""Finds images by ids: their own within the source, and those of their subjects."""

from collections.abc import Callable, Sequence
from functools import cache, partial, reduce
from operator import or_
from typing import NamedTuple

from django.db.models import Exists, OuterRef, Q

from catalog.models import Dataset, Image
from catalog.search.any_of import AnyOf

# A shorter prefix of an id would match half of the catalog.
MIN_PREFIX = 4


# From a word to the images of which it is an id; None if it is none.
FindId = Callable[[str], Q | None]


class Ids(NamedTuple):
    """Finds images by a whole id, or also by the beginning of one."""

    find_equal: FindId
    find: FindId


def remember_ids(dataset_ids: Sequence[int]) -> Ids:
    """Finds ids within these datasets, and asks the database once for each word."""
    find_equal = cache(partial(_find_equal, dataset_ids=dataset_ids))
    return Ids(find_equal, cache(partial(_find_id, dataset_ids=dataset_ids, find_equal=find_equal)))


def find_by_ids(groups: Sequence[Sequence[str]], ids: Ids) -> tuple[Q, list[list[str]]]:
    """The images with an id of each group; and the groups of words that are none.

    A group of which only some words are ids is divided: ids and texts are no alternatives.
    An id is taken as typed, or all in capitals or small letters. Where no id is equal, the word may
    be the beginning of an image's id. All words together may be an id that has spaces.
    """
    words = [word for group in groups for word in group]
    if len(words) > 1 and (whole := ids.find_equal(" ".join(words))):
        return whole, []
    condition, others = Q(), []
    for group in groups:
        found = {word: ids.find(word) for word in group}
        with_ids = [has_id for has_id in found.values() if has_id is not None]
        condition &= reduce(or_, with_ids, Q())
        if rest := [word for word, has_id in found.items() if has_id is None]:
            others.append(rest)
    return condition, others


def _find_id(word: str, *, dataset_ids: Sequence[int], find_equal: FindId) -> Q | None:
    if found := find_equal(word):
        return found
    if len(word) < MIN_PREFIX or not any(char.isdigit() for char in word):
        return None
    return _within_datasets(dataset_ids, *(Q(source_id__startswith=text) for text in _cases(word)))


def _find_equal(text: str, *, dataset_ids: Sequence[int]) -> Q | None:
    cases = _cases(text)
    by_subject = Q(subject_id__in=cases) & ~Q(subject_id="")
    return _within_datasets(dataset_ids, Q(source_id__in=cases), by_subject)


def _cases(text: str) -> list[str]:
    return sorted({text, text.upper(), text.lower()})


def _within_datasets(dataset_ids: Sequence[int], *conditions: Q) -> Q | None:
    """One of the conditions on images within the datasets that have such images; None if none has.

    Asked by dataset, and the datasets named in each part, because the indexes begin with them: of
    images that one of a thousand datasets has, PostgreSQL would read the whole table.
    """
    images = Image.objects.filter(dataset=OuterRef("pk"), profile__isnull=False)
    has_image = reduce(or_, (Q(Exists(images.filter(each))) for each in conditions))
    having = Dataset.objects.filter(has_image, AnyOf("pk", dataset_ids)).order_by()
    if not (found := list(having.values_list("pk", flat=True))):
        return None
    return reduce(or_, (Q(dataset__in=found) & each for each in conditions))
