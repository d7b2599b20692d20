"""No file makes pydicom build more objects than it may, however it is written."""

import io
import struct
import time
import tracemalloc
from contextlib import suppress
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom import uid
from pydicom.datadict import dictionary_VR, keyword_dict, tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from catalog.imaging.budget import Budget
from catalog.imaging.content import read_content
from catalog.imaging.dicom import deidentify as deidentifying
from catalog.imaging.dicom.deidentify import Pseudonyms, must_be_deidentified
from catalog.imaging.dicom.header import read_header
from catalog.imaging.dicom.identifying import find_telling
from catalog.imaging.problems import FileProblem, NotReadable, UnusableFile
from catalog.tests.imaging.dicom_files import deidentified, make_dicom, write_dicom

SYNTAXES = (uid.ExplicitVRLittleEndian, uid.ImplicitVRLittleEndian, uid.ExplicitVRBigEndian,
            uid.DeflatedExplicitVRLittleEndian)  # fmt: skip
KEEP = Pseudonyms(of_patient=lambda text: text, of_uid=lambda text: text)
SECONDS = 3


def nested(depth: int, width: int, *, undefined: bool) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodeMeaning = "1", "one"
    if depth:
        inner = [nested(depth - 1, width, undefined=undefined) for _ in range(width)]
        item.ConceptNameCodeSequence = Sequence(inner)
        item["ConceptNameCodeSequence"].is_undefined_length = undefined
        for each in inner:
            each.is_undefined_length_sequence_item = undefined
    return item


@pytest.mark.parametrize("undefined", [False, True])
@pytest.mark.parametrize("syntax", SYNTAXES)
def test_sequences_stay_as_they_are(syntax: uid.UID, undefined: bool) -> None:
    region = nested(3, 4, undefined=undefined)
    content = make_dicom(syntax=syntax, AnatomicRegionSequence=[region])
    cleaned = pydicom.dcmread(io.BytesIO(deidentified(content, KEEP)))
    assert cleaned.AnatomicRegionSequence == Sequence([region])


def bomb(syntax: uid.UID, megabytes: int = 9) -> bytes:
    """A kept sequence of empty items, of eight bytes each."""
    item = b"\xfe\xff\x00\xe0\0\0\0\0" * (megabytes << 17)
    content = make_dicom(syntax=syntax, AnatomicRegionSequence=[])
    tag = b"\x08\0\x18\x22"
    begin = content.index(tag)
    is_explicit = syntax == uid.ExplicitVRLittleEndian
    header = tag + b"SQ\0\0" if is_explicit else tag
    old = 12 if is_explicit else 8
    return (
        content[:begin] + header + len(item).to_bytes(4, "little") + item + content[begin + old :]
    )


ODD = b"\x08\0\x12\x21ZZ\x04\0abcd"  # an element of a value representation that is none
PLAIN, UNTOLD = b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2\0\0\0"


NAMES = ("explicit", "implicit", "undefined length", "behind an odd element",
         "explicit, and says implicit")  # fmt: skip


def bombs() -> dict[str, bytes]:
    explicit, implicit = bomb(SYNTAXES[0]), bomb(SYNTAXES[1])
    begin = explicit.index(b"\x08\0\x18\x22")
    open_ended = explicit.replace(b"\x18\x22SQ\0\0" + (9 << 20).to_bytes(4, "little"),
                                  b"\x18\x22SQ\0\0\xff\xff\xff\xff")  # fmt: skip
    return {
        "explicit": explicit,
        "implicit": implicit,
        "undefined length": open_ended,
        "behind an odd element": explicit[:begin] + ODD + explicit[begin:],
        "explicit, and says implicit": explicit.replace(PLAIN, UNTOLD),
    }


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """A budget that is used up soon."""
    monkeypatch.setattr(deidentifying, "MAX_READS", 15_000)


@pytest.mark.parametrize("name", NAMES)
def test_millions_of_items_are_refused_soon(few: None, name: str) -> None:
    content = bombs()[name]
    before = time.process_time()
    with pytest.raises(NotReadable, match="more parts, or longer texts"):
        deidentified(content, KEEP)
    assert time.process_time() - before < SECONDS


def test_a_file_with_more_than_is_read_is_not_called_damaged() -> None:
    items = b"\x08\0\x18\x22SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\0\xe0\0\0\0\0" * 700_000
    content = make_dicom() + items + b"\xfe\xff\xdd\xe0\0\0\0\0"
    with pytest.raises(UnusableFile) as caught:
        read_content(io.BytesIO(content), "a.dcm")
    assert caught.value.problem is FileProblem.TOO_MUCH


def test_hundreds_of_thousands_of_empty_items_are_refused_soon() -> None:
    """Each takes ten times as long as the header that is read of it."""
    empty = b"\xfe\xff\0\xe0\0\0\0\0" * 290_000
    content = make_dicom(AnatomicRegionSequence=[])
    told = b"\x08\0\x18\x22SQ\0\0"
    bad = content.replace(told + bytes(4), told + len(empty).to_bytes(4, "little") + empty)
    assert len(bad) > len(empty)
    before = time.process_time()
    with pytest.raises(NotReadable, match="more parts, or longer texts"):
        deidentified(bad, KEEP)
    assert read_header(io.BytesIO(bad)).identifying == ("UnreadElements",)
    assert time.process_time() - before < 2 * SECONDS


def empty_elements(count: int, vrs: set[str]) -> bytes:
    """Implicit items of empty elements, all that the dictionary has of a kind."""
    tags = [tag for tag in sorted(keyword_dict.values()) if dictionary_VR(tag) in vrs]
    item = b"".join(
        struct.pack("<HHI", tag >> 16, tag & 0xFFFF, 0) for tag in tags if tag >> 16 > 8
    )
    item = b"\xfe\xff\0\xe0" + struct.pack("<I", len(item)) + item
    return item * (count * 8 // len(item))


@pytest.mark.parametrize("vrs", [{"SQ"}, {"UI", "LO", "PN", "DA", "US", "FD", "OB"}])
def test_hundreds_of_thousands_of_empty_elements_take_seconds(vrs: set[str]) -> None:
    """A file of 28 kB, deflated, took 11 seconds: each phase of reading had a budget of its own."""
    items = empty_elements(290_000, vrs)
    content = make_dicom(syntax=uid.ImplicitVRLittleEndian)
    end = b"\xfe\xff\xdd\xe0\0\0\0\0"
    content += b"\x40\0\x68\xa1\xff\xff\xff\xff" + items + end
    content += b"\x40\0\x70\xa1" + struct.pack("<I", len(items) // 2) + items[: len(items) // 2]
    before = time.process_time()
    read_header(io.BytesIO(content))
    between = time.process_time()
    with pytest.raises(NotReadable, match="more parts, or longer texts"):
        deidentified(content, KEEP)
    assert between - before < SECONDS
    assert time.process_time() - between < SECONDS


@pytest.mark.parametrize("undefined", [False, True])
def test_enhanced_files_of_1800_frames_are_read(undefined: bool) -> None:
    """Each has some sixty elements in ten items."""
    frame = Dataset()
    for keyword in ("FrameContentSequence", "PlanePositionSequence", "PlaneOrientationSequence",
                    "PixelMeasuresSequence", "FrameVOILUTSequence", "MREchoSequence",
                    "PixelValueTransformationSequence", "MRAveragesSequence",
                    "MRTimingAndRelatedParametersSequence"):  # fmt: skip
        item = Dataset()
        item.StackID, item.InStackPositionNumber, item.SliceThickness = "1", 2, "1.5"
        item.WindowCenter, item.EffectiveEchoTime, item.NumberOfAverages = "10", 1.5, 1.0
        setattr(frame, keyword, [item])
        frame[keyword].is_undefined_length = undefined
        item.is_undefined_length_sequence_item = undefined
    frame.is_undefined_length_sequence_item = undefined
    dataset = pydicom.dcmread(io.BytesIO(make_dicom(NumberOfFrames=1800)))
    dataset.PerFrameFunctionalGroupsSequence = [frame] * 1800
    dataset["PerFrameFunctionalGroupsSequence"].is_undefined_length = undefined
    content = write_dicom(dataset, uid.ExplicitVRLittleEndian)
    assert read_header(io.BytesIO(content)).identifying == ()


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "PatientName"])
def test_millions_of_values_are_refused_soon(few: None, keyword: str) -> None:
    element: Any = {keyword: "1"}
    content = make_dicom(syntax=uid.ImplicitVRLittleEndian, **element)
    tag = tag_for_keyword(keyword) or 0
    begin = content.index((tag >> 16).to_bytes(2, "little") + (tag & 0xFFFF).to_bytes(2, "little"))
    value = b"1\\" * (1 << 20)
    length = len(value).to_bytes(4, "little")
    bad = content[: begin + 4] + length + value + content[begin + 10 :]
    before = time.process_time()
    if keyword == "PatientName":  # it is replaced without being looked at
        assert b"1\\1" not in deidentified(bad, KEEP)
    else:
        with pytest.raises(NotReadable, match="more parts, or longer texts"):
            deidentified(bad, KEEP)
    assert find_telling(pydicom.dcmread(io.BytesIO(bad)), Budget(15_000)) in ((), (keyword,))
    assert time.process_time() - before < SECONDS


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("PatientName", b"a^="), ("StudyInstanceUID", b"1."), ("InstitutionName", b"\x1b$)C"),
        ("FrameIncrementPointer", b"\x28\0\x06\1"), ("PatientComments", b"ab "),
    ],
)  # fmt: skip
def test_texts_of_megabytes_are_refused_or_removed_soon(keyword: str, value: bytes) -> None:
    content = make_dicom(syntax=uid.ImplicitVRLittleEndian)
    tag = (tag_for_keyword(keyword) or 0).to_bytes(4, "big")
    value *= (8 << 20) // len(value)
    element = tag[1::-1] + tag[:1:-1] + len(value).to_bytes(4, "little") + value
    bad = content + element
    before = time.process_time()
    tracemalloc.start()
    try:
        cleaned = deidentified(bad, KEEP)
    except NotReadable:
        cleaned = b""
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert value[:90] not in cleaned or keyword == "FrameIncrementPointer"
    assert peak < 10 * len(bad)
    assert time.process_time() - before < SECONDS


@pytest.mark.parametrize("syntax", SYNTAXES[:2])
@pytest.mark.parametrize("place", ["top", "item", "behind the pixels"])
def test_a_million_character_sets_are_refused_at_once(syntax: uid.UID, place: str) -> None:
    is_explicit = syntax == uid.ExplicitVRLittleEndian

    def element(tag: bytes, vr: bytes, value: bytes) -> bytes:
        return tag + (vr + b"\0\0" if is_explicit else b"") + struct.pack("<I", len(value)) + value

    many = element(b"\x08\0\x05\0", b"UT", b"A\\" * (1 << 20))
    if place == "item":
        item = b"\xfe\xff\0\xe0" + struct.pack("<I", len(many)) + many
        many = element(b"\x08\0\x18\x22", b"SQ", item)
    pixels = np.zeros((4, 4), np.uint16) if place == "behind the pixels" else None
    content = make_dicom(pixels, syntax=syntax) + many
    before = time.process_time()
    with suppress(NotReadable):
        assert read_header(io.BytesIO(content)).identifying
    with suppress(NotReadable):
        deidentified(content, KEEP)
    assert must_be_deidentified(io.BytesIO(content))
    assert time.process_time() - before < SECONDS


@pytest.mark.filterwarnings("ignore:Unknown encoding")
@pytest.mark.parametrize("is_undefined", [False, True])
def test_character_sets_of_thousands_of_items_are_refused_soon(is_undefined: bool) -> None:
    """A file of a megabyte took 15 seconds."""
    item = Dataset()
    item.CodeMeaning = "x"
    content = make_dicom(AnatomicRegionSequence=[item])
    items = b""
    for number in range(1000):
        names = b"\\".join(b"%x" % (number * 256 + each) for each in range(200))[:1000]
        inner = b"\x08\0\x05\0CS" + struct.pack("<H", len(names)) + names
        items += b"\xfe\xff\0\xe0" + struct.pack("<I", len(inner)) + inner
    begin = content.index(b"\x08\0\x18\x22SQ")
    length = 0xFFFFFFFF if is_undefined else len(items)
    end = b"\xfe\xff\xdd\xe0\0\0\0\0" if is_undefined else b""
    bad = content[:begin] + b"\x08\0\x18\x22SQ\0\0" + struct.pack("<I", length) + items + end
    before = time.process_time()
    with suppress(NotReadable):
        assert read_header(io.BytesIO(bad)).identifying == ("AnatomicRegionSequence",)
    with pytest.raises(NotReadable):
        deidentified(bad, KEEP)
    assert time.process_time() - before < SECONDS


def test_what_would_be_written_in_another_encoding_is_refused_where_it_is_much() -> None:
    """All of it would be interpreted: 8 MB of numbers took 10 seconds and 1.8 GB."""
    numbers = b"1\\" * (4 << 20)
    implicit = make_dicom(syntax=uid.ImplicitVRLittleEndian)
    explicit = make_dicom(AnatomicRegionSequence=[])
    many = b"\x18\0\x50\0" + struct.pack("<I", len(numbers)) + numbers  # SliceThickness
    item = b"\xfe\xff\0\xe0" + struct.pack("<I", len(many)) + many
    unknown = b"\x08\0\x18\x22UN\0\0\xff\xff\xff\xff" + item + b"\xfe\xff\xdd\xe0\0\0\0\0"
    compressed = b"1.2.840.10008.1.2.4.50\0\0"
    told = implicit.replace(b"UI\x12\0" + UNTOLD[:18], b"UI\x18\0" + compressed)
    behind = b"\x08\0\x05\0CS\x0a\0ISO_IR 192"
    text = b"\x08\0\x30\x10UT\0\0" + struct.pack("<I", 1 << 20) + "é".encode() * (1 << 19)
    pixels = make_dicom(np.zeros((4, 4), np.uint16))
    begin = pixels.index(b"\x28\0\x02\0")
    for content in (
        explicit.replace(b"\x08\0\x18\x22SQ\0\0\0\0\0\0", unknown), told + many,
        pixels[:begin] + text + pixels[begin:] + behind, implicit + many,
    ):  # fmt: skip
        before = time.process_time()
        tracemalloc.start()
        with suppress(NotReadable):
            deidentified(content, KEEP)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 8 * len(content)
        assert time.process_time() - before < SECONDS


def test_a_file_that_says_another_encoding_keeps_its_own() -> None:
    implicit = make_dicom(syntax=uid.ImplicitVRLittleEndian, SliceThickness="1.5")
    told = implicit.replace(b"UI\x12\0" + UNTOLD[:18], b"UI\x14\0" + PLAIN)
    assert told != implicit
    cleaned = pydicom.dcmread(io.BytesIO(deidentified(told, KEEP)))
    assert cleaned.file_meta.TransferSyntaxUID == uid.ImplicitVRLittleEndian
    assert cleaned.SliceThickness == 1.5


def test_a_sequence_with_too_many_elements_counts_itself(few: None) -> None:
    header = pydicom.dcmread(io.BytesIO(bomb(uid.ExplicitVRLittleEndian)))
    before = time.process_time()
    assert find_telling(header, Budget(15_000)) == ("UnreadElements",)
    assert time.process_time() - before < SECONDS


def test_a_private_transfer_syntax_is_taken() -> None:
    content = make_dicom().replace(PLAIN, b"1.2.840.113619.5.2\0\0")
    assert deidentified(content, KEEP)


@pytest.mark.parametrize("vr", ["LO", "UI", "DA", "DS", "TM", "ZZ"])
def test_what_has_another_vr_than_its_tag_hides_nothing(vr: str) -> None:
    content = make_dicom(SmallestImagePixelValue=3)
    begin = content.index(b"\x28\0\x06\x01")
    text = b"SECRET^JANE "
    hidden = b"\x28\0\x06\x01" + vr.encode() + len(text).to_bytes(2, "little") + text
    changed = content[:begin] + hidden + content[begin + 10 :]
    sequence = b"\x28\0\x10\x30OB\0\0" + len(text).to_bytes(4, "little") + text
    end = changed.index(hidden) + len(hidden)
    changed = changed[:end] + sequence + changed[end:]
    assert b"SECRET" in changed
    assert b"SECRET" not in deidentified(changed, KEEP)
