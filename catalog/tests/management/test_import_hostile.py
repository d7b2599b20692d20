"""``manage.py import_dataset`` reads what somebody made to do harm: at once, or with a refusal."""

import csv
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path

import pytest
from django.conf import LazySettings
from django.core.management import CommandError, call_command
from django.test import Client

from catalog.importers import local_files
from catalog.models import Image
from catalog.tests.importers.folder_files import make_picture, write_files

pytestmark = pytest.mark.django_db

TOML = """
[dataset]
slug = "mine"
title = "Mine"
[files]
folder = "."
path = "{file}"
[[table]]
path = "t.csv"
[image]
id = "{id}"
"""


@pytest.fixture
def home(own_folders: Path) -> Path:
    return own_folders / "datasets" / "mine"


def run(path: Path, *options: str) -> str:
    """What the command says on stdout."""
    out = StringIO()
    call_command("import_dataset", str(path), *options, stdout=out, stderr=StringIO())
    return out.getvalue()


def refuse(path: Path, *options: str) -> str:
    """Why the command refuses."""
    with pytest.raises(CommandError) as raised:
        run(path, *options)
    return str(raised.value)


@contextmanager
def in_few_seconds(seconds: float = 4) -> Iterator[None]:
    before = time.process_time()
    yield
    assert time.process_time() - before < seconds


@pytest.mark.parametrize(
    "name",
    ["1" * 24 + "a", "n" + " 1" * 9_000 + "a", "n" + " x y" * 6_000 + "z"],
    ids=["digits", "numbers", "letters"],
)
def test_names_of_columns_are_judged_at_once(home: Path, name: str) -> None:
    """Each digit more would double the time, which was minutes from 30 on."""
    table = f"id,file,{name},Patient Name\na,a.png,x,Jane Doe\n"
    write_files(home, {"t.csv": table.encode(), "dataset.toml": TOML.encode()})

    with in_few_seconds():
        said = run(home)

    assert "columns left out, as they identify people: Patient Name" in said
    assert set(Image.objects.get().metadata_json) == {"file", name}


def test_an_object_of_very_many_keys_is_one_bad_row(home: Path) -> None:
    lines = [
        {"id": "a", "more": {f"key number {n}": {} for n in range(120_000)}},
        {"id": "b", "more": [{"site": "x", "Patient Name": "Jane Doe"}] * 4_000},
    ]
    table = "\n".join(map(json.dumps, lines))
    toml = TOML.replace("t.csv", "t.jsonl").replace('path = "{file}"', "")
    write_files(home, {"t.jsonl": table.encode(), "dataset.toml": toml.encode()})

    with in_few_seconds(8):
        said = run(home)

    rejected = (home / "rejects.csv").read_text()
    assert "The objects in “more” have more than 10,000 keys, or 2,000 different" in rejected
    assert "1 added" in said
    assert "Jane Doe" not in str(Image.objects.get().metadata_json)


def test_a_description_of_many_quotes_is_read_at_once(home: Path) -> None:
    quoted = 'description = "' + '\\"' * 40_000 + '"\n'
    text = TOML.replace('title = "Mine"\n', 'title = "Mine"\n' + quoted)
    write_files(home, {"t.csv": b"id,file\na,a.png\n", "dataset.toml": text.encode()})

    with in_few_seconds():
        run(home, "--dry-run")


@pytest.mark.parametrize("pattern", ["**/**/**/**/**/**/*.csv", "**/a/**/a/**/a/**/*.csv"])
def test_a_pattern_goes_through_all_folders_once(home: Path, pattern: str) -> None:
    write_files(home, {"dataset.toml": TOML.replace("t.csv", pattern).encode()})
    home.joinpath(*["a"] * 60).mkdir(parents=True)

    with in_few_seconds():
        said = refuse(home)

    assert f"“{pattern}” is not a pattern for a table's path (** stands in it more than" in said


def test_a_pattern_does_not_follow_links_that_lead_in_circles(home: Path) -> None:
    """With each * there would be ten times as many paths."""
    write_files(home, {"dataset.toml": TOML.replace("t.csv", "*/*/*/*/*/*/*.csv").encode()})
    write_files(home, {"a/b/c/d/e/f/t.csv": b"id,file\na,a.png\n"})
    write_files(home, {"1/dataset.toml": TOML.replace("t.csv", "named/*/t.csv").encode()})
    write_files(home, {"1/2/x/t.csv": b"id,file\na,a.png\n"})
    for number in range(10):
        (home / f"link{number}").symlink_to(".")
    (home / "1" / "named").symlink_to("2")

    with in_few_seconds():
        said = run(home)

    assert "1 added" in said
    assert "1 unchanged" in run(home / "1" / "dataset.toml", "--moved")


def test_patterns_have_a_limit(home: Path) -> None:
    patterns = ", ".join(f'"**/{number}.csv"' for number in range(101))
    text = TOML.replace('path = "t.csv"', f"path = [{patterns}]")
    write_files(home, {"dataset.toml": text.encode()})
    assert "give at most 100 patterns" in refuse(home)


def test_links_to_themselves_cost_their_own_rows(home: Path) -> None:
    table = b"id,file\na,a.txt\nb,loop\nc,folder/c.txt\n"
    write_files(home, {"t.csv": table, "dataset.toml": TOML.encode(), "a.txt": b"a"})
    for name in ("loop", "folder"):
        (home / name).symlink_to(name)

    said = run(home)

    assert "1 added, 0 changed, 0 unchanged, 0 removed, 2 rejected" in said
    assert "is a link that leads to itself" in (home / "rejects.csv").read_text()
    assert Image.objects.get(source_id="a").file_path == "a.txt"


def test_links_to_themselves_stop_no_folder(home: Path) -> None:
    write_files(home, {"x/a.png": make_picture(8, 8), "x/b.png": make_picture(8, 9)})
    for name in ("x/loop", "x/loop.png", "loop"):
        (home / name).symlink_to(Path(name).name)

    said = run(home)

    assert "2 added, 0 changed, 0 unchanged, 0 removed, 3 rejected" in said


def test_a_file_of_holes_is_no_image(home: Path) -> None:
    """Twelve gigabytes that take no disk would be read for a minute."""
    write_files(home, {"t.csv": b"id,file\na,a.png\n", "dataset.toml": TOML.encode()})
    write_files(home, {"a.png": make_picture(8, 8)})
    os.truncate(home / "a.png", 12 << 30)

    with in_few_seconds():
        said = run(home)

    assert "files of more than 1 GB of which nearly nothing is written" in said
    assert Image.objects.get().file_path == ""


OWN = ["t.csv", "./t.csv", "dataset.toml", "more.csv", "rejects.csv", "file-problems.csv",
       "link.csv", "hard.csv", "sub/t.csv", "other.rejects.csv", "a/.source"]  # fmt: skip


@pytest.mark.parametrize("anywhere", [False, True])
def test_no_row_gives_out_the_table_or_another_file_of_the_import(
    home: Path, client: Client, anywhere: bool
) -> None:
    lines = [f"{number},{name},Doe John" for number, name in enumerate(OWN)]
    table = "\n".join(("id,file,Patient Name", *lines, "fine,fine.txt,Doe John"))
    text = TOML + '[[join]]\npath = "more.csv"\nkey = "{number}"\nto = "{id}"\n'
    if anywhere:
        text = text.replace("[[table]]", "anywhere = true\n[[table]]", 1)
    others = ("rejects.csv", "file-problems.csv", "other.rejects.csv", "a/.source", "fine.txt")
    write_files(home, dict.fromkeys(others, b"x"))
    write_files(home, {"t.csv": table.encode(), "dataset.toml": text.encode()})
    write_files(home, {"more.csv": b"number,MRN\n1,7\n"})
    (home / "link.csv").symlink_to("t.csv")
    (home / "hard.csv").hardlink_to(home / "t.csv")
    (home / "sub").symlink_to(".")

    said = run(home, "--rejects", str(home.parent / "bad.csv"))

    assert "columns left out, as they identify people: Patient Name" in said
    given = Image.objects.exclude(file_path="").values_list("source_id", flat=True)
    assert list(given) == ["fine"]
    problems = (home.parent / "file-problems.csv").read_text()
    assert "files of the import itself instead of images, such as a table" in problems
    for image in Image.objects.exclude(source_id="fine"):
        assert client.get(f"/images/{image.pk}/file/").status_code == 404


def test_no_row_gives_out_a_table_that_the_import_does_not_know(home: Path, client: Client) -> None:
    table = b"id,Patient Name\n1,Doe John\n"
    names = ("patients.csv", "a/notes.json", "patients.CSV.gz", "copy.tsv", "p.xlsx", "p.parquet")
    rows = "\n".join(f"{number},{name}" for number, name in enumerate((*names, "fine.csv.txt")))
    write_files(home, dict.fromkeys((*names, "fine.csv.txt"), table))
    write_files(home, {"t.csv": f"id,file\n{rows}\n".encode(), "dataset.toml": TOML.encode()})

    run(home)

    assert Image.objects.exclude(file_path="").get().file_path.endswith("fine.csv.txt")
    problems = (home / "file-problems.csv").read_text()
    assert problems.count("tables instead of images, by the endings of their names") == len(names)
    for image in Image.objects.filter(file_path=""):
        assert client.get(f"/images/{image.pk}/file/").status_code == 404


def test_a_table_that_an_earlier_import_took_for_an_image_is_given_out_no_longer(
    home: Path, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = b"id,file,Patient Name\na,t.csv,Doe John\n"
    write_files(home, {"t.csv": table, "dataset.toml": TOML.encode()})
    with monkeypatch.context() as patch:
        patch.setattr(local_files, "refuse_file", lambda *_: None)
        run(home)
    address = f"/images/{Image.objects.get().pk}/file/"
    assert b"Doe John" in client.get(address).getvalue()

    assert "1 changed" in run(home)

    assert client.get(address).status_code == 404


def test_a_description_that_is_a_link_shows_nothing_of_other_files(
    home: Path, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("SECRET_KEY = never to be seen\n")
    write_files(home, {"t.csv": b"id,file\na,a.png\n"})
    (home / "dataset.toml").symlink_to(tmp_path / "secret")

    said = refuse(home)

    assert "is a link that leads out of the dataset's folder" in said
    assert "never to be seen" not in said


@pytest.mark.parametrize("name", ["rejects.csv", "file-problems.csv"])
def test_a_folder_that_is_called_like_a_list_stops_nothing(
    home: Path, settings: LazySettings, tmp_path: Path, name: str
) -> None:
    settings.VAR_DIR = tmp_path / "var"
    write_files(home, {"t.csv": b"id,file\na,a.png\n,\n ,x\n", "dataset.toml": TOML.encode()})
    (home / name).mkdir()

    said = run(home)

    assert "1 added" in said
    assert f"are listed in {settings.VAR_DIR / 'rejects.csv'}" in said


def test_names_of_people_are_found_in_parts_of_the_names_of_columns(home: Path) -> None:
    header = 'id,file,"Name, Vorname",PatientName_Kanji,pt_nm,lesion_name,patient_birth_weight'
    table = f"{header}\n1,a.png,x1,x2,x3,nodule,3200\n"
    write_files(home, {"t.csv": table.encode(), "dataset.toml": TOML.encode()})

    said = run(home)

    assert "as they identify people: Name, Vorname, PatientName_Kanji" in said
    assert "as they may identify people: pt_nm (" in said
    kept = Image.objects.get().metadata_json
    assert kept == {"file": "a.png", "lesion_name": "nodule", "patient_birth_weight": "3200"}


def test_a_dry_run_keeps_no_name_behind_a_thing_or_with_more_around_it(home: Path) -> None:
    unsure = (
        "tags.PatientName",
        "surname_en",
        "rawpatientname",
        "dicom_AccessionNumber",
        "Zip/City",
    )
    sure = ("Name Vorname", "Tel (home)", "MR#", "p\u0430tient_name")
    kept = ("slice_no", "MR_no_contrast", "mobile_phone_model", "class_full_name", "pTNM")
    columns = (*unsure, *sure, *kept)
    table = f"id,file,{','.join(columns)}\n1,a.png,{','.join('x' for _ in columns)}\n"
    write_files(home, {"t.csv": table.encode(), "dataset.toml": TOML.encode()})

    said = run(home, "--dry-run")

    assert f"as they identify people: {', '.join(sure)}\n" in said
    assert f"as they may identify people: {', '.join(unsure)} (" in said
    run(home)
    assert set(Image.objects.get().metadata_json) == {"file", *kept}


def test_keys_of_signs_that_are_many_letters_each_are_judged_at_once(home: Path) -> None:
    """All of a table's 9,900 keys took 44 seconds."""
    more: dict[str, object] = {f"é{number} {'ﷺ' * 190}": {} for number in range(1_500)}
    lines = [{"id": "a", "more": more}, {"id": "b"}]
    toml = TOML.replace("t.csv", "t.jsonl").replace('path = "{file}"', "")
    table = "\n".join(map(json.dumps, lines))
    write_files(home, {"t.jsonl": table.encode(), "dataset.toml": toml.encode()})

    with in_few_seconds():
        run(home)


def test_dicoms_own_json_keeps_no_person(home: Path) -> None:
    """As pydicom, DICOMweb and scripts write headers, in columns, objects, lists and texts."""
    elements = {
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Muster^Hans"}]},
        "00100030": {"vr": "DA", "Value": ["19500102"]},
        "00091010": {"vr": "PN", "Value": [{"Alphabetic": "Muster^Hans"}]},
        "00080060": {"vr": "CS", "Value": ["CT"]},
    }
    listed = [
        {"tag": "(0010,0010)", "vr": "LO", "value": "Muster^Hans"},
        {"tag": "0009,1010", "vr": "PN", "value": "Muster^Hans"},
        {"name": "PatientName", "value": "Muster^Hans"},
        {"tag": "(0008,0060)", "vr": "CS", "value": "CT"},
    ]
    row: dict[str, object] = {
        "id": "a",
        "header": elements,
        "elements": listed,
        "cell": json.dumps(elements),
    }
    row |= elements | {"nested": {"raw": json.dumps(listed)}}
    write_files(home, {"t.jsonl": json.dumps(row).encode()})
    toml = TOML.replace("t.csv", "t.jsonl").replace('path = "{file}"', "")
    write_files(home, {"dataset.toml": toml.encode()})

    said = run(home, "--dry-run")
    run(home)

    assert "as they identify people: 00100010, 00100030" in said
    kept = Image.objects.get().metadata_json
    assert "Muster" not in str(kept)
    assert "19500102" not in str(kept)
    modality = {"vr": "CS", "Value": ["CT"]}
    assert json.loads(kept["00080060"]) == modality
    assert json.loads(kept["header"]) == json.loads(kept["cell"]) == {"00080060": modality}
    assert json.loads(kept["elements"]) == listed[3:]


def test_a_cell_that_is_json_is_judged_as_the_object_that_it_is(home: Path) -> None:
    cells = {
        "site": '{"where":  "x"}',
        "extra": '{"Patient Name": "Doe", "site": "x"}',
        "twice": '{"a": {"vr": "PN", "Value": "Doe"}, "a": 1}',
        "half": '{"MRN": "Doe", "b": "\\ud800"}',
        "deep": "[" * 50_000 + '{"MRN": "Doe"}' + "]" * 50_000,
        "quoted": json.dumps('{"MRN": "Doe"}'),
        "set": "{a, b}",
    }
    home.mkdir(parents=True, exist_ok=True)
    with (home / "t.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["id", "file", *cells], ["1", "a.png", *cells.values()]])
    toml = TOML + '[metadata.add]\nalso = "{extra}"\n'
    write_files(home, {"dataset.toml": toml.encode()})

    run(home)

    kept = Image.objects.get().metadata_json
    assert kept == {
        "file": "a.png",
        "site": '{"where":  "x"}',
        "extra": '{"site": "x"}',
        "also": '{"site": "x"}',
        "twice": '{"a": 1}',
        "half": '{"b": "?"}',
        "set": "{a, b}",
    }
