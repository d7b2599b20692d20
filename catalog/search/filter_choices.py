"""The fixed values of filters: their codes in URLs and their names."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from catalog.ages import UNKNOWN_AGE
from catalog.dataset_hosts import ALL_HOSTS
from catalog.limits import MAX_AGE_YEARS
from catalog.models import Access, Availability, Dimension, Sex
from vocab.models import Kind

UNKNOWN = "unknown"
SEX_CHOICES = [*Sex.choices, (UNKNOWN, "Unknown")]
AGE_CHOICES = [
    *[(f"{year}-{year + 9}", f"{year}–{year + 9} years") for year in range(0, MAX_AGE_YEARS, 10)],
    (UNKNOWN, "Unknown"),
]
FILE_CHOICES = [
    ("1", str(Availability.HERE.label)),
    *[(each.value, str(each.label)) for each in (Availability.ELSEWHERE, Availability.LISTED)],
]
# Spellings that stand for several values; addresses of before there were three.
FILE_SPELLINGS = {"0": (Availability.ELSEWHERE.value, Availability.LISTED.value)}
ANY_KIND = "any"
KIND_CHOICES = [*Kind.choices, (ANY_KIND, "Objects of any kind")]
LABEL_MODES = [("any", "any of them"), ("all", "all of them")]
SIZE_CHOICES = [
    ("lt1", "under 1 GB"),
    ("1-10", "1 to 10 GB"),
    ("10-100", "10 to 100 GB"),
    ("gt100", "over 100 GB"),
    (UNKNOWN, "not stated"),
]
# Years of publication: one by one where most are.
_FIRST_YEAR, _LAST_YEAR = 2010, 2060
BEFORE = f"before-{_FIRST_YEAR}"
YEAR_CHOICES = [
    *[(str(year), str(year)) for year in range(_LAST_YEAR, _FIRST_YEAR - 1, -1)],
    (BEFORE, f"before {_FIRST_YEAR}"),
    (UNKNOWN, "not stated"),
]
OFFERED_YEARS = f"{_FIRST_YEAR} to {_LAST_YEAR}, {BEFORE}, {UNKNOWN}"
ACCESS_CHOICES = [*Access.choices, (UNKNOWN, "not stated")]
DIMENSION_CHOICES = [*Dimension.choices, (UNKNOWN, "not stated")]
HOST_CHOICES = [(host.code, host.name) for host in ALL_HOSTS]
STATED = "stated"
STATED_CHOICES = [(STATED, "yes"), (UNKNOWN, "no")]
LISTED, NOT_LISTED = "listed", "none"
LISTED_CHOICES = [(LISTED, "Images listed"), (NOT_LISTED, "Only described")]
# The same values as numbers in the columns of catalog.search.snapshot.
AVAILABILITY_CODES = {code: number for number, code in enumerate(Availability.values)}
HERE = AVAILABILITY_CODES[Availability.HERE]
FILE_CODES = {code: AVAILABILITY_CODES[Availability.HERE if code == "1" else code]
              for code, _ in FILE_CHOICES}  # fmt: skip
KIND_CODES = {code: number for number, code in enumerate(Kind.values)}
SEX_CODES = {"": 0, **{code: number for number, code in enumerate(Sex.values, 1)}}
AGE_BANDS = {code: UNKNOWN_AGE if code == UNKNOWN else int(code.split("-")[0])
             for code, _ in AGE_CHOICES}  # fmt: skip
(SIZE_CODES, YEAR_CODES, ACCESS_CODES, DIMENSION_CODES, HOST_CODES, LISTED_CODES,
 STATED_CODES) = (
    {code: number for number, (code, _) in enumerate(choices)}
    for choices in (SIZE_CHOICES, YEAR_CHOICES, ACCESS_CHOICES, DIMENSION_CHOICES, HOST_CHOICES,
                    LISTED_CHOICES, STATED_CHOICES)
)  # fmt: skip
SIZE_LIMITS_MB = (1_000, 10_000, 100_000)


def size_code(size_mb: int | None) -> int:
    """The position of a dataset's size in SIZE_CHOICES."""
    if size_mb is None:
        return len(SIZE_LIMITS_MB) + 1
    return bisect_right(SIZE_LIMITS_MB, size_mb)


def year_band(year: int | None) -> str:
    """The value of YEAR_CHOICES that has a year."""
    if year is None:
        return UNKNOWN
    return BEFORE if year < _FIRST_YEAR else str(min(year, _LAST_YEAR))


def name_years(codes: Sequence[str]) -> str:
    """Values of YEAR_CHOICES as words: "2019 and earlier or 2021 and later"."""
    years = sorted(int(code) for code in codes if code.isdecimal())
    if not years or (len(years) == 1 and len(codes) == 1):
        return " or ".join(dict(YEAR_CHOICES)[code] for code in codes)
    runs: list[list[int]] = []
    for year in years:
        if runs and runs[-1][-1] == year - 1:
            runs[-1].append(year)
        else:
            runs.append([year])
    if BEFORE in codes and runs[0][0] > _FIRST_YEAR:
        runs.insert(0, [])
    return " or ".join(_name_run(run, is_open=not at and BEFORE in codes)
                       for at, run in enumerate(runs))  # fmt: skip


def _name_run(years: Sequence[int], *, is_open: bool) -> str:
    """Years that follow each other; ``is_open`` if all earlier ones are among them."""
    if is_open:
        return f"{years[-1]} and earlier" if years else dict(YEAR_CHOICES)[BEFORE]
    if years[-1] == _LAST_YEAR:
        return f"{years[0]} and later"
    return f"{years[0]} to {years[-1]}" if len(years) > 1 else str(years[0])


# Parameters that name facets: show all of their values, and show only the first ones again.
WHOLE, NOT_WHOLE = "all", "fewer"
# Shows the table of areas by modalities above the list of datasets.
TABLE = "table"
# Parameters that are not filters: of pages, and those that mail and social networks add.
NEUTRAL_PARAMETERS = frozenset({"page", "sort", WHOLE, NOT_WHOLE, TABLE, "fbclid", "gclid"})


@dataclass(frozen=True, slots=True)
class ActiveFilter:
    """One active value of a filter as text, for example “Label: Nodule”.

    ``note`` is what a term includes, as “with Brain, Skull”; ``alone`` is the value without that.
    """

    name: str
    title: str
    value: str
    text: str
    note: str = ""
    alone: str = ""

    def __str__(self) -> str:
        return ", ".join(filter(None, (self.text, self.note)))
