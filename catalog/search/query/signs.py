"""Signs that keep labels apart: "HER2+" and "HER2-", "Grade <2" and "Grade >2". Django-free.

A *shape* is the normal form of a label with every word as "w": that of "Grade <2" is "w<w". Which
label is meant is told by its words and its shape.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from vocab.text import DASHES, TermRef, normalize, normalize_label

PLUS, MINUS = "+", "−"
# These are punctuation of a query as well: "any nodules?", "mass/nodule". They tell labels apart
# only where a label has them.
_SOFT = re.compile(r"[?/]")
_HARD = re.compile(r"[+−±<>≤≥≈~↑↓]")
_BEFORE = re.compile(r"[<>≤≥≈~±↑↓]=?\s*$")
_AFTER = re.compile(
    rf"(?P<gap>[\s:=]*)(?P<open>\(\s*)?(?P<sign>\+/[{DASHES}]|\++|[{DASHES}]+|±|\?)"
    r"(?P<ve>ve\b)?(?P<close>\s*\))?"
)
_PUNCTUATION = ",;.:!?)]}/|"
# How a sign is said, to be found in texts, where signs are no words.
_SAID = {
    PLUS: "positive", MINUS: "negative", "±": "positive negative", "<": "less than",
    ">": "greater than", "≤": "at most", "≥": "at least", "≈": "about", "~": "about",
    "↑": "increased", "↓": "decreased",
}  # fmt: skip
POLES = {PLUS: ("positive", "pos"), MINUS: ("negative", "neg")}

Shapes = tuple[tuple[str, tuple[TermRef, ...]], ...]


def shape_of(text: str) -> str:
    return re.sub(r"\w+", "w", normalize_label(text))


def has_signs(shape: str) -> bool:
    return bool(_HARD.search(shape))


def has_poles(shapes: Shapes) -> bool:
    """Whether a plus or a minus keeps these labels apart."""
    return any(char in shape for shape, _ in shapes for char in "+−±")


def find_shape(shape: str, shapes: Shapes) -> tuple[TermRef, ...]:
    """The labels of this shape; of other numbers of words ("HER 2+") those with equal signs."""
    for typed in dict.fromkeys((shape, _without_soft(shape))):
        for known, refs in shapes:
            is_equal_number = known.count("w") == typed.count("w")
            if known == typed or (not is_equal_number and _signs(known) == _signs(typed)):
                return refs
    return ()


def _without_soft(shape: str) -> str:
    return " ".join(_SOFT.sub(" ", shape).split())


def _signs(shape: str) -> str:
    return shape.replace("w", "").replace(" ", "")


def group_by_signs(labels: Mapping[str, Sequence[TermRef]]) -> dict[str, Shapes]:
    """From plain spellings to the labels that only signs keep apart, by their shapes.

    ``labels`` are by ``normalize_label``. Spellings that no label has with a sign are left out.
    """
    groups: dict[str, dict[str, tuple[TermRef, ...]]] = {}
    for key, refs in labels.items():
        groups.setdefault(normalize(key), {})[shape_of(key)] = tuple(refs)
    return {
        plain: tuple(shapes.items())
        for plain, shapes in groups.items()
        if any(has_signs(shape) or _SOFT.search(shape) for shape in shapes)
    }


def find_poles(
    labels: Mapping[str, Sequence[TermRef]],
) -> dict[str, dict[str, tuple[TermRef, ...]]]:
    """What has a positive and a negative: from "her2" to its labels by PLUS and MINUS.

    A sign makes a pole; so do the words "positive" and "negative" where labels have both of them:
    "triple negative" alone is a name.
    """
    signed: dict[str, dict[str, tuple[TermRef, ...]]] = {}
    worded: dict[str, dict[str, tuple[TermRef, ...]]] = {}
    for key, refs in labels.items():
        for sign, (word, _) in POLES.items():
            for ending, poles in ((sign, signed), (f" {word}", worded)):
                base = key.removesuffix(ending)
                if base and base != key and base == normalize(base):
                    poles.setdefault(base, {})[sign] = tuple(refs)
    both = {base: poles for base, poles in worded.items() if base in signed or len(poles) > 1}
    return {base: both.get(base, {}) | signed.get(base, {}) for base in {**both, **signed}}


def name_poles(
    base: str, poles: Mapping[str, tuple[TermRef, ...]]
) -> Iterator[tuple[str, tuple[TermRef, ...]]]:
    """Poles in words, with their labels, which may be none: "her2 negative", "positive for her2".

    "Negative for" what no label says to be negative is a negation.
    """
    for sign, words in POLES.items():
        refs = poles.get(sign, ())
        yield from ((f"{base} {word}", refs) for word in words)
        if refs or sign == PLUS:
            yield f"{words[0]} for {base}", refs


class Sign(NamedTuple):
    """A sign after words, up to ``end``."""

    text: str
    end: int


def sign_before(text: str, start: int) -> int:
    """Where a label begins that may have a sign before its first word."""
    found = _BEFORE.search(text, 0, start)
    return found.start() if found else start


def sign_after(text: str, end: int, *, is_expected: bool) -> Sign | None:
    """The sign of the words that end at ``end``: "HER2-", "HER2 +", "HER2 (-)", "HER2 -ve".

    A dash between words joins them or excludes the second. A plus between words joins them too,
    unless the words are known with signs.
    """
    found = _AFTER.match(text, end)
    if not found or (found["open"] and not found["close"]):
        return None
    stop = found.end() if found["open"] else found.end("ve" if found["ve"] else "sign")
    sign = Sign(found["sign"], stop)
    if found["open"] or found["ve"]:
        return sign
    following = text[stop : stop + 1]
    is_glued = bool(following.strip()) and following not in _PUNCTUATION
    rest = text[stop:].lstrip()[:1]
    joins = is_glued or (bool(found["gap"]) and rest != "" and rest not in _PUNCTUATION)
    if sign.text[0] in "+±":
        return None if joins and not is_expected else sign
    if sign.text == "?":
        return sign if not found["gap"] and not is_glued else None
    return None if joins else sign


def say_signs(text: str) -> str:
    """The text with its signs as words: "HER2-" becomes "her2 negative"; itself if it has none."""
    key = normalize_label(text)
    if not has_signs(key):
        return text
    return " ".join("".join(f" {_SAID.get(char, char)} " if _HARD.match(char) else char
                            for char in key).split())  # fmt: skip
