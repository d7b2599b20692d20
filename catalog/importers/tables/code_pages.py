"""Finds the code page of a header that was read in another one.

Spreadsheets write CSV in the code page of the system, and any of these can be read as nearly any
other: what comes is letters that name nothing, and a column of names would be kept.
"""

import codecs
import unicodedata
from collections.abc import Iterable, Sequence
from itertools import islice, pairwise
from typing import NamedTuple

from catalog.importers.rows import SourceError
from catalog.importers.tables.identifying_columns import is_left_out
from catalog.importers.tables.lines import show

# Of several that fit equally well the first one counts.
CODE_PAGES = (
    "gb18030", "big5", "cp932", "euc_jp", "cp949", "cp1252", "cp1250", "cp1251", "koi8_r",
    "cp866", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "cp1258", "cp874", "cp850",
    "cp852", "mac_roman", "iso8859_2", "iso8859_5", "iso8859_6", "iso8859_7", "iso8859_8",
)  # fmt: skip
# Each takes up to five milliseconds; names of people mostly come first.
MOST_NAMES = 500


class _Misread(NamedTuple):
    """A name as it was read, as it would be in another code page, and how many there are."""

    name: str
    again: str
    page: str
    number: int


def check_code_page(path: str, names: Sequence[str], encodings: Iterable[str]) -> None:
    """Raise `SourceError` if a name would be left out, had it another code page than `encodings`.

    `names` are those of the columns of the table `path`, as they were read.
    """
    others = islice((name for name in names if not name.isascii()), MOST_NAMES)
    kept = [name for name in others if not is_left_out(name)]
    found = [
        misread
        for used in encodings
        # What was understood as UTF-8 is hardly anything else.
        if not codecs.lookup(used).name.startswith("utf")
        for page in CODE_PAGES
        if (misread := _read_again(kept, used, page))
    ]
    if not found:
        return
    likely = max(found, key=lambda misread: misread.number)
    raise SourceError(
        f"{path}: the header seems to be in {likely.page}, in which “{show(likely.name)}” is "
        f'“{show(likely.again)}”. Name that in the description: encoding = ["{likely.page}"]. If '
        "it is not, save the table again as UTF-8."
    )


def _read_again(names: Iterable[str], used: str, page: str) -> _Misread | None:
    found: list[tuple[str, str]] = []
    for name in names:
        try:
            again = name.encode(used).decode(page)
        except UnicodeError:
            continue
        if again != name and _is_written(again) and is_left_out(again):
            found.append((name, again))
    return _Misread(*found[0], page, len(found)) if found else None


def _is_written(name: str) -> bool:
    """Whether people write so: no signs such as §, and no À behind a small letter, as by chance."""
    return all(
        sign.isascii() or sign in "’（）" or unicodedata.category(sign)[0] in "LMN" for sign in name
    ) and not any(
        before.islower() and sign.isupper() and not sign.isascii()
        for before, sign in pairwise(name)
    )
