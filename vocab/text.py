"""Normal forms of spellings, and references to terms. Django-free."""

import re
import unicodedata
from dataclasses import dataclass, field, replace

# After a code in a URL: the term without what is narrower. No code contains a tilde.
ALONE = "~only"
# Dashes, underscores, slashes and other punctuation separate words: "X-ray" is "x ray".
_NOT_WORD = re.compile(r"[\W_]+")

_PIECE = 1000
# Signs that carry meaning in a label: "HER2+" is not "HER2-", "Grade >2" not "Grade <2".
_SIGNS = "+−<>≤≥?~/±≈↑↓"
DASHES = "-\u2010\u2011\u2012\u2013\u2014\u2212"
_DASH = re.compile(f"[{DASHES}]+")
_JOINT = re.compile(rf"(?<=[\w)\]])(?:[{DASHES}]+|\s+[{DASHES}]+\s+)(?=[\w(\[])")
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

    A code that differs from its name only by signs was made from that name, and says less; so was
    one with a number behind, which "HER2-" has if there was an "HER2+" before.
    """
    key, plain, own = normalize_label(name), normalize(name), normalize(code)
    is_numbered = key != plain and bool(re.fullmatch(rf"{re.escape(plain)} \d+", own))
    return {key} if own == plain or is_numbered else {key, normalize_label(code)}


def plain_label_keys(code: str, name: str) -> set[str]:
    """The same as in a query: without signs."""
    return {normalize(key) for key in label_keys(code, name)}


def decompose(text: str) -> str:
    """The normal form NFKD, a piece of a long text at a time.

    ``unicodedata`` takes quadratic time for signs that are put above and below each other, of which
    no word has many: a million of them would take hours.
    """
    pieces = (text[start : start + _PIECE] for start in range(0, len(text), _PIECE))
    return "".join(unicodedata.normalize("NFKD", piece) for piece in pieces)


def _fold(text: str) -> str:
    """Without case and accents."""
    if text.isascii():
        return text.casefold()
    decomposed = decompose(text)
    return "".join(char for char in decomposed if not unicodedata.combining(char)).casefold()


@dataclass(frozen=True, slots=True)
class TermRef:
    """A reference to a term: its vocabulary, id, code and name.

    ``narrower`` are the terms that are part of it at any depth, which a filter by it includes;
    ``is_alone`` if the filter is not to include them.
    """

    vocabulary: str
    id: int
    code: str
    name: str
    narrower: tuple["TermRef", ...] = field(default=(), compare=False, repr=False)
    is_alone: bool = False

    def alone(self) -> "TermRef":
        """The term without what is narrower; itself if nothing is."""
        return replace(self, narrower=(), is_alone=True) if self.narrower else self

    @property
    def ids(self) -> tuple[int, ...]:
        """The ids of all terms that a filter by this one includes."""
        return (self.id, *(ref.id for ref in self.narrower))

    @property
    def value(self) -> str:
        """The value in a URL."""
        return f"{self.code}{ALONE}" if self.is_alone else self.code

    @property
    def text(self) -> str:
        """The name of what a filter by this term finds, to be followed by ``note``."""
        return f"{self.name} only" if self.is_alone else self.name

    @property
    def note(self) -> str:
        """What a filter by this term includes besides it, such as “with Brain, Skull”."""
        if not self.narrower:  # as with most, of which a page has hundreds
            return ""
        return f"with {', '.join(ref.name for ref in self.narrower)}"

    def __str__(self) -> str:
        return ", ".join(filter(None, (self.text, self.note)))
