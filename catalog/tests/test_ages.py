"""Completed ages: their limits, their words, and what is not one."""

import pytest
from django.db import connection
from hypothesis import given
from hypothesis import strategies as st

from catalog.ages import COMPLETED_AGE, MONTHS_UNTIL, AgeRange, clean_limit, range_of_limits
from catalog.importers.parsers import parse_age


@pytest.mark.parametrize("digits", [2, 3, 4, 12])
def test_a_month_is_that_month_however_sources_round_it(digits: int) -> None:
    for months in range(MONTHS_UNTIL):
        low, end = AgeRange(months, months).limits
        assert end is not None
        assert low <= round(months / 12, digits) < end


@pytest.mark.parametrize(
    ("text", "ages"),
    [
        ("065Y", AgeRange.of_years(65, 65)), ("65.5", AgeRange.of_years(65, 65)),
        ("011M", AgeRange(11, 11)), ("001M", AgeRange(1, 1)), ("023M", AgeRange(23, 23)),
        ("000D", AgeRange(0, 0)), ("027D", AgeRange(0, 0)), ("031D", AgeRange(1, 1)),
        ("364D", AgeRange(11, 11)), ("012W", AgeRange(2, 2)), ("025M", AgeRange.of_years(2, 2)),
    ],
)  # fmt: skip
def test_imported_ages_are_completed_ages(text: str, ages: AgeRange) -> None:
    age, _ = parse_age(text)
    low, end = ages.limits
    assert age is not None
    assert end is not None
    assert low <= age < end


@pytest.mark.django_db
def test_the_database_counts_ages_within_the_same_limits() -> None:
    ages = [
        0.0,
        1.9999,
        2.0,
        64.9999,
        65.0,
        65.5,
        129.0,
        *(round(d / 365.25, 4) for d in range(800)),
    ]
    ages += [end for m in range(MONTHS_UNTIL) if (end := AgeRange(0, m).limits[1]) is not None]
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT age, {COMPLETED_AGE.format(age='age')}"  # noqa: S608 - our own words
            " FROM unnest(%s::float8[]) given (age)",
            [ages],
        )
        for age, completed in cursor.fetchall():
            size = 1 if completed < MONTHS_UNTIL else 12
            low, end = AgeRange(completed, completed + size - 1).limits
            assert end is not None
            assert low <= age < end
        cursor.execute(f"SELECT {COMPLETED_AGE.format(age='NULL::float8')}")
        assert cursor.fetchone() == (-1,)


@given(st.integers(0, 129), st.integers(0, 129))
def test_limits_of_a_range_are_read_back(low: int, high: int) -> None:
    ages = range_of_limits(clean_limit(str(low)), clean_limit(f" {high}.0 ".strip()))
    assert ages == AgeRange.of_years(low, high)
    assert ages.is_exact == (low <= high)


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("65", "65"), ("65.0", "65"), ("007", "7"), ("0", "0"), ("0.5", "6m"), ("0,5", "6m"),
        ("0.08", "1m"), ("0.083", "1m"), ("1.5", "18m"), ("6m", "6m"), ("6 months", "6m"),
        ("12m", "12m"), ("1", "1"),
    ],
)  # fmt: skip
def test_a_limit_has_one_short_form(text: str, limit: str) -> None:
    assert clean_limit(text) == limit
    assert clean_limit(limit) == limit


def test_a_year_as_last_age_lasts_until_the_next_birthday_and_a_month_a_month() -> None:
    assert range_of_limits("", "1").limits == (0.0, 2.0)
    assert range_of_limits("", "12m").name == "under 13 months"
    assert range_of_limits("66", "").limits == (66.0, None)
