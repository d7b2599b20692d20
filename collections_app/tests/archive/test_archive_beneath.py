"""Archives of files that `BeneathOpener` opens, as in a build."""

import os
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from catalog.imaging.paths import BeneathOpener
from collections_app.archive import BadEntry, FileEntry, check_entry
from collections_app.tests.archive.archive_files import LARGE, SMALL, build, catalog_file, make_file

pytestmark = pytest.mark.usefixtures("no_descriptor_is_left_open")


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    for name in ("images/a.png", "single/b.png", "large/c.raw"):
        make_file(tmp_path / "dataset" / name, LARGE if name.startswith("large") else SMALL)
    return tmp_path / "dataset"


def dataset_files(dataset: Path, files: BeneathOpener) -> list[FileEntry]:
    paths = ["images/a.png", "single/b.png", "large/c.raw", "images/a.png"]
    return [
        replace(catalog_file(dataset / path, f"{n}/{path}"), open_fd=files.open_fd, path=path)
        for n, path in enumerate(paths)
    ]


def test_files_of_a_dataset_are_opened_beneath_its_root(dataset: Path, target: Path) -> None:
    with BeneathOpener(dataset) as files:
        entries = dataset_files(dataset, files)
        assert [check_entry(entry) for entry in entries] == [None] * 4
        build(target, entries)
    with zipfile.ZipFile(target) as archive:
        assert archive.testzip() is None
        assert [archive.read(name) for name in archive.namelist()] == [SMALL, SMALL, LARGE, SMALL]


def test_a_file_behind_a_link_inside_the_dataset_is_accepted(dataset: Path, target: Path) -> None:
    with BeneathOpener(dataset) as files:
        entries = dataset_files(dataset, files)
        (dataset / "single").rename(dataset / "annex")
        (dataset / "single").symlink_to("annex")
        (dataset / "images" / "a.png").rename(dataset / "a.png")
        (dataset / "images" / "a.png").symlink_to("../a.png")
        build(target, entries)
    with zipfile.ZipFile(target) as archive:
        assert [archive.read(name) for name in archive.namelist()] == [SMALL, SMALL, LARGE, SMALL]


def remove(path: Path) -> None:
    path.unlink()


def remove_folder(path: Path) -> None:
    path.unlink()
    path.parent.rmdir()


def remove_dataset(path: Path) -> None:
    path.parents[1].rename(path.parents[1].with_name("elsewhere"))
    remove_folder(path.parents[2] / "elsewhere" / path.parent.name / path.name)


def truncate(path: Path) -> None:
    os.truncate(path, 10)


def rewrite(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))
    os.utime(path, (1, 1))


def link_out(path: Path) -> None:
    secret = make_file(path.parents[2] / "secret.png", path.read_bytes())
    path.unlink()
    path.symlink_to(secret)


def link_folder_out(path: Path) -> None:
    make_file(path.parents[2] / "secret" / path.name, path.read_bytes())
    remove_folder(path)
    path.parent.symlink_to("../secret")


def replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def replace_by_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def replace_by_device(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


ACCIDENTS = [
    (remove, "missing"),
    (remove_folder, "missing"),
    (remove_dataset, "missing"),
    (truncate, "changed"),
    (rewrite, "changed"),
    (link_out, "unsafe"),
    (link_folder_out, "unsafe"),
    (replace_by_folder, "unsafe"),
    (replace_by_fifo, "unsafe"),
    (replace_by_device, "unsafe"),
]


@pytest.mark.parametrize(("accident", "kind"), ACCIDENTS)
@pytest.mark.parametrize("name", ["single/b.png", "large/c.raw"])
def test_a_bad_file_of_a_dataset_is_named_before_and_while_writing(
    dataset: Path, target: Path, name: str, accident: Callable[[Path], None], kind: str
) -> None:
    with BeneathOpener(dataset) as files:
        entry = next(entry for entry in dataset_files(dataset, files) if entry.path == name)
        os.close(files.open_fd(name))  # its folder is open when the file is changed
        accident(dataset / name)
        with pytest.raises(BadEntry) as caught:
            build(target, [entry])
        bad = check_entry(entry)
    assert bad is not None
    assert (caught.value.name, caught.value.kind) == (bad.name, bad.kind) == (entry.name, kind)


def test_a_missing_dataset_folder_is_an_error_of_its_first_file(
    dataset: Path, target: Path
) -> None:
    with BeneathOpener(dataset) as files:
        entries = dataset_files(dataset, files)
        dataset.rename(dataset.with_name("elsewhere"))
        with pytest.raises(BadEntry, match="the file is missing") as caught:
            build(target, entries)
    assert caught.value.name == "0/images/a.png"
