"""Elements of DICOM files are counted as pydicom finds them, and before it is asked to."""

import io
import time
from typing import Any

import pydicom
import pytest
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from catalog.imaging.dicom.deidentify import Pseudonyms, deidentify
from catalog.imaging.dicom.element_count import count_elements
from catalog.imaging.dicom.identifying import find_telling
from catalog.imaging.problems import NotReadable
from catalog.tests.imaging.dicom_files import make_dicom

SYNTAXES = (uid.ExplicitVRLittleEndian, uid.ImplicitVRLittleEndian, uid.ExplicitVRBigEndian)
KEEP = Pseudonyms(of_patient=lambda text: text, of_uid=lambda text: text)


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


def count_by_pydicom(dataset: Any) -> int:
    """Elements and items; the ends of those of undefined length are not among them."""
    count = 0
    for element in dataset:
        count += 1
        if element.VR == "SQ":
            count += sum(1 + count_by_pydicom(item) for item in element.value)
    return count


@pytest.mark.parametrize("undefined", [False, True])
@pytest.mark.parametrize("syntax", SYNTAXES)
def test_elements_are_counted_as_pydicom_finds_them(syntax: uid.UID, undefined: bool) -> None:
    content = make_dicom(syntax=syntax, AnatomicRegionSequence=[nested(3, 4, undefined=undefined)])
    dataset = pydicom.dcmread(io.BytesIO(content))
    found = count_by_pydicom(dataset) + count_by_pydicom(dataset.file_meta)
    counted = count_elements(
        content, implicit=syntax.is_implicit_VR, little=syntax.is_little_endian
    )
    ends = content.count(b"\xfe\xff\x0d\xe0") + content.count(b"\xfe\xff\xdd\xe0")
    ends += content.count(b"\xff\xfe\xe0\x0d") + content.count(b"\xff\xfe\xe0\xdd")
    assert counted == found + ends
    assert bool(ends) is undefined


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


@pytest.mark.parametrize("syntax", SYNTAXES[:2])
def test_millions_of_items_are_refused_before_they_are_parsed(syntax: uid.UID) -> None:
    content = bomb(syntax)
    before = time.process_time()
    with pytest.raises(NotReadable, match="more than 300,000 elements"):
        deidentify(content, KEEP)
    assert time.process_time() - before < 3


def test_a_sequence_with_too_many_elements_counts_itself() -> None:
    header = pydicom.dcmread(io.BytesIO(bomb(uid.ExplicitVRLittleEndian)))
    before = time.process_time()
    assert find_telling(header) == ("AnatomicRegionSequence",)
    assert time.process_time() - before < 3


def test_what_has_another_vr_than_its_tag_hides_nothing() -> None:
    content = make_dicom(SmallestImagePixelValue=3)
    begin = content.index(b"\x28\0\x06\x01")
    text = b"SECRET^JANE "
    hidden = b"\x28\0\x06\x01LO" + len(text).to_bytes(2, "little") + text
    changed = content[:begin] + hidden + content[begin + 10 :]
    sequence = b"\x28\0\x10\x30OB\0\0" + len(text).to_bytes(4, "little") + text
    end = changed.index(hidden) + len(hidden)
    changed = changed[:end] + sequence + changed[end:]
    assert b"SECRET" in changed
    assert pydicom.dcmread(io.BytesIO(changed)).SmallestImagePixelValue == "SECRET^JANE"
    assert b"SECRET" not in deidentify(changed, KEEP)
