"""Which parts of a query are alternatives: "A or B", "A, B or C", "any of A, B". Django-free."""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from catalog.search.query.parsed import Match, Word
from catalog.search.query.phrases import STOP_WORDS
from vocab.text import normalize

# Before the first of several of which one is enough.
_ANY_OF = re.compile(r"\b(?:(?:any|one|either)\s+of(?:\s+the)?|either)\s+$", re.IGNORECASE)
_COMMA = re.compile(r"\s*[,;]\s*")


def find_ors(text: str, parts: Sequence[Match | Word]) -> Iterator[tuple[int, int]]:
    """The starts of neighbours that are alternatives: "A or B", "A, B or C", "any of A, B"."""
    pairs = list(pairwise(sorted(parts, key=lambda part: part.start)))
    is_or = [_is_or(text[one.end : other.start]) for one, other in pairs]
    is_any = False
    for at, (one, other) in enumerate(pairs):
        is_any = is_any or bool(_ANY_OF.search(text, 0, one.start))
        is_any = is_any and (is_or[at] or _is_listed(text, one, other))
        is_or[at] = is_or[at] or is_any
    for at in reversed(range(len(pairs) - 1)):
        is_or[at] = is_or[at] or (is_or[at + 1] and _is_listed(text, *pairs[at]))
    return ((a.start, b.start) for (a, b), joined in zip(pairs, is_or, strict=True) if joined)


def _is_listed(text: str, one: Match | Word, other: Match | Word) -> bool:
    """Whether a comma stands between two of one kind: two labels, or two words."""
    kinds = [part.name if isinstance(part, Match) else part.is_excluded for part in (one, other)]
    return kinds[0] == kinds[1] and bool(_COMMA.fullmatch(text, one.end, other.start))


def _is_or(between: str) -> bool:
    words = normalize(between).split()
    if '"' in between or not STOP_WORDS.issuperset(words):
        return False
    # "Effusion or a nodule", and not "effusion in the chest/lung".
    return "or" in words[:2] or ("/" in between and {"or", "and"}.issuperset(words))
