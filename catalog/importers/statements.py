"""Words that state a finding about a label: "COVID-19?", "COVID-19 (-)", "no pneumonia"."""

import re
from collections.abc import Iterator, Mapping

from catalog.models import Finding

_MINUS = "[-\u2010-\u2014\u2212]"
_SUFFIXES: Mapping[Finding, str] = {
    Finding.UNCERTAIN: r"[\s_]*(?:\?+|\(\?+\))",
    Finding.NEGATIVE: rf"[\s_]*\((?:{_MINUS}|neg|negative)\)|[\s_]+(?:{_MINUS}|neg|negative)",
    Finding.POSITIVE: r"[\s_]*\((?:\+|pos|positive)\)|[\s_]+(?:\+|pos|positive)",
}
_PREFIXES: Mapping[Finding, str] = {
    Finding.UNCERTAIN: r"\?+\s*",
    Finding.NEGATIVE: r"(?:no(?:[\s_]+(?:findings?|signs?|evidence)[\s_]+of)?|without"
    r"|absence[\s_]+of|neg(?:ative)?(?:[\s_]+for)?)[\s_]+",
    Finding.POSITIVE: r"pos(?:itive)?(?:[\s_]+for)?[\s_]+",
}
_PATTERNS = [
    (finding, re.compile(pattern, re.IGNORECASE))
    for finding in Finding
    for pattern in (
        rf"(?P<rest>.*\w\)?)(?:{_SUFFIXES[finding]})",
        rf"(?:{_PREFIXES[finding]})(?P<rest>\w.*)",
    )
]


def read_statements(word: str) -> Iterator[tuple[str, Finding]]:
    """What else the word may be: another word with a finding.

    A sign that touches its word ("HER2-") is part of a name and is not read here, but a question
    mark always asks.
    """
    for finding, pattern in _PATTERNS:
        if found := pattern.fullmatch(word.strip()):
            yield found["rest"], finding
