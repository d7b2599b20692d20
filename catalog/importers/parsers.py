"""Parsers for the values of real tables: ages, sexes, numbers, dates, lists.

Every parser takes the text of one cell. Text that it cannot parse is not an error: the value is
unknown, and the caller keeps the text (`Reading.exact`).
"""

import math
import re
from datetime import date
from functools import lru_cache
from typing import Generic, NamedTuple, TypeVar

from catalog.limits import MAX_INTEGER, is_age, states_no_age

MAX_LIST_TEXT = 1 << 18

# In lower case. Spreadsheets, pandas, R, SQL, SAS and the GDC each write missing values
# differently.
EMPTY_WORDS = frozenset(
    {"", "nan", "none", "na", "n/a", "-", "--", "null", "#n/a", "<na>", "?", ".", "'--"}
)
_LONGEST_EMPTY_WORD = max(map(len, EMPTY_WORDS))

T = TypeVar("T")


class Reading(NamedTuple, Generic[T]):
    """The value of a cell; if not `exact`, the text says more than `value`, or something else."""

    value: T
    exact: bool = True


def clean(text: str) -> str:
    """The text without surrounding spaces; '' for words such as `NaN` that mean a missing value."""
    text = text.strip()
    if len(text) > _LONGEST_EMPTY_WORD:
        return text
    return "" if text.casefold() in EMPTY_WORDS else text


def clean_id(text: str) -> str:
    """The same for an id, which may well be `NA`."""
    text = text.strip()
    return text if text in ("NA", "Na", "na") else clean(text)


# --- Numbers ---
_NUMBER = re.compile(r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]{1,3})?")
_THOUSANDS = re.compile(r"[-+]?[1-9][0-9]{0,2}(?:,[0-9]{3})+(?:\.[0-9]+)?")
_DECIMAL_COMMA = re.compile(r"[-+]?[0-9]+,(?:[0-9]{1,2}|[0-9]{4,})")


def parse_number(text: str) -> Reading[float | None]:
    """A finite number: `1024.0`, `2,682` (thousands), `57,5` (a decimal comma), `1.023e+03`."""
    text = clean(text)
    if not text:
        return Reading(None)
    if _THOUSANDS.fullmatch(text):
        text = text.replace(",", "")
    elif _DECIMAL_COMMA.fullmatch(text):
        text = text.replace(",", ".")
    if len(text) > 400 or not _NUMBER.fullmatch(text):
        return Reading(None, exact=False)
    number = float(text)
    return Reading(number) if math.isfinite(number) else Reading(None, exact=False)


def parse_count(text: str, *, most: int = MAX_INTEGER) -> Reading[int | None]:
    """A whole number from 1 to `most`, as pixels or bytes: `1024`, `1024.0`, `2,682`."""
    text = clean(text)
    if text.isdecimal() and text.isascii() and len(text) < 20:
        count = int(text)  # not through float, which is exact only up to 2**53
    else:
        number, exact = parse_number(text)
        if number is None or not number.is_integer():
            return Reading(None, exact and number is None)
        count = int(number)
    return Reading(count) if 1 <= count <= most else Reading(None, exact=False)


def parse_share(text: str) -> Reading[float | None]:
    """A number between 0 and 1, or a percentage with its sign: `0.85`, `85%`, `85 %`."""
    text = text.strip()
    number, exact = parse_number(text.removesuffix("%"))
    if number is not None and text.endswith("%"):
        number /= 100
    if number is not None and not 0 <= number <= 1:
        return Reading(None, exact=False)
    return Reading(number, exact)


# --- Age ---
_UNITS = {
    "years": ("", "y", "yr", "yrs", "year", "years", "yo", "y/o", "a", "anos", "ans", "jahre"),
    "months": ("m", "mo", "mos", "mth", "mths", "month", "months"),
    "weeks": ("w", "wk", "wks", "week", "weeks"),
    "days": ("d", "day", "days"),
}
_UNIT_OF = {word: unit for unit, words in _UNITS.items() for word in words}
_PER_YEAR = {"years": 1.0, "months": 12.0, "weeks": 365.25 / 7, "days": 365.25}
AGE_UNITS = tuple(_PER_YEAR)
_AGE = re.compile(
    r"(?P<sign><=|>=|[<>≤≥~]?) ?(?P<number>[0-9]{1,6}(?:[.,][0-9]*)?) ?(?P<unit>[a-z/]*)\.?"
    r"(?: old)? ?(?P<plus>\+?)"
)
_AGE_RANGE = re.compile(r"([0-9]{1,3}) ?(?:-|–|to) ?([0-9]{1,3}) ?(?:y|yr|yrs|years)?")
_WIDEST_RANGE = 10


def parse_age(text: str, *, unit: str = "years") -> Reading[float | None]:
    """An age in years; a number without a unit is in `unit` (years, months, weeks, days).

    Accepts `57`, `57.0`, `57 years` and DICOM's `058Y`, `006M`, `010D` (PS3.5 6.2, Age String).
    A range gives its lower bound, not exact: 50 for `50+`, 90 for `>89`, 50 for `50-59`.
    What is no age (`catalog.limits.is_age`) is unknown, and so is DICOM's `000Y`; `0` is an age.
    """
    if states_no_age(text.strip()):
        return Reading(None, exact=False)
    text = " ".join(clean(text).casefold().split())
    if not text:
        return Reading(None)
    if span := _AGE_RANGE.fullmatch(text):
        low, high = int(span[1]), int(span[2])
        is_narrow = low <= high <= low + _WIDEST_RANGE and is_age(low)
        return Reading(float(low) if is_narrow else None, exact=False)
    found = _AGE.fullmatch(text)
    if not found or found["unit"] not in _UNIT_OF:
        return Reading(None, exact=False)
    return _measure_age(found, _UNIT_OF[found["unit"]] if found["unit"] else unit)


def _measure_age(found: re.Match[str], unit: str) -> Reading[float | None]:
    number, sign = float(found["number"].replace(",", ".")), found["sign"]
    if sign == ">":
        number += 1  # ">89" is how de-identified data state ages of 90 and more
    years = round(number / _PER_YEAR[unit], 4)
    if sign in ("<", "<=", "≤"):
        return Reading(0.0 if years <= 1 else None, exact=False)
    is_exact = not sign and not found["plus"]
    return Reading(years, is_exact) if is_age(years) else Reading(None, exact=False)


# --- Dates, only to compute ages ---
_DATE = re.compile(
    r"(?P<year>[0-9]{4})(?:\.0)?"
    r"|(?P<y8>[0-9]{4})(?P<m8>[0-9]{2})(?P<d8>[0-9]{2})(?:\.0)?"
    r"|(?P<yi>[0-9]{4})[-/.](?P<mi>[0-9]{1,2})[-/.](?P<di>[0-9]{1,2})(?:[T ][0-9:.]+Z?)?"
    r"|[0-9]{1,2}[-/.][0-9]{1,2}[-/.](?P<last>[0-9]{4})"
)


def parse_age_between(born: str, studied: str) -> Reading[float | None]:
    """The age in years at `studied` of someone born on `born`: dates, or years alone.

    Dates are `19550820`, `1955-08-20`, `1955/8/20`; of `20/08/1955` only the year is used, since
    either number may be the month. If one side is only a year, the age is the difference of the
    years. From two years on, ages are whole: a finer age and the date of the study would reveal
    the birthday.
    """
    born, studied = clean(born), clean(studied)
    if not born or not studied:
        return Reading(None)
    first, second = _parse_date(born), _parse_date(studied)
    if first is None or second is None:
        return Reading(None, exact=False)
    if isinstance(first, date) and isinstance(second, date):
        months = (second.year - first.year) * 12 + second.month - first.month
        months -= second.day < first.day
        years = round(months / 12, 4) if months < 24 else float(months // 12)
    else:
        years = float(_year(second) - _year(first))
    return Reading(years) if is_age(years) else Reading(None, exact=False)


# What anonymisers write where there was one.
_NO_DATE = date(1900, 1, 1)


@lru_cache(maxsize=1 << 14)
def _parse_date(text: str) -> date | int | None:
    """A date, or a year if the text is only that; None if it is neither, or stands for none."""
    found = _DATE.fullmatch(text)
    if not found:
        return None
    if year := found["year"] or found["last"]:
        return int(year) if 1800 <= int(year) <= 2200 else None
    numbers = [found[name] for name in (("y8", "m8", "d8") if found["y8"] else ("yi", "mi", "di"))]
    try:
        made = date(*map(int, numbers))
        return None if made == _NO_DATE else made
    except ValueError:  # the thirtieth of February
        return None


def _year(when: date | int) -> int:
    return when.year if isinstance(when, date) else when


# --- Sex ---
_SEXES = {
    "F": ("f", "w", "female", "woman", "girl", "fem", "femenino", "mujer", "femme", "weiblich"),
    "M": ("m", "male", "man", "boy", "masc", "masculino", "hombre", "homme", "männlich"),
    "O": ("o", "d", "other", "divers", "diverse", "intersex"),
    "": ("u", "unk", "unknown", "unspecified", "not known", "not specified"),
}
_SEX_OF = {word: sex for sex, words in _SEXES.items() for word in words}


def parse_sex(text: str) -> Reading[str]:
    """F, M, O or '' from the codes of DICOM and from words, in upper or lower case."""
    word = clean(text).casefold()
    if not word:
        return Reading("")
    return Reading(_SEX_OF[word]) if word in _SEX_OF else Reading("", exact=False)


# --- Lists ---
_ITEM = re.compile(
    # numpy separates items only by spaces
    r"""\s*(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"|([^\s,'"\[\]]+))(?:\s*(?:,|$)|\s+)""",
    re.DOTALL,
)
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r"}


class NotAList(ValueError):
    """The text is not a flat list; the message says how to write one."""


def parse_list(text: str) -> list[str]:
    """The items of a list as Python, JSON or numpy print it: `['a', "b's"]`, `['a' 'b']`, `[]`.

    An empty cell or `nan` is an empty list, text without brackets a list of one item. Items are
    stripped, and empty ones dropped. Nothing is evaluated. Raises `NotAList` for nested or
    incomplete lists.
    """
    text = clean(text)
    if not text.startswith(("[", "(", "{")):
        return [text] if text else []
    if len(text) > MAX_LIST_TEXT or text[-1] not in "])}":
        raise NotAList("The list has no end. Write it like ['one', 'two'].")
    return list(filter(None, map(clean, _split_items(text[1:-1].strip()))))


def _split_items(inner: str) -> list[str]:
    items, position = [], 0
    while position < len(inner):
        found = _ITEM.match(inner, position)
        if not found:
            raise NotAList("This is not a list of words. Write it like ['one', 'two'].")
        items.append(unescape(next(text for text in found.groups() if text is not None)))
        position = found.end()
    return items


def unescape(text: str) -> str:
    return _ESCAPE.sub(_unescape_one, text) if "\\" in text else text


def _unescape_one(found: re.Match[str]) -> str:
    if not found[1]:
        return _ESCAPED.get(found[2], found[2])
    character = chr(int(found[1], 16))
    # PostgreSQL can store neither half a surrogate pair nor NUL.
    return "\ufffd" if "\ud800" <= character <= "\udfff" or character == "\0" else character
