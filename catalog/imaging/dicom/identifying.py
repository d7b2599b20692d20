"""Which elements of a DICOM header tell who somebody is. One rule for imports, pages and archives.

The list is taken from DICOM PS3.15 table E.1-1, the attributes that the Basic Application Level
Confidentiality Profile removes or replaces (`confidentiality`), with two of the like that it lacks.
Of these several hundred it has those that tell alone who a person is, or who wrote of them (the
same for tables: `catalog.importers.tables.identifying_columns`):

- every element with the value representation PN (person name), by its tag or in the file, also in
  private elements;
- dates, times and numbers of birth, insurance, admission and order; addresses and telephones;
  also a date in a report whose concept is that of birth;
- the name and address of an institution, and the label of a slide;
- free text that is called comment, notes, narrative or history, and that of reports.

These are not on the list, as they tell nobody alone or are in nearly every published file: dates,
UIDs, descriptions, StudyID, devices, and the patient's sex, age and size. PatientID is not either:
it is a pseudonym in published files, and an import hides it where nothing says so. The contents of
private elements are known to their makers only, so no other of them is judged. De-identification
on delivery (`deidentify`) removes or replaces all of these.

An element counts if its value tells something: see `is_telling`. A long one does, and each one in a
character set in which ASCII is something else. Items of sequences count too, and what stands behind
the pixels. A file that says `PatientIdentityRemoved` (PS3.3 C.7.1.1) YES has none.
"""

import re
from collections.abc import Callable, MutableSequence
from functools import cache
from typing import Any

from pydicom.datadict import (
    dictionary_has_tag,
    dictionary_VR,
    keyword_dict,
    keyword_for_tag,
    tag_for_keyword,
)
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.valuerep import CUSTOMIZABLE_CHARSET_VR

from catalog.imaging.budget import Budget
from catalog.imaging.dicom.codes import (
    PLACEHOLDERS,
    find_words,
    is_code_of_patient,
    is_placeholder,
    names_nobody,
)
from catalog.imaging.dicom.counting import parse_sequence, spend_on_values
from catalog.imaging.dicom.stream import find_vr, is_long

# fmt: off
_KEYWORDS = (
    # Numbers by which a hospital, an insurer or an authority knows somebody.
    "OtherPatientIDs", "AccessionNumber", "AdmissionID", "MedicalRecordLocator",
    "InsurancePlanIdentification", "FillerOrderNumberImagingServiceRequest",
    "PlacerOrderNumberImagingServiceRequest", "PlacerOrderNumberProcedure",
    "FillerOrderNumberProcedure", "PlacerOrderNumberImagingServiceRequestRetired",
    "FillerOrderNumberImagingServiceRequestRetired", "SpecimenAccessionNumber",
    # The label of a slide, which has such a number, or a name.
    "LabelText", "BarcodeValue",
    # Birth.
    "PatientBirthDate", "PatientBirthTime", "PatientBirthDateInAlternativeCalendar",
    "PatientDeathDateInAlternativeCalendar",
    # Where somebody lives, and how to reach them.
    "PatientAddress", "PatientTelephoneNumbers", "PatientTelecomInformation", "RegionOfResidence",
    "CurrentPatientLocation", "PatientInstitutionResidence", "ReferringPhysicianAddress",
    "ReferringPhysicianTelephoneNumbers", "PersonAddress", "PersonTelephoneNumbers",
    "PersonTelecomInformation", "OrderCallbackPhoneNumber", "OrderCallbackTelecomInformation",
    "ContactDisplayName", "ContactURI", "AddressTrial", "TelephoneNumberTrial",
    "DistributionAddress", "ScheduledPatientInstitutionResidence",
    # Who somebody is besides.
    "Occupation", "MilitaryRank", "BranchOfService", "PatientReligiousPreference",
    "ResponsibleOrganization", "InstitutionName", "InstitutionAddress", "CameraOwnerName",
    # Free text, besides all that is called comments or notes; and reports.
    "AdditionalPatientHistory", "InterpretationText", "TextValue", "EncapsulatedDocument",
    "InterpretationDiagnosisDescription", "Impressions",
)
# fmt: on
_FREE_TEXTS = frozenset(CUSTOMIZABLE_CHARSET_VR) - {"PN"}
_BYTES = frozenset(("OB", "OD", "OF", "OL", "OV", "OW"))
_FREE_TEXTS_AND_NAMES = _FREE_TEXTS | {"CS", "PN"}
_COMMENT = re.compile(r"Comment|Notes|Narrative")
_COMMENTS = frozenset(
    tag
    for keyword, tag in keyword_dict.items()
    if _COMMENT.search(keyword) and dictionary_VR(tag) in _FREE_TEXTS
)
_NAMES = frozenset(tag for tag in keyword_dict.values() if dictionary_VR(tag) == "PN")
_TAGS = _COMMENTS | _NAMES | frozenset(map(tag_for_keyword, _KEYWORDS))
# The bytes of a value that is looked at; a longer one tells something.
_MAX_VALUE = 4 << 10
_ASCII = bytes(range(ord(" "), ord("~")))
MAX_NAMES = 50
PRIVATE, OTHERS, REPEATED = "PrivateElements", "OtherElements", "RepeatedElements"
BEHIND_PIXELS, UNREAD = "DataBehindPixels", "UnreadElements"
_PATIENT_ID = 0x00100020
_OVERLAY_COMMENTS = 0x60004000  # of any overlay; retired
_IDENTITY_REMOVED = 0x00120062
# DateTime and Date of a content item of a report, and the code of what they are of.
_CODED_DATES, _CONCEPT, _CODE = (0x0040A120, 0x0040A121), 0x0040A043, 0x00080100
# "Subject Birth Date" of DICOM, and births of LOINC and SNOMED CT.
_CODES_OF_BIRTH = frozenset(("121031", "21112-8", "184099003"))
# Dates that stand for none, such as 00010101 and 19000101, and of nobody alive.
_NO_BIRTH = re.compile(r"(?:0\d{3}|1[0-8]\d\d)(?:(?:0\d|1[0-2])[0-3]\d)?|19000101")


def find_identifying(
    header: Dataset, budget: Budget, *, behind: Callable[[], Dataset], has_twice: bool
) -> tuple[str, ...]:
    """The keywords of the elements that tell who somebody is, sorted.

    An element in a sequence has the keyword of the outermost one before it. Sequences that are too
    long to be read, and what is left when the budget is spent, count as UNREAD. Private elements
    count as PRIVATE; of more than MAX_NAMES, the last is OTHERS. ``behind`` reads what stands
    behind the pixels; where that cannot be read, it counts as BEHIND_PIXELS. With ``has_twice``,
    what the first of equal elements said is not known, which counts as REPEATED.
    """
    if removes_identity(header):
        return ()
    found = {*find_telling(header, budget), *([REPEATED] if has_twice else [])}
    try:
        found.update(find_telling(behind(), budget))
    except Exception:  # noqa: BLE001 - pydicom raises anything
        found.add(BEHIND_PIXELS)
    return _limit(found)


def find_telling(header: Dataset, budget: Budget) -> tuple[str, ...]:
    """The same of a header alone, whatever the file says of itself."""
    found: set[str] = set()
    _walk(header, _fold(_text(header, _PATIENT_ID)), "", budget, found)
    return _limit(found | ({REPEATED} if budget.has_twice else set()))


def _limit(names: set[str]) -> tuple[str, ...]:
    found = sorted(names - {OTHERS})
    if len(found) <= MAX_NAMES and OTHERS not in names:
        return tuple(found)
    return (*found[: MAX_NAMES - 1], OTHERS)


def is_listed(tag: int) -> bool:
    """Whether an element is on the list; those with the value representation PN are besides."""
    return tag in _TAGS or tag & 0xFF00FFFF == _OVERLAY_COMMENTS


def is_unjudged(tag: int, vr: str) -> bool:
    """Whether an element is of bytes or numbers that are not looked at, such as raw data.

    Where a file does not say its VR, the dictionary does: ``OB or OW``.
    """
    vrs = (_vr_of_tag(tag) if vr in ("", "UN") else vr).split(" or ")
    return _BYTES.issuperset(vrs) and not is_listed(tag)


def removes_identity(header: Dataset) -> bool:
    """Whether the file says that it was de-identified."""
    return _text(header, _IDENTITY_REMOVED).upper() == "YES"


def is_telling(vr: str, value: Any, patient_id: str = "") -> bool:
    """Whether a value may tell who somebody is; ``patient_id`` is folded.

    Empty values do not, nor what is PatientID again and looks like a code (`codes`), one sign
    repeated, or nothing but words such as ``Anonymous``. Nor does a name that is a code anyway,
    such as ``P-0032``.
    """
    values = value if isinstance(value, MutableSequence) else [value]
    return any(_tells(vr, str(each), patient_id) for each in values)


def _tells(vr: str, text: str, patient_id: str) -> bool:
    words = find_words(text)
    joined = "".join(words)
    if not joined or is_placeholder(joined):
        return False
    if vr == "DA":
        return not _NO_BIRTH.fullmatch(joined)
    if vr == "TM":
        return any(char in "123456789" for char in joined)
    if joined == patient_id and is_code_of_patient(text):
        return False
    if vr == "PN":
        return not names_nobody(text)
    return not all(word in PLACEHOLDERS for word in words)


def _walk(
    dataset: Dataset, patient_id: str, outermost: str, budget: Budget, found: set[str]
) -> None:
    """Add the names to ``found``; of a name that is there, no other element is looked at."""
    is_readable = all(map(_keeps_ascii, character_sets(dataset)))
    for tag in list(dataset.keys()):
        try:
            element = dataset.get_item(tag)
        except Exception:  # noqa: BLE001 - pydicom raises anything for a value that it has left
            vr = find_vr(dataset._dict[tag], dataset)
            if is_listed(tag) or vr in ("PN", "SQ"):
                found.add(UNREAD if vr == "SQ" else _join(outermost, tag))
            continue
        vr, has_value = find_vr(element, dataset), _has_value(element)
        del element  # its bytes, while its items are looked at
        counts = (
            is_listed(tag)
            or vr == "PN"
            or (tag == _PATIENT_ID and bool(outermost))
            or (tag in _CODED_DATES and _is_of_birth(dataset, budget))
        )
        if not has_value or not (counts or vr == "SQ"):
            continue
        name = _join(outermost, tag)
        if counts and name in found:
            continue
        if counts and (not is_readable or _is_unlike(tag, vr) or is_long(dataset, tag, _MAX_VALUE)):
            found.add(name)
            continue
        try:
            if vr == "SQ":
                if not parse_sequence(dataset, tag, budget):
                    found.add(name)
            else:
                spend_on_values(dataset, tag, budget)
            value = dataset[tag].value
        except Exception:  # noqa: BLE001 - an invalid value is one, whatever it says
            found.add(UNREAD if budget.is_spent else name)
            continue
        if isinstance(value, Sequence):
            for item in value:
                _walk(item, patient_id, outermost or name, budget, found)
            if not value:  # bytes that are no items
                found.add(name)
        elif counts and is_telling("PN" if tag in _NAMES else vr, value, patient_id):
            found.add(name)


def _is_of_birth(dataset: Dataset, budget: Budget) -> bool:
    try:
        parse_sequence(dataset, _CONCEPT, budget)
        return any(_text(item, _CODE) in _CODES_OF_BIRTH for item in dataset[_CONCEPT].value)
    except Exception:  # noqa: BLE001 - there is none, or it counts by itself as one not read
        return False


def _is_unlike(tag: int, vr: str) -> bool:
    """Whether a value is of a kind that the tag cannot have: nobody knows how it is read."""
    known = _vr_of_tag(tag)
    return bool(known) and vr != known and vr not in _FREE_TEXTS_AND_NAMES


def character_sets(dataset: Dataset) -> list[str]:
    """The names of Python's codecs with which pydicom reads the texts."""
    found = dataset._character_set
    return [found] if isinstance(found, str) else list(found)


@cache
def _keeps_ascii(codec: str) -> bool:
    """Whether a name in ASCII is read as what it is; DICOM's sets do so, other codecs may not."""
    try:
        return _ASCII.decode(codec) == _ASCII.decode("ascii")
    except (LookupError, ValueError):
        return False


def _join(outermost: str, tag: int) -> str:
    return f"{outermost}.{_name(tag)}" if outermost else _name(tag)


def _name(tag: int) -> str:
    return keyword_for_tag(tag) or (PRIVATE if tag >> 16 & 1 else f"{int(tag):08X}")


def _vr_of_tag(tag: int) -> str:
    return dictionary_VR(tag) if dictionary_has_tag(tag) else ""


def _has_value(element: RawDataElement | DataElement) -> bool:
    if isinstance(element, RawDataElement):
        return bool(element.value and element.value.strip(b"\0 ^="))
    return not element.is_empty


def _fold(text: str) -> str:
    return "".join(find_words(text))


def _text(header: Dataset, tag: int) -> str:
    if is_long(header, tag, _MAX_VALUE):
        return ""
    try:
        element = header.get(tag)
        return "" if element is None or element.value is None else str(element.value).strip()
    except Exception:  # noqa: BLE001 - see read_value
        return ""
