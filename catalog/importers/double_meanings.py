"""Sexes and ages that mean something else where others of their column stand beside them.

Comes in: the cells of a column. Comes out: whether its M is a man's, and its 45M an age.
"""

import re

from catalog.importers.parsers import clean

_AGE_AND_SEX = re.compile(r"[0-9]{1,3} ?([fm])", re.IGNORECASE)


class DoubleMeanings:
    """Collects the sexes and ages of a column each, as they are read."""

    def __init__(self) -> None:
        self._sexes: set[str] = set()
        self._of_ages: set[str] = set()

    def add_sex(self, word: str, sex: str) -> None:
        """`sex` is what the word is understood as."""
        self._sexes.update({f"={sex}", clean(word).casefold()} & {"=F", "h", "m"})

    def add_age(self, text: str) -> None:
        if found := _AGE_AND_SEX.fullmatch(text.strip()):
            self._of_ages.add(found[1].casefold())

    @property
    def is_m_unsure(self) -> bool:
        """Whether M may be a woman's: beside H, as hombre and mujer, and no F."""
        return self._sexes == {"h", "m"}

    @property
    def have_ages_a_sex(self) -> bool:
        """Whether 45M may be a man of 45 years, not a child of 45 months: beside 45F."""
        return len(self._of_ages) > 1
