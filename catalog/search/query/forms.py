"""Forms of words under which spellings are found that were typed a little differently.

Django-free.
"""

import re
from collections.abc import Sequence

from catalog.search.query.words import LINK_WORDS

# Shorter words have too many neighbors for a typo to be told from another word.
MIN_LETTERS = 5
NEGATING_PREFIXES = frozenset({"a", "ab", "an", "de", "dis", "im", "in", "non", "un"})
OPPOSITE_PREFIXES = (("hypo", "hyper"), ("micro", "macro"))
_SOUNDS = (("ph", "f"), ("ae", "e"), ("oe", "e"), ("ck", "k"), ("y", "i"))
_DOUBLED = re.compile(r"(.)\1+")


def loosen(words: Sequence[str]) -> str:
    """One form for spellings that differ in spaces, little words and a plural; "" for none."""
    if not words or words[0] in LINK_WORDS or words[-1] in LINK_WORDS:
        return ""
    kept = [word for word in words if word not in LINK_WORDS]
    loose = "".join([*kept[:-1], singular(kept[-1])])
    # "p et" is not "pet": letters on their own are joined only where much else agrees.
    return loose if len(kept) == 1 or len(loose) >= 4 else ""


def singular(word: str) -> str:
    if len(word) < 4 or word.endswith(("ss", "is", "us")):
        return word
    if word.endswith("ies") and len(word) > 4:
        return f"{word[:-3]}y"
    if word.endswith(("sses", "xes", "ches", "shes")):
        return word[:-2]
    return word.removesuffix("s")


def may_hold_typo(word: str) -> bool:
    return len(word) >= MIN_LETTERS and word.isalpha()


def is_opposite(word: str, other: str) -> bool:
    """Whether words differ by a prefix that turns the meaning round: "infected", "uninfected"."""
    short, long = sorted((word, other), key=len)
    if long.endswith(short) and long.removesuffix(short) in NEGATING_PREFIXES:
        return True
    return any(
        {word, other} == {one + word.removeprefix(one), two + word.removeprefix(one)}
        for one, two in (*OPPOSITE_PREFIXES, *(pair[::-1] for pair in OPPOSITE_PREFIXES))
        if word.startswith(one)
    )


def sound_of(word: str) -> str:
    for letters, sound in _SOUNDS:
        word = word.replace(letters, sound)
    return _DOUBLED.sub(r"\1", word)
