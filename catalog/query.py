"""Reading what is typed into the search box. Pure: no database, no Django."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vocab.text import TermRef, normalize

MAX_TERM_WORDS = 6
# Words that carry no meaning in a query for images.
STOP_WORDS = frozenset({
    "a", "an", "and", "any", "by", "data", "dataset", "datasets", "for", "from", "image",
    "images", "in", "of", "on", "or", "scan", "scans", "show", "studies", "study", "the", "to",
    "with",
})  # fmt: skip
_TOKEN = re.compile(r"\S+")


@dataclass(frozen=True, slots=True)
class TermMatch:
    """Words of the query that name terms of one vocabulary; any of them may match."""

    words: str
    vocabulary: str
    terms: tuple[TermRef, ...]


@dataclass(frozen=True, slots=True)
class ParsedQuery:
    """The terms that a query names and the words that name none, as typed."""

    matches: tuple[TermMatch, ...]
    rest: tuple[str, ...]


def parse_query(text: str, spellings: Mapping[str, Sequence[TermRef]]) -> ParsedQuery:
    """Split ``text`` into terms and other words; the longest spelling wins, from the left.

    ``spellings`` maps normal forms to terms. Where a spelling exists in several vocabularies the
    first one counts.
    """
    tokens = _TOKEN.findall(text)
    matches: list[TermMatch] = []
    rest: list[str] = []
    at = 0
    while at < len(tokens):
        match, used = _match_at(tokens, at, spellings)
        if match:
            matches.append(match)
        elif normalize(tokens[at]) not in STOP_WORDS and normalize(tokens[at]):
            rest.append(tokens[at])
        at += used
    return ParsedQuery(tuple(matches), tuple(rest))


def _match_at(
    tokens: Sequence[str], at: int, spellings: Mapping[str, Sequence[TermRef]]
) -> tuple[TermMatch | None, int]:
    for length in range(min(MAX_TERM_WORDS, len(tokens) - at), 0, -1):
        words = " ".join(tokens[at : at + length])
        refs = spellings.get(normalize(words), ())
        if refs and normalize(words) not in STOP_WORDS:
            vocabulary = refs[0].vocabulary
            terms = tuple(ref for ref in refs if ref.vocabulary == vocabulary)
            return TermMatch(words, vocabulary, terms), length
    return None, 1
