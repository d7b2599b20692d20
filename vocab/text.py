"""Normal forms of spellings, and references to terms. Django-free."""

import re
import unicodedata
from dataclasses import dataclass

# Dashes, underscores, slashes and other punctuation separate words: "X-ray" is "x ray".
_NOT_WORD = re.compile(r"[\W_]+")


def normalize(text: str) -> str:
    """Fold case, accents and punctuation: ``"Tórax  X-ray"`` becomes ``"torax x ray"``.

    Two spellings mean the same word exactly when their normal forms are equal.
    """
    decomposed = unicodedata.normalize("NFKD", text)
    plain = "".join(char for char in decomposed if not unicodedata.combining(char))
    return _NOT_WORD.sub(" ", plain.casefold()).strip()


@dataclass(frozen=True, slots=True)
class TermRef:
    """A reference to a term: its vocabulary, id, code and name."""

    vocabulary: str
    id: int
    code: str
    name: str
