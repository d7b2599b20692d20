"""Which DICOM attributes tell who somebody is, and which values do."""

import copy
import io
import threading
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom import uid
from pydicom.datadict import dictionary_VR, keyword_dict, keyword_for_tag
from pydicom.dataset import Dataset

from catalog.imaging.dicom import stream
from catalog.imaging.dicom.header import read_header
from catalog.imaging.dicom.identifying import MAX_NAMES
from catalog.tests.imaging.dicom_files import make_dicom, make_item, read_shipped, write_dicom


def find(*, syntax: str = uid.ExplicitVRLittleEndian, **elements: Any) -> tuple[str, ...]:
    return read_header(io.BytesIO(make_dicom(syntax=syntax, **elements))).identifying


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("PatientName", "Doe^Jane"), ("PatientName", "山田^太郎"), ("PatientName", "Doe"),
        ("PatientName", "王^明"), ("PatientName", "=王^明"), ("PatientName", "=김^수"),
        ("PatientName", "张伟2"), ("PatientName", "홍길동2"), ("PatientName", "张三-男-45岁"),
        ("PatientBirthDate", "12/05/1980"), ("PatientBirthDate", "12051980"),
        ("PatientBirthDate", "19850101"),
        ("PatientName", "CompressedSamples^CT1"), ("PatientName", "Anonymous^Jane"),
        ("PatientName", "DOE_JANE_19550820"), ("PatientName", "Miller2"),
        ("OperatorsName", ["A1", "Nurse^Ann"]), ("ReferringPhysicianName", "House"),
        ("PatientBirthDate", "19550820"), ("PatientBirthTime", "0815"),
        ("OtherPatientIDs", "SSN-1"), ("AccessionNumber", "ACC77"),
        ("PatientAddress", "1 Main Street"), ("PatientTelephoneNumbers", "555-0100"),
        ("PatientComments", "lives next door"), ("ImageComments", "call Jane"),
        ("InstitutionName", "St. Elsewhere"), ("PatientMotherBirthName", "Roe"),
        ("LabelText", "Doe, Jane"), ("BarcodeValue", "S12-3456"), ("CameraOwnerName", "Jane Doe"),
        ("TelephoneNumberTrial", "555-0100"), ("Impressions", "Jane is well"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("syntax", [uid.ExplicitVRLittleEndian, uid.ImplicitVRLittleEndian])
def test_what_tells_who_somebody_is(keyword: str, value: Any, syntax: str) -> None:
    given = {"SpecificCharacterSet": "ISO_IR 192", "PatientID": "4711", keyword: value}
    assert find(syntax=syntax, **given) == (keyword,)


NAME_AND_NONE = b"\x10\0\x10\0PN\x08\0Doe^Jane" + b"\x10\0\x10\0PN\0\0"
END_OF_ITEM = b"\xfe\xff\x0d\xe0\0\0\0\0"


def test_elements_that_stand_twice_are_noticed_wherever_they_stand() -> None:
    """Of two the last one is parsed, and other programs may show the first."""
    item = b"\xfe\xff\0\xe0" + len(NAME_AND_NONE).to_bytes(4, "little") + NAME_AND_NONE
    begin = b"\x40\0\x75\2SQ\0\0"
    told = begin + len(item).to_bytes(4, "little") + item
    untold = begin + b"\xff\xff\xff\xff" + item + b"\xfe\xff\xdd\xe0\0\0\0\0"
    behind_end = begin + (len(item) + 8).to_bytes(4, "little")
    behind_end += b"\xfe\xff\0\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0" + item[8:]
    report, picture = make_dicom(), make_dicom(np.zeros((4, 4), np.uint8))
    for content, expected in (
        (report + told, "RepeatedElements"), (report + untold, "RepeatedElements"),
        (picture + NAME_AND_NONE, "DataBehindPixels"),
        (report + behind_end, "RequestAttributesSequence"),
        (report + 2 * b"\x10\0\x40\0CS\2\0F ", None),  # which some writers do
        (picture + END_OF_ITEM + NAME_AND_NONE, "DataBehindPixels"),
        (report + END_OF_ITEM + NAME_AND_NONE[:16], "PatientName"),
    ):  # fmt: skip
        found = read_header(io.BytesIO(content)).identifying
        assert found == ((expected,) if expected else ())


def test_the_first_element_is_not_taken_for_its_own_repetition() -> None:
    """Where a file is of another encoding than it says, pydicom asks for it twice."""
    content = make_dicom(syntax=uid.ImplicitVRLittleEndian)
    told, other = b"1.2.840.10008.1.2\0", b"1.2.840.10008.1.2.1\0"
    changed = content.replace(b"UI\x12\0" + told, b"UI\x14\0" + other)
    assert changed != content
    assert read_header(io.BytesIO(changed)).identifying == ()


def test_deflated_files_are_inflated_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now, most, lock = [0], [0], threading.Lock()
    inflate = stream._inflate

    def count(file: Any) -> Any:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.05)
        with lock:
            now[0] -= 1
        return inflate(file)

    monkeypatch.setattr(stream, "_inflate", count)
    content = make_dicom(syntax=uid.DeflatedExplicitVRLittleEndian, PatientName="Doe^Jane")
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: read_header(io.BytesIO(content)), range(4)))
    assert [each.identifying for each in found] == [("PatientName",)] * 4
    assert most[0] == 1


def test_names_in_private_elements_and_overlays_of_implicit_files() -> None:
    """Their VR stands in pydicom's dictionaries of makers, and of repeating groups."""
    syntax = uid.ImplicitVRLittleEndian
    dataset = pydicom.dcmread(io.BytesIO(make_dicom(syntax=syntax)))
    item = Dataset()
    item.PatientName = "Doe^Jane"
    dataset.add_new(0x20050014, "LO", "Philips MR Imaging DD 005")
    dataset.add_new(0x2005140F, "SQ", [item])
    dataset.add_new(0x00330013, "LO", "MITRA OBJECT UTF8 ATTRIBUTES 1.0")
    dataset.add_new(0x00331302, "PN", "Doe^Jane")
    dataset.add_new(0x50002600, "SQ", [item])
    dataset.add_new(0x60004000, "LT", "Jane's heart")
    out = io.BytesIO()
    dataset.save_as(out)
    assert read_header(io.BytesIO(out.getvalue())).identifying == (
        "CurveReferencedOverlaySequence.PatientName", "OverlayComments",
        "PrivateElements", "PrivateElements.PatientName",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("PatientName", ""), ("PatientName", "^^^^"), ("PatientName", "LIDC-IDRI-0001"),
        ("PatientName", "lidc idri^0001"), ("PatientName", "ANONYMOUS"), ("PatientName", "XXXXX"),
        ("PatientName", "anon^patient"), ("PatientName", "case-17b"), ("PatientName", "0000"),
        ("PatientName", "患者12"), ("PatientName", "病人-0007"),
        ("OperatorsName", "OP12"), ("PatientName", "P10-00032"),
        ("PatientName", "3f2ac1de-0d6b-4b1c-9d1f-abcdefabcdef"),
        ("PatientName", "Subject_007"), ("PatientBirthDate", ""), ("PatientBirthDate", "19000101"),
        ("PatientBirthDate", "00010101"), ("PatientBirthDate", "11111111"),
        ("PatientBirthTime", "000000"), ("PatientComments", "N/A"), ("ImageComments", "REMOVED"),
        ("AccessionNumber", ""), ("InstitutionName", "anonymized"), ("StudyDate", "20200102"),
        ("StudyDescription", "Thorax"), ("StudyID", "12"), ("PatientAge", "061Y"),
        ("PatientSex", "F"), ("DeviceSerialNumber", "SN99"),
    ],
)  # fmt: skip
def test_what_tells_nobody(keyword: str, value: str) -> None:
    assert find(PatientID="LIDC-IDRI-0001", **{keyword: value}) == ()


# As public collections call their patients.
CODES = """
100_HM12345|ACRIN-6698-900810|ACRIN-Contralateral-Breast-MR-001|ACRIN-FLT-Breast_001
ACRIN-NSCLC-FDG-PET-001|Adrenal_Ki67_Seg_001|AMBL-001|AMC-001|Anonymous 12|AP-6H6G
BLGSP-71-06-00001|BLGSP-71-TMA12-EBER|BraTS-GLI-00001-000|BraTS20_Training_001|BraTS2021_00000
Breast_MRI_001|C3L-00001|BreastDx-01-0001|Burdenko-GBM-001|Calc-Training_P_00007_LEFT_MLO_1
CCR-3-CT1|CCTH-A01|CDDP-A8B0|Mass-Test_P_00016_RIGHT_CC|COVID-19-AR-16406488|CPTAC C3L-00001
CQ500CT1 CQ500CT1|CRLM-CT-1001|CT-PET-VI-01|CT-Training-BE001|CTC-1018399231|D1-0001|DBT-P00001
EA1141-100069|EAY131-10017|GTEX-14PJ2|GLIOMA01-i_03A6|HCC_001|HCM-CSHL-0056-C18|HN-CHUM-001|HN1004
HNSCC-01-0001|HTA12_1391|interobs05|KiTS-00000|HTMCP-03-06-02001|Histiocytoma_01|ISPY1_1001
IXI002-Guys-0828-T1|LCTSC-Train-S1-001|LIDC-IDRI-0001|lidc idri^0001|LiverUS-01|LUNG1-001
LungFCP-01-0001|Lung_Dx-A0001|LUNGx-CT001|MED_LYMPH_001|MSB-01723|MIDRC-RICORD-1A-SITE2-000001
MIP-PROSTATE-01-0001|MRI-DIR-T1_1|NaF-PROSTATE-01-0001|OPC-00001|Patient 12|PANCREAS_0001
Pancreas-CT-CB_001|PCAMPMRI-00001|PD-1-Lung-00001|Pediatric-CT-SEG-0BBDB755|PETCT_05bed31780
Pelvic-Ref-001|Phantom-100.0-1.0|Prostate-AEC-001|Prostate-MRI-US-Biopsy-0001|Prostate3T-01-0001
ProstateX-0000|Pseudo-PHI-001|PSMA_0198cdca94fbb95f|QIBA-CT-Liver-Phantom-1|QIN-BREAST-01-0001
R01-001|QIN-Breast-DCE-MRI-BC01|RIDER Neuro MRI-1023805636|QIN-SARCOMA-01-0001|ReMIND-001
RIDER-1129164940|RMS2120|ZZ RIDER MR8 1|StageII-Colorectal-CT-001|STS_001|sub-01|TCGA-OR-A5J1
TCGA-IB-AAUQ|TCGA-XX-1234|TVD_GBM_IC1_070610_19|UCSF-BR-01|UPENN-GBM-00001|UW-12 patient001
VS-MC-RC-001|VS-SEG-003
"""
NAMES = """
SMITH_JOHN_19610304|SMITH-19610304|Smith 4.3.1961|SMITH_1961-03-04|smith04031961|Smith^John^4711
Smith^4711|Smith, John 4711|DOE^JANE^^^2|JohnSmith_4711|4711 smith john|XU_MING_0001|QIN_MING_12
RIDER_JOHN_12|CT_SMITH_JOHN_001|Doe Jane 12|SMITH_JOHN_BRAIN_01|Study 4 Smith John|王明_4711
Müller_4711|DOE JANE
"""


def test_a_name_that_is_the_id_as_well_tells_nobody_only_if_it_is_a_code() -> None:
    codes, names = (text.strip().replace("\n", "|").split("|") for text in (CODES, NAMES))
    given = {"SpecificCharacterSet": "ISO_IR 192"}
    assert [each for each in codes if find(**given, PatientID=each, PatientName=each)] == []
    told = [each for each in names if find(**given, PatientID=each, PatientName=each)]
    assert told == names
    one = "SMITH_JOHN_19610304"
    assert find(PatientID=one, OtherPatientIDs=one) == ("OtherPatientIDs",)
    assert find(PatientID="20200102", OtherPatientIDs="20200102") == ()


def test_a_file_that_says_that_it_was_deidentified_has_none() -> None:
    found = {"PatientName": "Doe^Jane", "PatientBirthDate": "19550820"}
    assert find(**found) == ("PatientBirthDate", "PatientName")
    assert find(**found, PatientIdentityRemoved="YES") == ()
    assert find(**found, PatientIdentityRemoved="NO") == ("PatientBirthDate", "PatientName")


@pytest.mark.parametrize("syntax", [uid.ExplicitVRLittleEndian, uid.ImplicitVRLittleEndian])
def test_items_of_sequences_count(syntax: str) -> None:
    request = make_item(RequestingPhysician="House^G", RequestedProcedureDescription="chest")
    modified = make_item(PatientID="MRN-1", PatientName="Doe^Jane")
    found = find(
        syntax=syntax,
        PatientID="p1",
        RequestAttributesSequence=request,
        OriginalAttributesSequence=make_item(ModifiedAttributesSequence=modified),
        OtherPatientIDsSequence=make_item(PatientID="p1", TypeOfPatientID="TEXT"),
    )
    assert found == (
        "OriginalAttributesSequence.PatientID",
        "OriginalAttributesSequence.PatientName",
        "RequestAttributesSequence.RequestingPhysician",
    )


def test_private_names_count_and_long_sequences_are_not_passed_over() -> None:
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = uid.SecondaryCaptureImageStorage, "1.2.3"
    block = dataset.private_block(0x0009, "ACME", create=True)
    block.add_new(1, "PN", "Doe^Jane")
    block.add_new(2, "LO", "gain 7")
    content = write_dicom(dataset, uid.ExplicitVRLittleEndian)
    assert read_header(io.BytesIO(content)).identifying == ("PrivateElements",)

    for length, expected in ((600, ()), (1200, ()), (4000, ("UnreadElements",))):
        many = make_item(SeriesDescription="x" * length)
        many.extend([many[0]] * 15_000)
        assert find(ReferencedSeriesSequence=many) == expected
    many[0:] = [*many[:5000], *make_item(PatientName="Doe^Jane")]
    assert find(ReferencedSeriesSequence=many) == ("ReferencedSeriesSequence.PatientName",)


def test_values_that_cannot_be_read_count() -> None:
    content = make_dicom(PatientBirthDate="19550820", ImageComments="call Jane")
    broken = content.replace(b"19550820", b"\xff\xfe\xfd\xfc5082")
    assert "ImageComments" in read_header(io.BytesIO(broken)).identifying


@pytest.mark.parametrize("vr", ["LO", "SH", "ST", "UT", "CS", "AE", "UN", "OB"])
@pytest.mark.parametrize("tag", [0x00100010, 0x00080090, 0x0040A075])
def test_a_name_is_one_whatever_its_value_representation(tag: int, vr: str) -> None:
    dataset = pydicom.dcmread(io.BytesIO(make_dicom()))
    dataset.add_new(tag, vr, b"Doe^John" if vr in ("UN", "OB") else "Doe^John")
    content = write_dicom(dataset, uid.ExplicitVRLittleEndian)
    assert read_header(io.BytesIO(content)).identifying == (keyword_for_tag(tag),)


@pytest.mark.parametrize(
    ("tag", "vr", "value"),
    [
        (0x00100010, "US", [19797, 29811]), (0x00100010, "FD", 1.5), (0x00100010, "AT", 0x00204321),
        (0x00101040, "TM", "Main Street"), (0x00104000, "DA", "Jane"), (0x00080080, "IS", "12"),
    ],
)  # fmt: skip
def test_what_no_such_element_can_be_tells_something(tag: int, vr: str, value: Any) -> None:
    dataset = pydicom.dcmread(io.BytesIO(make_dicom()))
    dataset.add_new(tag, vr, value)
    content = write_dicom(dataset, uid.ExplicitVRLittleEndian)
    assert read_header(io.BytesIO(content)).identifying == (keyword_for_tag(tag),)


def test_a_name_in_place_of_a_sequence_counts() -> None:
    for tag in (b"\x10\0\x10\0", b"\x10\0\x40\x10"):
        text = tag + b"SQ\0\0\x0a\0\0\0Muster^Ida"
        assert read_header(io.BytesIO(make_dicom() + text)).identifying


def test_private_sequences_that_are_too_long_count() -> None:
    item = Dataset()
    item.PatientName, item.PixelData = "Doe^Jane", bytes(48 << 20)
    item["PixelData"].VR = "OW"
    dataset = pydicom.dcmread(io.BytesIO(make_dicom()))
    dataset.private_block(0x0009, "ACME", create=True).add_new(1, "SQ", [item])
    content = write_dicom(dataset, uid.ExplicitVRLittleEndian)
    assert read_header(io.BytesIO(content)).identifying == ("UnreadElements",)


def test_sequences_within_sequences_are_not_copied_again_and_again() -> None:
    inner = bytes(1 << 19)
    for _ in range(300):
        length = len(inner).to_bytes(4, "little")
        inner = b"\xfe\xff\0\xe0" + length + inner
        inner = b"\x08\0\x18\x22" + b"SQ\0\0" + len(inner).to_bytes(4, "little") + inner
    content = make_dicom() + inner
    before = time.process_time()
    tracemalloc.start()
    assert read_header(io.BytesIO(content)).identifying == ("UnreadElements",)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 60 * len(content)
    assert time.process_time() - before < 3


def test_an_element_that_stands_there_twice_counts() -> None:
    names = b"\x10\0\x10\0PN\x08\0Doe^John\x10\0\x10\0PN\0\0"
    found = read_header(io.BytesIO(make_dicom() + names)).identifying
    assert found == ("RepeatedElements",)


@pytest.mark.parametrize(
    "between", [bytes(1 << 20), bytes(3 << 20)], ids=["a block", "more blocks"]
)
def test_zeros_behind_the_pixels_hide_nothing(between: bytes) -> None:
    content = make_dicom(np.zeros((4, 4), np.uint16)) + between
    assert read_header(io.BytesIO(content)).identifying == ()
    hidden = content + b"\x10\0\x10\0PN\x08\0Doe^John"
    assert read_header(io.BytesIO(hidden)).identifying


def test_pixels_whose_end_is_not_known_count() -> None:
    content = read_shipped("JPEG2000.dcm")
    before = set(read_header(io.BytesIO(content)).identifying)
    odd = content[:-8] + b"junkjunk" + content[-8:] + b"\x10\0\x10\0PN\x08\0Doe^John"
    assert set(read_header(io.BytesIO(odd)).identifying) - before == {"DataBehindPixels"}


@pytest.mark.parametrize("is_compressed", [False, True])
def test_what_stands_behind_the_pixels_counts(is_compressed: bool) -> None:
    content = make_dicom(np.zeros((4, 4), np.uint16))
    if is_compressed:
        content = read_shipped("JPEG2000.dcm")
        assert (content[-8:-4], "PatientName") == (b"\xfe\xff\xdd\xe0", "PatientName")
    before = set(read_header(io.BytesIO(content)).identifying)
    for padding in (b"", bytes(5000), b"\xfc\xff\xfc\xffOB\0\0\4\0\0\0\1\2\3\4"):
        assert set(read_header(io.BytesIO(content + padding)).identifying) == before
    name = b"\xe3\x7f\x10\0LO\4\0ACME\xe3\x7f\x10\x10PN\x08\0Doe^John"
    mother = b"\x10\0\x60\x10PN\x08\0Doe^Jane"
    found = read_header(io.BytesIO(content + mother + name)).identifying
    assert set(found) - before == {"PatientMotherBirthName", "PrivateElements"}


def test_a_character_set_in_which_letters_are_others_hides_no_name() -> None:
    content = make_dicom(SpecificCharacterSet="ISO_IR 100", PatientName="POLLMANN^JAN")
    assert find(PatientName="POLLMANN^JAN", SpecificCharacterSet="ISO_IR 101") == ("PatientName",)
    odd = content.replace(b"ISO_IR 100", b"cp037     ")
    assert read_header(io.BytesIO(odd)).identifying == ("PatientName",)


def test_what_reports_say_counts() -> None:
    text = make_item(TextValue="Mr John Doe, born 1960-02-01, has a cough")
    assert find(ContentSequence=text) == ("ContentSequence.TextValue",)
    assert find(EncapsulatedDocument=b"%PDF Mr Doe") == ("EncapsulatedDocument",)


@pytest.mark.parametrize(
    ("code", "value", "expected"),
    [
        ("121031", {"Date": "19610304"}, ("ContentSequence.Date",)),
        ("21112-8", {"DateTime": "196103040815"}, ("ContentSequence.DateTime",)),
        ("184099003", {"Date": "19610304"}, ("ContentSequence.Date",)),
        ("121031", {"Date": "19000101"}, ()),
        ("111060", {"Date": "20240304"}, ()),  # Study Date
        ("121029", {"PersonName": "Doe^Jane"}, ("ContentSequence.PersonName",)),
    ],
)  # fmt: skip
def test_births_that_reports_code_count(
    code: str, value: dict[str, str], expected: tuple[str, ...]
) -> None:
    """In a content item of a structured report, only its concept says what a date is of."""
    concept = make_item(CodeValue=code, CodingSchemeDesignator="DCM", CodeMeaning="x")
    text = make_item(RelationshipType="CONTAINS", ConceptNameCodeSequence=concept, **value)
    assert find(ContentSequence=text) == expected


def test_raw_data_of_any_size_are_passed_over(tmp_path: Path) -> None:
    """In the header, within sequences and behind the pixels, as vendors and EEGs have them."""

    def write(start: bytes, vr: bytes, *, name: bytes = b"", ends: bytes = b"") -> Path:
        path = tmp_path / "raw.dcm"
        with path.open("wb") as file:
            file.write(start)
            for number in range(5):
                file.write(b"\xfd\xff" + bytes([number, 0x10]) + vr + b"\0\0")
                file.write((40 << 20).to_bytes(4, "little"))
                file.seek(40 << 20, 1)
            file.write(name + ends)
            file.truncate()
        return path

    report, picture = make_dicom(), make_dicom(np.zeros((4, 4), np.uint8))
    begin = b"\xfb\xff\1\x10SQ\0\0" + b"\xff" * 4 + b"\xfe\xff\0\xe0" + b"\xff" * 4
    ends = END_OF_ITEM + b"\xfe\xff\xdd\xe0\0\0\0\0"
    name = b"\xfd\xff\x20\x10PN\x08\0Doe^Jane"
    for start, ends_of in ((report, b""), (report + begin, ends), (picture + begin, ends)):
        for vr in (b"OB", b"OF"):
            with write(start, vr, ends=ends_of).open("rb") as file:
                assert read_header(file).identifying == ()
        with write(start, b"OW", name=name, ends=ends_of).open("rb") as file:
            (found,) = read_header(file).identifying
        assert found.endswith("PrivateElements")


@pytest.mark.parametrize("vr", [b"UN\0\0", b""])  # without one, in files of implicit VR
def test_raw_data_that_do_not_say_what_they_are_are_passed_over_by_their_tag(
    tmp_path: Path, vr: bytes
) -> None:
    syntax = uid.ExplicitVRLittleEndian if vr else uid.ImplicitVRLittleEndian
    path = tmp_path / "raw.dcm"
    with path.open("wb") as file:
        file.write(make_dicom(syntax=syntax) + b"\0\x54\0\1" + (b"SQ\0\0" if vr else b""))
        file.write(b"\xff" * 4 + b"\xfe\xff\0\xe0" + b"\xff" * 4)
        file.write(b"\0\x54\x10\x10" + vr + (200 << 20).to_bytes(4, "little"))  # WaveformData
        file.seek(200 << 20, 1)
        file.write(END_OF_ITEM + b"\xfe\xff\xdd\xe0\0\0\0\0")
        file.write(b"\x10\0\x10\0" + (b"PN\x08\0" if vr else b"\x08\0\0\0") + b"Doe^Jane")
    with path.open("rb") as file:
        assert read_header(file).identifying == ("PatientName",)


def test_the_names_of_one_file_are_limited() -> None:
    dataset = pydicom.dcmread(io.BytesIO(make_dicom()))
    names = [tag for tag in keyword_dict.values() if dictionary_VR(tag) == "PN"]
    for tag in names:
        dataset.add_new(tag, "PN", "Doe^John")
    for sequence in ("RequestAttributesSequence", "ReferencedStudySequence"):
        setattr(dataset, sequence, [copy.deepcopy(dataset)])
    found = read_header(io.BytesIO(write_dicom(dataset, uid.ImplicitVRLittleEndian))).identifying
    assert (len(found), found[-1]) == (MAX_NAMES, "OtherElements")


def test_texts_that_would_take_hours_count_at_once() -> None:
    before = time.process_time()
    many = {"PatientID": "Q " * 500_000, "PatientName": ["Q1"] * 20_000}
    assert find(syntax=uid.ImplicitVRLittleEndian, **many) == ("PatientName",)
    long = dict.fromkeys(["InterpretationText", "PatientComments"], "\x1b$)C" * 250_000)
    assert find(syntax=uid.ImplicitVRLittleEndian, **long) == tuple(long)
    words = dict.fromkeys(["OperatorsName", "PatientMotherBirthName"], "Q1 " * 300_000)
    assert find(syntax=uid.ImplicitVRLittleEndian, **words) == tuple(words)
    assert time.process_time() - before < 6


def test_published_files() -> None:
    """pydicom ships one that says that it was de-identified, and one of a test person."""
    assert read_header(io.BytesIO(read_shipped("JPEG-lossy.dcm"))).identifying
    assert read_header(io.BytesIO(read_shipped("CT_small.dcm"))).identifying == (
        "ImageComments", "InstitutionName", "OtherPatientIDsSequence.PatientID", "PatientName",
    )  # fmt: skip
