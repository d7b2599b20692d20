"""What is learnt from DICOM headers, what is not, and what happens with hostile ones."""

import io
import json
import math
import struct
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydicom import uid

from catalog.imaging.dicom.fragments import Fragments
from catalog.imaging.dicom.header import METADATA_KEYWORDS, DicomHeader, read_header, render_pixels
from catalog.imaging.dicom.stream import MAX_INFLATED_BYTES
from catalog.imaging.problems import DicomDirectory, NotReadable
from catalog.imaging.rendering import render_preview
from catalog.tests.imaging.dicom_files import (
    ROOT,
    damage,
    find_shipped,
    make_dicom,
    make_item,
    read_shipped,
)

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

SHIPPED = find_shipped()
PIXELS = np.arange(12, dtype=np.uint8).reshape(3, 4)


def header_of(content: bytes) -> DicomHeader:
    return read_header(io.BytesIO(content))


def describe(content: bytes) -> DicomHeader | str:
    """The header, or the reason why there is none."""
    try:
        return header_of(content)
    except NotReadable as refusal:
        return refusal.reason


def header_with(**elements: Any) -> DicomHeader:
    return header_of(make_dicom(PIXELS, **elements))


def test_a_real_ct_slice_is_described() -> None:
    header = header_of(read_shipped("J2K_pixelrep_mismatch.dcm"))
    assert (header.modality, header.body_part) == ("CT", "HEAD")
    assert (header.width, header.height, header.num_frames) == (512, 512, 1)
    assert (header.sex, header.age_years) == ("", 76.0)
    assert header.transfer_syntax == uid.JPEG2000Lossless
    assert header.photometric == "MONOCHROME2"
    assert header.has_pixels
    assert header.metadata["TransferSyntaxUID"] == "JPEG 2000 Image Compression (Lossless Only)"
    assert header.metadata["SOPClassUID"] == "CT Image Storage"


def test_ids_keep_the_images_of_a_subject_and_a_study_together() -> None:
    header = header_with(
        PatientID="TCGA-01", StudyInstanceUID="1.2.1", SeriesInstanceUID="1.2.2"
    )  # fmt: skip
    assert (header.subject_id, header.study_uid) == ("TCGA-01", "1.2.1")
    assert (header.series_uid, header.sop_uid) == ("1.2.2", "1.2.3.4")


def test_technical_elements_are_kept_with_plain_types() -> None:
    metadata = header_with(
        Manufacturer="ACME", PixelSpacing=["0.5", "0.25"], KVP="120", Exposure=3,
        ImageType=["ORIGINAL", "PRIMARY"],
    ).metadata  # fmt: skip
    assert metadata["Manufacturer"] == "ACME"
    assert metadata["PixelSpacing"] == [0.5, 0.25]
    assert metadata["ImageType"] == ["ORIGINAL", "PRIMARY"]
    assert (metadata["KVP"], metadata["Exposure"], metadata["Rows"]) == (120.0, 3, 3)
    assert {type(metadata["KVP"]), type(metadata["Exposure"])} == {float, int}


def test_a_whole_slide_in_tiles_has_the_size_of_the_whole() -> None:
    """PS3.3 C.8.12.4.1.3: Rows and Columns are those of a tile."""
    tile = np.zeros((1, 64, 64), np.uint8)
    content = make_dicom(tile, TotalPixelMatrixColumns=640, TotalPixelMatrixRows=600)
    header = header_of(content)
    assert (header.width, header.height, header.missing_bytes) == (640, 600, 0)


def test_nothing_that_identifies_a_person_is_kept() -> None:
    secret = {
        "PatientName": "Doe^Jane", "PatientBirthDate": "19700101", "StudyDate": "20200102",
        "InstitutionName": "St Elsewhere", "ReferringPhysicianName": "House^G",
        "PatientComments": "lives next door", "StudyDescription": "Jane's chest",
        "SeriesDescription": "for Dr House", "ImageComments": "call 555-0100",
        "AccessionNumber": "ACC77", "DeviceSerialNumber": "SN99", "StationName": "ROOM5",
        "OtherPatientIDs": "OLD-7", "PatientAddress": "Elm Street", "OperatorsName": "Op^E",
        "ProtocolName": "protocol of House", "RequestAttributesSequence": make_item(
            RequestedProcedureDescription="Jane's request"
        ),
    }  # fmt: skip
    header = header_with(**secret, PatientID="pseudonym")
    kept = repr(header)
    for value in secret.values():
        assert str(value) not in kept
    assert "Jane" not in kept
    assert "House" not in kept
    assert not set(secret) & {*METADATA_KEYWORDS}


def test_private_elements_are_not_kept() -> None:
    assert "GEMS" not in repr(header_of(read_shipped("CT_small.dcm")))


@pytest.mark.parametrize(
    ("text", "years"),
    [
        ("058Y", 58), ("58", 58), ("58Y", 58), (" 58Y", 58), ("058y", 58), ("000Y", None),
        ("0Y", None), ("000", None), ("000D", 0), ("000W", 0), ("000M", 0),
        ("006M", 0.5), ("052W", 52 * 7 / 365.25), ("030D", 30 / 365.25), ("129Y", 129),
        ("130Y", None), ("999Y", None), ("-01Y", None), ("0.5Y", None), ("old", None),
        ("Y", None), ("", None), ("058X", None), ("٥٨", None),
    ],
)  # fmt: skip
def test_ages_are_read_in_years_and_doubtful_ones_left_open(text: str, years: float | None) -> None:
    # Written in place, as pydicom would refuse to write most of these.
    content = make_dicom(PIXELS, PatientAge="123Y", SpecificCharacterSet="ISO_IR 192")
    header = header_of(content.replace(b"123Y", text.encode().ljust(4)[:4]))
    if years is None:
        assert header.age_years is None
    else:
        assert header.age_years is not None
        assert math.isclose(header.age_years, years, abs_tol=1e-4)


def test_an_age_that_was_not_understood_stays_readable() -> None:
    assert header_with(PatientAge="999Y").metadata["PatientAge"] == "999Y"
    assert "PatientAge" not in header_with(PatientAge="058Y").metadata


@pytest.mark.parametrize(
    ("text", "sex"), [("F", "F"), ("M ", "M"), ("O", "O"), ("f", "F"), ("FEMALE", ""), ("", "")]
)
def test_sex_is_one_of_three_letters_or_empty(text: str, sex: str) -> None:
    assert header_with(PatientSex=text).sex == sex


def test_metadata_can_be_stored_as_json_whatever_is_in_it() -> None:
    header = header_with(
        Manufacturer="A\x00B\x1b[31m\r\n" + "x" * 500, KVP="nan", SliceThickness="inf",
        ImageType=[f"V{number}" for number in range(100)], BodyPartExamined="CHEST\x07",
    )  # fmt: skip
    stored = json.dumps(header.metadata, allow_nan=False)
    assert "\\u00" not in stored
    assert "KVP" not in header.metadata
    assert "SliceThickness" not in header.metadata
    assert len(str(header.metadata["Manufacturer"])) == 120
    assert header.metadata["ImageType"] == [f"V{number}" for number in range(16)]
    assert header.body_part == "CHEST"


def test_one_dirty_element_does_not_cost_the_image() -> None:
    header = header_of(read_shipped("badVR.dcm"))  # its number of frames is "1A"
    assert (header.modality, header.num_frames, header.has_pixels) == ("RTDOSE", 1, True)


def test_uids_that_are_none_are_dropped() -> None:
    assert header_with(StudyInstanceUID="<script>").study_uid == ""


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (make_dicom(PIXELS), True),
        (make_dicom(), False),
        (make_dicom(PIXELS, Rows=None), False),
        (make_dicom(PIXELS, Columns=0), False),
        (make_dicom(PIXELS, PixelData=None), False),
        (make_dicom(PIXELS, syntax=uid.DeflatedExplicitVRLittleEndian), True),
        (make_dicom(PIXELS.astype(np.float32)), True),
        (read_shipped("reportsi.dcm"), False),
        (read_shipped("liver_1frame.dcm"), True),
    ],
    ids=range(9),
)
def test_an_image_has_rows_columns_and_pixel_data(content: bytes, expected: bool) -> None:
    assert header_of(content).has_pixels is expected


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not a DICOM file"),
        (b"DICM", "not a DICOM file"),
        (b"\x89PNG\r\n\x1a\n" + bytes(500), "not a DICOM file"),
        (read_shipped("no_meta.dcm"), "not a DICOM file"),  # begins with a space
        (read_shipped("meta_missing_tsyntax.dcm"), "SOP class is missing"),
        (bytes(128) + b"DICM", "SOP class is missing"),
        (read_shipped("dicomdirtests/DICOMDIR"), "is a DICOM directory"),
        (read_shipped("MR_truncated.dcm"), "cut short"),
        (read_shipped("rtplan_truncated.dcm"), "cut short"),
        (make_dicom(PIXELS)[:-5], "cut short"),
    ],
    ids=range(10),
)
def test_what_is_no_whole_dicom_object_is_refused_with_the_reason(
    content: bytes, reason: str
) -> None:
    with pytest.raises(NotReadable, match=reason) as refusal:
        header_of(content)
    assert refusal.value.reason == str(refusal.value)


def test_a_deflated_bomb_is_refused() -> None:
    content = make_dicom(PIXELS, syntax=uid.DeflatedExplicitVRLittleEndian)
    deflated = zlib.compress(b"\x09\x00\x10\x00UN\0\0" + b"\xff" * 3 + bytes(300 << 20), 1)[2:-4]
    meta = content[: content.index(b"1.2.840.10008.1.2.1.99") + 22]
    with pytest.raises(NotReadable, match=f"more than {MAX_INFLATED_BYTES >> 20} MiB"):
        header_of(meta + deflated)


def test_facts_of_megabytes_are_none_and_cost_no_memory() -> None:
    many = dict.fromkeys(["WindowCenter", "WindowWidth", "KVP", "EchoTime"], ["1"] * 50_000)
    content = make_dicom(PIXELS, syntax=uid.ImplicitVRLittleEndian, **many)
    tracemalloc.start()
    header = header_of(content)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert not many.keys() & header.metadata.keys()
    assert peak < 3 * len(content)


def test_what_deflates_to_little_is_read_to_its_end() -> None:
    blank = np.zeros((8000, 7500), np.uint16)
    header = header_of(make_dicom(blank, syntax=uid.DeflatedExplicitVRLittleEndian))
    assert (header.width, header.has_pixels, header.missing_bytes) == (7500, True, 0)


def test_pixels_are_not_read_for_a_header() -> None:
    class Counting(io.BytesIO):
        count = 0

        def read(self, size: int | None = -1, /) -> bytes:
            data = super().read(size)
            self.count += len(data)
            return data

    file = Counting(make_dicom(np.zeros((2000, 2000), np.uint16)))
    assert read_header(file).width == 2000
    assert file.count < 4000


def test_giant_values_are_ignored() -> None:
    content = make_dicom(PIXELS, ImageType=["A" * 16] * 20_000, Manufacturer="ACME")
    metadata = header_of(content).metadata
    assert "ImageType" not in metadata
    assert metadata["Manufacturer"] == "ACME"


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_shipped_file_is_described_or_refused_with_a_sentence(path: Path) -> None:
    found = describe(path.read_bytes())
    if isinstance(found, str):
        assert found[0].isupper()
        assert found.isprintable()
    else:
        assert json.loads(json.dumps(found.metadata, allow_nan=False)) == found.metadata


SMALL = [path.read_bytes() for path in SHIPPED if path.stat().st_size < 40_000]


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    content=st.sampled_from(SMALL),
    changes=st.lists(
        st.tuples(st.integers(128, 1500), st.binary(min_size=1, max_size=4)), max_size=8
    ),
    length=st.integers(0, 3000),
)
@example(content=SMALL[0], changes=[], length=131)
def test_hostile_headers_are_described_or_refused_and_nothing_else(
    content: bytes, changes: list[tuple[int, bytes]], length: int
) -> None:
    for version in damage(content, changes, length):
        found = describe(version)
        assert found
        if isinstance(found, DicomHeader):
            json.dumps(found.metadata, allow_nan=False)


# --- Files without a part of what PS3.10 wants ---


def make_bare(syntax: str, **elements: Any) -> bytes:
    """The data set of a file, without preamble and file meta information."""
    content = make_dicom(PIXELS.astype(np.uint16), syntax=syntax, **elements)
    big = syntax == uid.ExplicitVRBigEndian
    return content[content.index(b"\0\x08\0\x16" if big else b"\x08\0\x16\0") :]


SYNTAXES = (uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian)


@pytest.mark.parametrize("syntax", SYNTAXES, ids=str)
@pytest.mark.parametrize("start", ["bare", "charset", "group length", "no syntax", "no preamble"])
def test_a_file_without_its_meta_information_is_read(syntax: str, start: str) -> None:
    order = ">" if syntax == uid.ExplicitVRBigEndian else "<"
    bare = make_bare(syntax)
    whole = make_dicom(PIXELS.astype(np.uint16), syntax=syntax)
    content = {
        "bare": bare,
        "charset": make_bare(syntax, SpecificCharacterSet="ISO_IR 192"),
        "group length": struct.pack(
            f"{order}HH2sHI", 8, 0, b"UL", 4, 99
        ) if syntax != uid.ImplicitVRLittleEndian else struct.pack("<HHII", 8, 0, 4, 99),
        "no syntax": bytes(128) + b"DICM",
        "no preamble": whole[132:],
    }[start]  # fmt: skip
    if start in ("group length", "no syntax"):
        content += bare

    header = header_of(content)

    assert (header.width, header.height, header.modality) == (4, 3, "OT")
    assert header.transfer_syntax == syntax
    assert (header.has_pixels, header.missing_bytes) == (True, 0)
    assert render_preview(io.BytesIO(content), name="IM1", max_edge=10)
    levels = render_pixels(io.BytesIO(content), max_edge=10)
    assert list(np.asarray(levels).ravel()) == sorted(np.asarray(levels).ravel())


@pytest.mark.parametrize(
    "content",
    [
        b"\x08\0\x16\0 is how this text begins, \x08\0\x16\0 and goes on",
        b"\x02\0" * 400,
        b"\x08\0" * 400,
        b"\x02\0\0\0UL\x04\0" + bytes(900),
        b"\0\x08" * 400,
        b"\x08\0",
    ],
    ids=range(6),
)
def test_bytes_that_begin_like_a_data_set_are_not_taken_for_one(content: bytes) -> None:
    with pytest.raises(NotReadable, match="not a DICOM file"):
        header_of(content)


@pytest.mark.parametrize("path", [path for path in SHIPPED if "DICOMDIR" in path.name], ids=str)
def test_a_directory_is_known_by_its_class(path: Path) -> None:
    with pytest.raises(DicomDirectory):
        header_of(path.read_bytes())


@pytest.mark.parametrize(
    ("content", "missing"),
    [
        (make_dicom(PIXELS), 0),
        (make_dicom(PIXELS, PixelData=bytes(8)), 4),
        (make_dicom(np.zeros((3, 4, 5), np.uint16), PixelData=bytes(80)), 40),
        (make_dicom(np.zeros((3, 4, 5), np.uint16), NumberOfFrames=4), 40),
        (make_dicom(np.zeros((4, 4, 3), np.uint8), PhotometricInterpretation="YBR_FULL_422",
                    PixelData=bytes(32)), 0),
        (make_dicom(np.zeros((4, 4, 3), np.uint8), PhotometricInterpretation="YBR_PARTIAL_422",
                    PixelData=bytes(32)), 0),
        (make_dicom(PIXELS, PixelData=bytes(40)), 0),
    ],
    ids=range(7),
)  # fmt: skip
def test_pixel_data_that_are_shorter_than_the_header_says(content: bytes, missing: int) -> None:
    assert header_of(content).missing_bytes == missing


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: str(path.relative_to(ROOT)))
def test_compressed_and_whole_shipped_files_lack_nothing(path: Path) -> None:
    found = describe(path.read_bytes())
    if isinstance(found, DicomHeader):
        assert not found.missing_bytes
        assert found.fragments._replace(last=None, end=None) == Fragments()
