"""BIDS datasets as they are published: their participants, sessions, sidecars and derivatives."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from catalog.importers.folders import bids_files
from catalog.importers.folders.bids import find_role
from catalog.importers.folders.nifti import NiftiFolder
from catalog.importers.folders.participants import Participants
from catalog.importers.folders.sidecar import FIELDS
from catalog.importers.rows import ImageRow, SourceError
from catalog.importers.tables.identifying_columns import is_identifying, may_identify
from catalog.tests.importers.folder_files import make_nifti, write_files

VOLUME = make_nifti(4, 4, 3, packed=True)


def read_participants(root: Path, table: str, notes: Mapping[str, Any] | None = None) -> Any:
    files = {"participants.tsv": table.encode(), "participants.json": json.dumps(notes).encode()}
    return Participants(write_files(root, files))


def read_images(root: Path) -> tuple[dict[str, ImageRow], NiftiFolder]:
    source = NiftiFolder(root, entry={})
    rows = list(source.rows())
    images = {row.source_id: row for row in rows if isinstance(row, ImageRow)}
    assert len(images) == len(rows)
    return images, source


# --- participants.tsv ---


@pytest.mark.parametrize(
    ("header", "cells", "sex", "age"),
    [
        ("participant_id\tAge\tGender", "sub-1\t34\tFemale", "F", 34),
        ("participant_id\tage_at_scan\tsex", "sub-1\t34.5\tM", "M", 34.5),
        ("participant_id\tageAtScan\tGeschlecht", "sub-1\t34.5\tw", "F", 34.5),
        ("Subject\tAge (years)\tSexe", "1\t40\tHomme", "M", 40),
        ("participant_id\tage_months", "sub-1\t6", "", 0.5),
        ("participant_id\tage\tage_at_scan", "sub-1\t30\t33", "", 33),
        ("participant_id\tgender\tsex", "sub-1\tM\tF", "F", None),
        ("participant_id\tage_at_onset\tage_at_baseline\tage_group", "sub-1\t3\t4\t5", "", None),
        ("participant_id,age,sex", "sub-1,34,F", "F", 34),
        ('participant_id,"note, free",age', 'sub-1,"a, b",34', "", 34),
        ("participant_id;age;sex", "sub-1;34;F", "F", 34),
        ("participant_id\tAlter", "sub-1\t34", "", 34),
        ("participant_id\tage_\0at_scan", "sub-1\t3\0", "", 3),
    ],
)
def test_columns_of_sex_and_age_are_found(
    tmp_path: Path, header: str, cells: str, sex: str, age: float | None
) -> None:
    person = read_participants(tmp_path, f"{header}\n{cells}\n").find("1", "")

    assert (person.sex, person.age_years) == (sex, age)


@pytest.mark.parametrize(
    ("levels", "word", "sex"),
    [
        ({"1": "male", "2": "female"}, "1", "M"),
        ({"1": "male", "2": "female"}, "2.0", "F"),
        ({"0": {"Description": "Female"}}, "0", "F"),
        ({"M": "female", "F": "male"}, "F", "M"),
        ({"M": "took part as a man"}, "M", "M"),
        ({"1": "someone"}, "1", ""),
        ({"1": 5}, "1", ""),
        ({"1": "male"}, "3", ""),
        ("1 is male", "1", ""),
    ],
)
def test_codes_of_sexes_mean_what_their_levels_say(
    tmp_path: Path, levels: object, word: str, sex: str
) -> None:
    table = f"participant_id\tSex\nsub-1\t{word}\n"

    participants = read_participants(tmp_path, table, {"sex": {"Levels": levels}})

    assert participants.find("1", "").sex == sex
    assert participants.find("1", "").metadata == ({} if sex else {"Sex": word})
    assert bool(participants.notes) is not bool(sex)


def test_what_is_not_understood_is_kept_and_reported(tmp_path: Path) -> None:
    table = "participant_id\tsex\tage\nsub-1\t1\told\nsub-2\t2\tn/a\nsub-3\tF\t89+\n"

    participants = read_participants(tmp_path, table)

    assert participants.find("1", "").metadata == {"sex": "1", "age": "old"}
    sexes, ages = participants.notes
    assert sexes.startswith("participants.tsv: 2 cells of sex are not a sex that is understood")
    assert "such as “1”" in sexes
    assert "Levels in participants.json" in sexes
    assert ages.startswith("participants.tsv: 1 cells of age")


def test_other_columns_are_kept_but_identifying_ones(tmp_path: Path) -> None:
    header = "participant_id\thandedness\tGroup\tBirthdate\tInitials\tpatient_id\tname\ttags"
    row = "sub-1\tR\tcontrol\t1980-01-01\tJD\t4711\tJane\t{'PatientName': 'Jane'}"

    participants = read_participants(tmp_path, f"{header}\n{row}\nsub-2\tn/a\t\t\t\t\t\t\n")

    assert participants.find("1", "").metadata == {"handedness": "R", "Group": "control"}
    assert participants.find("2", "").metadata == {}
    assert participants.excluded_columns == ["Birthdate", "Initials", "patient_id", "name"]


def test_a_fact_that_is_not_understood_is_kept_as_other_cells_are(tmp_path: Path) -> None:
    rows = "sub-1\t45Y John Doe\tName: Doe, Sex: F\nsub-2\told\tPrefer Not To Say\n"

    participants = read_participants(tmp_path, f"participant_id\tage\tsex\n{rows}")

    assert participants.find("1", "").metadata == {}
    assert participants.find("2", "").metadata == {"age": "old", "sex": "Prefer Not To Say"}
    assert any(note.endswith("cannot be read: age, sex") for note in participants.notes)


def test_facts_that_may_mean_two_things_are_unknown(tmp_path: Path) -> None:
    table = "participant_id\tsex\tage\n1\tM\t45M\n2\tH\t30F\n3\tM\t30\n"

    participants = read_participants(tmp_path, table)

    assert participants.find("1", "") == ("", None, {"sex": "M", "age": "45M"})
    assert participants.find("3", "").age_years == 30
    assert "3 cells of sex" in participants.notes[0]
    assert "2 cells of age" in participants.notes[1]
    told = read_participants(tmp_path, table, {"sex": {"Levels": {"M": "mujer", "H": "hombre"}}})
    assert (told.find("1", "").sex, told.find("2", "").sex) == ("F", "M")


@pytest.mark.parametrize("end", ["\r", "\r\n"])
def test_lines_end_as_on_any_system(tmp_path: Path, end: str) -> None:
    table = end.join(["participant_id\tage", "sub-1\t34", "sub-2\t35", ""])

    participants = read_participants(tmp_path, table)

    assert participants.find("2", "").age_years == 35
    assert participants.notes == []


def test_rows_that_contradict_each_other_prove_nothing(tmp_path: Path) -> None:
    rows = "sub-1\tF\t30\ta\nsub-1\tM\t30\tb\nsub-2\tM\t5\tb\n"
    table = f"participant_id\tsex\tage\tsite\n{rows}{rows}"

    participants = read_participants(tmp_path, table)

    assert participants.find("1", "") == ("", 30, {})
    assert participants.find("2", "").sex == "M", "the same row twice"
    (note,) = participants.notes
    assert note.startswith("participants.tsv: rows of 1 contradict each other")


def test_a_row_for_each_session_of_a_participant_is_that_sessions(tmp_path: Path) -> None:
    rows = "1\tses-01\t30\tF\t5\n1\t02\t31\tF\t7\n1\t02\t31\tF\t8\n2\t\t40\tM\t9\n"

    participants = read_participants(tmp_path, f"participant\tsession_id\tage\tsex\tpoms\n{rows}")

    assert participants.find("1", "01") == ("F", 30, {"session_id": "ses-01", "poms": "5"})
    assert participants.find("1", "02") == ("F", 31, {"session_id": "02"})
    assert participants.find("1", "") == ("F", None, {})
    assert participants.find("2", "01") == ("M", 40, {"poms": "9"})
    (note,) = participants.notes
    assert note.startswith("participants.tsv: rows of 1 contradict each other")


def test_a_table_without_participants_is_reported(tmp_path: Path) -> None:
    (note,) = read_participants(tmp_path, "who\tsex\nsub-1\tF\n").notes

    assert "no column participant_id" in note


@pytest.mark.parametrize(
    ("units", "age"),
    [("years", 6), ("Months", 0.5), ("years (decimal)", 6), ("n/a", 6), ("", 6), (None, 6),
     ("years and months", None), ("moons", None)],
)  # fmt: skip
def test_units_of_ages(tmp_path: Path, units: str | None, age: float | None) -> None:
    notes = {"Age": {"Units": units} if units is not None else {}}

    participants = read_participants(tmp_path, "participant_id\tage\nsub-1\t6\n", notes)

    assert participants.find("1", "").age_years == age


@pytest.mark.parametrize(
    ("note", "age"),
    [({"Description": "Age in months"}, 0.5), ({"unit": "months"}, 0.5), ({"units": "months"}, 0.5),
     ({"Description": "Age, to the day, in years"}, 6), ({"Description": "of the infant"}, 6),
     ({"Description": "postmenstrual age at scan in weeks"}, None),
     ({"Units": "weeks", "Description": "Post-menstrual age"}, None)],
)  # fmt: skip
def test_what_is_said_of_an_age_counts(tmp_path: Path, note: object, age: float | None) -> None:
    participants = read_participants(tmp_path, "participant_id\tage\nsub-1\t6\n", {"age": note})

    assert participants.find("1", "").age_years == age
    assert bool(participants.notes) == (age is None)


def test_ages_beside_one_at_birth_need_a_unit(tmp_path: Path) -> None:
    files = {
        "participants.tsv": b"participant_id\tbirth_age\nsub-1\t38.2\n",
        "sub-1/sub-1_sessions.tsv": b"session_id\tscan_age\nses-1\t40.57\n",
    }

    participants = Participants(write_files(tmp_path, files))

    assert participants.find("1", "1").age_years is None
    assert "40.57" in participants.notes[0]


def test_rows_of_nobody_with_images_are_counted(tmp_path: Path) -> None:
    files = {
        "participants.tsv": b"participant_id\tage\nsub-01\t34\nsub-2\t35\nSUB-03\t36\n",
        "sub-01/anat/sub-01_T1w.nii.gz": VOLUME,
        "sub-02/anat/sub-02_T1w.nii.gz": VOLUME,
    }

    _, source = read_images(write_files(tmp_path, files))

    assert source.notes == [
        "participants.tsv: 2 of 3 participants have no images under that name, such as 2, SUB-03"
    ]


def test_quoted_cells_are_read(tmp_path: Path) -> None:
    table = '"participant_id"\t"age"\t"sex"\n"sub-1"\t34\t"F"\n'

    assert read_participants(tmp_path, table).find("1", "") == ("F", 34, {})


@pytest.mark.parametrize("page", ["latin-1", "mac_roman"])
def test_what_is_not_utf_8_is_left_out_and_reported(tmp_path: Path, page: str) -> None:
    table = "participant_id\tage\tPrénom\tsite\tgroup\nsub-1\t34\tJane\tKöln\tcontrol\n"

    participants = Participants(write_files(tmp_path, {"participants.tsv": table.encode(page)}))

    assert participants.find("1", "") == ("", 34, {"group": "control"})
    (note,) = participants.notes
    assert note.startswith("participants.tsv is not UTF-8")


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ('1,3,"a\n2,4,b\n3,5,c\n', "has cells of several lines"),
        (f"1,3,{'a' * (2 << 20)}\n2,4,b\n", "is too large or damaged: only its first 0 rows"),
        (f"1,3,a\n2,4,{'a' * (2 << 20)}\n", "is too large or damaged: only its first 1 rows"),
        (
            "".join(f"{n},3,b\n" for n in range(20)),
            "is too large or damaged: only its first 10 rows",
        ),
    ],
)
def test_rows_that_are_not_read_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: str, says: str
) -> None:
    monkeypatch.setattr(bids_files, "MAX_SHEET_CELLS", 30)

    assert any(says in note for note in read_participants(tmp_path, f"sub,age,x\n{rows}").notes)


def test_columns_of_one_name_are_told(tmp_path: Path) -> None:
    (note,) = read_participants(tmp_path, "sub\tage\tage\n1\t3\t4\n").notes

    assert "has several columns named age" in note


def test_a_table_saved_as_utf_16_is_read(tmp_path: Path) -> None:
    table = "participant_id\tsex\nsub-1\tmännlich\n".encode("utf-16")

    participants = Participants(write_files(tmp_path, {"participants.tsv": table}))

    assert participants.find("1", "").sex == "M"


# --- Sessions ---
SESSIONS = "session_id\tage\tscanner\nses-1\t34\tA\nses-2\t36\tB\nses-3\tn/a\tB\n"


def test_sessions_have_their_own_age(tmp_path: Path) -> None:
    write_files(tmp_path, {"sub-1/sub-1_sessions.tsv": SESSIONS.encode()})

    participants = read_participants(tmp_path, "participant_id\tsex\tage\nsub-1\tF\t>30\n")

    assert participants.find("1", "1") == ("F", 34, {"scanner": "A"})
    assert participants.find("1", "2") == ("F", 36, {"scanner": "B"})
    assert participants.find("1", "3").age_years is None, "it may be another than at the first"
    assert participants.find("1", "").age_years == 31
    assert participants.find("2", "1") == ("", None, {})


def test_sessions_without_ages_have_that_of_the_participant(tmp_path: Path) -> None:
    table = b"session_id\tDOB\nses-1\t1980\n"
    write_files(tmp_path, {"sub-1/sub-1_sessions.tsv": table})

    participants = read_participants(tmp_path, "participant_id\tage\nsub-1\t30\n")

    assert participants.find("1", "1") == ("", 30, {})
    assert participants.excluded_columns == ["DOB"]


def test_units_of_the_ages_of_sessions(tmp_path: Path) -> None:
    files = {
        "sub-1/sub-1_sessions.tsv": b"session_id\tage\nses-1\t6\n",
        "sessions.json": b'{"age": {"Units": "months"}}',
    }

    assert Participants(write_files(tmp_path, files)).find("1", "1").age_years == 0.5


# --- Masks and derivatives ---


@pytest.mark.parametrize(
    "path",
    ["sub-1/anat/sub-1_desc-brain_mask.nii.gz", "sub-1/anat/sub-1_dseg.nii.gz",
     "sub-1/anat/sub-1_label-GM_probseg.nii.gz", "sub-1/anat/sub-1_label-lesion_roi.nii.gz",
     "BraTS_001/BraTS_001_seg.nii.gz", "segmentation-0.nii", "case_1/segmentation.nii.gz",
     "labelsTr/liver_1.nii.gz", "train/labels/1.nii", "masks/p1.nii.gz", "label0001.nii.gz",
     "patient001_frame01_gt.nii.gz", "aparc+aseg.nii.gz", "LESION_MASK.NII.GZ", "mask2.nii"],
)  # fmt: skip
def test_masks_are_told_apart(path: str) -> None:
    assert find_role(path) == "masks and segmentations"


@pytest.mark.parametrize(
    "path",
    ["sub-1/anat/sub-1_T1w.nii.gz", "sub-1/anat/sub-1_acq-seg_T1w.nii.gz", "volume-0.nii",
     "imagesTr/liver_1.nii.gz", "case_1/imaging.nii.gz", "masked/p1_T1w.nii", "3.nii",
     "labelled.nii", "segment7_ct.nii.gz", "sub-gt/anat/sub-gt_T2w.nii"],
)  # fmt: skip
def test_images_are_no_masks(path: str) -> None:
    assert find_role(path) == ""


def test_masks_and_derivatives_are_counted_and_not_read(tmp_path: Path) -> None:
    files = {
        "sub-1/anat/sub-1_T1w.nii.gz": VOLUME,
        "sub-1/anat/sub-1_mask.nii.gz": b"",
        "derivatives/fmriprep/sub-1/anat/sub-1_desc-preproc_T1w.nii.gz": VOLUME,
        "derivatives/fmriprep/sub-1/anat/sub-1_dseg.nii.gz": VOLUME,
    }

    images, source = read_images(write_files(tmp_path, files))

    assert list(images) == ["sub-1/anat/sub-1_T1w.nii.gz"]
    assert source.skipped == {"masks and segmentations": 1, "derivatives": 2}
    inner, _ = read_images(tmp_path / "derivatives" / "fmriprep")
    assert len(inner) == 1, "derivatives can be a dataset of their own"


def test_a_folder_of_masks_alone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"no images \(masks and segmentations: 1\)"):
        read_images(write_files(tmp_path, {"a_mask.nii.gz": VOLUME}))


# --- The JSON file beside a volume ---


def test_technical_facts_of_a_sidecar_are_kept_and_no_others(tmp_path: Path) -> None:
    sidecar = {
        "Modality": "MR",
        "Manufacturer": "Siemens\n",
        "ManufacturersModelName": "Skyra",
        "MagneticFieldStrength": 3,
        "RepetitionTime": 2.5,
        "EchoTime": float("nan"),
        "ImageType": ["ORIGINAL", "PRIMARY", ["x"], None],
        "BodyPart": {"a": 1},
        "KVP": 10**400,
        "PatientName": "Doe^Jane",
        "PatientID": "4711",
        "InstitutionName": "Here",
        "AcquisitionTime": "10:00",
        "ProtocolName": "Jane's scan",
    }
    files = {
        "scan.nii.gz": VOLUME,
        "scan.json": json.dumps(sidecar).encode(),
        "torn_T1w.nii.gz": VOLUME,
        "torn_T1w.json": b"{",
    }

    images, _ = read_images(write_files(tmp_path, files))

    image = images["scan.nii.gz"]
    assert image.modality == "MR"
    assert {name: value for name, value in image.metadata.items() if name[0].isupper()} == {
        "Manufacturer": "Siemens",
        "ManufacturersModelName": "Skyra",
        "MagneticFieldStrength": 3,
        "RepetitionTime": 2.5,
        "ImageType": ["ORIGINAL", "PRIMARY"],
    }
    assert images["torn_T1w.nii.gz"].modality == "mr"


def test_the_fields_of_sidecars_identify_nobody() -> None:
    assert not [name for name in FIELDS if is_identifying(name) or may_identify(name)]


def test_a_participants_column_does_not_replace_a_fact_of_the_image(tmp_path: Path) -> None:
    files = {
        "participants.tsv": b"participant_id\tsession\ttask\nsub-1\t5\tmemory\n",
        "sub-1/func/sub-1_task-rest_bold.nii.gz": VOLUME,
    }

    images, _ = read_images(write_files(tmp_path, files))

    metadata = images["sub-1/func/sub-1_task-rest_bold.nii.gz"].metadata
    assert metadata["task"] == "rest"
    assert (metadata["participant_task"], metadata["session"]) == ("memory", "5")
