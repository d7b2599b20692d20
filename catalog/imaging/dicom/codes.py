"""Which texts are codes or placeholders, and which may be names of people.

Published datasets write one code for PatientID and PatientName, such as `QIN-BREAST-01-0001`.
Hospitals build ids of names, such as `SMITH_JOHN_19610304`. Only words tell the two apart.
"""

import re

# fmt: off
# Words of values that stand where a name, a number or a comment was.
PLACEHOLDERS = frozenset((
    "anon", "anonym", "anonymise", "anonymised", "anonymize", "anonymized", "anonymous",
    "blank", "case", "confidential", "de", "deidentified", "deleted", "dummy", "empty", "f",
    "female", "hidden", "identified", "m", "male", "masked", "na", "name", "no", "noname",
    "none", "not", "null", "o", "patient", "phantom", "pseudonym", "redacted", "removed",
    "subject", "test", "unknown", "unnamed", "volunteer", "withheld",
    "患者", "病人", "受试者", "匿名", "환자", "익명",
))
# Groups of collections, at the beginning of the codes of their patients. None is a name, as are
# Qin and Rider.
_COLLECTIONS = frozenset(("acrin", "brats", "gtex", "ixi", "lidc", "midrc", "qiba", "tcga"))
# Words of imaging that stand in such codes, and are no names.
_STUDY_WORDS = frozenset((
    # What was done.
    "biopsy", "ct", "dce", "dro", "dx", "fdg", "flair", "flt", "mr", "mri", "pet", "petct",
    "seg", "tma", "us", "wsi",
    # Of what.
    "abd", "abdomen", "adrenal", "bone", "brain", "breast", "cardiac", "chest",
    "colorectal", "contralateral", "head", "headneck", "heart", "hip", "kidney", "knee", "liver",
    "lung", "lymph", "neck", "neuro", "node", "nodes", "pancreas", "pelvic", "pelvis", "prostate",
    "renal", "retina", "skin", "spine", "spleen", "thorax", "thyroid",
    # With what.
    "adenoma", "cancer", "carcinoma", "covid", "gbm", "glioma", "lesion", "mass", "meningioma",
    "mets", "nodule", "sarcoma", "schwannoma", "stage", "tumor", "tumour",
    # For what.
    "atlas", "calc", "cohort", "control", "data", "dataset", "eval", "image", "images", "pediatric",
    "pseudo", "ref", "scan", "series", "session", "site", "sub", "study", "train", "training",
    "trial", "val", "validation", "visit",
    "ap", "cc", "left", "mlo", "pa", "right",
))
# fmt: on
_WORD = re.compile(r"[^\W_]+")
_SEPARATORS = re.compile(r"[\s^=,;]+")
_LETTERS = re.compile(r"[^\W\d_]+")
_HASH = re.compile(r"(?:anon-)?(?=.*[0-9])[0-9a-f-]{12,}")
# XXXX, 0000, J. A single sign of other scripts is a name, as in 王^明.
_ONE_SIGN = re.compile(r"([0-9a-z])\1*|(.)\2{2,}", re.DOTALL)
# Letters with digits on one side only: of what is A5JZ or 05bed3 none is a word.
_NUMBERED = re.compile(r"([a-z]{2,})[0-9]*|[0-9]+([a-z]{2,})", re.IGNORECASE)
_CAPITALISED = re.compile(r"[A-Z][a-z]+")
_VOWEL = re.compile("[aeiouy]")
_YEAR, _MONTH, _DAY = "(?:19|20)[0-9]{2}", "(?:0[1-9]|1[0-2])", "(?:0[1-9]|[12][0-9]|3[01])"
_DATE = re.compile(
    rf"(?<![0-9])(?:{_YEAR}{_MONTH}{_DAY}|(?:{_DAY}{_MONTH}|{_MONTH}{_DAY}){_YEAR}"
    r"|(?:19|20)[0-9]{2}([-_./ ])[0-9]{1,2}\1[0-9]{1,2}"
    r"|[0-9]{1,2}([-_./ ])[0-9]{1,2}\2(?:19|20)[0-9]{2})(?![0-9])"
)
_BETWEEN_NAMES = re.compile(r"[\^,]")


def find_words(text: str) -> list[str]:
    """The runs of letters and digits, in lower case."""
    return [word.casefold() for word in _WORD.findall(text)]


def is_placeholder(part: str) -> bool:
    """Whether a text in lower case is made of placeholders and of repeated signs."""
    words = _WORD.findall(part)
    return all(word in PLACEHOLDERS or _ONE_SIGN.fullmatch(word) for word in words)


def names_nobody(text: str) -> bool:
    """Whether each part of a person's name is a code, such as `P-0032`, or a placeholder."""
    parts = [part.casefold() for part in _SEPARATORS.split(text) if part]
    return all(_is_code(part) or is_placeholder(part) for part in parts)


def _is_code(part: str) -> bool:
    """A hash; or a word with a digit, in which at most three Latin letters stand together.

    In other scripts two signs are a whole name, to which hospitals add numbers and ages.
    """
    if _HASH.fullmatch(part):
        return True
    runs = _LETTERS.findall(part)
    return any(char.isdigit() for char in part) and all(
        (run.isascii() and len(run) <= 3) or run in PLACEHOLDERS for run in runs
    )


def is_code_of_patient(text: str) -> bool:
    """Whether what is PatientID, too, is a number or a code of a dataset, and no name.

    A code has a digit, or begins as those of a known collection. It has no date beside letters,
    and at most one word that may be a name: none where it is written as a name, `Smith^4711`.
    """
    runs = _LETTERS.findall(text.casefold())
    if not runs:
        return True
    if any(not run.isascii() and run not in PLACEHOLDERS for run in runs) or _DATE.search(text):
        return False
    if runs[0] in _COLLECTIONS:
        return True
    parts = [part for part in _BETWEEN_NAMES.split(text) if _WORD.search(part)]
    has_digit = any(char.isdigit() for char in text)
    return has_digit and len(_find_names(text)) < (1 if len(parts) > 1 else 2)


def _find_names(text: str) -> list[str]:
    """Words that may be names: of two and more letters, with a vowel, and not of imaging."""
    found: list[str] = []
    for token in _WORD.findall(text):
        if numbered := _NUMBERED.fullmatch(token):
            word = numbered[1] or numbered[2]
            found += [word] if _is_known(word) else _CAPITALISED.findall(word) or [word]
    return [word for word in found if _VOWEL.search(word.casefold()) and not _is_known(word)]


def _is_known(word: str) -> bool:
    return word.casefold() in PLACEHOLDERS or word.casefold() in _STUDY_WORDS
