"""Whether a value in a text, behind a name that identifies people, tells who somebody is."""

import re

from catalog.imaging.dicom.identifying import is_telling
from catalog.importers.parsers import clean
from vocab.text import normalize

# What is looked at of a value; a longer one tells something.
LONGEST_VALUE = 300
_NOTHING = re.compile(
    r"\W*+(?:(?:was|were|is|(?:has|have|had)\s++been)\s++)?+"
    r"(?:removed|deleted|redacted|masked|withheld|anonymi[sz]ed|de-?identified|pseudonymi[sz]ed"
    r"|no\s++value|not\s++(?:available|provided|given|recorded|known|applicable|specified)"
    r"|https?\W*+$|entfernt|gelöscht|unbekannt|anonymisiert|supprimée?|inconnue?|anonymisée?"
    r"|no\s++disponible|desconocid[oa]|eliminad[oa]|anonimizad[oa]|rimoss[oa]|匿名)(?!\w)",
    re.IGNORECASE,
)
_NAME, _BIRTH = re.compile("name", re.IGNORECASE), re.compile("birth|born|dob", re.IGNORECASE)
_PHONE = re.compile(r"phone|mobile|\btel|\bfax", re.IGNORECASE)
_ACCESSION = re.compile("accession", re.IGNORECASE)
# These may be the way or the week of a birth, and a drug, too.
_BARE_BIRTH = re.compile(
    r"\W*(?:patient'?s?\W*)?(?:birth|born|dob|geb(?:oren|urt)?|geboorte|naissance|nacid[oa]"
    r"|nacimiento|nascimento|nascita|nasc)\W*",
    re.IGNORECASE,
)
_DATE = re.compile(
    r"\d{4}(?!\d*\s*k?g\b)|\d\s?[./-]\s?\d{1,2}\s?[./-]\s?\d"
    r"|(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\W{0,3}\d"
    r"|\d\W{0,3}(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)",
    re.IGNORECASE,
)
_FEWEST_DIGITS_OF_PHONE = 5
# Numbers whose short names mean much else, such as a kind of file.
_SHORT_NUMBER = re.compile(
    r"\W*(?:zip|rut|cep|nif|nss|nhc|dni|cpf|bsn|plz|cnp|mob|ph|iban|curp)\W*", re.IGNORECASE
)
_FEWEST_DIGITS_OF_NUMBER = 4
# Who has such a name may be a finding, or one of the staff: `Name: nodule 3`.
_BARE_NAME = re.compile(r"\W*(?:name|physicians?)\W*", re.IGNORECASE)
_KIND = re.compile(r"[a-z]+(?:[ _-]?\d+)?")
_YEAR_FIRST = re.compile(r"\W*\d{4}(?:\W?\d\d\W?\d\d)?\W*")
_TITLES = frozenset({"mr", "mrs", "ms", "miss", "dr", "prof", "herr", "frau", "mme", "sr", "sra"})
# Within names; a name does not end with one, and these tell nothing alone.
_PARTICLES = frozenset({"de", "da", "do", "dos", "das", "del", "la", "van", "von", "der", "den",
                        "di", "al", "el", "bin", "ibn"})  # fmt: skip
_INITIAL = re.compile(r"[A-Z]\.")
_LETTERS = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*\.?")
# What is said of patients, who are not named.
_OF_PATIENTS = """
    abdomen adult age ai alive ambulatory anterior automatic awake baby bone boy brain breast
    cancer carcinoma case center centre chest child clinic cohort control ct dead deceased
    decubitus department disease donna elderly emergency erect female femenino feminin feminino
    femme femmina fever frau general girl group head healthy heart hip history hombre homem
    homme hospital icu id infant inpatient is kidney knee lateral left liver lung lying male
    man mann mannlich maschio masculin masculino middle model mr mri mujer mulher neck negative
    new newborn no none normal not number old outpatient pelvis pet position positive post
    posterior pre prone radiologist radiologists radiology recumbent right semi shoulder
    sitting skin software spine stable staff standing status stroke study supine surgery
    syndrome team to trans tumor tumour ultrasound university unknown unstable uomo upright
    attending consultant first observer one reader second two
    view was weiblich with without woman xray years yes young
"""
_NO_NAMES = frozenset(_OF_PATIENTS.split())
# As public archives of data number their entries: GSE12, PRJNA12, E-MTAB-12.
_PUBLIC = re.compile(
    r"\W*(?:GSE|GSM|GPL|GDS|PRJ[A-Z]{2}|SAM[A-Z]{1,3}|[SED]R[APRSXZ]|E-[A-Z]{4}-|EGA[A-Z]|phs)\d+"
    r"(?:\.\w+)*\W*"
)
# Not in a path or an address of the web, and not `a@2x.png`.
_MAIL = re.compile(
    r"(?<![\w.+/@-])[\w.+-]{1,64}@(?:[a-z0-9-]{1,63}\.){1,8}"
    r"(?!(?:png|jpe?g|gif|tiff?|dcm|nii|gz|json|csv|txt|xml|svg|webp|bmp|mha|nrrd)\b)"
    r"[a-z]{2,24}(?![\w@/-]|[.:]\w)",
    re.IGNORECASE,
)


def has_mail_address(text: str) -> bool:
    """Whether somebody's mail address stands in a text, as annotation tools write them."""
    return "@" in text and bool(_MAIL.search(text))


def is_name_of_person(value: str) -> bool:
    """Whether what stands behind `Patient:` is the name of one: `DOE, JOHN`, `John Doe, 45 y`.

    It has a caret, a title before it, or two words that begin with capitals and that no other
    thing is called.
    """
    if "^" in value:
        return is_telling("PN", value.split()[0])
    found = [word for word in re.split(r"[\s,]+", value.strip()) if word not in _PARTICLES]
    if found and found[0].rstrip(".").casefold() in _TITLES:
        return len(found) > 1 and found[1][:1].isupper()
    found = found[:2]
    return (
        len(found) > 1
        and not all(map(_INITIAL.fullmatch, found))
        and all(_INITIAL.fullmatch(word) or _is_name(word) for word in found)
    )


def _is_name(word: str) -> bool:
    return bool(
        _LETTERS.fullmatch(word)
        and word[0].isupper()
        and normalize(word) not in _NO_NAMES
        and is_telling("PN", word)
    )


def tells_value(name: str, value: str | None) -> bool:
    """Whether what stands behind a name tells something; so does what nobody can see (None).

    Nothing is told by what tells nothing in DICOM files, such as `ANON_001` for a name, by a phone
    without a number and a birth without a date, nor by the number of an entry in public archives.
    """
    if value is None:
        return True
    value = value[:LONGEST_VALUE].strip()
    if not clean(value) or _NOTHING.match(value):
        return False
    if _ACCESSION.search(name) and _PUBLIC.fullmatch(value):
        return False
    digits = sum(map(str.isdigit, value))
    if _PHONE.search(name) and digits < _FEWEST_DIGITS_OF_PHONE:
        return False
    if _SHORT_NUMBER.fullmatch(name) and digits < _FEWEST_DIGITS_OF_NUMBER:
        return False
    if _BARE_BIRTH.fullmatch(name) and not _DATE.search(value):
        return False
    if _BARE_NAME.fullmatch(name) and _KIND.fullmatch(value):
        return False
    if _BIRTH.search(name) and _YEAR_FIRST.fullmatch(value) and not is_telling("DA", value):
        return False
    return is_telling("PN" if _NAME.search(name) else "LO", value)
