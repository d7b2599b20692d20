"""Limits that several parts of the catalog share: lengths of fields, ages, sizes."""

import re
import unicodedata

MAX_SLUG = 80  # characters, as the next ones
MAX_TITLE = 200
MAX_SOURCE_ID = 255
MAX_SUBJECT_ID = 128
MAX_FILE_PATH = 1024
MAX_URL = 1000
MAX_STORAGE = 300

FIRST_YEAR, LAST_YEAR = 1950, 2100  # in which datasets are published
MAX_AGE_YEARS = 129
MAX_INTEGER = 2**31 - 1  # of PostgreSQL's integer
# A terabyte: far above any image, and the sum of a million of them still fits into a bigint.
MAX_IMAGE_BYTES = 10**12
MAX_PREVIEW_PIXELS = 100_000_000

BYTES_PER_MB = 1_000_000

# As DICOM writes ages (PS3.5 6.2), also without the zeros before them.
_NO_AGE = re.compile(r"0{1,3}Y|000y")


def is_age(years: float) -> bool:
    """Whether a number of years can be the age of a person; others are placeholders, as 999."""
    return 0 <= years <= MAX_AGE_YEARS


def states_no_age(text: str) -> bool:
    """Whether an Age String of DICOM stands for none: `000Y`.

    Scanners and anonymisers write it where they know no age. In the index of the IDC 10,620 of
    10,622 such series are of phantoms and adults; newborns have `000D`, `000W` or `000M`.
    """
    return bool(_NO_AGE.fullmatch(text))


def is_printable(name: str) -> bool:
    """Whether no sign of a name is invisible or turns its neighbours round.

    Spaces of any width aside, and joiners, with which some scripts are written.
    """
    return all(
        sign.isprintable() or unicodedata.category(sign) == "Zs" or sign in "\u200c\u200d"
        for sign in name
    )
