"""Normal forms of words, so that small differences in spelling still match. Django-free."""

import re
from collections.abc import Sequence

from catalog.search.query.phrases import LINK_WORDS

# Shorter words resemble too many others: a typo cannot be distinguished from another word.
MIN_LETTERS = 5
NEGATING_PREFIXES = frozenset({"a", "ab", "an", "de", "dis", "im", "in", "non", "un"})
OPPOSITE_PREFIXES = (("hypo", "hyper"), ("micro", "macro"))
_SOUNDS = (("ph", "f"), ("ae", "e"), ("oe", "e"), ("ck", "k"), ("y", "i"))
_DOUBLED = re.compile(r"(.)\1+")
# Parts of words in American and in British spelling.
_AMERICAN_AND_BRITISH = (
    ("tumor", "tumour"), ("color", "colour"), ("center", "centre"), ("fiber", "fibre"),
    ("gray", "grey"), ("edema", "oedema"), ("esophag", "oesophag"), ("hemor", "haemor"),
    ("hemat", "haemat"), ("hemo", "haemo"), ("ischem", "ischaem"), ("anemi", "anaemi"),
    ("pediatr", "paediatr"), ("orthoped", "orthopaed"), ("gynec", "gynaec"), ("fetal", "foetal"),
    ("fetus", "foetus"), ("cecum", "caecum"), ("leuko", "leuco"), ("ization", "isation"),
    ("labeled", "labelled"),
)  # fmt: skip
# Of countries; other endings would leave another word: "lateral", "later".
_ADJECTIVES = ("ian", "ese", "ish", "an")
MIN_ROOT = 6


def vary_spelling(word: str) -> list[str]:
    """The word as it is spelt on the other side of the Atlantic."""
    folded = word.casefold()
    return [
        folded.replace(here, there)
        for pair in _AMERICAN_AND_BRITISH
        for here, there in (pair[::-1] if pair[1] in folded else pair,)
        if here in folded
    ]


def find_root(word: str) -> str:
    """What a noun and its adjective begin with: "brazil" of "Brazilian"; "" if it is too short."""
    folded = word.casefold()
    if folded.endswith("ician"):  # a physician is nobody of "Physics"
        return ""
    ending = next((e for e in _ADJECTIVES if folded.endswith(e)), "")
    root = folded.removesuffix(ending)
    return root if len(root) >= MIN_ROOT and root.isalpha() else ""


def loosen(words: Sequence[str]) -> str:
    """One form for spellings that differ in spaces, link words or a plural; "" if there is none."""
    if not words or words[0] in LINK_WORDS or words[-1] in LINK_WORDS:
        return ""
    kept = [word for word in words if word not in LINK_WORDS]
    loose = "".join([*kept[:-1], singular(kept[-1])])
    # Short results are not joined from several words: "p et" is not "pet".
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
    """Whether a prefix makes one word the opposite of the other: "infected", "uninfected"."""
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
