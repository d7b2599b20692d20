"""De-identification after the basic profile of DICOM PS3.15: by its table, with the same bytes."""

import gzip
import hashlib
import io
import lzma
import subprocess
import sys
import tarfile
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom import uid
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate

from catalog.imaging.dicom import stream
from catalog.imaging.dicom.confidentiality import find_action, iter_rows
from catalog.imaging.dicom.deidentify import Pseudonyms, deidentify, must_be_deidentified
from catalog.imaging.dicom.header import read_header, render_pixels
from catalog.imaging.problems import NotReadable
from catalog.tests.imaging.dicom_files import (
    deidentified,
    find_shipped,
    make_dicom,
    make_item,
    read_shipped,
)

ROOT = Path(__file__).parents[3]
_DEIDENTIFY_WITHIN_LIMITS = """
import io, resource, sys
from catalog.imaging.dicom.deidentify import Pseudonyms, deidentify
from catalog.imaging.problems import NotReadable
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
resource.setrlimit(resource.RLIMIT_CPU, (20, 20))
try:
    deidentify(io.BytesIO(sys.stdin.buffer.read()), io.BytesIO(), Pseudonyms(str, str))
    sys.stdout.write("done")
except NotReadable as error:
    sys.stdout.write("refused" if "too deeply" in error.reason else repr(error))
"""
SYNTAXES_OF_PIXELS = (
    uid.ExplicitVRLittleEndian,
    uid.ImplicitVRLittleEndian,
    uid.ExplicitVRBigEndian,
)
PIXELS = np.arange(64, dtype=np.uint8).reshape(8, 8)
SECRETS = {
    "PatientName": "Doe^Jane", "PatientID": "MRN-4711", "PatientBirthDate": "19550820",
    "PatientAddress": "1 Main Street", "OtherPatientIDs": "SSN-1", "StudyDate": "20200102",
    "InstitutionName": "St Elsewhere", "ReferringPhysicianName": "House^G",
    "StudyDescription": "Jane's chest", "ImageComments": "call Jane", "AccessionNumber": "ACC-99",
    "DeviceSerialNumber": "SN99", "ProtocolName": "of House", "PatientAge": "061Y",
    "EvaluatorName": "Nurse^Ann", "StudyInstanceUID": "1.2.826.0.1.99999",
    "CommentsOnTheScheduledProcedureStep": "bring Jane",
    "RequestAttributesSequence": make_item(
        RequestingPhysician="House^G", StudyID="17", PatientID="MRN-9", PatientName="Doe^John"
    ),
    "ContentSequence": make_item(ValueType="TEXT", TextValue="Jane is ill"),
    "ReferencedImageSequence": make_item(ReferencedSOPInstanceUID="1.2.3.4"),
}  # fmt: skip


def pseudonyms(key: bytes = b"key") -> Pseudonyms:
    def of(text: str) -> str:
        return hashlib.sha256(key + text.encode()).hexdigest()

    return Pseudonyms(
        of_patient=lambda text: f"anon-{of(text)[:16]}",
        of_uid=lambda text: f"2.25.{int(of(text)[:30], 16)}",
    )


def clean(content: bytes) -> Any:
    return pydicom.dcmread(io.BytesIO(deidentified(content, pseudonyms())))


@pytest.mark.parametrize(
    "syntax",
    [
        uid.ExplicitVRLittleEndian, uid.ImplicitVRLittleEndian, uid.ExplicitVRBigEndian,
        uid.DeflatedExplicitVRLittleEndian,
    ],
)  # fmt: skip
def test_nothing_that_tells_who_somebody_is_is_left(syntax: str) -> None:
    source = make_dicom(PIXELS, syntax=syntax, **SECRETS)
    content = deidentified(source, pseudonyms())
    for secret in (b"Jane", b"MRN", b"1955", b"Main", b"SSN", b"2020", b"Else", b"House", b"ACC",
                   b"SN99", b"Ann", b"99999", b"061Y", b"ill"):  # fmt: skip
        assert secret not in content, secret
    assert content == deidentified(source, pseudonyms()), "the same bytes each time"
    assert content != deidentified(source, pseudonyms(b"other"))

    found = pydicom.dcmread(io.BytesIO(content))
    assert found.PatientIdentityRemoved == "YES"
    (code,) = found.DeidentificationMethodCodeSequence
    assert (code.CodeValue, code.CodingSchemeDesignator) == ("113100", "DCM")
    assert found.PatientID == found.PatientName == pseudonyms().of_patient("MRN-4711")
    assert found.SOPInstanceUID == found.file_meta.MediaStorageSOPInstanceUID
    (other,) = found.ReferencedImageSequence
    assert other.ReferencedSOPInstanceUID == found.SOPInstanceUID, "references still lead to it"
    assert (found.StudyDate, found.PatientBirthDate) == ("", "")
    assert found.ContentSequence[0].TextValue == "ANONYMIZED"
    assert found.ContentSequence[0].ValueType == "TEXT"
    assert (found.pixel_array == PIXELS).all()
    assert read_header(io.BytesIO(content)).identifying == ()


def test_private_and_unknown_elements_and_overlays_are_removed() -> None:
    dataset = pydicom.dcmread(io.BytesIO(make_dicom(PIXELS)))
    dataset.private_block(0x0009, "ACME", create=True).add_new(1, "LO", "Jane")
    dataset.add_new(0x00080FFE, "LO", "Jane")
    dataset.add_new(0x60003000, "OW", b"Jane")
    dataset.add_new(0x50100110, "US", 7)
    item = Dataset()
    item.private_block(0x0011, "ACME", create=True).add_new(1, "LO", "Jane")
    dataset.RequestAttributesSequence = [item]
    out = io.BytesIO()
    dataset.save_as(out)
    content = deidentified(out.getvalue(), pseudonyms())
    assert b"Jane" not in content
    assert b"ACME" not in content
    tags = set(pydicom.dcmread(io.BytesIO(content)).keys())
    assert not {0x60003000, 0x50100110, 0x00080FFE} & tags


def test_every_attribute_of_the_table_goes_as_it_says() -> None:
    rows = dict(iter_rows())
    assert len(rows) > 600
    for tag, action in rows.items():
        if "x" not in tag and action == "X":
            assert find_action(int(tag, 16)) == "X"
    for keyword, action in {
        "PatientName": "Z", "StudyInstanceUID": "U", "StudyDescription": "X",
        "InstitutionName": "D", "ReferencedImageSequence": "X/Z/U*", "AcquisitionDate": "Z",
    }.items():  # fmt: skip
        number = tag_for_keyword(keyword)
        assert number is not None
        assert find_action(number) == action, keyword
    assert find_action(0x60123000) == find_action(0x50FF1234) == "X"
    assert find_action(0x00280010) is None


def test_shipped_files_are_cleaned_or_refused_and_pixels_stay() -> None:
    cleaned, refused = 0, set()
    for path in find_shipped():
        if path.stat().st_size > 100_000:
            continue
        source = path.read_bytes()
        try:
            content = deidentified(source, pseudonyms())
        except NotReadable as error:
            refused.add(error.reason)
            continue
        cleaned += 1
        assert content == deidentified(source, pseudonyms()), path
        assert not must_be_deidentified(io.BytesIO(content)), path
    assert cleaned > 80
    assert all(reason.startswith("The ") for reason in refused), refused
    source = read_shipped("JPEG2000.dcm")
    before = render_pixels(io.BytesIO(source), max_edge=256)
    after = render_pixels(io.BytesIO(deidentified(source, pseudonyms())), max_edge=256)
    assert before.image.tobytes() == after.image.tobytes()


@pytest.mark.parametrize(
    "syntax", [*SYNTAXES_OF_PIXELS, uid.RLELossless], ids=lambda syntax: uid.UID(syntax).name
)
def test_pixels_are_copied_and_never_in_memory(tmp_path: Path, syntax: uid.UID) -> None:
    """A file of 200 MB took 600 MB, and two were delivered at a time."""
    pixels = np.arange(48 << 20, dtype=np.uint8).reshape(3, 4096, 4096)
    content = make_dicom(pixels, syntax=uid.ExplicitVRLittleEndian, **SECRETS)
    if syntax == uid.RLELossless:
        dataset = pydicom.dcmread(io.BytesIO(content))
        dataset.file_meta.TransferSyntaxUID = syntax
        dataset.PixelData = encapsulate([frame.tobytes() for frame in pixels])
        dataset["PixelData"].VR, dataset["PixelData"].is_undefined_length = "OB", True
        stored = io.BytesIO()
        dataset.save_as(stored)
        content = stored.getvalue()
    else:
        content = make_dicom(pixels, syntax=syntax, **SECRETS)
    source = tmp_path / "source.dcm"
    source.write_bytes(content)
    del content
    target = tmp_path / "target.dcm"
    tracemalloc.start()
    try:
        with source.open("rb") as file, target.open("wb") as out:
            deidentify(file, out, pseudonyms())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 << 20
    before, after = pydicom.dcmread(source), pydicom.dcmread(target)
    assert before.PixelData == after.PixelData
    assert before["PixelData"].is_undefined_length == after["PixelData"].is_undefined_length
    assert after.PatientName == pseudonyms().of_patient("MRN-4711")


def test_pixels_of_an_odd_length_are_padded_and_what_stands_behind_stays() -> None:
    content = make_dicom(PIXELS, SOPInstanceUID="1.2.3.4")
    begin = content.index((64).to_bytes(4, "little") + PIXELS.tobytes())
    # Variable Pixel Data, retired, and Data Set Trailing Padding
    behind = b"\x02\x7f\x10\0LO\4\0Jane" + b"\xfc\xff\xfc\xffOB\0\0\2\0\0\0ab"
    odd = (63).to_bytes(4, "little") + PIXELS.tobytes()[:63]
    found = pydicom.dcmread(io.BytesIO(deidentified(content[:begin] + odd + behind, pseudonyms())))
    assert found.PixelData == PIXELS.tobytes()[:63] + b"\0"
    assert [int(element.tag) for element in found][-1] == 0x7FE00010


def test_private_elements_behind_the_pixels_are_not_interpreted() -> None:
    """pydicom knows that they are half a million numbers, each of which becomes an object."""
    creator, value = b"1.2.840.113708.794.1.1.2.0", b"1\\" * 500_000
    behind = b"\x87\0\x10\0LO" + len(creator).to_bytes(2, "little") + creator
    behind += b"\x87\0\x40\x10UN\0\0" + len(value).to_bytes(4, "little") + value
    content = make_dicom(PIXELS) + behind
    tracemalloc.start()
    try:
        found = pydicom.dcmread(io.BytesIO(deidentified(content, pseudonyms())))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 20 << 20
    assert not found.group_dataset(0x0087)


@pytest.mark.parametrize("syntax", SYNTAXES_OF_PIXELS[:2])
def test_marks_of_items_that_stand_alone_go(syntax: str) -> None:
    """As some scanners leave them behind the pixels."""
    stray = b"\xfe\xff\0\xe0\4\0\0\0Jane" + b"\xfe\xff\xdd\xe0\0\0\0\0"
    content = make_dicom(PIXELS, syntax=syntax)
    for odd in (content + stray, make_dicom(syntax=syntax) + stray):
        assert not clean(odd).group_dataset(0xFFFE)
    assert clean(content + stray).PixelData == PIXELS.tobytes()


def test_pixels_of_an_unknown_vr_stay() -> None:
    content = make_dicom(PIXELS)
    changed = content.replace(b"\xe0\x7f\x10\0OB", b"\xe0\x7f\x10\0UN")
    assert changed != content
    assert clean(changed).PixelData == PIXELS.tobytes()


def test_a_disk_that_is_full_is_no_fault_of_the_file() -> None:
    with (
        Path("/dev/full").open("wb", buffering=0) as full,
        pytest.raises(OSError, match="No space"),
    ):
        deidentify(io.BytesIO(make_dicom(PIXELS)), full, pseudonyms())


def zip_of(content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.dcm", content)
    return file.getvalue()


def tar_of(content: bytes) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        member = tarfile.TarInfo("a.dcm")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return file.getvalue()


def test_what_must_be_deidentified() -> None:
    for content, expected in (
        (make_dicom(), True),
        (make_dicom(PatientIdentityRemoved="YES"), False),
        (make_dicom(PatientIdentityRemoved="NO"), True),
        (make_dicom()[:200], True),
        (b"\x89PNG\r\n\x1a\n", False),
        (gzip.compress(b"\x5c\x01\0\0" + bytes(400)), False),  # as NIfTI
        (gzip.compress(make_dicom(PatientIdentityRemoved="YES")), True),
        (gzip.compress(gzip.compress(make_dicom())), True),
        (gzip.compress(make_dicom()[132:] + bytes(400)), True),  # without its mark
        (gzip.compress(make_dicom())[:20] + b"damaged", True),
        (zip_of(make_dicom()), True),
        (lzma.compress(make_dicom()), True),
        (tar_of(make_dicom()), True),
    ):
        file = io.BytesIO(content)
        assert must_be_deidentified(file) is expected
        assert file.tell() == 0
    with pytest.raises(NotReadable):
        deidentified(make_dicom()[:200], pseudonyms())


def test_what_inflates_to_too_much_and_directories_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stream, "MAX_INFLATED_BYTES", 1000)
    deflated = make_dicom(syntax=uid.DeflatedExplicitVRLittleEndian, ImageComments="x" * 5000)
    with pytest.raises(NotReadable, match="inflates"):
        deidentified(deflated, pseudonyms())
    with pytest.raises(NotReadable, match="directory"):
        deidentified(read_shipped("dicomdirtests/DICOMDIR"), pseudonyms())


@pytest.mark.parametrize(
    "keyword",
    ["CommentsOnPatientPerformanceOfVisualField", "TreatmentStatusComment", "TextValue",
     "InstructionPerformanceComment", "AssertionComments", "CalculationComment",
     "SurfaceComments", "SubstanceAdministrationNotes", "CommentsOnRadiationDose",
     "CompletionFlagDescription", "OverrideReason", "ReasonForCancellation", "OwnerID",
     "InterventionDescription", "IndicationDescription", "TreatmentTerminationDescription",
     "ProcedureStepProgressDescription", "ObservationDescription"],
)  # fmt: skip
def test_no_comment_or_reason_is_left_wherever_it_stands(keyword: str) -> None:
    item = Dataset()
    setattr(item, keyword, "Jane fell")
    source = make_dicom(PIXELS, AcquisitionContextSequence=[item], **{keyword: "Jane fell"})
    assert b"Jane" in source
    assert b"Jane" not in deidentified(source, pseudonyms())


def test_titles_go_and_nothing_of_an_overlay_is_left() -> None:
    dataset = pydicom.dcmread(io.BytesIO(make_dicom(PIXELS, DocumentTitle="Jane's letter")))
    dataset.add_new(0x60000022, "LO", "Jane's chest")
    dataset.add_new(0x60021500, "LO", "Jane's chest")
    out = io.BytesIO()
    dataset.save_as(out)
    content = deidentified(out.getvalue(), pseudonyms())
    assert b"Jane" not in content
    assert not [tag for tag in pydicom.dcmread(io.BytesIO(content)) if tag.tag.group >> 8 == 0x60]


def test_why_it_failed_is_said() -> None:
    item = b"\xfe\xff\0\xe0\0\0\0\0"
    mark = b"\xfe\xff\xdd\xe0\0\0\0\0"
    long = b"\x08\0\x18\x22SQ\0\0" + (49 << 20).to_bytes(4, "little") + bytes(49 << 20)
    many = b"\x08\0\x18\x22SQ\0\0\xff\xff\xff\xff" + 100_000 * item + mark
    for odd, reason in ((long, "an element has more than 48 MiB"), (many, "more parts")):
        with pytest.raises(NotReadable, match=f"cannot be de-identified: .*{reason}"):
            deidentified(make_dicom() + odd, pseudonyms())


def test_a_class_of_a_million_values_is_refused_unread() -> None:
    """Behind the pixels it took the place of the header's: of 2 MB a gigabyte, and 27 seconds."""
    value = b"1\\" * 500_000
    behind = b"\x08\0\x16\0" + len(value).to_bytes(4, "little") + value
    tracemalloc.start()
    try:
        with pytest.raises(NotReadable, match="its SOP class is no UID"):
            deidentified(
                make_dicom(PIXELS, syntax=uid.ImplicitVRLittleEndian) + behind, pseudonyms()
            )
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 20 << 20


def test_a_failure_deep_within_sequences_costs_no_memory() -> None:
    """pydicom's message grew threefold at each level: to gigabytes, of a file of five kilobytes."""
    item = b"\x10\0\x10\0PN\4\0Jane"
    for _ in range(260):
        item = b"\xfe\xff\0\xe0" + len(item).to_bytes(4, "little") + item
        item = b"\x08\0\x40\x11SQ\0\0" + len(item).to_bytes(4, "little") + item
    command = [sys.executable, "-c", _DEIDENTIFY_WITHIN_LIMITS]
    done = subprocess.run(
        command, input=make_dicom() + item, cwd=ROOT, capture_output=True, timeout=60, check=True
    )
    assert done.stdout in (b"refused", b"done")
