"""Cutting a query into quoted phrases, chunks between white space, and their words."""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from catalog.search.query.parsed import Word
from catalog.search.query.spellings import Spellings
from catalog.search.query.words import STOP_WORDS
from vocab.text import normalize

QUOTED = re.compile(r'"([^"]*)"')
_QUOTES = str.maketrans(dict.fromkeys("“”„‟«»", '"'))
_CHUNK = re.compile(r'[^\s,;|()\[\]{}<>?!…·•"]+')
# Accents that no composed letter exists for stay behind their letter.
_MARKS = "\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f"
_PIECE = re.compile(rf"[^\W_](?:[^\W_]|[{_MARKS}])*")


@dataclass(frozen=True, slots=True)
class Piece:
    """A word in its normal form, at ``text[start:end]``.

    Pieces of equal ``chunk`` are joined by punctuation. Spellings begin and stop only where
    ``may_start`` and ``may_end`` say so: a closed chunk is not taken apart. ``is_excluded``: a
    minus sign stands before it.
    """

    word: str
    start: int
    end: int
    chunk: int
    may_start: bool
    may_end: bool
    is_excluded: bool


def clean_text(text: str) -> str:
    """Letters in Unicode form NFKC and plain quotes; one without a partner becomes a space."""
    clean = unicodedata.normalize("NFKC", text).translate(_QUOTES)
    if clean.count('"') % 2 == 0:
        return clean
    at = clean.rindex('"')
    return f"{clean[:at]} {clean[at + 1 :]}"


def read_phrase(text: str, quoted: re.Match[str]) -> Iterator[Word]:
    """The quoted phrase as one word; nothing where it holds no letter and no digit."""
    if normalize(quoted[1]):
        phrase = " ".join(quoted[1].split())
        is_excluded = _follows_minus(text, quoted.start())
        yield Word(phrase, quoted.start(), quoted.end(), True, is_excluded)


def cut_pieces(text: str, start: int, end: int, spellings: Spellings) -> list[Piece]:
    """The words of ``text[start:end]``, which holds no quotes."""
    return [
        piece
        for number, (first, last) in enumerate(_find_chunks(text, start, end))
        for piece in _cut_chunk(text, first, last, number, spellings)
    ]


def _find_chunks(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    for found in _CHUNK.finditer(text, start, end):
        # A slash parts words, but not paths, addresses and DOIs.
        if "/" in found[0] and "." not in found[0] and not any(c.isdigit() for c in found[0]):
            for part in re.finditer(r"[^/]+", found[0]):
                yield found.start() + part.start(), found.start() + part.end()
        else:
            yield found.span()


def _cut_chunk(
    text: str, start: int, end: int, number: int, spellings: Spellings
) -> Iterator[Piece]:
    found = [(normalize(m[0]), m.start(), m.end()) for m in _PIECE.finditer(text, start, end)]
    spans = [span for span in found if span[0]]
    is_open = _can_be_read([word for word, _, _ in spans], spellings)
    for at, (word, first, last) in enumerate(spans):
        yield Piece(
            word,
            first,
            last,
            number,
            may_start=is_open or at == 0,
            may_end=is_open or at == len(spans) - 1,
            is_excluded=at == 0 and _follows_minus(text, first),
        )


def _follows_minus(text: str, at: int) -> bool:
    """Whether a minus sign stands right before, and is no dash between words."""
    before = text[max(at - 2, 0) : at]
    return before.endswith("-") and (len(before) == 1 or before[0].isspace() or before[0] in ",;(")


def _can_be_read(words: Sequence[str], spellings: Spellings) -> bool:
    """Whether every part of words that punctuation joins means something."""
    if len(words) < 2:
        return True
    if spellings.is_name(words):
        return False
    # What has digits may be an id, and an id has no typos.
    with_typo = not any(char.isdigit() for word in words for char in word)
    at = 0
    while at < len(words):
        reach = spellings.longest_from(words[at])
        for stop in range(min(at + reach, len(words)), at, -1):
            reading = spellings.find(words[at:stop], with_typo=with_typo)
            if reading and reading.name:
                at = stop
                break
        else:
            if words[at] not in STOP_WORDS:
                return False
            at += 1
    return True
