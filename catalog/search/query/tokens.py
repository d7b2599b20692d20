"""Splits a query into quoted phrases, chunks between white space, and words."""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from catalog.search.query.parsed import Word
from catalog.search.query.phrases import STOP_WORDS
from catalog.search.query.spellings import Spellings
from vocab.text import DASHES, normalize

QUOTED = re.compile(r'"([^"]*)"')
_QUOTES = str.maketrans(dict.fromkeys("“”„‟«»", '"'))
# Signs with which somebody excludes a word, as word processors and phones write a minus.
MINUS_SIGNS = f"{DASHES}\u02d7\u1806\u2015\u2043!¬≠"
_WITHOUT = re.compile(r"(?<![\w/])w/o(?:ut)?(?![\w/])", re.IGNORECASE)
_WITH = re.compile(r"(?<![\w/])w/(?=\s|[^\W_])", re.IGNORECASE)
# As in names of folders: "no_tumor" is no tumour.
_JOINED_NEGATION = re.compile(r"(?<![^\W_])(no|non|not|without)_+(?=[^\W_])", re.IGNORECASE)
# Not within quotes, where it separates words only.
_OR_SIGN = re.compile(r'("[^"]*")|(?:\s*\|)+\s*')
_MINUS = re.compile(rf'(?:^|(?<=[\s,;(]))(?<!\d\s)[{MINUS_SIGNS}](?=[^\W_]|")')
_CHUNK = re.compile(r'[^\s,;|()\[\]{}<>?!…·•"]+')
# Combining accents without a composed letter follow their letter.
_MARKS = "\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f"
_PIECE = re.compile(rf"[^\W_](?:[^\W_]|[{_MARKS}])*")


@dataclass(frozen=True, slots=True)
class Piece:
    """A word in its normal form, at ``text[start:end]``.

    Pieces of the same ``chunk`` are joined by punctuation. A spelling can only begin at a piece
    with ``may_start`` and stop at one with ``may_end``: a closed chunk is not split.
    ``is_excluded``: a minus sign precedes it.
    """

    word: str
    start: int
    end: int
    chunk: int
    may_start: bool
    may_end: bool
    is_excluded: bool


def clean_text(text: str) -> str:
    """The text in Unicode form NFKC, with plain paired quotes, minus signs and single spaces.

    "W/o", "w/" and "|", which is "or", are written out.
    """
    clean = unicodedata.normalize("NFKC", text).translate(_QUOTES)
    clean = _WITH.sub("with ", _WITHOUT.sub("without", clean))
    clean = _JOINED_NEGATION.sub(r"\1 ", clean)
    if clean.count('"') % 2:
        at = clean.rindex('"')
        clean = f"{clean[:at]} {clean[at + 1 :]}"
    clean = _OR_SIGN.sub(lambda found: found[1] or " or ", clean)
    return _MINUS.sub("-", " ".join(clean.split()))


def list_chunks(text: str) -> list[str]:
    """The words, where an id with punctuation or a path is one."""
    return [text[start:end] for start, end in _find_chunks(text, 0, len(text))]


def count_words(text: str) -> int:
    """The words; each part with a letter of one with punctuation may mean something by itself."""
    return sum(
        max(1, sum(any(map(str.isalpha, part)) for part in _PIECE.findall(chunk)))
        for chunk in list_chunks(text)
    )


def read_phrase(text: str, quoted: re.Match[str], negation: int | None) -> Iterator[Word]:
    """The quoted phrase as one word; nothing if it has no letter and no digit.

    ``negation`` is where a "not" begins that excludes it.
    """
    if normalize(quoted[1]):
        phrase = " ".join(quoted[1].split())
        start = quoted.start() if negation is None else negation
        is_excluded = negation is not None or _follows_minus(text, quoted.start())
        yield Word(phrase, start, quoted.end(), True, is_excluded)


def cut_pieces(text: str, start: int, end: int, spellings: Spellings) -> list[Piece]:
    """The words of ``text[start:end]``, which has no quotes."""
    return [
        piece
        for number, (first, last) in enumerate(_find_chunks(text, start, end))
        for piece in _cut_chunk(text, first, last, number, spellings)
    ]


def _find_chunks(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    for found in _CHUNK.finditer(text, start, end):
        # A slash separates words, but not the parts of paths, URLs and DOIs.
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
    """Whether a minus sign directly precedes that is not a dash between words."""
    before = text[max(at - 2, 0) : at]
    return before.endswith("-") and (len(before) == 1 or before[0].isspace() or before[0] in ",;(")


def _can_be_read(words: Sequence[str], spellings: Spellings) -> bool:
    """Whether every part of words joined by punctuation means something."""
    if len(words) < 2:
        return True
    if spellings.is_name(words):
        return False
    # Words with digits may be an id, and ids are not corrected.
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
