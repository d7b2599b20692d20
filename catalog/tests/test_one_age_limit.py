"""Every door has the limit of ages that ``catalog.limits`` states."""

import pytest
from django.db import IntegrityError, transaction
from django.http import QueryDict

from catalog.imaging.dicom.header import _parse_age
from catalog.importers.encoding import find_problem
from catalog.importers.parsers import parse_age, parse_age_between
from catalog.importers.rows import ImageRow
from catalog.limits import MAX_AGE_YEARS, is_age
from catalog.search.filter_choices import AGE_CHOICES
from catalog.search.filters import ImageFilterSet
from catalog.search.query.age_phrases import read_ages
from catalog.tests.factories import ImageFactory

pytestmark = pytest.mark.django_db

LAST, NEXT = MAX_AGE_YEARS, MAX_AGE_YEARS + 1


def filters(query: str) -> ImageFilterSet:
    return ImageFilterSet(QueryDict(query))


def test_every_door_takes_the_last_age_and_refuses_the_next() -> None:
    for age, is_taken in ((LAST, True), (NEXT, False)):
        assert is_age(age) is is_taken
        doors = {
            "DICOM": _parse_age(f"{age}Y") is not None,
            "table": parse_age(str(age)).value is not None,
            "table, a range": parse_age(f"{age}-{age + 4}").value is not None,
            "table, dates": parse_age_between("1890", str(1890 + age)).value is not None,
            "store": find_problem(ImageRow("x", age_years=float(age))) is None,
            "filter": not filters(f"age_min={age}").problems,
            "query": bool(list(read_ages(f"{age} years old", 0))),
        }
        assert doors == dict.fromkeys(doors, is_taken), age
    assert filters(f"age={AGE_CHOICES[-2][0]}").problems == []
    assert AGE_CHOICES[-2][0] == f"{LAST - 9}-{LAST}", "the last band ends where ages end"


def test_the_database_has_the_same_limit() -> None:
    ImageFactory(age_years=LAST)
    with pytest.raises(IntegrityError, match="image_age_is_human"), transaction.atomic():
        ImageFactory(age_years=NEXT)
