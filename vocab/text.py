"""Normal forms of spellings, and references to terms. Django-free."""

import re
import unicodedata
from dataclasses import dataclass, field, replace

# After a code in a URL: the term without what is narrower. No code contains a tilde.
ALONE = "~only"
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
        names = ", ".join(ref.name for ref in self.narrower)
        return f"with {names}" if names else ""

    def __str__(self) -> str:
        return ", ".join(filter(None, (self.text, self.note)))
