"""De-identifies a DICOM file after the Basic Application Level Confidentiality Profile.

The same file and the same keys give the same bytes: no clock, no random. Beyond the profile, which
removes private elements, also those are removed that the standard does not know, all of repeating
groups such as overlays and curves, and names, comments, titles and reasons that its table lacks.
Pixels stay as they are, so text that is burnt into them stays, too.
"""

import io
import zlib
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, BinaryIO

import pydicom
from pydicom import uid
from pydicom.datadict import dictionary_has_tag, dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement, empty_value_for_VR
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence

from catalog.imaging.budget import Budget
from catalog.imaging.dicom.confidentiality import CODE, Action, find_action
from catalog.imaging.dicom.counting import parse_sequence, spend_on_values
from catalog.imaging.dicom.elements import MAX_BYTES, read_elements
from catalog.imaging.dicom.identifying import (
    character_sets,
    find_telling,
    is_listed,
    removes_identity,
)
from catalog.imaging.dicom.stream import (
    find_encoding,
    find_vr,
    inflating,
    is_dicom,
    is_long,
    open_dicom,
    plain_reasons,
)
from catalog.imaging.dicom.unmarked import begins_data_set, may_be_dicom
from catalog.imaging.problems import NotReadable, raise_error_of_system

_PLAIN = (uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian,
          uid.DeflatedExplicitVRLittleEndian)  # fmt: skip
_LONGEST_UID = 64  # PS3.5 9.1
_FAILED = "The DICOM file cannot be de-identified"
# Some 100,000 elements; what is changed takes three times as long as what is kept.
MAX_READS, _READS_OF_A_CHANGE = 450_000, 6
# Each level is copied when it is written, with all that is in it.
_MAX_DEPTH = 16
# For each text the character sets are looked up when it is written: so many as a read takes.
_SETS_OF_A_READ = 4
_PATIENT_NAME, _PATIENT_ID = 0x00100010, 0x00100020
# Who writes these writes freely, also of people.
_WRITTEN = frozenset(
    map(
        tag_for_keyword,
        ("DocumentTitle", "ContentDescription", "CompletionFlagDescription", "OverrideReason",
         "ReasonForCancellation", "OwnerID", "InterventionDescription", "IndicationDescription",
         "TreatmentTerminationDescription", "ProcedureStepProgressDescription",
         "ObservationDescription"),
    )
)  # fmt: skip
_TEXT_VALUE = 0x0040A160  # of reports and of contexts, which may not be empty
_ITEMS = 0xFFFE  # the group of marks, which are no attributes where they stand alone
_GRAPHICS = (0x5000, 0x6000)  # groups of curves and overlays; the profile removes their data
_TEXTS = frozenset({"AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UT"})
_BYTES = frozenset({"OB", "OD", "OF", "OL", "OV", "OW"})
# Kinds of values that programs confuse, and that hide nothing that the tag would not.
_ALIKE = (_TEXTS, _BYTES, frozenset({"DS", "IS"}),
          frozenset({"FD", "FL", "SL", "SS", "SV", "UL", "US", "UV"}))  # fmt: skip
_DUMMIES: dict[str, Any] = {
    **dict.fromkeys(_TEXTS, "ANONYMIZED"),
    "AS": "000Y",
    "DA": "19000101",
    "DT": "19000101000000",
    "TM": "000000",
    "UR": "urn:anonymized",
    **dict.fromkeys(("DS", "IS"), "0"),
    **dict.fromkeys(("FD", "FL", "SL", "SS", "SV", "UL", "US", "UV", "AT"), 0),
    **dict.fromkeys(("OB", "OW", "UN"), b"\0\0"),
    **dict.fromkeys(("OD", "OV"), bytes(8)),
    **dict.fromkeys(("OF", "OL"), bytes(4)),
}


@dataclass(frozen=True, slots=True)
class Pseudonyms:
    """What stands for a PatientID and for a UID, always the same for the same one."""

    of_patient: Callable[[str], str]
    of_uid: Callable[[str], str]


# ZIP, gzip, bzip2, xz, 7z, RAR, Zstandard and compress, by their first bytes.
_PACKED = (b"PK\x03\x04", b"PK\x05\x06", b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"7z\xbc\xaf", b"Rar!",
           b"\x28\xb5\x2f\xfd", b"\x1f\x9d")  # fmt: skip
_HEAD, _NIFTI_HEADER = 1024, 348


def must_be_deidentified(file: BinaryIO) -> bool:
    """Whether `file` may be DICOM and does not say that it was de-identified.

    It is left at its start.

    One that cannot be parsed must be, too, and then cannot; so must one that may have DICOM packed
    in it.
    """
    file.seek(0)
    try:
        head = file.read(_HEAD)
        if not is_dicom(head):
            return _may_hold_dicom(head) or begins_data_set(file)
        header = open_dicom(file, ("PatientIdentityRemoved",), max_value=1 << 10).header
        return not removes_identity(header)
    except NotReadable as error:
        raise_error_of_system(error)
        return True
    finally:
        file.seek(0)


def _may_hold_dicom(head: bytes) -> bool:
    """Of packed files only gzip is looked into, as NIfTI is packed so."""
    if head[:2] == b"\x1f\x8b":
        try:
            unpacked = zlib.decompressobj(wbits=31).decompress(head, _HEAD)
        except zlib.error:
            return True
        # Shorter than a header of NIfTI is no NIfTI, and too little to tell.
        return (
            len(unpacked) < _NIFTI_HEADER
            or may_be_dicom(io.BytesIO(unpacked))
            or _is_packed(unpacked)
        )
    return _is_packed(head)


def _is_packed(head: bytes) -> bool:
    return head.startswith(_PACKED) or head[257:262] == b"ustar"


def deidentify(file: BinaryIO, out: BinaryIO, pseudonyms: Pseudonyms) -> None:
    """Write the DICOM file ``file`` to ``out`` without what tells who somebody is.

    Pixels are copied from one to the other, so that they are never in memory as a whole.

    Raises:
        NotReadable: it cannot be parsed, or something that tells it is left.
        OSError: it cannot be read, or ``out`` not be written.
    """
    budget = Budget(MAX_READS)
    try:
        with plain_reasons(_FAILED), ExitStack() as turn, budget.told():
            dataset = read_elements(file, budget, lambda: turn.enter_context(inflating))
            _clean(dataset, pseudonyms, budget)
            _write(dataset, out)
    except NotReadable as error:
        raise_error_of_system(error)
        raise


def _clean(dataset: Dataset, pseudonyms: Pseudonyms, budget: Budget) -> None:
    if "SOPClassUID" not in dataset:
        raise NotReadable(f"{_FAILED}: its SOP class is missing.")
    # It is read as it is, so nothing else limits how long it may be.
    if is_long(dataset, tag_for_keyword("SOPClassUID") or 0, _LONGEST_UID):
        raise NotReadable(f"{_FAILED}: its SOP class is no UID.")
    _Cleaner(pseudonyms, budget, find_encoding(_find_syntax(dataset))).clean(dataset)
    _declare(dataset)
    # A patient's id in an item is a pseudonym as well.
    if left := [name for name in find_telling(dataset, budget) if not name.endswith(".PatientID")]:
        raise NotReadable(f"{_FAILED}: {', '.join(left)} are left.")


class _Cleaner:
    def __init__(self, pseudonyms: Pseudonyms, budget: Budget, encoding: tuple[bool, bool]) -> None:
        self._pseudonyms, self._budget, self._encoding = pseudonyms, budget, encoding

    def clean(self, dataset: Dataset, depth: int = 0) -> None:
        if depth > _MAX_DEPTH:
            raise NotReadable(f"{_FAILED}: its sequences are nested too deeply.")
        self._budget.spend(len(dataset) * len(character_sets(dataset)) // _SETS_OF_A_READ)
        # What is written in another encoding than it was read is interpreted, all of it.
        is_kept = dataset.original_encoding == self._encoding
        is_kept &= dataset.original_character_set == dataset._character_set
        for tag in sorted(dataset.keys()):
            if _is_known(tag) and is_long(dataset, tag, MAX_BYTES):
                raise NotReadable(f"{_FAILED}: an element has more than {MAX_BYTES >> 20} MiB.")
            if not _is_known(tag) or _has_another_vr(dataset, tag):
                del dataset[tag]
                continue
            action = find_action(tag)
            vr = find_vr(dataset.get_item(tag))
            if action is None and (vr in ("PN", "UR") or is_listed(tag) or tag in _WRITTEN):
                action = Action.REPLACE if tag == _TEXT_VALUE else Action.EMPTY
            if action is Action.REMOVE:
                del dataset[tag]
            elif action is not None or (vr == "SQ" and dataset.get_item(tag).value):
                self._change(dataset, tag, vr, action, depth)
            elif not is_kept and vr not in _BYTES:
                spend_on_values(dataset, tag, self._budget)

    def _parse(self, dataset: Dataset, tag: Any, vr: str) -> DataElement:
        if vr == "SQ":
            parse_sequence(dataset, tag, self._budget)
        elif vr not in _BYTES:
            spend_on_values(dataset, tag, self._budget)
        return dataset[tag]

    def _change(
        self, dataset: Dataset, tag: Any, vr: str, action: Action | None, depth: int
    ) -> None:
        if action is not None:
            self._budget.spend(_READS_OF_A_CHANGE)
        if tag in (_PATIENT_ID, _PATIENT_NAME):
            # The name comes before the id, which is still the source's then.
            given = self._parse(dataset, _PATIENT_ID, "LO").value if _PATIENT_ID in dataset else ""
            pseudonym = self._pseudonyms.of_patient(str(given).strip()) if given else ""
            dataset[tag] = DataElement(tag, vr, pseudonym)
            return
        if vr in _TEXTS:
            # Nobody needs what it says, however long it is.
            value = empty_value_for_VR(vr) if action is Action.EMPTY else _DUMMIES[vr]
            dataset[tag] = DataElement(tag, vr, value)
            return
        element = self._parse(dataset, tag, vr)
        if action is Action.EMPTY:
            element.value = [] if element.VR == "SQ" else empty_value_for_VR(element.VR)
        elif action is Action.MAP_UID:
            self._map(element)
        elif element.VR == "SQ":
            for item in element.value:
                self.clean(item, depth + 1)
                if action is Action.REPLACE:
                    self._replace_texts(item)
        else:
            self._replace(element)

    def _replace_texts(self, item: Dataset) -> None:
        """Of what a person wrote, such as a report, only the structure is left."""
        for tag in list(item.keys()):
            element = self._parse(item, tag, find_vr(item.get_item(tag)))
            if element.VR == "SQ":
                for inner in element.value:
                    self._replace_texts(inner)
            elif element.VR in _DUMMIES and element.VR not in ("CS", "AT") and not element.is_empty:
                self._replace(element)

    def _replace(self, element: DataElement) -> None:
        if element.VR == "UI":
            self._map(element)
        else:
            element.value = _DUMMIES[element.VR]

    def _map(self, element: DataElement) -> None:
        if element.is_empty:
            return
        if isinstance(element.value, MultiValue):
            element.value = [self._pseudonyms.of_uid(str(each)) for each in element.value]
        else:
            element.value = self._pseudonyms.of_uid(str(element.value))


def _is_known(tag: Any) -> bool:
    if tag.is_private or tag.element == 0:  # a group's length would be wrong afterwards
        return False
    if tag.group == _ITEMS or tag.group & 0xFF00 in _GRAPHICS:
        return False
    return bool(dictionary_has_tag(tag) or find_action(tag))


def _has_another_vr(dataset: Dataset, tag: Any) -> bool:
    """Whether it is of another kind than its tag, so that a name may hide in it."""
    given = dataset.get_item(tag).VR
    if given in (None, "UN") or not dictionary_has_tag(tag):
        return False
    known = dictionary_VR(tag).split(" or ")
    return given not in known and not any(
        given in kind and not kind.isdisjoint(known) for kind in _ALIKE
    )


def _declare(dataset: Dataset) -> None:
    """Record what was done: PS3.3 C.7.1.1 and C.12.1."""
    dataset.PatientIdentityRemoved = "YES"
    dataset.LongitudinalTemporalInformationModified = "REMOVED"
    dataset.DeidentificationMethod = CODE[2]
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = CODE
    dataset.DeidentificationMethodCodeSequence = Sequence([item])


def _find_syntax(dataset: Any) -> uid.UID:
    """The transfer syntax of the encoding in which the file is, whatever it says, if that is plain.

    A deflated file becomes a plain one: deflated bytes would depend on the version of zlib.
    """
    syntax = uid.UID(str(getattr(dataset.file_meta, "TransferSyntaxUID", "")))
    if syntax and syntax not in _PLAIN:
        return syntax
    implicit, little = dataset.original_encoding
    if not little:
        return uid.ExplicitVRBigEndian
    return uid.ImplicitVRLittleEndian if implicit else uid.ExplicitVRLittleEndian


def _write(dataset: Any, out: BinaryIO) -> None:
    syntax = _find_syntax(dataset)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.preamble = bytes(128)
    pydicom.dcmwrite(out, dataset, enforce_file_format=True)
