"""Normal forms of spellings, and references to terms. Django-free."""

import re
import unicodedata
from dataclasses import dataclass

# Dashes, underscores, slashes and other punctuation separate words: "X-ray" is "x ray".
_NOT_WORD = re.compile(r"[\W_]+")

# Signs that carry meaning in a label: "HER2+" is not "HER2-", "Grade >2" not "Grade <2".
_SIGNS = "+−<>≤≥?~/±≈↑↓"
_DASHES = "-\u2010\u2011\u2012\u2013\u2014\u2212"
_DASH = re.compile(f"[{_DASHES}]+")
_JOINT = re.compile(rf"(?<=[\w)\]])(?:[{_DASHES}]+|\s+[{_DASHES}]+\s+)(?=[\w(\[])")
_LABEL_PART = re.compile(rf"\w+|[{_SIGNS}]")
_AROUND_SIGN = re.compile(rf" ?([{_SIGNS}]) ?")


def normalize(text: str) -> str:
    """Fold case, accents and punctuation: ``"Tórax  X-ray"`` becomes ``"torax x ray"``.

    Two spellings mean the same word exactly when their normal forms are equal.
    """
    return _NOT_WORD.sub(" ", _fold(text)).strip()


def normalize_label(text: str) -> str:
    """The normal form of a label: as ``normalize``, but signs that carry meaning stay.

    ``"HER2 (+)"`` becomes ``"her2+"``, ``"COVID-19 -"`` becomes ``"covid 19−"``. A dash joins words
    if it stands between them with a space on both sides or on neither; any other is a minus.
    """
    plain = _JOINT.sub(" ", _fold(text).replace("_", " ").replace("\u2044", "/"))
    plain = _DASH.sub("−", plain)
    for written, sign in (("<=", "≤"), (">=", "≥"), ("+/−", "±"), ("+−", "±")):
        plain = plain.replace(written, sign)
    return _AROUND_SIGN.sub(r"\1", " ".join(_LABEL_PART.findall(plain)))


def plain_keys(code: str, name: str) -> set[str]:
    """The normal forms by which a term itself is found."""
    return {normalize(code), normalize(name)}


def label_keys(code: str, name: str) -> set[str]:
    """The same of a label.

    A code that differs from its name only by signs was made from that name, and says less.
    """
    keys = {normalize_label(name)}
    return keys if normalize(code) == normalize(name) else {*keys, normalize_label(code)}


def _fold(text: str) -> str:
    """Without case and accents."""
    decomposed = unicodedata.normalize("NFKD", text)
    return "".join(char for char in decomposed if not unicodedata.combining(char)).casefold()


@dataclass(frozen=True, slots=True)
class TermRef:
    """A reference to a term: its vocabulary, id, code and name."""

    vocabulary: str
    id: int
    code: str
    name: str
