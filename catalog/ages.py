"""Completed ages, and ranges of them. Django-free.

People give an age as what is completed: who is 65.5 years old is 65, and "over 65" is 66 and older.
Below two years completed months are counted, from then on completed years. Both are stored as a
number of months: 0, 1, … 23, 24, 36, 48 …
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from catalog.limits import MAX_AGE_YEARS

UNKNOWN_AGE = -1
MONTHS_PER_YEAR = 12
MONTHS_UNTIL = 24  # From this age on only years are distinguished.
BAND_MONTHS = 10 * MONTHS_PER_YEAR

# Sources round months to hundredths of a year, and imports to ten-thousandths: 0.08 is one month.
_ROUNDING = 0.005


def _first_age(months: int) -> float:
    """The age in years from which on so many months are completed."""
    years, rest = divmod(months, MONTHS_PER_YEAR)
    return round(years + rest / MONTHS_PER_YEAR - _ROUNDING, 4) if rest else float(years)


_FIRST_AGES = [_first_age(months) for months in range(MONTHS_UNTIL)]
# SQL for the completed age of ``{age}``, an age in years. The same limits are in AgeRange.limits.
COMPLETED_AGE = f"""
    CASE WHEN {{age}} IS NULL THEN {UNKNOWN_AGE}
         WHEN {{age}} < {MONTHS_UNTIL // MONTHS_PER_YEAR}
         THEN width_bucket({{age}}, ARRAY{_FIRST_AGES}::float8[]) - 1
         ELSE floor({{age}})::int * {MONTHS_PER_YEAR} END
"""


@dataclass(frozen=True, slots=True)
class AgeRange:
    """Completed ages from ``low`` to ``high`` months, inclusive; without ``high`` to any age."""

    low: int = 0
    high: int | None = None

    @classmethod
    def of_years(cls, low: int = 0, high: int | None = None) -> Self:
        """From ``low`` to ``high`` completed years, inclusive."""
        last = None if high is None else (high + 1) * MONTHS_PER_YEAR - 1
        return cls(low * MONTHS_PER_YEAR, last)

    @property
    def is_exact(self) -> bool:
        """Whether completed ages can tell it: it has an age, and no months from two years on."""
        ends = (self.low, 0 if self.high is None else self.high + 1)
        is_counted = all(end <= MONTHS_UNTIL or end % MONTHS_PER_YEAR == 0 for end in ends)
        is_human = max(self.low, self.high or 0) < (MAX_AGE_YEARS + 1) * MONTHS_PER_YEAR
        return is_counted and is_human and (self.high is None or self.low <= self.high)

    @property
    def is_whole_bands(self) -> bool:
        """Whether it splits no ten-year band."""
        return self.low % BAND_MONTHS == 0 and (
            self.high is None or (self.high + 1) % BAND_MONTHS == 0
        )

    @property
    def limits(self) -> tuple[float, float | None]:
        """The same as ages in years: from the first to before the second."""
        return _first_age(self.low), None if self.high is None else _first_age(self.high + 1)

    def overlaps(self, other: "AgeRange") -> bool:
        return (other.high is None or self.low <= other.high) and (
            self.high is None or other.low <= self.high
        )

    @property
    def code(self) -> str:
        """A short form such as 66-, 0-17, 40-50 or 0m-5m."""
        if self.low % MONTHS_PER_YEAR == 0 and (self.high is None or self._ends_with_year):
            return f"{self.low // 12}-{'' if self.high is None else self.high // 12}"
        return f"{self.low}m-{'' if self.high is None else f'{self.high}m'}"

    @property
    def name(self) -> str:
        """What exactly is meant: "66 years and older", "under 18 years", "40–50 years"."""
        if self.high is None:
            return f"{_say(self.low)} and older"
        if self.low == 0:
            return f"under {_say(self.high + 1)}"
        if self._ends_with_year and self.low % MONTHS_PER_YEAR == 0:
            return _say_from_to(self.low // 12, self.high // 12, "year")
        if self.high < MONTHS_UNTIL:
            return _say_from_to(self.low, self.high, "month")
        return f"{_say(self.low)} to {self.high // 12} years"

    @property
    def _ends_with_year(self) -> bool:
        return self.high is not None and (self.high + 1) % MONTHS_PER_YEAR == 0


def _say(months: int) -> str:
    years, rest = divmod(months, MONTHS_PER_YEAR)
    return _count(months, "month") if rest else _count(years, "year")


def _say_from_to(low: int, high: int, unit: str) -> str:
    return _count(low, unit) if low == high else f"{low}–{high} {unit}s"


def _count(number: int, unit: str) -> str:
    return f"{number} {unit}{'' if number == 1 else 's'}"


def find_other_ages(values: Iterable[object]) -> tuple[AgeRange, ...]:
    """The known ages that are in none of these ranges: of "adults" those under 19."""
    ranges = sorted((v for v in values if isinstance(v, AgeRange)), key=lambda ages: ages.low)
    others, start = [], 0
    for ages in ranges:
        if ages.low > start:
            others.append(AgeRange(start, ages.low - 1))
        if ages.high is None:
            return tuple(others)
        start = max(start, ages.high + 1)
    return (*others, AgeRange(start))


# --- The limits of a range in a URL: years, or months below two years ---
_LIMIT = re.compile(r"(?P<number>[0-9]{1,3}(?:[.,][0-9]{1,6})?) ?(?P<months>m|months?)?")
_HELP = f"Give completed years from 0 to {MAX_AGE_YEARS}, or months below two years: 65, 0.5 or 6m."


def clean_limit(text: str) -> str:
    """The short form of a limit: "65" for years, "6m" for months.

    Raises:
        ValueError: it is not such an age; the message is for the user.
    """
    found = _LIMIT.fullmatch(text.casefold())
    number = float(found["number"].replace(",", ".")) if found else -1.0
    if not found or number > MAX_AGE_YEARS:
        raise ValueError(f"“{text[:60]}” is not an age. {_HELP}")
    if number.is_integer() and not found["months"]:
        return str(int(number))
    months = number if found["months"] else number * MONTHS_PER_YEAR
    tolerance = 0 if found["months"] else _ROUNDING * MONTHS_PER_YEAR + 1e-9
    if round(months) >= MONTHS_UNTIL or abs(months - round(months)) > tolerance:
        raise ValueError(f"“{text[:60]}” is finer than ages are counted. {_HELP}")
    return f"{round(months)}m"


def range_of_limits(low: str, high: str) -> AgeRange:
    """The range between two limits in their short form, inclusive; "" is no limit."""
    first = _first_month(low) if low else 0
    if not high:
        return AgeRange(first)
    last = _first_month(high) + (0 if high.endswith("m") else MONTHS_PER_YEAR - 1)
    return AgeRange(first, last)


def _first_month(limit: str) -> int:
    number = int(limit.removesuffix("m"))
    return number if limit.endswith("m") else number * MONTHS_PER_YEAR


def are_disjoint(some: Iterable[object], others: Iterable[object]) -> bool:
    """Whether no age is in a range of both; what is not a range, an unknown age, is in none."""
    return not any(
        isinstance(one, AgeRange) and isinstance(other, AgeRange) and one.overlaps(other)
        for one in some
        for other in others
    )
