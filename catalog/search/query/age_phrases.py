"""Ages in a query: "over 65", "between 40 and 50", "65-year-old", "under 6 months", "adults".

Ages are completed (see ``catalog.ages``), so that "over 65" is 66 and older.
"""

import re
from collections.abc import Iterator, Mapping
from functools import cache

from catalog.ages import MONTHS_PER_YEAR, AgeRange

# The age filters of the PubMed User Guide (https://pubmed.ncbi.nlm.nih.gov/help/, section
# "Age"), which are age groups of MeSH: "Newborn: birth-1 month", "Infant: birth-23 months",
# "Preschool Child: 2-5 years", "Adolescent: 13-18 years", "Adult: 19+ years", "Young Adult: 19-24
# years", "Middle Aged: 45-64 years", "Aged: 65+ years". Only "Child" differs: its filter is 6-12
# years, as the MeSH heading is without the narrower one, preschool child. Both are children here.
_YEARS = AgeRange.of_years
AGE_WORDS: Mapping[str, AgeRange] = {
    **dict.fromkeys(("newborn", "newborns", "neonate", "neonates", "neonatal"), AgeRange(0, 0)),
    **dict.fromkeys(("infant", "infants"), _YEARS(0, 1)),
    **dict.fromkeys(("preschool child", "preschool children"), _YEARS(2, 5)),
    **dict.fromkeys(("child", "children", "kid", "kids"), _YEARS(2, 12)),
    **dict.fromkeys(
        ("adolescent", "adolescents", "teenager", "teenagers", "teens"), _YEARS(13, 18)
    ),
    **dict.fromkeys(("young adult", "young adults"), _YEARS(19, 24)),
    **dict.fromkeys(("adult", "adults"), _YEARS(19)),
    "middle aged": _YEARS(45, 64),
    **dict.fromkeys(("elderly", "elderly people", "older adult", "older adults"), _YEARS(65)),
}

_OLD = r"(?:[\s-]+(?:olds?|of\s+age)\b)?+"


def _unit(name: str) -> str:
    """A unit as the group ``u…``, which also is the group ``m…`` if it is months."""
    words = rf"(?:years?|yrs?|y/?o|y|(?P<m{name}>months?|mths?|mos?))"
    return rf"(?P<u{name}>\s*-?\s*{words}\b{_OLD})?+"


def _number(name: str) -> str:
    # "2,000" and "10 000" are no ages.
    return rf"(?P<{name}>\d{{1,3}})(?![.,]\d|\s\d{{3}}\b){_unit(name)}"


_ABOUT = r"(?:(?P<about>ages?|aged)\b\s*[:=]?\s*)?"
_AGE_OF = r"\s*(?:(?P<of>(?:the\s+)?age(?:\s+of)?)\s+)?"
_OR = r"\s+(?:and|or)\s+"
# A time that is not an age: "for 5 years", "5 years later", "10 years of data".
_NO_TIME = r"(?<!last )(?<!past )(?<!for )(?<!within )(?<!after )(?<!every )"
_NOT_LATER = (
    r"(?!\s*-?\s*(?:later|ago|apart|before|after|period|interval|follow|survival|of\s+(?!age)))"
)
# ``loose``: words that often do not speak of an age; they need a unit or the word age.
_AGES = (
    rf"between\s+{_number('low')}\s+and\s+{_number('high')}",
    rf"(?P<loose>from\s+)?{_number('low')}(?P<range>\s*[-‐‑–—]\s*|\s+to\s+){_number('high')}",
    rf"(?:(?:over|above|older\s+than)\b|>(?!=)){_AGE_OF}{_number('over')}",
    rf"(?P<loose>more\s+than)\b{_AGE_OF}{_number('over')}",
    rf"(?:>=|≥){_AGE_OF}{_number('low')}",
    rf"(?P<loose>at\s+least|from)\b{_AGE_OF}{_number('low')}",
    rf"{_number('low')}(?:\s*\+|{_OR}(?:over|older|above|up|more)\b){_unit('end')}{_OLD}",
    rf"{_number('high')}{_OR}(?:under|younger|below|less)\b{_OLD}",
    rf"(?:(?:under|below|younger\s+than)\b|<(?!=)){_AGE_OF}{_number('below')}",
    rf"(?P<loose>less\s+than)\b{_AGE_OF}{_number('below')}",
    rf"(?:<=|≤){_AGE_OF}{_number('high')}",
    rf"(?P<loose>up\s+to|at\s+most)\b{_AGE_OF}{_number('high')}",
    rf"(?P<loose>){_NO_TIME}{_number('only')}{_NOT_LATER}",
)
# What else is counted: "over 60 GB", "over 60 patients" and "under 28 days" are no ages in years.
_QUANTITY = re.compile(
    r"\s*-?\s*(?:%|(?:percent|[kmgt]i?b|[mcµu]?m|k?vp?|ma?s|m?t|tesla|hu|hz|fps|px|pixels?|voxels?"
    r"|seconds?|secs?|minutes?|mins?|hours?|days?|weeks?|wks?|images?|patients?|cases?|scans?"
    r"|studies|subjects?|series|slices?|datasets?|files?|people|class(?:es)?|categor(?:y|ies)|labels?"
    r"|volumes?|videos?|frames?|samples?|participants?)\b)",
    re.IGNORECASE,
)
# Also behind "aged": of these there are no ages in months or years.
_SHORT_TIME = re.compile(r"\s*-?\s*(?:weeks?|wks?|days?|hours?)\b", re.IGNORECASE)
_SIGN_BEFORE = re.compile(r"[<>≤≥]=?\s*$")


@cache
def _compile_ages() -> tuple[re.Pattern[str], ...]:
    """Not at import, which would take each command and each worker 30 ms of its start."""
    return tuple(re.compile(rf"{_ABOUT}{pattern}(?!\w)", re.IGNORECASE) for pattern in _AGES)


def sign_start(text: str, at: int) -> int:
    """Where an age or a year begins whose first word is at ``at``: a sign as ">=" belongs to it."""
    sign = _SIGN_BEFORE.search(text, 0, at)
    return sign.start() if sign else at


def read_ages(text: str, at: int) -> Iterator[tuple[int, AgeRange]]:
    """The readings of an age phrase at ``text[at:]``: its end, and the ages that it means."""
    for pattern in _compile_ages():
        if not (found := pattern.match(text, at)):
            continue
        parts = {name: value for name, value in found.groupdict().items() if value is not None}
        is_about_age = any(name in ("about", "of") or name[0] == "u" for name in parts)
        ages = _range(parts)
        if _SHORT_TIME.match(text, found.end()):
            continue
        if ages.is_exact and (is_about_age or _is_clear(parts, ages, text, found.end())):
            yield found.end(), ages


def _is_clear(parts: Mapping[str, str], ages: AgeRange, text: str, end: int) -> bool:
    """Whether plain numbers are an age: of ranges without a unit only whole bands, as 60-69."""
    if "loose" in parts or _QUANTITY.match(text, end):
        return False
    return ages.is_whole_bands if "range" in parts else True


def _range(parts: Mapping[str, str]) -> AgeRange:
    """The range of the numbers found; one without a unit has the unit of the other one."""
    has_months = any(name in parts for name in ("mlow", "mhigh", "mend"))
    ends = {}
    for name in ("low", "high", "over", "below", "only"):
        if name in parts:
            is_months = f"m{name}" in parts or (f"u{name}" not in parts and has_months)
            size = 1 if is_months else MONTHS_PER_YEAR
            ends[name] = int(parts[name]) * size, int(parts[name]) * size + size - 1
    if "only" in ends:
        return AgeRange(*ends["only"])
    low = ends["low"][0] if "low" in ends else ends["over"][1] + 1 if "over" in ends else 0
    high = ends["high"][1] if "high" in ends else ends["below"][0] - 1 if "below" in ends else None
    return AgeRange(low, high)
