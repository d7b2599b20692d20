"""The command build_collection."""

import hashlib
import io
import os
import resource
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings, settings
from django.core.management import CommandError, call_command
from django.db import connection

from catalog.models import Dataset, Image
from catalog.tests.factories import dataset_folder
from collections_app.management.output import OutputError, check_output, copy_file
from collections_app.models import Collection
from collections_app.services import CANCELLED
from collections_app.storage import archive_file
from collections_app.tests.factories import (
    UserFactory,
    files_in_archive_root,
    make_dataset,
)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("hooks_on_commit")]
PATIENCE_SECONDS = 60


def start(*arguments: str | Path, **options: Any) -> "subprocess.Popen[str]":
    """Start `manage.py …` as a process on this test's database."""
    name = connection.settings_dict["NAME"]
    server, mark, more = settings.DATABASE_URL.partition("?")
    database = f"{server.rpartition('/')[0]}/{name}{mark}{more}"
    return subprocess.Popen(
        [sys.executable, Path(settings.BASE_DIR, "manage.py"), *arguments],
        env={**os.environ, "DATABASE_URL": database},
        text=True,
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},
    )


def run(*arguments: Any, **options: Any) -> str:
    """The stdout of a command, called in this process."""
    out = io.StringIO()
    call_command(*arguments, stdout=out, stderr=io.StringIO(), **options)
    return out.getvalue()


def refuse(*arguments: Any, **options: Any) -> tuple[str, str]:
    """The error of a command, and its stderr before that."""
    err = io.StringIO()
    with pytest.raises(CommandError) as caught:
        call_command(*arguments, stdout=io.StringIO(), stderr=err, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value), err.getvalue()


def build(query: str = "", **options: Any) -> str:
    UserFactory(username="rosa")
    return run("build_collection", query, user="rosa", **options)


def image_file(number: int) -> Path:
    return dataset_folder(Dataset.objects.get()) / f"deep/{number:03}.png"


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


# --- build_collection ---
@pytest.mark.django_db(transaction=True)
def test_the_command_builds_verifies_and_copies(tmp_path: Path) -> None:
    make_dataset(files=5, remote=2)
    UserFactory(username="rosa")
    output = tmp_path / "rays.zip"
    building = start("build_collection", "?sex=F", "--user=rosa", f"--output={output}")
    said, complained = building.communicate(timeout=PATIENCE_SECONDS)
    assert building.returncode == 0, complained
    collection = Collection.objects.get()
    assert (collection.status, collection.title) == ("ready", "Female")
    assert "5 images, 3 files" in said
    assert collection.archive_sha256 == sha256(output)
    assert collection.archive_sha256 in said
    assert str(collection.uuid) in said


@pytest.mark.parametrize(
    "query",
    [
        "sex=F",
        "?sex=F",
        "/images/?sex=F&page=3",
        "https://medagg.example/images/?sex=F&sort=id#top",
    ],
)
def test_a_query_may_be_a_whole_url(query: str) -> None:
    make_dataset(files=4)
    build(query)
    frozen = Collection.objects.get().filter_snapshot
    assert frozen == {"sex": ["F"], "kind": ["picture"]}


@pytest.mark.parametrize(("query", "title"), [("", "All images"), ("q=rays&sex=F", "rays, Female")])
def test_the_default_title_is_made_of_the_filters(query: str, title: str) -> None:
    make_dataset(files=4)
    build(query)
    assert Collection.objects.get().title == title


def test_without_an_output_the_command_names_the_page() -> None:
    make_dataset(files=1)
    said = build("", title="  Mine,   all mine ")
    collection = Collection.objects.get()
    assert collection.title == "Mine, all mine"
    assert f"{settings.SITE_URL}/collections/{collection.uuid}/" in said
    assert "Archive:" not in said


def test_the_output_is_a_copy_and_not_a_link(tmp_path: Path) -> None:
    make_dataset(files=2)
    build("", output=tmp_path / "a.zip")
    with (tmp_path / "a.zip").open("r+b") as file:
        file.write(b"scribble")
    collection = Collection.objects.get()
    assert sha256(archive_file(collection.archive_path)) == collection.archive_sha256
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]


@pytest.mark.parametrize(
    ("query", "options", "reason"),
    [
        ("colour=blue", {}, "There is no filter called “colour”"),
        ("sex=purple", {}, "Sex:"),
        ("q=nothing-like-this", {}, "No image matches"),
        ("", {"user": "nobody"}, "There is no user 'nobody'"),
        ("", {"user": "closed"}, "is not active"),
        ("", {"title": "x" * 300}, "The title must be one line"),
        ("", {"title": "a\x1b[2Jb"}, "The title must be one line"),
        ("", {"output": "no-such-folder/a.zip"}, "does not exist"),
        ("", {"output": "."}, "is a folder"),
        ("http://[/images/?sex=F", {}, "is not a URL"),
    ],
)
def test_what_cannot_be_built_is_refused_with_one_line(
    query: str, options: dict[str, str], reason: str
) -> None:
    make_dataset(files=2)
    UserFactory(username="rosa")
    UserFactory(username="closed", is_active=False)
    line, _ = refuse("build_collection", query, **{"user": "rosa", **options})
    assert reason in line
    assert not Collection.objects.exists()
    assert files_in_archive_root() == []


def test_the_command_reports_limits(settings: LazySettings) -> None:
    make_dataset(files=3)
    UserFactory(username="rosa")
    settings.COLLECTION_MAX_IMAGES = 2
    line, _ = refuse("build_collection", "", user="rosa")
    assert "at most 2" in line


def test_an_output_that_exists_is_kept_unless_forced(tmp_path: Path) -> None:
    make_dataset(files=1)
    UserFactory(username="rosa")
    output = tmp_path / "a.zip"
    output.write_text("precious")
    line, _ = refuse("build_collection", "", user="rosa", output=output)
    assert "--force" in line
    assert (output.read_text(), Collection.objects.count()) == ("precious", 0)
    build("", output=output, force=True)
    assert sha256(output) == Collection.objects.get().archive_sha256


@pytest.mark.parametrize("force", [True, False])
def test_what_is_no_file_is_never_replaced(tmp_path: Path, force: bool) -> None:
    make_dataset(files=2)
    UserFactory(username="rosa")
    fifo, link = tmp_path / "fifo", tmp_path / "link"
    os.mkfifo(fifo)
    link.symlink_to("missing")
    for output in (fifo, link):
        line, _ = refuse("build_collection", "", user="rosa", output=output, force=force)
        assert "is no file" in line
    assert fifo.is_fifo()
    assert link.is_symlink()
    assert not Collection.objects.exists()


def test_bad_files_are_listed_and_can_be_excluded(tmp_path: Path) -> None:
    make_dataset(files=4)
    UserFactory(username="rosa")
    image_file(1).unlink()
    line, listed = refuse("build_collection", "", user="rosa", output=tmp_path / "a.zip")
    assert "1 file is not as the catalog says" in line
    assert "--without-bad" in line
    assert "rays: rays-001: " in listed
    assert list(tmp_path.iterdir()) == []

    said = build("", output=tmp_path / "a.zip", without_bad=True)
    assert "Bad files excluded: 1." in said
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert any(name.endswith("/missing.csv") for name in archive.namelist())


def test_bad_files_that_only_verification_finds_can_be_excluded_too(tmp_path: Path) -> None:
    make_dataset(files=4)
    times = image_file(2).stat()
    image_file(2).write_bytes(image_file(2).read_bytes()[::-1])
    os.utime(image_file(2), ns=(times.st_atime_ns, times.st_mtime_ns))
    said = build("", output=tmp_path / "a.zip", without_bad=True)
    assert "3 images, 3 files" in said
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert any(name.endswith("/missing.csv") for name in archive.namelist())


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_command_leaves_no_file(number: signal.Signals, tmp_path: Path) -> None:
    make_dataset(files=3)
    UserFactory(username="rosa")
    # Copying this much takes a while on any machine.
    slow_down(image_file(0))
    process = start("build_collection", "", "--user=rosa", f"--output={tmp_path / 'a.zip'}")
    wait_until(lambda: any(name.endswith(".part") for name in files_in_archive_root()), process)
    process.send_signal(number)
    _, complained = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 130, complained
    assert "The build is cancelled" in complained
    assert "Traceback" not in complained
    collection = Collection.objects.get()
    assert (collection.status, collection.error_message) == ("failed", CANCELLED)
    assert collection.builds.latest("pk").attempt_token is None
    assert files_in_archive_root() == []
    assert list(tmp_path.iterdir()) == []


def slow_down(file: Path) -> None:
    """Let the build hash a large file: its size is right, its mtime is not."""
    size = 3 << 30
    os.truncate(file, size)
    os.utime(file, ns=(0, 10**18))
    Image.objects.filter(source_id="rays-000").update(size_bytes=size, sha256="1" * 64)


def wait_until(condition: Callable[[], bool], process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_full_disk_of_the_output_leaves_no_file(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(os.urandom(1 << 20))
    (tmp_path / "out").mkdir()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, hard))
    try:
        with (
            source.open("rb", buffering=0) as reading,
            pytest.raises(OutputError, match="could not be written"),
        ):
            copy_file(reading, tmp_path / "out/a.zip", size=1 << 20, force=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_copy_to_another_file_system_is_complete(tmp_path: Path) -> None:
    elsewhere = Path("/dev/shm")  # noqa: S108 - another file system, where there is one
    if not elsewhere.is_dir() or elsewhere.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second file system")
    source, target = tmp_path / "source", elsewhere / f"medagg-{os.getpid()}.zip"
    source.write_bytes(os.urandom(3_000_000))
    heard: list[int] = []
    try:
        with source.open("rb", buffering=0) as reading:
            copy_file(reading, target, size=3_000_000, force=False, on_bytes=heard.append)
        assert (sha256(target), heard[-1]) == (sha256(source), 3_000_000)
        with (
            source.open("rb", buffering=0) as reading,
            pytest.raises(OutputError, match="exists already"),
        ):
            copy_file(reading, target, size=3_000_000, force=False)
    finally:
        target.unlink(missing_ok=True)


def test_a_folder_without_permission_is_refused_before_the_build(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write anywhere")
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="may not be written"):
        check_output(tmp_path / "a.zip", force=False)
