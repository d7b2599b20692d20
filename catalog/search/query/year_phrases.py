"""Years of publication in a query: "after 2020", "from 2015 to 2018", "in 2019". Django-free.

A year alone is none of these: it often is a part of a name, as in "KiTS 2019".
"""

import re
from collections.abc import Iterator


def _year(name: str) -> str:
    # "2019-2020" and "2019/12" are no years, and neither is "2019.pdf".
    return rf"(?P<{name}>(?:19|20)\d\d)(?![-/.]?\w)"


_PUBLISHED = r"(?:(?:first\s+)?(?:published|released)\s+)?"
_TO_WORD = r"\s+(?:to|until|till|through|thru)\s+"
_TO = rf"(?:{_TO_WORD}|\s*[-‐‑–—]\s*)"
# These may stand before a year.
_WORD = r"(?:in\s+)?(?:year\s*)?"
_ON = r"\s+(?:on|onwards?)\b"
_LATER = r"\s+(?:or|and)\s+(?:later|newer|after|onwards?)\b"
_EARLIER = r"\s+(?:or|and)\s+(?:earlier|older|before)\b"
_YEARS = tuple(
    re.compile(rf"{_PUBLISHED}{pattern}", re.IGNORECASE)
    for pattern in (
        rf"between\s+{_year('first')}\s+and\s+{_year('last')}",
        rf"from\s+(?P<first>(?:19|20)\d\d){_TO}{_year('last')}",
        rf"(?:from|starting(?:\s+(?:in|from))?)\s+{_year('first')}{_ON}",
        rf"since\s+{_year('first')}(?:{_ON})?",
        rf"(?:from|since)\s+{_year('first')}\+(?!\w)",
        rf"(?:year\s+)?{_year('first')}{_TO_WORD}{_year('last')}",
        rf"{_WORD}{_year('first')}{_LATER}",
        rf"(?:after|(?:later|newer)\s+than)\s+{_year('over')}",
        rf"(?:until|till|up\s+to)\s+{_year('last')}",
        rf"{_WORD}{_year('last')}{_EARLIER}",
        rf"(?:before|(?:earlier|older)\s+than)\s+{_year('below')}",
        rf"(?:in|from)\s+{_year('only')}",
        rf"{_WORD}(?:>=|≥)\s*{_year('first')}",
        rf"{_WORD}>\s*{_year('over')}",
        rf"{_WORD}(?:<=|≤)\s*{_year('last')}",
        rf"{_WORD}<\s*{_year('below')}",
        rf"year\s*[=:]?\s*{_year('only')}",
        rf"{_year('first')}\+(?!\w)",
    )
)

_ALONE = re.compile(_year("only"))
_SINGLE = re.compile(
    rf"(?:(?:in|from)\s+)?{_year('only')}(?!\+|{_TO_WORD}|{_LATER}|{_EARLIER})", re.I
)


def read_single_year(text: str, at: int) -> Iterator[tuple[int, int, int]]:
    """As ``read_years``, of a single year alone: "2020" or "in 2020"."""
    if found := _SINGLE.match(text, at):
        yield found.end(), int(found["only"]), int(found["only"])


def read_years(
    text: str, at: int, *, is_negated: bool = False
) -> Iterator[tuple[int, int | None, int | None]]:
    """The readings of a phrase at ``text[at:]``: its end, the first year and the last one.

    Negated, it may be a year alone: "not 2020".
    """
    for pattern in (*_YEARS, _ALONE) if is_negated else _YEARS:
        if found := pattern.match(text, at):
            parts = {name: int(year) for name, year in found.groupdict().items() if year}
            first, last = parts.get("first"), parts.get("last")
            if "only" in parts:
                first = last = parts["only"]
            if "over" in parts:
                first = parts["over"] + 1
            if "below" in parts:
                last = parts["below"] - 1
            if first and last and first > last:
                first, last = last, first
            yield found.end(), first, last
