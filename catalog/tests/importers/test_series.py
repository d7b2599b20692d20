"""``import_dataset`` of DICOM slices: a series is one image of many files."""

import hashlib
import os
from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from catalog.importers.slices import MIXED, PLANES, REPEATED, SHIFTED, UNEVEN, UNPLACED
from catalog.models import Dataset, Image, ImageFile
from catalog.tests.importers.folder_files import make_scan, write_files
from catalog.tests.importers.series_files import AXIAL, SERIES, STUDY, make_series, make_slice
from vocab.services import load_terms

pytestmark = pytest.mark.django_db


@pytest.fixture
def home(own_folders: Path) -> Path:
    terms: list[dict[str, Any]] = [
        {"code": "ct", "name": "CT"}, {"code": "cr", "name": "CR"}, {"code": "mr", "name": "MR"},
    ]  # fmt: skip
    load_terms(vocabulary="modality", terms=terms)
    return own_folders / "datasets"


def run(folder: Path, files: Mapping[str, bytes], *options: str) -> str:
    out = StringIO()
    write_files(folder, files)
    call_command("import_dataset", str(folder), *options, stdout=out, stderr=StringIO())
    return out.getvalue()


def names_of(image: Image) -> list[str]:
    return [file.name for file in image.files.all()]


def test_a_series_is_one_image_and_its_slices_are_in_order(home: Path) -> None:
    said = run(home / "lungs", make_series([7.5, 0.0, 5.0, 2.5]))

    image = Image.objects.get()
    assert "1 series of 4 files" in said
    assert (image.source_id, image.subject_id, image.modality) == (SERIES, "P1", image.modality)
    assert (image.num_files, image.width, image.height) == (4, 5, 4)
    assert names_of(image) == ["IM0002.dcm", "IM0004.dcm", "IM0003.dcm", "IM0001.dcm"]
    assert image.file_path == "IM0003", "the slice in the middle stands for the series"
    facts = image.metadata_json
    assert (facts["num_slices"], facts["slice_spacing_mm"]) == (4, 2.5)
    assert (facts["SeriesDescription"], facts["SliceThickness"]) == ("Lung 1.0", 1.5)
    assert facts["PixelSpacing"] == [0.7, 0.7]
    assert (facts["StudyInstanceUID"], facts["SeriesInstanceUID"]) == (STUDY, SERIES)
    assert Dataset.objects.get().num_images == 1


def test_the_hash_of_a_series_is_that_of_its_names_and_hashes(home: Path) -> None:
    files = make_series([0.0, 1.0])
    run(home / "lungs", files)

    lines = [
        f"{hashlib.sha256(content).hexdigest()}  {name}.dcm\n" for name, content in files.items()
    ]
    image = Image.objects.get()
    assert image.sha256 == hashlib.sha256("".join(lines).encode()).hexdigest()
    assert image.size_bytes == sum(map(len, files.values()))


def test_without_places_the_instance_number_orders_them(home: Path) -> None:
    files = {f"{11 - n}": make_slice(None, number=n) for n in (1, 2, 10)}
    run(home / "lungs", files)

    assert names_of(Image.objects.get()) == ["10.dcm", "9.dcm", "1.dcm"]
    assert "slice_spacing_mm" not in Image.objects.get().metadata_json


def test_oblique_slices_are_ordered_along_their_normal(home: Path) -> None:
    """Coronal planes: the normal is along y, and points to the back of the patient's front."""
    coronal = [1, 0, 0, 0, 0, -1]
    files = {
        f"{y}.dcm": make_slice(
            0, number=y, ImagePositionPatient=[0, y, 0], ImageOrientationPatient=coronal
        )
        for y in (3, 1, 2)
    }
    run(home / "lungs", files)

    assert names_of(Image.objects.get()) == ["1.dcm", "2.dcm", "3.dcm"]


def test_several_times_at_one_place_are_one_series(home: Path) -> None:
    """As of the b-values or phases of one volume."""
    run(home / "lungs", make_series([0.0, 2.0, 0.0, 2.0, 0.0, 2.0]))

    image = Image.objects.get()
    assert (image.num_files, image.metadata_json["num_slices"]) == (6, 2)
    assert image.metadata_json["not_a_volume"] == [REPEATED]
    assert names_of(image)[:3] == ["IM0001.dcm", "IM0003.dcm", "IM0005.dcm"]


def test_a_gap_between_slices_is_said(home: Path) -> None:
    said = run(home / "lungs", make_series([0.0, 1.0, 2.0, 5.0, 6.0]))

    facts = Image.objects.get().metadata_json
    assert facts["not_a_volume"] == [UNEVEN]
    assert "slice_spacing_mm" not in facts
    assert "1 series are not one volume: its slices are not evenly spaced" in said


CORONAL = [1, 0, 0, 0, 0, -1]


@pytest.mark.parametrize(
    ("more", "fault"),
    [
        (make_slice(0.0, number=9, ImageOrientationPatient=CORONAL), PLANES),
        (make_slice(None, number=9), UNPLACED),
        (make_slice(0.0, number=9), REPEATED),
        (make_slice(2.0, number=9, ImagePositionPatient=[0, 9, 2]), SHIFTED),
        (make_slice(2.0, number=9, PixelSpacing=[0.8, 0.8]), MIXED),
    ],
)
def test_what_is_not_one_volume_is_said_with_the_reason(
    home: Path, more: bytes, fault: str
) -> None:
    said = run(home / "lungs", {**make_series([0.0, 1.0]), "more": more})

    assert Image.objects.get().metadata_json["not_a_volume"] == [fault]
    assert f"1 series are not one volume: {fault}" in said


@pytest.mark.parametrize(
    "wrong", [{"ImageOrientationPatient": [0] * 6}, {"ImagePositionPatient": [0, 0, "1e300"]}]
)
def test_places_that_cannot_be_are_not_known(home: Path, wrong: dict[str, Any]) -> None:
    run(home / "lungs", make_series([0.0, 1.0], **wrong))

    assert "num_slices" not in Image.objects.get().metadata_json


def test_what_slices_say_differently_is_not_said_of_the_series(home: Path) -> None:
    files = {
        "a": make_slice(0.0, KVP="120", PatientAge="061Y", ConvolutionKernel="B30"),
        "b": make_slice(1.0, KVP="140", PatientAge="016Y", ConvolutionKernel="B30"),
    }
    run(home / "lungs", files)

    image = Image.objects.get()
    assert image.age_years is None
    assert image.metadata_json["ConvolutionKernel"] == "B30"
    assert "KVP" not in image.metadata_json
    assert image.metadata_json["varying"] == ["KVP", "age_years"]


def test_a_series_shows_burnt_in_text_if_one_slice_does(home: Path, client: Client) -> None:
    marks: list[dict[str, str]] = [{}, *({"BurnedInAnnotation": word} for word in ("Yes", "NO"))]
    files = {str(n): make_slice(n, number=n, **mark) for n, mark in enumerate(marks)}
    run(home / "lungs", files)

    pages = ("/datasets/lungs/", Image.objects.get().get_absolute_url())
    assert all('id="burned-in"' in client.get(page).content.decode() for page in pages)


def test_radiographs_of_one_series_stay_images_of_their_own(home: Path) -> None:
    views = {
        f"{n}.dcm": make_scan(
            Modality="CR", SeriesInstanceUID=SERIES, StudyInstanceUID=STUDY, SOPInstanceUID=f"1.{n}"
        )
        for n in (1, 2)
    }
    run(home / "chests", views)

    assert sorted(Image.objects.values_list("source_id", flat=True)) == ["1.dcm", "2.dcm"]


def test_a_multi_frame_file_is_an_image_of_its_own(home: Path) -> None:
    import numpy as np  # noqa: PLC0415 - of this test alone

    from catalog.tests.imaging.dicom_files import make_dicom  # noqa: PLC0415

    enhanced = make_dicom(
        np.zeros((3, 4, 5), np.uint16),
        Modality="CT",
        SeriesInstanceUID=SERIES,
        SOPInstanceUID="1.9",
    )
    run(home / "lungs", {"e.dcm": enhanced, **make_series([0.0, 1.0])})

    enhanced_image = Image.objects.get(source_id="e.dcm")
    assert (enhanced_image.num_files, enhanced_image.metadata_json["NumberOfFrames"]) == (1, 3)
    assert Image.objects.get(source_id=SERIES).num_files == 2


def test_one_series_uid_of_two_people_is_two_images(home: Path) -> None:
    """As of an anonymiser that gives every file the same UIDs."""
    files = {
        f"{person}/{n}": make_slice(float(n), PatientID=person, number=n)
        for person in ("P1", "P2")
        for n in (1, 2)
    }
    run(home / "lungs", files)

    assert sorted(Image.objects.values_list("source_id", "subject_id", "num_files")) == [
        (f"P1/{STUDY}/{SERIES}", "P1", 2),
        (f"P2/{STUDY}/{SERIES}", "P2", 2),
    ]


def test_files_of_equal_names_get_names_of_their_own(home: Path) -> None:
    files = {"a/IM1": make_slice(0.0), "b/im1": make_slice(1.0), "c/con.dcm": make_slice(2.0),
             "-rf": make_slice(3.0)}  # fmt: skip
    run(home / "lungs", files)

    assert names_of(Image.objects.get()) == [
        "IM1.dcm", "im1-2.dcm", "_con.dcm", "_-rf.dcm",
    ]  # fmt: skip


def test_two_files_of_one_instance_are_kept_and_reported(home: Path) -> None:
    files = {
        "a": make_slice(0.0, SOPInstanceUID="1.5"),
        "b": make_slice(1.0, SOPInstanceUID="1.5"),
        "c": make_slice(1.0, SOPInstanceUID="1.5"),
    }
    said = run(home / "lungs", files)

    assert Image.objects.get().num_files == 2, "an exact copy is left out"
    assert "1 DICOM files have the SOP Instance UID of another file but other bytes" in said
    assert "1 files are exact copies" in said


def test_uids_and_descriptions_of_people_do_not_come_in(home: Path) -> None:
    known = {"PatientIdentityRemoved": "NO", "PatientName": "Doe^Jane", "PatientID": "MRN-1"}
    files = make_series([0.0, 1.0], SeriesDescription="Jane, left lung", **known)
    with pytest.raises(CommandError, match="PatientName"):
        run(home / "lungs", files)
    run(home / "lungs", files, "--allow-identifying")

    image = Image.objects.get()
    assert image.identifying == ["PatientName"]
    assert image.source_id.startswith("2.25."), "as a de-identified file has it"
    shown = f"{image.source_id} {image.subject_id} {image.metadata_json}"
    assert not any(secret in shown for secret in ("Jane", "MRN", SERIES, STUDY))


def test_a_second_import_reads_no_file_again_and_changes_nothing(home: Path) -> None:
    folder, files = home / "lungs", make_series([0.0, 1.0, 2.0])
    run(folder, files)
    image, rows = Image.objects.get(), list(ImageFile.objects.values())
    # Only where a file is read again would its new content be seen.
    path = folder / "IM0002"
    times = path.stat()
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    said = run(folder, {})

    assert "0 added, 0 changed, 1 unchanged" in said
    assert list(ImageFile.objects.values()) == rows
    assert Image.objects.get().updated_at == image.updated_at


def test_a_slice_more_or_less_changes_the_image_and_not_its_id(home: Path) -> None:
    folder = home / "lungs"
    run(folder, make_series([0.0, 1.0]))
    before = Image.objects.get()
    said = run(folder, {"IM0003": make_slice(2.0, number=3)})

    image = Image.objects.get()
    assert "0 added, 1 changed" in said
    assert (image.pk, image.num_files) == (before.pk, 3)
    assert image.sha256 != before.sha256

    (folder / "IM0001").unlink()
    (folder / "IM0002").unlink()
    run(folder, {})
    image = Image.objects.get()
    assert (image.pk, image.num_files, image.file_path) == (before.pk, 1, "IM0003")
    assert not ImageFile.objects.exists()


def test_a_touched_slice_is_known_with_its_new_time(home: Path) -> None:
    folder = home / "lungs"
    run(folder, make_series([0.0, 1.0]))
    os.utime(folder / "IM0001", ns=(1, 10**18))
    run(folder, {})

    assert ImageFile.objects.get(path="IM0001").mtime_ns == 10**18


def test_a_series_that_is_gone_takes_its_files_along(home: Path) -> None:
    folder = home / "lungs"
    run(folder, {"x.dcm": make_scan(Modality="CR"), **make_series([0.0, 1.0])})
    for name in ("IM0001", "IM0002"):
        (folder / name).unlink()
    run(folder, {})

    assert Image.objects.get().source_id == "x.dcm"
    assert not ImageFile.objects.exists()


def test_per_file_each_slice_is_an_image(home: Path) -> None:
    folder = home / "lungs"
    files = make_series([float(n) for n in range(12)], ImageOrientationPatient=AXIAL)
    said = run(folder, files, "--per", "file")

    assert "12 added" in said
    assert not ImageFile.objects.exists()
    assert set(Image.objects.values_list("num_files", flat=True)) == {1}
    with pytest.raises(CommandError, match="--per file imports them so again"):
        run(folder, {})


def test_a_damaged_slice_is_told_and_the_others_are_a_series(home: Path) -> None:
    files = make_series([0.0, 1.0, 2.0])
    files["IM0002"] = files["IM0002"][:200]
    said = run(home / "lungs", files)

    assert Image.objects.get(source_id=SERIES).num_files == 2
    assert "IM0002" in said
