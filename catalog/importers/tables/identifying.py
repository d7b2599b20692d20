"""Recognises columns, and keys of objects in them, that identify persons."""

import re
from functools import lru_cache

from vocab.text import normalize

# After the Basic Application Level Confidentiality Profile, DICOM PS3.15 table E.1-1.
_PERSON = "(?:patients?|subjects?|persons?|pats?|pts?)"
_NUMBER = "(?:numbers?|nos?|nr|id)"
_IDENTIFYING = re.compile(
    rf"""
    {_PERSON}?(?:
        (?:first|middle|last|given|family|full|maiden|birth|mothersmaiden|mothersbirth)names?
        | names?(?:first|middle|last|given|family|full|maiden)
        | surname | birth(?:date|day|time|year)? | (?:date|year)ofbirth | dob
        | (?:home|email)?address | e?mail | street | zip(?:code)? | post(?:al)?code
        | (?:home|mobile|cell|work|tele)?phone{_NUMBER}? | tel{_NUMBER}? | mobile{_NUMBER}?
        | fax{_NUMBER}? | ssn | socialsecurity{_NUMBER}? | nationalid | passport{_NUMBER}?
        | driverslicense | insurance{_NUMBER} | nhs{_NUMBER} | hospital(?:numbers?|nos?|nr)
        | mrn | medicalrecord(?:{_NUMBER}|locator) | religiouspreference
    )
    | (?:other)?{_PERSON}names? | nameof{_PERSON} | otherpatientids? | patientcomments
    | accession{_NUMBER}? | occupation | responsibleperson | institutionaddress
    | (?:referring|requesting|performing|scheduledperforming)?physicians?(?:name|address)?
    | physiciansofrecord | nameofphysicians.* | operators?(?:name)? | radiologist(?:s?name)
    """,
    re.VERBOSE,
)
# The last words of keys whose names are not those of people.
_THING = re.compile(
    r"(?:.* )?(?:categor(?:y|ies)|diagnos[ie]s|stud(?:y|ies)|series|class(?:es)?|anatomy|modality"
    r"|(?:annotation|attribute|box|code|column|concept|dataset|device|disease|file|finding|image"
    r"|label|lesion|manufacturer|mask|model|organ|part|procedure|protocol|region|scanner|sequence"
    r"|structure|tag|task|view)(?:e?s)?)"
)


def is_identifying(column: str) -> bool:
    """Whether a column identifies people, by any spelling of its name."""
    name = normalize(column).replace(" ", "").removesuffix("dicom")
    return bool(_IDENTIFYING.fullmatch(name))


def is_bare_name(column: str) -> bool:
    """Whether a column is just called `Name`: that of a file, a finding or a person."""
    return normalize(column) in ("name", "names")


@lru_cache(maxsize=1 << 12)
def is_identifying_within(parent: str, key: str) -> bool:
    """The same for the key of an object in `parent`, such as `name` in `patient`.

    A bare name is regarded as that of a person, unless the parent is a thing such as `finding`.
    """
    if is_bare_name(key):
        return not _THING.fullmatch(normalize(parent))
    return is_identifying(key) or is_identifying(f"{parent} {key}")
