"""Groups of age ranges: which ages match them, and the same as a condition on images.

Of every group, one range has to match; a value that is no range stands for an unknown age.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from django.db.models import Q

from catalog.ages import UNKNOWN_AGE, AgeRange
from catalog.search.columns import Ints, Mask

AgeGroup = tuple[Any, ...]


def match_ages(ages: Ints, groups: Sequence[AgeGroup]) -> Mask:
    """Which of these completed ages match."""
    return np.logical_and.reduce(
        [np.logical_or.reduce([_is_in(ages, value) for value in group]) for group in groups]
    )


def _is_in(ages: Ints, value: Any) -> Mask:
    if not isinstance(value, AgeRange):
        return ages == UNKNOWN_AGE
    return (ages >= value.low) if value.high is None else (
        (ages >= value.low) & (ages <= value.high)
    )  # fmt: skip


def age_condition(groups: Sequence[AgeGroup]) -> Q:
    """The images whose ages match; no condition if that is the same for all ages of a band."""
    ranges = [value for group in groups for value in group if isinstance(value, AgeRange)]
    if all(value.is_whole_bands for value in ranges):
        return Q()
    condition = Q()
    for group in groups:
        of_group = Q()
        for value in group:
            of_group |= _condition(value)
        condition &= of_group
    return condition


def _condition(value: Any) -> Q:
    if not isinstance(value, AgeRange):
        return Q(age_years__isnull=True)
    low, end = value.limits
    return Q(age_years__gte=low) if end is None else Q(age_years__gte=low, age_years__lt=end)
