"""Reads the table of the survey: one line a dataset, or a part of one."""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from catalog.limits import MAX_INTEGER, MAX_TITLE

COLUMNS = ("name", "year", "url", "dimensions", "modality", "structure", "samples", "tasks",
           "diseases", "has_labels")  # fmt: skip
# How the survey says that it does not know.
_UNKNOWN = frozenset({"", "na", "n/a", "-", "no", "none", "others"})
_YEAR = re.compile(r"(?:19[5-9]|20[0-9])[0-9]")
# At most nine digits before a dot, which the database holds.
_NUMBER = re.compile(r"([0-9]{1,3}(?:,?[0-9]{3}){0,2}|[0-9]{1,9})(\.[0-9]{1,9})?\s*(k|m)?",
                     re.IGNORECASE)  # fmt: skip
_SEPARATOR = re.compile(r"\s*[,/;+&|]\s*")
_FACTORS = {"k": 1_000, "m": 1_000_000}
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class BadSurvey(ValueError):
    """The file is not a survey as expected; the message says where."""


@dataclass(frozen=True, slots=True)
class SurveyRow:
    """One line of the survey, as it stands there."""

    line: int
    name: str
    year: str
    url: str
    dimensions: str
    modality: str
    structure: str
    samples: str
    tasks: str
    diseases: str
    has_labels: str

    @property
    def known_year(self) -> int | None:
        return int(self.year) if _YEAR.fullmatch(self.year) else None

    @property
    def address(self) -> str:
        """The address without the backslashes that the survey's source put before signs, or ''."""
        address = self.url.replace("\\", "").strip()
        return address if address.startswith(("http://", "https://")) else ""

    @property
    def says_labels(self) -> bool | None:
        return {"yes": True, "no": False}.get(self.has_labels.casefold())

    @property
    def is_of_stills(self) -> bool:
        """Whether it stands among the plain pictures, whose diseases are often another row's."""
        return self.dimensions.strip().casefold() == "2d"

    def count(self) -> tuple[int, bool]:
        """The number of samples, 0 if unknown, and whether it is rounded ("2.7k")."""
        found = _NUMBER.fullmatch(self.samples.strip().removesuffix("+"))
        if not found:
            return 0, False
        # A comma is for thousands, as in "10,015".
        whole, fraction, sign = found[1].replace(",", ""), found[2] or "", found[3] or ""
        if not sign:
            return int(whole), False
        number = round(float(whole + fraction) * _FACTORS[sign.lower()])
        return (number, True) if number <= MAX_INTEGER else (0, False)


def read_survey(path: Path) -> list[SurveyRow]:
    """All rows of a tab-separated file with the columns COLUMNS, in their order.

    Raises:
        BadSurvey: another header, a line with another number of cells, no name or one that is too
            long, or a control character.
        OSError: it cannot be read.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return list(_iter_rows(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)))
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadSurvey(f"{path.name} is not tab-separated UTF-8: {error}") from error


def _iter_rows(lines: Iterator[list[str]]) -> Iterator[SurveyRow]:
    header = next(lines, [])
    if tuple(header) != COLUMNS:
        raise BadSurvey(f"line 1: the columns are not {', '.join(COLUMNS)}")
    for number, cells in enumerate(lines, 2):
        if len(cells) != len(COLUMNS):
            raise BadSurvey(f"line {number}: {len(cells)} cells instead of {len(COLUMNS)}")
        row = SurveyRow(number, *(cell.strip() for cell in cells))
        if not row.name or len(row.name) > MAX_TITLE:
            raise BadSurvey(f"line {number}: a name has 1 to {MAX_TITLE} characters")
        if any(map(_CONTROL.search, cells)):
            raise BadSurvey(f"line {number}: a cell has a control character. Take it out.")
        yield row


def split_words(cell: str) -> list[str]:
    """The words of a cell such as "CT/ PET" or "Head, Neck", without those that say nothing."""
    words = (" ".join(word.split()).strip("?.") for word in _SEPARATOR.split(cell))
    return [word for word in words if word.casefold() not in _UNKNOWN]
