"""``manage.py import_dataset``: a folder or a description becomes a dataset, again and again."""

import csv
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from io import StringIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.conf import LazySettings
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.urls import reverse

from catalog.imaging.paths import read_facts
from catalog.importers.dataset_entries import SHIPPED_DATASETS, read_datasets
from catalog.importers.refused_files import MAX_HOLE
from catalog.models import Dataset, Image, ImageLabel
from catalog.tests.factories import DatasetFactory, ImageFactory
from catalog.tests.imaging.dicom_files import read_shipped
from catalog.tests.importers.folder_files import make_nifti, make_picture, make_scan, write_files
from catalog.tests.profiles.test_profiles import assert_profiles_are_true
from vocab.models import Label, Term
from vocab.services import load_terms

ROOT = Path(__file__).resolve().parents[3]
pytestmark = pytest.mark.django_db


TERMS: dict[str, list[dict[str, Any]]] = {
    "area": [{"code": "chest", "name": "Chest"}, {"code": "brain", "name": "Brain"}],
    "modality": [
        {"code": "cr", "name": "Computed radiography", "aliases": ["x-ray"]},
        {"code": "dx", "name": "Digital radiography", "aliases": ["x-ray"]},
        {"code": "ct", "name": "Computed tomography"},
        {"code": "mr", "name": "Magnetic resonance"},
    ],
    "license": [{"code": "cc-by-4.0", "name": "CC BY 4.0"}],
    "label": [
        {"code": "pleural-effusion", "name": "Pleural effusion", "aliases": ["Effusion"]},
        {"code": "no-finding", "name": "No finding"},
        {"code": "nodule", "name": "Nodule"},
    ],
}


@pytest.fixture
def home(own_folders: Path) -> Path:
    """The dataset folder of this test, beside small vocabularies."""
    for vocabulary, terms in TERMS.items():
        load_terms(vocabulary=vocabulary, terms=terms)
    return own_folders / "datasets"


def run(path: object, *options: str) -> str:
    """What the command says on stdout."""
    out = StringIO()
    call_command("import_dataset", str(path), *options, stdout=out, stderr=StringIO())
    return out.getvalue()


def refuse(path: object, *options: str) -> str:
    """Why the command refuses."""
    with pytest.raises(CommandError) as raised:
        run(path, *options)
    return str(raised.value)


def make_rays(home: Path, name: str = "my_rays") -> Path:
    """Six pictures in class folders, all different."""
    files = {
        f"{split}/{word}/{n}.png": make_picture(8 + n, 6, shade=10 * n + len(word))
        for split in ("train", "test")
        for word in ("Effusion", "no finding")
        for n in range(2 if split == "train" else 1)
    }
    return write_files(home / name, files)


def code_of(term: Term | None) -> str:
    return term.code if term else ""


def read_rejects(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


# --- Class folders ---


def test_a_folder_of_pictures_is_a_dataset(home: Path) -> None:
    folder = make_rays(home)

    report = run(folder, "--area", "chest", "--modality", "dx", "--license", "CC BY 4.0")

    assert "my_rays: 6 added, 0 changed, 0 unchanged, 0 removed" in report
    dataset = Dataset.objects.get()
    assert (dataset.slug, dataset.title, dataset.local_path) == ("my_rays", "My rays", "my_rays")
    assert code_of(dataset.area) == "chest"
    assert code_of(dataset.license) == "cc-by-4.0"
    assert [each.code for each in dataset.modalities.all()] == ["dx"]
    assert dataset.num_images == 6
    for image in dataset.images.all():
        content = (folder / image.file_path).read_bytes()
        assert image.sha256 == hashlib.sha256(content).hexdigest()
        assert code_of(image.modality) == "dx"
        assert image.metadata_json == {"split": image.source_id.split("/")[0]}
        (label,) = image.image_labels.all()
        assert label.finding == "positive"
    labels = dataset.images.values_list("label_set__code", flat=True)
    assert sorted(labels) == ["no-finding"] * 3 + ["pleural-effusion"] * 3, (
        "words of the vocabulary"
    )
    assert_profiles_are_true()


def test_the_second_run_changes_nothing_and_says_so(home: Path) -> None:
    folder = make_rays(home)
    run(folder)
    before = list(Image.objects.order_by("pk").values())
    version = Dataset.objects.values_list("version", "updated_at").get()

    assert "0 added, 0 changed, 6 unchanged, 0 removed" in run(folder)
    assert list(Image.objects.order_by("pk").values()) == before
    assert Dataset.objects.values_list("version", "updated_at").get() == version


def test_files_that_came_went_and_were_replaced_are_noticed(home: Path) -> None:
    folder = make_rays(home)
    run(folder)
    (folder / "train/Effusion/0.png").write_bytes(make_picture(99, 98))
    (folder / "train/Effusion/1.png").unlink()
    write_files(folder, {"train/Effusion/new.png": make_picture(3, 3)})

    assert "1 added, 1 changed, 4 unchanged, 1 removed" in run(folder)

    replaced = Image.objects.get(source_id="train/Effusion/0.png")
    assert (replaced.width, replaced.height) == (99, 98)
    with (folder / replaced.file_path).open("rb") as file:
        assert replaced.sha256 == read_facts(file).sha256
    assert not Image.objects.filter(source_id="train/Effusion/1.png").exists()
    assert_profiles_are_true()


def test_a_dry_run_reports_and_leaves_nothing(home: Path) -> None:
    folder = make_rays(home)

    report = run(folder, "--dry-run")

    assert "6 added" in report
    assert "dry run" in report
    assert not Dataset.objects.exists()
    assert not Image.objects.exists()


def test_a_file_that_is_now_unreadable_is_rejected_and_its_image_kept(home: Path) -> None:
    folder = make_rays(home)
    run(folder)
    (folder / "train/Effusion/0.png").write_bytes(b"no picture")

    report = run(folder, "--max-rejected", "1")

    assert "5 unchanged, 0 removed, 1 rejected" in report
    assert Image.objects.count() == 6
    (rejected,) = read_rejects(home / "my_rays.rejects.csv")
    assert rejected["value"] == "train/Effusion/0.png"
    assert "not a picture, though its name says so" in rejected["reason"]


def test_too_many_bad_files_change_nothing(home: Path) -> None:
    folder = make_rays(home)
    for n in range(3):
        write_files(folder, {f"train/Effusion/bad{n}.png": b"no picture"})

    assert "3 rows cannot be read (limit: 2)" in refuse(folder, "--max-rejected", "2")
    assert not Dataset.objects.exists()
    assert len(read_rejects(home / "my_rays.rejects.csv")) == 3
    assert "3 rejected" in run(folder, "--max-rejected", "50%")
    assert Image.objects.count() == 6


def test_the_list_of_bad_rows_can_lie_elsewhere(home: Path, tmp_path: Path) -> None:
    folder = write_files(make_rays(home), {"train/Effusion/bad.png": b"no picture"})

    run(folder, "--rejects", str(tmp_path / "bad.csv"), "--max-rejected", "1")

    assert len(read_rejects(tmp_path / "bad.csv")) == 1
    assert not list(home.glob("*.csv"))


def test_a_messy_folder_is_imported_and_skipped_files_are_reported(home: Path) -> None:
    folder = write_files(
        make_rays(home),
        {
            "Thumbs.db": b"x",
            "train/notes.txt": b"x",
            ".DS_Store": b"x",
            "train/Effusion/.hidden.png": b"x",
            "train/Effusion/empty.png": b"",
        },
    )
    (folder / "train/Effusion/loop").symlink_to(folder)
    (folder / "train/Effusion/out.png").symlink_to("/etc/hostname")

    report = run(folder, "--max-rejected", "2")

    assert "7 added, 0 changed, 0 unchanged, 0 removed, 1 rejected" in report
    assert "1 empty files (0 bytes); their images have no file here: train/Effusion/empty" in report
    assert "skipped: .db files (1), .txt files (1)" in report
    reasons = {each["value"]: each["reason"] for each in read_rejects(home / "my_rays.rejects.csv")}
    assert "leads out of the dataset's folder" in reasons["train/Effusion/out.png"]


def test_an_unknown_class_becomes_an_inactive_label(home: Path) -> None:
    folder = write_files(home / "odd", {"zebra stripes/a.png": make_picture()})

    report = run(folder)

    assert "zebra stripes (1)" in report
    (label,) = Image.objects.get().label_set.all()
    assert (label.name, label.is_active) == ("zebra stripes", False)


# --- DICOM and NIfTI ---


def test_a_tree_of_dicom_files(home: Path) -> None:
    scan = make_scan(
        Modality="CT",
        BodyPartExamined="CHEST",
        PatientID="MRN-4711",
        PatientName="Doe^Jane",
        PatientSex="F",
        PatientAge="061Y",
    )
    folder = write_files(
        home / "scans",
        {
            "p1/IM1": scan,
            "p1/IM2": scan + b"\0\0",
            "p2/x.dcm": read_shipped("CT_small.dcm"),
            "a.txt": b"",
        },
    )

    report = run(folder, "--title", "Our scans", "--allow-identifying")

    assert "scans: 3 added" in report
    image = Image.objects.get(source_id="p1/IM1")
    assert code_of(image.modality) == "ct"
    assert code_of(image.area) == "chest"
    assert (image.sex, image.age_years, image.width, image.height) == ("F", 61, 5, 4)
    assert image.subject_id.startswith("anon-")
    assert Image.objects.filter(subject_id=image.subject_id).count() == 2, "one subject's images"
    assert Dataset.objects.get().title == "Our scans"
    with connection.cursor() as cursor:
        cursor.execute("SELECT string_agg(catalog_image::text, ' ') FROM catalog_image")
        stored = str(cursor.fetchone()[0])
    assert "MRN" not in stored
    assert "Doe" not in stored
    assert "3 unchanged" in run(folder, "--allow-identifying"), "a pseudonym is always the same"


def test_a_bids_tree(home: Path) -> None:
    folder = write_files(
        home / "brains",
        {
            "participants.tsv": b"participant_id\tage\tsex\nsub-01\t89+\tF\n",
            "sub-01/anat/sub-01_T1w.nii.gz": make_nifti(32, 24, 5, packed=True),
            "sub-01/func/sub-01_task-rest_run-2_bold.nii": make_nifti(8, 6, 3, 2),
            "sub-01/func/sub-01_task-rest_run-2_bold.json": b"{}",
        },
    )

    report = run(folder, "--area", "brain")

    assert "brains: 2 added" in report
    assert "skipped: " in report
    image = Image.objects.get(source_id="sub-01/func/sub-01_task-rest_run-2_bold.nii")
    assert code_of(image.modality) == "mr"
    assert (image.subject_id, image.sex, image.age_years) == ("01", "F", 89)
    assert (image.width, image.height) == (8, 6)
    assert image.metadata_json.items() >= {"task": "rest", "run": "2", "age": "89+"}.items()


def make_brains(home: Path, **description: str) -> Path:
    files = {
        "dataset_description.json": json.dumps(description).encode(),
        "participants.tsv": b"participant_id\tInitials\tpatient_id\tgroup\nsub-01\tJD\t47\ta\n",
        "sub-01/anat/sub-01_T1w.nii.gz": make_nifti(8, 6, 5, packed=True),
        "sub-01/anat/sub-01_mask.nii.gz": make_nifti(8, 6, 5, packed=True),
    }
    return write_files(home / "brains", files)


def test_a_bids_dataset_says_its_name_licence_and_doi(home: Path) -> None:
    folder = make_brains(
        home, Name="My brains", License="CC BY 4.0", DatasetDOI="https://doi.org/10.1234/x.1"
    )

    report = run(folder)

    dataset = Dataset.objects.get()
    assert (dataset.slug, dataset.title, dataset.doi) == ("brains", "My brains", "10.1234/x.1")
    assert code_of(dataset.license) == "cc-by-4.0"
    assert "masks and segmentations (1)" in report
    assert "columns left out, as they identify people: Initials\n" in report
    assert "as they may identify people: patient_id (" in report
    assert dataset.images.get().metadata_json["group"] == "a"
    assert "JD" not in str(dataset.images.get().metadata_json)


def test_what_a_bids_dataset_says_and_nobody_understands_is_reported(home: Path) -> None:
    report = run(make_brains(home, Name="", License="ask Jane", DatasetDOI="10.1/x"))

    dataset = Dataset.objects.get()
    assert (dataset.title, dataset.license, dataset.doi) == ("Brains", None, "")
    assert "the License “ask Jane” is in no vocabulary, so it counts as not stated" in report
    assert "the DatasetDOI “10.1/x” was not used" in report


def test_what_was_said_here_counts_before_what_a_bids_dataset_says(home: Path) -> None:
    load_terms(vocabulary="license", terms=[{"code": "cc0-1.0", "name": "CC0 1.0"}])
    folder = make_brains(home, Name="My brains", License="CC0 1.0", DatasetDOI="doi:10.1234/x")
    run(folder, "--title", "Ours", "--license", "cc-by-4.0")

    report = run(folder)

    dataset = Dataset.objects.get()
    assert (dataset.title, code_of(dataset.license)) == ("Ours", "cc-by-4.0")
    assert "says license “cc0-1.0”, and the dataset keeps “cc-by-4.0”" in report
    assert "0 changed, 1 unchanged" in report


def test_a_dataset_that_was_named_after_its_folder_gets_its_name(home: Path) -> None:
    run(make_brains(home))

    run(make_brains(home, Name="My brains", DatasetDOI="10.1234/x"))

    assert Dataset.objects.values_list("title", "doi").get() == ("My brains", "10.1234/x")


def test_a_damaged_description_of_a_bids_dataset_is_reported(home: Path) -> None:
    folder = write_files(make_brains(home), {"dataset_description.json": b"[1"})

    assert "dataset_description.json is not a JSON object" in run(folder)


# --- What identifies people ---


def test_columns_that_identify_people_are_left_out_and_named(home: Path) -> None:
    columns = ["File", "Nachname", "Nombre", "Geburtsdatum", "Hospital ID", "Patient ID",
               "Initials", "username", "filename", "Device Name", "Comments"]  # fmt: skip
    table = f"{','.join(columns)}\n1.png,{','.join(f'v{n}' for n in range(1, len(columns)))}\n"
    text = '[dataset]\nslug = "t"\ntitle = "T"\n[[table]]\npath = "t.csv"\n[image]\nid = "{File}"\n'
    folder = write_files(home / "t", {"t.csv": table.encode(), "dataset.toml": text.encode()})

    report = run(folder)

    assert Image.objects.get().metadata_json == {"filename": "v8", "Device Name": "v9"}
    assert "columns left out, as free text may name people: Comments (read them" in report
    assert (
        "  columns left out, as they identify people: "
        "Nachname, Geburtsdatum, Initials, username\n" in report
    )
    assert "as they may identify people: Nombre, Hospital ID, Patient ID (" in report

    (folder / "dataset.toml").write_text(text + 'subject = "{Patient ID}"\n')
    report = run(folder)

    assert Image.objects.get().subject_id == "v5", "the description says that it is a pseudonym"
    assert "as they may identify people: Nombre, Hospital ID (" in report


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"t.csv"', '"loop.csv"', "loop.csv"),
        ('"t.csv"', '"*.csv"\nskip = 999999999999', "[[table]] skip: give a whole number from 0"),
        ('title = "x"', 'title = "a\\u0000b"', "title: the text has a NUL character"),
        ("[image]", '[files]\nfolder = "loop.csv"\n[image]', "loop.csv does not exist"),
        ("[image]", "[image]\na = " + "[" * 5000, "is no TOML"),
        ("[image]", "[image]\na = " + "9" * 5000, "is no TOML"),
        ("[image]", '[image]\na = "\\ud800"', "is no TOML"),
    ],
)
def test_a_description_that_lays_a_trap_is_refused_with_one_sentence(
    home: Path, old: str, new: str, message: str
) -> None:
    folder = make_table(home / "trap", "File\na.png\n", LEAST.replace(old, new))
    (folder / "loop.csv").symlink_to("loop.csv")
    os.mkfifo(folder / "fifo.csv")

    said = refuse(folder)

    assert message in said
    assert "\n" not in said
    assert "\0" not in said


def test_a_link_that_leads_to_itself_and_a_fifo_are_no_places(home: Path) -> None:
    (home / "loop").symlink_to("loop")
    os.mkfifo(home / "fifo")

    for name in ("loop", "fifo"):
        assert f"There is no file or folder {home / name}" in refuse(home / name)


FOREIGN = ["File", "患者姓名", "生年月日", "주민등록번호", "СНИЛС", "Adı Soyadı", "PESEL",
           "地址/Address", "Befund", "影像所见", "Patient ID", "Device", "Batch",
           "Empty"]  # fmt: skip


def make_foreign(home: Path, more: str = "") -> Path:
    table = f"{','.join(FOREIGN)}\n1.png,{','.join(f'v{n}' for n in range(1, 13))},\n"
    text = LEAST.replace("collide", "t")
    files = {"t.csv": table.encode(), "dataset.toml": (text + more).encode()}
    return write_files(home / "t", files)


def test_a_dry_run_says_of_each_column_what_becomes_of_it_and_metadata_decides(home: Path) -> None:
    report = run(make_foreign(home, '[metadata]\ndrop = ["Batch"]\n'), "--dry-run")

    said = dict(
        line.strip().split(": ", 1)
        for line in report.partition("columns of t.csv, and what becomes of them:\n")[
            2
        ].splitlines()
        if line.startswith("    ")
    )
    assert list(said) == FOREIGN
    assert said["File"] == "used, such as “1.png”"
    assert said["Device"] == "kept, such as “v11”"
    assert said["Empty"] == "kept, nothing to show in the first rows"
    assert said["Batch"] == "left out: drop names it"
    assert said["Patient ID"].startswith("left out: it may identify people; keep = [")
    for text in ("Befund", "影像所见"):
        assert said[text].startswith("left out: free text may name people; keep = [")
    for name in FOREIGN[1:8]:
        assert said[name] == "left out: it identifies people, and is never kept"
    assert "v1" not in said.values()

    run(make_foreign(home, '[metadata]\nkeep = ["Befund", "Patient ID"]\ndrop = ["Batch"]\n'))
    kept = {"Befund": "v8", "Patient ID": "v10", "Device": "v11"}
    assert Image.objects.get().metadata_json == kept


def test_a_dry_run_shows_what_is_kept_of_cells(home: Path) -> None:
    text = "Geburtsdatum: 1.4.1961"
    folder = make_table(home / "t", f"File,Befund,Other\n1.png,{text},{text}\n2.png,ok,\n", LEAST)
    (folder / "dataset.toml").write_text(f'{LEAST}[metadata]\nkeep = ["Befund"]\n')

    said = run(folder, "--dry-run")

    assert f"Befund: kept, such as “{text}”\n" in said
    assert "Other: kept, but for cells that tell who somebody is\n" in said
    keys = json.dumps({f"key{n}": n for n in range(20)})
    table = StringIO(newline="")
    csv.writer(table).writerows([["File", "keys"], ["1.png", keys]])
    assert f"keys: kept, such as “{keys}”\n" in run(
        make_table(home / "t", table.getvalue()), "--dry-run"
    )


LONG = """record,field_name,value
1.png,first_name,Johnny
1.png,grade,IV
1.png,Date of birth,1961-03-04
"""


@pytest.mark.parametrize(
    ("more", "kept"),
    [
        ("[many]\n", {"field_name": ["first_name", "grade", "Date of birth"], "value": "IV"}),
        (
            '[many]\ngather = "answers"\ncolumns = ["field_name", "value"]\n',
            {
                "answers": [
                    {"field_name": "first_name"},
                    {"field_name": "grade", "value": "IV"},
                    {"field_name": "Date of birth"},
                ]
            },
        ),
        (
            '[metadata]\nadd = { said = "{value}" }\ndrop = ["field_name"]\n[many]\n',
            {"said": "IV", "value": "IV"},
        ),
    ],
)
def test_a_value_of_a_long_table_is_judged_by_what_its_row_calls_it(
    home: Path, more: str, kept: dict[str, Any]
) -> None:
    folder = make_table(home / "t", LONG, LEAST.replace("{File}", "{record}") + more)

    dry, said = run(folder, "--dry-run"), run(folder)

    assert Image.objects.get().metadata_json == kept
    assert "Johnny" not in dry
    assert ", such as “IV”" in dry
    assert re.search("or cannot be read: (?:said, )?value\n", said)


@pytest.mark.parametrize(
    "row",
    [
        {"type": "address", "label": "name", "code": "first", "value": "3"},
        {"name": "Patient 1", "value": "3"},
        {"field_name": "surgeon", "value": "3"},
        {"item": "address", "response": "3"},
        {"title": "Patient name", "volume": "3"},
    ],
)
def test_a_value_is_kept_beside_what_does_not_call_it_so(home: Path, row: dict[str, str]) -> None:
    table = f"File,{','.join(row)}\n1.png,{','.join(row.values())}\n"

    run(make_table(home / "t", table))

    kept = Image.objects.get().metadata_json
    assert kept == {name: text for name, text in row.items() if name != "name"}


def test_a_dry_run_says_which_columns_seem_to_be_free_text(home: Path) -> None:
    texts = {
        "told": "The patient fell from a ladder and came with pain in the left hip since then.",
        "影像": "右肺上叶见一枚结节，边缘光滑，大小约十毫米，邻近胸膜未见明显牵拉，心影不大",
        "labels": "a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p",
        "object": '{"a": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17]}',
        "short": "left lung, upper lobe",
    }
    talk = [{"from": "gpt", "value": ["x", texts["told"]]}]
    texts |= {"talk": json.dumps(talk), "python": repr(talk), "asked": json.dumps([texts["told"]])}
    table = StringIO(newline="")
    rows = [["1.png", *texts.values()], ["2.png", *"12345678"], ["3.png", *texts.values()]]
    csv.writer(table).writerows([["File", *texts], *rows])

    gathered = LEAST + '[many]\ngather = "rows"\ncolumns = ["told", "short"]\n'
    report = run(make_table(home / "t", table.getvalue(), gathered), "--dry-run")

    remark = "; it seems to be free text, which may name people"
    assert re.findall(rf"    (\S+): (?:kept|used), such as .*{remark}: read it", report) == [
        "told", "影像", "talk", "python", "asked",
    ]  # fmt: skip
    assert report.count(remark) == 5


def test_the_column_of_a_birth_is_never_kept_whatever_it_is_called(home: Path) -> None:
    born = LEAST + 'born = "{Zeta}"\nstudied = "{Day}"\n'
    folder = make_table(home / "t", "File,Zeta,Day\n1.png,1961,2001\n2.png,x,2001\n", born)

    said = run(folder, "--dry-run")
    run(folder)

    assert "Zeta: used for the age alone" in said
    first, second = Image.objects.order_by("source_id")
    assert (first.age_years, first.metadata_json) == (40, {"Day": "2001"})
    assert (second.age_years, second.metadata_json) == (None, {"Day": "2001"})
    (folder / "dataset.toml").write_text(born + '[metadata]\nkeep = ["Zeta"]\n')
    assert "born takes the column “Zeta” for a date of birth, which is never kept" in refuse(folder)


def test_an_age_that_is_not_understood_is_kept_as_other_cells_are(home: Path) -> None:
    rows = "1.png,45Y John Doe\n2.png,DOB: 1.4.1961\n3.png,old\n"
    folder = make_table(home / "t", f"File,Age\n{rows}", LEAST + 'age = "{Age}"\n')

    said = run(folder)

    kept = Image.objects.order_by("source_id").values_list("metadata_json", flat=True)
    assert list(kept) == [{}, {}, {"Age": "old"}]
    assert "or cannot be read: Age\n" in said


@pytest.mark.parametrize("decided", ['drop = ["Age", "Sex"]', 'only = ["View"]'])
def test_facts_that_are_not_understood_are_kept_only_where_metadata_says_so(
    home: Path, decided: str
) -> None:
    facts = f'{LEAST}age = "{{Age}}"\nsex = "{{Sex}}"\n[metadata]\n{decided}\n'
    table = "File,Age,Sex,View\n1.png,34 (guardian Jane),f or m,PA\n"

    run(make_table(home / "t", table, facts))

    assert Image.objects.get().metadata_json == {"View": "PA"}


def test_a_dry_run_says_what_becomes_of_all_columns_of_a_wide_table(home: Path) -> None:
    names = [f"c{n}" for n in range(700)] + ["contact_guardian"]
    table = f"File,{','.join(names)}\n1.png,{','.join('x' * len(names))}\n"

    said = run(make_table(home / "t", table), "--dry-run")

    assert "    contact_guardian: kept, such as “x”\n" in said
    assert len(re.findall("kept, such as", said)) == len(names)


def test_words_of_labels_that_name_somebody_are_left_out(home: Path) -> None:
    table = (
        'File,Finding\n1.png,Nodule\n2.png,"Nodule;Patient: John Dowland DOB 1961-03-04"\n'
        '3.png,"Name: John Smith;Age: 45"\n'
    )
    labels = LEAST + '[[labels]]\nwords = "{Finding}"\nseparator = ";"\n'

    said = run(make_table(home / "t", table, labels))

    assert [*ImageLabel.objects.values_list("label__name", flat=True)] == 2 * ["Nodule"]
    assert not Label.objects.filter(name__contains="John").exists()
    assert "or cannot be read: Finding\n" in said


def test_a_dry_run_says_what_becomes_of_the_columns_of_participants(home: Path) -> None:
    table = (
        "participant_id\tage\tbirthday\tgroup\ttags\tincidental\n"
        f"sub-1\t3\t1961\tcase\t{{'MRN': 'D'}}\t{'x ' * 9}x\n"
    )
    visits = "session_id\tmood\tcomments\trater\tfname\tlname\nses-1\tgood\tcalm\t\tJ\tR\n"
    files = {
        "participants.tsv": table.encode(),
        "sub-1/sub-1_sessions.tsv": visits.encode(),
        "sub-2/sub-2_sessions.tsv": (
            f"session_id\trater\tnew\tfname\tmood\nses-1\tR1\tyes\tJane\t{'x ' * 9}x\n".encode()
        ),
        "sub-0/sub-0_sessions.tsv": b"visit\tmood\tlost\n1\tbad\tx\n",
        "sub-0/ses-1/anat/sub-0_ses-1_T1w.nii.gz": make_nifti(4, 4, 5, packed=True),
        "sub-1/ses-1/anat/sub-1_ses-1_T1w.nii.gz": make_nifti(4, 4, 3, packed=True),
        "sub-2/ses-1/anat/sub-2_ses-1_T1w.nii.gz": make_nifti(4, 4, 2, packed=True),
    }

    said = run(write_files(home / "b", files), "--dry-run")

    lines = [line.strip() for line in said.splitlines()]
    prose = "; it seems to be free text, which may name people: read it, or drop it"
    start = lines.index("columns of participants.tsv, and what becomes of them:")
    assert lines[start + 1 : start + 17] == [
        "participant_id: used",
        "age: used",
        "group: kept, such as “case”",
        "tags: kept, but for cells that tell who somebody is",
        f"incidental: kept, such as “{'x ' * 9}x”{prose}",
        "birthday: left out: it identifies people, and is never kept",
        "columns of sub-…_sessions.tsv, and what becomes of them:",
        "visit: left out: there is no session_id",
        f"mood: kept, such as “{'x ' * 9}x”{prose}",
        "lost: left out: there is no session_id",
        "session_id: used",
        "rater: kept, such as “R1”",
        "comments: left out: free text may name people",
        "fname: kept, such as “Jane”",
        "lname: left out: it identifies people, and is never kept",
        "new: kept, such as “yes”",
    ]
    assert "rename what names nobody in the table, and remove from it what else is not" in said
    assert "dataset.toml" not in said.partition("columns of")[0]
    assert "participants.tsv: cells were kept without keys" in said


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ('keep = ["Befundd"]', "[metadata] keep: t.csv has no column “Befundd”. Did you mean “Bef"),
        ('drop = ["Batsch"]', "[metadata] drop: t.csv has no column “Batsch”. Did you mean “Batch"),
        ('keep = ["患者姓名"]', "[metadata] keep: the column “患者姓名” tells who somebody is"),
        ('keep = ["Device"]\ndrop = ["Device"]', "“Device” is both kept and dropped"),
        ('keep = ["Device"]\nonly = ["File"]', "give keep or only"),
    ],
)
def test_what_metadata_says_wrongly_is_told(home: Path, more: str, message: str) -> None:
    assert message in refuse(make_foreign(home, f"[metadata]\n{more}\n"))


# --- Which dataset it is ---


def test_what_a_curator_wrote_stays_and_so_does_the_title(home: Path) -> None:
    folder = make_rays(home)
    run(folder, "--title", "Rays of our house", "--area", "chest")
    Dataset.objects.update(description="By the curator.")

    run(folder)

    dataset = Dataset.objects.get()
    assert (dataset.title, dataset.description) == ("Rays of our house", "By the curator.")
    assert code_of(dataset.area) == "chest"


def test_a_published_dataset_gets_its_files(home: Path) -> None:
    """Its entry is in the catalog; the folder is named after it."""
    DatasetFactory(slug="my_rays", title="As published", description="Known.", num_images=1000)

    run(make_rays(home))

    dataset = Dataset.objects.get()
    assert (dataset.title, dataset.description) == ("As published", "Known.")
    assert (dataset.local_path, dataset.num_images) == ("my_rays", 6)


def test_a_folder_of_the_same_name_does_not_replace_another_dataset(home: Path) -> None:
    run(make_rays(home))
    other = write_files(home / "other" / "my_rays", {"normal/a.png": make_picture()})

    message = refuse(other)

    assert "has its files in “my_rays”" in message
    assert "--slug" in message
    assert "has its files in “my_rays”" in refuse(other, "--slug", "my_rays")
    assert Image.objects.count() == 6
    assert "1 added" in run(other, "--slug", "other-rays")
    assert Dataset.objects.get(slug="other-rays").local_path == "other/my_rays"


def test_images_that_lie_elsewhere_are_only_replaced_when_asked(home: Path) -> None:
    ImageFactory(dataset__slug="my_rays")
    folder = make_rays(home)

    assert "has images elsewhere" in refuse(folder)
    assert "6 added, 0 changed, 0 unchanged, 1 removed" in run(folder, "--slug", "my_rays")


def test_a_folder_in_another_dataset_root_is_stored_whole(
    home: Path, tmp_path: Path, settings: LazySettings
) -> None:
    settings.DATASET_ROOTS = [home, tmp_path / "disk2"]
    folder = make_rays(tmp_path / "disk2")

    run(folder)

    assert Dataset.objects.get().local_path == str(folder)
    assert "6 unchanged" in run(folder)


def test_a_name_without_latin_letters_needs_a_slug(home: Path) -> None:
    folder = make_rays(home, "данные")

    assert "--slug my-dataset" in refuse(folder)
    run(folder, "--slug", "dannye")
    assert Dataset.objects.get().title == "Данные"


# --- Refusals: what, where, what to do ---


def test_a_folder_outside_the_dataset_folders_is_refused_with_two_remedies(
    home: Path, tmp_path: Path
) -> None:
    message = refuse(make_rays(tmp_path / "elsewhere"))

    assert f"outside the dataset folders ({home})" in message
    assert "Move it into one of them" in message
    assert f"add its parent, {tmp_path / 'elsewhere'}, to MEDAGG_DATASET_ROOTS" in message


def test_a_link_out_of_the_dataset_folders_is_outside(home: Path, tmp_path: Path) -> None:
    (home / "link").symlink_to(make_rays(tmp_path / "elsewhere"))

    assert "outside the dataset folders" in refuse(home / "link")


@pytest.mark.parametrize(
    ("path", "options", "message"),
    [
        ("", (), "Name a dataset.toml or a folder"),
        ("nowhere", (), "no file or folder"),
        (".", (), "is itself one of the dataset folders"),
        ("empty", (), "it is empty"),
        ("tables", (), ".csv files: 1"),
        ("mixed", (), "--kind"),
        ("rays", ("--kind", "dicom"), "has no DICOM files"),
        ("rays", ("--area", "chesst"), "chesst"),
        ("rays", ("--modality", "x-ray"), "x-ray"),
        ("rays", ("--license", "WTF 1.0"), "WTF 1.0"),
        ("rays", ("--slug", "no slug!"), "slug"),
        ("rays", ("--tables", "."), "--tables is only for a dataset.toml"),
        ("rays", ("--files", "."), "--files is only for a dataset.toml"),
        ("tables/labels.csv", (), "is not a dataset.toml"),
    ],
)
def test_what_cannot_be_imported_is_refused_with_a_reason(
    home: Path, path: str, options: tuple[str, ...], message: str
) -> None:
    make_rays(home, "rays")
    (home / "empty").mkdir()
    write_files(home / "tables", {"labels.csv": b"a,b"})
    write_files(home / "mixed", {"a/b.png": make_picture(), "v.nii": make_nifti(2, 2)})

    assert message in refuse(home / path if path else "", *options)
    assert not Dataset.objects.exists()


# --- Descriptions ---

TOML = """
[dataset]
slug = "told"
title = "As told"
modalities = ["dx"]

[files]
folder = "images"
path = "{file}"

[[table]]
path = "labels.csv"

[image]
id = "{file}"
sex = "{sex}"

[[labels]]
words = "{finding}"
"""


def make_told(home: Path) -> Path:
    table = "file,sex,finding\na.png,F,Effusion\nb.png,M,Nodule\ngone.png,F,Nodule\n"
    return write_files(
        home / "told",
        {
            "dataset.toml": TOML.encode(),
            "labels.csv": table.encode(),
            "images/a.png": make_picture(),
            "images/b.png": make_picture(9, 9),
        },
    )


@pytest.mark.parametrize("path", ["told", "told/dataset.toml"])
def test_a_description_or_the_folder_that_holds_one(home: Path, path: str) -> None:
    make_told(home)

    report = run(home / path)

    assert "told: 3 added" in report
    assert "1 files are missing" in report
    image = Image.objects.get(source_id="a.png")
    assert (image.sex, image.label_set.get().code) == ("F", "pleural-effusion")
    assert image.sha256
    assert not Image.objects.get(source_id="gone.png").is_local
    assert "3 unchanged" in run(home / path)


def test_a_description_says_itself_what_the_options_for_folders_say(home: Path) -> None:
    make_told(home)

    assert "--title is only for folders without a table" in refuse(home / "told", "--title", "X")


def test_a_description_that_is_wrong_is_refused_with_its_place(home: Path) -> None:
    write_files(home / "told", {"dataset.toml": b"[dataset]\nslug = "})

    assert "dataset.toml" in refuse(home / "told")


def test_all_that_is_wrong_in_a_description_is_told_line_by_line(home: Path) -> None:
    make_told(home)
    description = home / "told" / "dataset.toml"
    wrong = description.read_text().replace("[image]", "[image]\nsexx = 1\nage_unit = 'hours'")
    description.write_text(wrong)

    unit, key = refuse(home / "told").splitlines()

    assert unit.startswith("dataset.toml, [image] age_unit: “hours” is none of years, months")
    assert key == "dataset.toml, [image] sexx: there is no such key; did you mean sex?"


def list_shipped() -> dict[str, str]:
    out = StringIO()
    call_command("import_dataset", "--list", stdout=out)
    return dict(line.split(maxsplit=1) for line in out.getvalue().splitlines())


def test_the_shipped_descriptions_are_listed(home: Path) -> None:
    shipped = {each.stem for each in (ROOT / "catalog/data/tables").glob("*.toml")}
    listed = list_shipped()

    assert listed.keys() == shipped
    assert listed["nih-chestxray14"] == "NIH ChestX-ray14"
    assert all(name in refuse("nonsense") for name in shipped)


def test_a_shipped_description_is_found_by_its_name(
    home: Path, tmp_path: Path, settings: LazySettings
) -> None:
    settings.VAR_DIR = tmp_path / "var"
    header = "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender"
    rows = "00000001_000.png,Effusion|Nodule,0,1,058Y,M\n,Nodule,0,2,60,F\n"
    columns = "View Position,OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
    table = f"{header},{columns}\n{rows}".replace(",M\n", ",M,PA,2682,2749,0.143,0.143\n")
    table = table.replace(",F\n", ",F,AP,2682,2749,0.143,0.143\n")
    write_files(tmp_path / "tables", {"Data_Entry_2017.csv": table.encode()})
    files = write_files(home / "nih", {"images_001/00000001_000.png": make_picture()})

    assert "--tables DIR" in refuse("nih-chestxray14")
    entry = next(e for e in read_datasets(SHIPPED_DATASETS) if e["slug"] == "nih-chestxray14")
    for vocabulary, field in (
        ("modality", "modalities"),
        ("task", "task_types"),
        ("tag", "tags"),
        ("license", "license"),
    ):
        codes = entry[field] if isinstance(entry[field], list) else [entry[field]]
        load_terms(vocabulary=vocabulary, terms=[{"code": c, "name": c.upper()} for c in codes])

    report = run(
        "nih-chestxray14", "--tables", str(tmp_path / "tables"), "--files", str(files),
        "--max-rejected", "1",
    )  # fmt: skip

    assert "nih-chestxray14: 1 added, 0 changed, 0 unchanged, 0 removed, 1 rejected" in report
    image = Image.objects.get()
    assert (image.file_path, image.age_years) == ("images_001/00000001_000.png", 58)
    (rejected,) = read_rejects(tmp_path / "var" / "rejects.csv")
    assert rejected["line"] == "3", "listed in var: the product's own folder is not written to"

    # Again without saying where the files are: the catalog knows, and keeps them.
    again = run("nih-chestxray14", "--tables", str(tmp_path / "tables"), "--max-rejected", "1")
    assert "0 added, 0 changed, 1 unchanged, 0 removed" in again


# --- As a process ---


# By this name its sessions are told from those of other tests.
PROGRAM = f"import of {os.getpid()}"


def start(folder: Path, home: Path, *options: str) -> subprocess.Popen[str]:
    """The command as a person runs it, on the database of this test."""
    url = urlsplit(os.environ["DATABASE_URL"])
    before, _, _ = url.path.rpartition("/")
    path = f"{before}/{connection.settings_dict['NAME']}"
    more = {
        "DATABASE_URL": url._replace(path=path).geturl(),
        "MEDAGG_DATASET_ROOTS": str(home),
        "PYTHONUNBUFFERED": "1",
        "PGAPPNAME": PROGRAM,
    }
    return subprocess.Popen(
        [sys.executable, ROOT / "manage.py", "import_dataset", folder, *options],
        cwd=home.parent,
        env=os.environ | more,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def add_slow_files(folder: Path) -> list[Path]:
    """Pictures that take a minute to hash: behind its header each is as large a hole as may be."""
    names = [f"slow-{n:02}.png" for n in range(90)]
    write_files(folder, {name: make_picture() for name in names})
    for name in names:
        os.truncate(folder / name, MAX_HOLE)
    return [folder / name for name in names]


def wait_for_reading(process: subprocess.Popen[str]) -> None:
    """Until it is in the midst of the files: it has said so, and a moment went by."""
    assert process.stderr
    assert "Reading " in process.stderr.readline()
    time.sleep(0.5)


def wait_for_the_database() -> None:
    """Until it has noticed that the process is gone."""
    sessions = "SELECT 1 FROM pg_stat_activity WHERE application_name = %s"
    for _ in range(300):
        with connection.cursor() as cursor:
            cursor.execute(sessions, [PROGRAM])
            if not cursor.fetchall():
                return
        time.sleep(0.1)
    raise AssertionError("the killed process still has its session")


@pytest.mark.django_db(transaction=True)
def test_the_command_by_its_exit_code(home: Path) -> None:
    folder = make_rays(home)

    process = start(folder, home, "--area", "chest")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "my_rays: 6 added" in out
    assert Image.objects.count() == 6

    process = start(folder.parent / "nowhere", home)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "no file or folder" in err
    assert "Traceback" not in err


@pytest.mark.django_db(transaction=True)
def test_ctrl_c_leaves_the_old_state_and_says_so(home: Path) -> None:
    folder = make_rays(home)
    run(folder)
    before = list(Image.objects.order_by("pk").values())
    add_slow_files(folder / "train" / "Effusion")
    (folder / "train/Effusion/0.png").write_bytes(make_picture(99, 98))

    process = start(folder, home)
    wait_for_reading(process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)

    assert process.returncode == 130
    assert "not finished are unchanged" in err
    assert "Traceback" not in err
    assert list(Image.objects.order_by("pk").values()) == before


@pytest.mark.django_db(transaction=True)
def test_while_files_are_hashed_a_curator_and_an_import_of_the_same_word_go_on(
    home: Path, admin_client: Client
) -> None:
    picture = make_picture()
    folder = write_files(home / "large", {f"zebra/{n:03}.png": picture for n in range(100)})
    add_slow_files(folder / "zebu")

    process = start(folder, home)
    try:
        wait_for_reading(process)
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '1s'")
            report = run(write_files(home / "small", {"zebra/a.png": picture}))
            label = Label.objects.get(name="zebra")
            change = {"code": "zebra", "name": "Zebra", "description": "", "is_active": "on"}
            change |= {f"aliases-{name}_FORMS": "0" for name in ("TOTAL", "INITIAL")}
            saved = admin_client.post(reverse("admin:vocab_label_change", args=[label.pk]), change)
            cursor.execute("SET lock_timeout TO DEFAULT")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    finally:
        process.kill()

    assert "1 added" in report
    assert (saved.status_code, Label.objects.get(pk=label.pk).name) == (302, "Zebra")
    assert process.returncode == 130
    assert not Label.objects.filter(name="zebu").exists()
    assert Dataset.objects.get().slug == "small", "of the import that was stopped nothing is left"
    assert Image.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_killed_import_leaves_the_old_state(home: Path) -> None:
    folder = make_rays(home)
    run(folder)
    (folder / "train/Effusion/0.png").write_bytes(make_picture(99, 98))
    slow = add_slow_files(folder / "test" / "Effusion")

    process = start(folder, home)
    wait_for_reading(process)
    process.kill()
    process.communicate(timeout=30)
    wait_for_the_database()

    assert Image.objects.get(source_id="train/Effusion/0.png").width != 99
    for path in slow:
        path.unlink()
    assert "1 changed, 5 unchanged" in run(folder), "and the next import goes through"


# --- Two descriptions of one name; rows that contradict each other ---
LEAST = (
    '[dataset]\nslug = "collide"\ntitle = "x"\n[[table]]\npath = "t.csv"\n[image]\nid = "{File}"\n'
)


def make_table(folder: Path, table: str, description: str = LEAST) -> Path:
    return write_files(folder, {"t.csv": table.encode(), "dataset.toml": description.encode()})


def test_two_folders_with_one_slug_do_not_remove_each_others_images(home: Path) -> None:
    first = make_table(home / "first", "File\na.png\nb.png\n")
    second = make_table(home / "second", "File\nx.png\n")
    run(first)

    reason = refuse(second)

    assert "“collide” is imported from first/dataset.toml, and this is second/" in reason
    assert "--moved" in reason
    assert Image.objects.count() == 2
    assert "1 added, 0 changed, 0 unchanged, 2 removed" in run(second, "--moved")
    assert "collide" in refuse(first), "the other one is now the one that it came from"


def test_a_folder_that_was_renamed_or_lies_elsewhere_is_imported_as_before(
    home: Path, tmp_path: Path
) -> None:
    first = make_table(home / "first", "File\na.png\n")
    run(first)
    second = first.rename(home / "second")
    assert "1 unchanged" in run(second)
    assert "1 unchanged" in run(second.rename(tmp_path / "third") / "dataset.toml")
    assert "1 unchanged" in run(make_table(home / "fourth", "File\na.png\n"), "--moved")


CONFLICTING = LEAST + (
    'subject = "{Patient}"\nsex = "{Sex}"\nage = "{Age}"\n[[labels]]\nwords = "{Findings}"\n'
)
TWO_ROWS = "File,Patient,Sex,Age,Findings\n1.png,P1,M,50,Nodule\n1.png,P2,F,71,Effusion\n"


def test_what_the_rows_of_an_image_contradict_is_unknown_and_listed(home: Path) -> None:
    folder = make_table(home / "rays", TWO_ROWS, CONFLICTING + "[many]\n")

    report = run(folder)

    assert "contradict each other, so these are unknown there: subject (1), sex (1), age (1)" in (
        report
    )
    assert "3 bad and contradicting rows are listed in" in report
    image = Image.objects.get()
    assert (image.subject_id, image.sex, image.age_years) == ("", "", None)
    listed = read_rejects(folder / "rejects.csv")
    assert [(each["line"], each["column"], each["value"]) for each in listed] == [
        ("3", "subject", "P2"),
        ("3", "sex", "F"),
        ("3", "age", "71.0"),
    ]
    assert listed[1]["reason"].startswith("Line 2 says “M” of the same image 1.png")


def test_an_id_of_two_rows_names_the_section_for_several_rows(home: Path) -> None:
    folder = make_table(home / "rays", TWO_ROWS, CONFLICTING)

    assert "1 rejected because of source_id: “1.png” (1)" in run(folder)

    (bad,) = read_rejects(folder / "rejects.csv")
    assert "line 2, which was kept" in bad["reason"]
    assert "[many]" in bad["reason"]


@pytest.mark.parametrize("way", ["..", "link"])
def test_a_description_gives_out_no_files_beside_it(home: Path, way: str) -> None:
    """Those of another dataset, perhaps of one that is hidden."""
    write_files(home / "hidden", {"a.png": make_picture(4, 3)})
    folder = make_table(
        home / "rays", "File\nhidden/a.png\n", LEAST + f'[files]\nfolder = "{way}"\n'
    )
    (folder / "link").symlink_to(home)
    with pytest.raises(CommandError, match=r"is not below the folder of the description.*--files"):
        run(folder)
    assert not Image.objects.exists()
    run(folder, "--files", str(home))
    assert Image.objects.local().count() == 1


def test_no_list_is_written_through_a_link_that_a_stranger_has_put_there(home: Path) -> None:
    folder = make_table(home / "rays", TWO_ROWS, CONFLICTING)
    mine = home / "mine"
    mine.write_text("mine")
    for name in (".rejects.csv.part", ".file-problems.csv.part", "rejects.csv"):
        (folder / name).symlink_to(mine)

    assert "1 rejected because of source_id" in run(folder)

    assert mine.read_text() == "mine"
    assert len(read_rejects(folder / "rejects.csv")) == 1
    assert not (folder / "rejects.csv").is_symlink()


def test_files_are_found_by_case_and_ending_and_the_rest_is_listed(home: Path) -> None:
    names = ("374.PNG", "403.jpeg", "900.png", "12.png")
    pictures = {f"pics/{name}": make_picture(4, 3, shade=n) for n, name in enumerate(names)}
    folder = write_files(home / "rays", pictures)
    description = LEAST + '[files]\nfolder = "pics"\n'
    make_table(folder, "File\n374.png\n403.jpg\n12.dcm\n", description)

    report = run(folder)

    assert "2 files were found under another spelling: 374.png as 374.PNG, 403.jpg" in report
    assert "1 files are missing" in report
    path = folder / "file-problems.csv"
    assert "2 files that no row names" in report
    assert f"3 files are listed, with what to do, in {path}" in report
    assert [[*row.values()][:-1] for row in read_rejects(path)] == [
        ["collide", "missing", "12.dcm", "4", "12.png"],
        ["collide", "named by no row", "12.png", "", ""],
        ["collide", "named by no row", "900.png", "", ""],
    ]
    assert Image.objects.local().count() == 2
    make_table(folder, "File\n374.PNG\n403.jpeg\n12.png\n900.png\n", description)
    assert "spelling" not in run(folder)
    assert not path.exists()


def test_an_import_ends_with_what_can_be_done_next(home: Path) -> None:
    table = "File,label\na.png,Odd word\n"
    folder = make_table(home / "rays", table, LEAST + '[[labels]]\nwords = "{label}"\n')

    assert "Next: import it, without --dry-run" in run(folder, "--dry-run")
    report = run(folder)

    assert "Next: see the dataset at /datasets/collide/\n" in report
    assert "search its images at /images/?dataset=collide\n" in report
    assert "/admin/catalog/dataset/?q=collide\n" in report
    assert "activate its labels, or make aliases of them, at" in report.splitlines()[-1]


def test_a_table_of_coded_sexes_says_how_to_map_them(home: Path) -> None:
    table = "File,sex,age\na.png,0,412\nb.png,1,50\nc.png,1,\n"
    folder = make_table(home / "rays", table, LEAST + 'sex = "{sex}"\nage = "{age}"\n')

    report = run(folder)

    assert "sex not understood in 3 of 3: “1” (2), “0” (1)" in report
    assert 'sex_words = { "1" = "…", "0" = "…" }' in report
    assert "age not understood in 1 of 3: “412” (1)" in report
    told = LEAST + 'sex = "{sex}"\nsex_words = { "1" = "F", "0" = "M" }\n'
    assert "not understood" not in run(make_table(folder, table, told))
    assert sorted(Image.objects.values_list("sex", flat=True)) == ["F", "F", "M"]


def test_confidences_that_cannot_be_read_are_counted(home: Path) -> None:
    table = "File,label,score\na.png,Mass,85\nb.png,Mass,85%\nc.png,Mass,\nd.png,Mass,high\n"
    labels = '[[labels]]\nwords = "{label}"\nconfidence = "{score}"\n'

    report = run(make_table(home / "rays", table, LEAST + labels))

    assert "confidence not understood in 2 of 4: “85” (1), “high” (1)" in report
    assert "A confidence is a number from 0 to 1, or has its sign: 85%." in report
    found = dict(ImageLabel.objects.values_list("image__source_id", "confidence"))
    assert found == {"a.png": None, "b.png": 0.85, "c.png": None, "d.png": None}


def test_a_word_that_no_vocabulary_knows_is_answered_with_the_nearest(home: Path) -> None:
    description = LEAST.replace('title = "x"', 'title = "x"\narea = "chst"')

    reason = refuse(make_table(home / "rays", "File\na.png\n", description))

    assert "area “chst”" in reason
    assert "Did you mean chest? `manage.py terms area` lists its codes." in reason


def test_x_ray_is_the_modality_of_the_dataset(home: Path) -> None:
    folder = home / "rays"
    write_files(folder, {"t.csv": b"id,mod\n1,X-ray\n2,CT\n"})
    text = '[dataset]\nslug = "rays"\ntitle = "Rays"\n{}[[table]]\npath = "t.csv"\n'
    text += '[image]\nid = "{{id}}"\nmodality = "{{mod}}"\n'
    description = folder / "dataset.toml"
    description.write_text(text.format(""))
    said = run(description)
    assert "X-ray, which may mean cr, dx (1)" in said
    assert "modality_words" in said
    assert dict(Image.objects.values_list("source_id", "modality__code")) == {"1": None, "2": "ct"}

    description.write_text(text.format('modalities = ["dx", "ct"]\n'))
    assert "unknown words" not in run(description)
    assert dict(Image.objects.values_list("source_id", "modality__code")) == {"1": "dx", "2": "ct"}


def test_images_keep_the_licences_that_their_table_states(home: Path, client: Client) -> None:
    terms = [{"code": "cc-by-nc-nd-4.0", "name": "CC BY-NC-ND 4.0"}]
    load_terms(vocabulary="license", terms=terms)
    folder = home / "rays"
    table = "id,License\n1,CC BY 4.0\n2,CC BY-NC-ND 4.0\n3,on request\n4,\n"
    write_files(folder, {"t.csv": table.encode()})
    (folder / "dataset.toml").write_text(
        '[dataset]\nslug = "rays"\ntitle = "Rays"\nlicense = "cc-by-4.0"\n'
        '[[table]]\npath = "t.csv"\n[image]\nid = "{id}"\nlicense = "{License}"\n'
    )
    assert "license: on request (1)" in run(folder)
    html = client.get("/images/?license=cc-by-4.0").content.decode()
    assert 'data-total="2"' in html
    html = client.get("/datasets/rays/").content.decode()
    for words in ("CC BY-NC-ND 4.0", "licence not stated", "CC BY 4.0"):
        assert words in html


def test_labels_say_what_the_table_says(home: Path) -> None:
    terms = [{"code": "covid-19", "name": "COVID-19"}, {"code": "mass", "name": "Mass"}]
    load_terms(vocabulary="label", terms=terms)
    words = ["HER2+", "HER2-", "COVID-19?", "COVID-19 (-)", "Mass -", "Grade >2", "Grade <2"]
    folder = home / "rays"
    rows = [f"{n},{word}" for n, word in enumerate(words)]
    write_files(folder, {"t.csv": "\n".join(["id,Findings", *rows]).encode()})
    (folder / "dataset.toml").write_text(
        '[dataset]\nslug = "rays"\ntitle = "Rays"\n[[table]]\npath = "t.csv"\n'
        '[image]\nid = "{id}"\n[[labels]]\nwords = "{Findings}"\n'
    )
    said = run(folder)
    for word in ("HER2+", "HER2-", "Grade >2", "Grade <2"):
        assert f"  {word} (1)" in said
    given = ImageLabel.objects.order_by("image__source_id")
    assert list(given.values_list("label__name", "finding")) == [
        ("HER2+", "positive"), ("HER2-", "positive"), ("COVID-19", "uncertain"),
        ("COVID-19", "negative"), ("Mass", "negative"), ("Grade >2", "positive"),
        ("Grade <2", "positive"),
    ]  # fmt: skip
