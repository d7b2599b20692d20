"""build_collection and verify_archive, as a person at the shell meets them."""

import csv
import hashlib
import io
import json
import os
import resource
import signal
import struct
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings, settings
from django.core.management import CommandError, call_command
from django.db import connection

from catalog.models import Dataset, Image
from catalog.tests.factories import dataset_folder
from collections_app.archive.deflate import END, deflate_block
from collections_app.archive.verify import MAX_PROBLEMS
from collections_app.archive_files import archive_file
from collections_app.build import build_collection
from collections_app.claims import claim_collection
from collections_app.management.output import OutputError, check_output, copy_file
from collections_app.management.progress import BytesProgress
from collections_app.models import Collection
from collections_app.services import CANCELLED
from collections_app.tests.factories import (
    UserFactory,
    files_in_archive_root,
    make_collection,
    make_dataset,
)
from collections_app.verification import escape

pytestmark = pytest.mark.django_db(transaction=True)
PATIENCE_SECONDS = 60


def start(*arguments: str | Path, **options: Any) -> "subprocess.Popen[str]":
    """`manage.py …` as a process of its own, on this test's database."""
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
    """What a command writes to stdout, called in this process."""
    out = io.StringIO()
    call_command(*arguments, stdout=out, stderr=io.StringIO(), **options)
    return out.getvalue()


def refuse(*arguments: Any, **options: Any) -> tuple[str, str]:
    """Why a command refuses, and what it wrote to stderr before."""
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
def test_both_commands_as_processes(tmp_path: Path) -> None:
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

    verifying = start("verify_archive", output, "--catalog")
    said, complained = verifying.communicate(timeout=PATIENCE_SECONDS)
    assert (verifying.returncode, complained) == (0, "")
    assert f"SHA-256 of the file: {collection.archive_sha256}" in said
    assert f"Fingerprint: {collection.fingerprint}" in said
    assert "3 images have the same files in this catalog now." in said
    assert "same fingerprint: 1." in said
    assert "is proven" in said

    output.write_bytes(output.read_bytes()[:-100])
    verifying = start("verify_archive", output)
    said, complained = verifying.communicate(timeout=PATIENCE_SECONDS)
    assert (verifying.returncode, said) == (1, "")
    assert "truncated" in complained
    assert "Traceback" not in complained


@pytest.mark.parametrize(
    "query",
    [
        "sex=F",
        "?sex=F",
        "/images/?sex=F&page=3",
        "https://medagg.example/images/?sex=F&sort=id#top",
    ],
)
def test_a_query_may_be_given_as_a_whole_address(query: str) -> None:
    make_dataset(files=4)
    build(query)
    assert Collection.objects.get().filter_snapshot == {"sex": ["F"]}


@pytest.mark.parametrize(("query", "title"), [("", "All images"), ("q=rays&sex=F", "rays, Female")])
def test_a_title_is_made_of_the_filters(query: str, title: str) -> None:
    make_dataset(files=4)
    build(query)
    assert Collection.objects.get().title == title


def test_without_an_output_the_page_is_named() -> None:
    make_dataset(files=1)
    said = build("", title="  Mine,   all mine ")
    collection = Collection.objects.get()
    assert collection.title == "Mine, all mine"
    assert f"{settings.SITE_URL}/collections/{collection.uuid}/" in said
    assert "Archive:" not in said


def test_the_output_is_a_copy_that_shares_nothing_with_the_servers_file(tmp_path: Path) -> None:
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
        ("", {"user": "closed"}, "is closed"),
        ("", {"title": "x" * 300}, "A title is plain text"),
        ("", {"title": "a\x1b[2Jb"}, "A title is plain text"),
        ("", {"output": "no-such-folder/a.zip"}, "There is no folder"),
        ("", {"output": "."}, "is a folder"),
        ("http://[/images/?sex=F", {}, "is not an address"),
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


def test_limits_are_told(settings: LazySettings) -> None:
    make_dataset(files=3)
    UserFactory(username="rosa")
    settings.COLLECTION_MAX_IMAGES = 2
    line, _ = refuse("build_collection", "", user="rosa")
    assert "at most 2 images" in line


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


def test_bad_files_are_listed_and_can_be_left_out(tmp_path: Path) -> None:
    make_dataset(files=4)
    UserFactory(username="rosa")
    image_file(1).unlink()
    line, listed = refuse("build_collection", "", user="rosa", output=tmp_path / "a.zip")
    assert "1 file is not as the catalog says" in line
    assert "--without-bad" in line
    assert "rays: rays-001: " in listed
    assert list(tmp_path.iterdir()) == []

    said = build("", output=tmp_path / "a.zip", without_bad=True)
    assert "Bad files left out: 1." in said
    assert "proven" in run("verify_archive", tmp_path / "a.zip", catalog=True)


def test_bad_files_that_only_the_proof_finds_can_be_left_out_too(tmp_path: Path) -> None:
    make_dataset(files=4)
    times = image_file(2).stat()
    image_file(2).write_bytes(image_file(2).read_bytes()[::-1])
    os.utime(image_file(2), ns=(times.st_atime_ns, times.st_mtime_ns))
    said = build("", output=tmp_path / "a.zip", without_bad=True)
    assert "3 images, 3 files" in said
    assert "proven" in run("verify_archive", tmp_path / "a.zip")


def test_a_worker_that_was_quicker_is_waited_for() -> None:
    make_dataset(files=2)
    user = UserFactory(username="rosa")
    other = make_collection("", user=UserFactory(username="another"))
    claim = claim_collection(collection_id=other.pk)
    assert claim
    # The first build of these bytes lives elsewhere, so this one has to wait for it.
    from_elsewhere = threading.Timer(2, finish_elsewhere, [other.pk])
    Collection.objects.filter(pk=other.pk).update(fingerprint=fingerprint_of(user))
    from_elsewhere.start()
    try:
        build("", title="My rays")
    finally:
        from_elsewhere.join()
    mine = Collection.objects.get(user=user)
    other.refresh_from_db()
    assert mine.archive_path == other.archive_path
    assert mine.attempts == 0


def fingerprint_of(user: Any) -> str:
    """Of what the command is going to build."""
    trial = make_collection("", user=user)
    build_collection(collection_id=trial.pk)
    trial.refresh_from_db()
    fingerprint = trial.fingerprint
    archive_file(trial.archive_path).unlink()
    trial.items.all().delete()
    trial.delete()
    return fingerprint


def finish_elsewhere(collection_id: int) -> None:
    try:
        Collection.objects.filter(pk=collection_id).update(
            attempt_token=None, lease_expires_at=None
        )
        build_collection(collection_id=collection_id)
    finally:
        connection.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_build_leaves_nothing_behind(number: signal.Signals, tmp_path: Path) -> None:
    make_dataset(files=3)
    UserFactory(username="rosa")
    # Copying so much takes a while on any machine.
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
    assert collection.attempt_token is None
    assert files_in_archive_root() == []
    assert list(tmp_path.iterdir()) == []


def slow_down(file: Path) -> None:
    """Make the build hash a large file: of the right size, but with another time."""
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


def test_a_full_disk_at_the_output_leaves_nothing_there(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(os.urandom(1 << 20))
    (tmp_path / "out").mkdir()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, hard))
    try:
        with pytest.raises(OutputError, match="could not be written"):
            copy_file(source, tmp_path / "out/a.zip", force=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_copy_across_file_systems_is_whole(tmp_path: Path) -> None:
    elsewhere = Path("/dev/shm")  # noqa: S108 - another file system, where there is one
    if not elsewhere.is_dir() or elsewhere.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second file system")
    source, target = tmp_path / "source", elsewhere / f"medagg-{os.getpid()}.zip"
    source.write_bytes(os.urandom(3_000_000))
    heard: list[int] = []
    try:
        copy_file(source, target, force=False, on_bytes=heard.append)
        assert (sha256(target), heard[-1]) == (sha256(source), 3_000_000)
        with pytest.raises(OutputError, match="exists already"):
            copy_file(source, target, force=False)
    finally:
        target.unlink(missing_ok=True)


def test_a_folder_without_permission_is_known_before_the_build(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write anywhere")
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="may not be written"):
        check_output(tmp_path / "a.zip", force=False)


# --- verify_archive ---
@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """A sound archive as somebody has downloaded it."""
    make_dataset(files=4, remote=1)
    build("", output=tmp_path / "a.zip", title="My rays")
    return tmp_path / "a.zip"


def rewrite(archive: Path, change: Callable[[dict[str, bytes]], None]) -> None:
    """Change the contents, names below the slug, and write a ZIP that is sound as a ZIP."""
    with zipfile.ZipFile(archive) as old:
        contents = {name.removeprefix("my-rays/"): old.read(name) for name in old.namelist()}
    change(contents)
    with zipfile.ZipFile(archive, "w") as new:
        for name, content in contents.items():
            new.writestr(zipfile.ZipInfo(f"my-rays/{name}"), content)


def verify_changed(archive: Path, change: Callable[[dict[str, bytes]], None]) -> str:
    """All that is said of a changed archive."""
    rewrite(archive, change)
    return "\n".join(refuse("verify_archive", archive))


def test_a_rewritten_archive_with_the_same_contents_is_proven(archive: Path) -> None:
    rewrite(archive, lambda contents: None)
    assert "10 entries, 4 of them images" in run("verify_archive", archive)


def test_an_archive_that_this_server_has_never_seen_is_proven(archive: Path) -> None:
    Collection.objects.get().items.all().delete()
    Collection.objects.all().delete()
    Image.objects.all().delete()
    assert "is proven" in run("verify_archive", archive)
    line, listed = refuse("verify_archive", archive, catalog=True)
    assert "4 problems" in line
    assert "the catalog has no image rays-000 in the dataset rays" in listed


def test_a_fingerprint_that_no_collection_has_is_told_and_no_error(archive: Path) -> None:
    Collection.objects.get().items.all().delete()
    Collection.objects.all().delete()
    assert "same fingerprint: 0." in run("verify_archive", archive, catalog=True)


def test_a_catalog_with_another_file_is_told(archive: Path) -> None:
    Image.objects.filter(source_id="rays-002").update(sha256="2" * 64)
    line, _ = refuse("verify_archive", archive, catalog=True)
    assert "images/rays/deep/002.png: the catalog has another file for it now" in line
    assert "is proven" in run("verify_archive", archive)


def test_ids_that_a_spreadsheet_would_run_are_found_in_the_catalog(tmp_path: Path) -> None:
    make_dataset(files=3)
    for number, source_id in enumerate(("=1+1", "'quoted", "@x")):
        Image.objects.filter(source_id=f"rays-{number:03}").update(source_id=source_id)
    build("", output=tmp_path / "a.zip")
    assert "3 images have the same" in run("verify_archive", tmp_path / "a.zip", catalog=True)


def test_a_changed_image_is_named(archive: Path) -> None:
    def change(contents: dict[str, bytes]) -> None:
        contents["images/rays/deep/001.png"] += b"!"

    said = verify_changed(archive, change)
    assert "images/rays/deep/001.png: its contents are not those that SHA256SUMS has" in said
    assert "images/rays/deep/001.png: its contents are not those that metadata.csv has" in said


def test_a_changed_text_is_named(archive: Path) -> None:
    def change(contents: dict[str, bytes]) -> None:
        contents["README.md"] = b"trust me"

    assert "README.md: its contents are not those" in verify_changed(archive, change)


def test_a_missing_image_is_named(archive: Path) -> None:
    def change(contents: dict[str, bytes]) -> None:
        del contents["images/rays/deep/001.png"]

    said = verify_changed(archive, change)
    assert "images/rays/deep/001.png: it is in SHA256SUMS, but not in the archive" in said
    assert "collection.json: it says 4 files, but there are 3" in said


def test_an_image_too_many_is_named(archive: Path) -> None:
    def change(contents: dict[str, bytes]) -> None:
        contents["images/rays/extra.png"] = b"pixels"

    said = verify_changed(archive, change)
    assert "images/rays/extra.png: it is not in SHA256SUMS" in said
    assert "images/rays/extra.png: it is not in metadata.csv" in said


def test_a_row_that_disagrees_is_named(archive: Path) -> None:
    def change(contents: dict[str, bytes]) -> None:
        rows = list(csv.reader(io.StringIO(contents["metadata.csv"].decode())))
        rows[2][rows[0].index("size_bytes")] = "7"
        rows.append(rows[1])
        out = io.StringIO()
        csv.writer(out, lineterminator="\n").writerows(rows)
        contents["metadata.csv"] = out.getvalue().encode()

    said = verify_changed(archive, change)
    assert "images/rays/deep/001.png: metadata.csv says 7 bytes" in said
    assert "images/rays/deep/000.png: it is in metadata.csv twice" in said


@pytest.mark.parametrize("name", ["SHA256SUMS", "metadata.csv", "collection.json"])
@pytest.mark.parametrize(
    "text",
    [None, b"", b"\xff\xfe", b"[" * 100_000, b'{"fingerprint": 1}', b'"', b"a,b\n1\n",
     b"\0" * 99_999],
)  # fmt: skip
def test_lists_that_are_missing_or_nonsense_are_problems(
    archive: Path, name: str, text: bytes | None
) -> None:
    def change(contents: dict[str, bytes]) -> None:
        if text is None:
            del contents[name]
        else:
            contents[name] = text

    assert name in verify_changed(archive, change)


def test_many_problems_are_counted_and_the_first_shown(archive: Path) -> None:
    def change(contents: dict[str, bytes]) -> None:
        contents.update({f"images/{number}.png": b"" for number in range(80)})

    rewrite(archive, change)
    line, listed = refuse("verify_archive", archive)
    assert "161 problems" in line
    assert len(listed.splitlines()) == MAX_PROBLEMS + 1
    assert "and 61 more" in listed


def test_names_of_a_hostile_archive_cannot_steer_the_terminal(archive: Path) -> None:
    def change(contents: dict[str, bytes]) -> None:
        contents["images/\x1b[2J\r\nAll is well\u202e.png"] = b""

    said = verify_changed(archive, change)
    assert "\\x1b[2J\\r\\nAll is well\\u202e.png" in said
    assert "\x1b" not in said
    assert escape("Ö 中 é") == "Ö 中 é"


def bomb(name: bytes, size: int) -> bytes:
    """A ZIP of one text of `size` zero bytes."""
    packed = zipfile.zlib.compressobj(9, wbits=-15)  # type: ignore[attr-defined]
    block, crc, data = bytes(1 << 20), 0, b""
    for _ in range(size >> 20):
        crc = zipfile.crc32(block, crc)  # type: ignore[attr-defined]
        data += packed.compress(block)
    data += packed.flush()
    header = struct.pack("<5H3I2H", 20, 0, 8, 0, 33, crc, len(data), size, len(name), 0)
    local = b"PK\3\4" + header + name + data
    central = b"PK\1\2" + struct.pack("<H", 20) + header + bytes(14) + name
    return local + central + struct.pack(
        "<4s4H2IH", b"PK\5\6", 0, 0, 1, 1, len(central), len(local), 0
    )  # fmt: skip


@pytest.mark.parametrize("name", ["SHA256SUMS", "metadata.csv", "collection.json"])
def test_a_bomb_in_a_text_does_not_fill_the_memory(name: str, tmp_path: Path) -> None:
    path = tmp_path / "bomb.zip"
    path.write_bytes(bomb(f"my-rays/{name}".encode(), 400 << 20))
    assert path.stat().st_size < 1 << 20
    limited = (
        "import resource; resource.setrlimit(resource.RLIMIT_DATA, (300 << 20, 300 << 20));"
        "import os, sys; os.environ['OPENBLAS_NUM_THREADS'] = '1';"
        "import django; django.setup(); from pathlib import Path;"
        "from collections_app.verification import verify_file;"
        "print(verify_file(Path(sys.argv[1])).problems)"
    )
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "medagg.settings"}
    process = subprocess.run(
        [sys.executable, "-c", limited, path], env=environment, cwd=settings.BASE_DIR,
        capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False,
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    assert f"{name}: it cannot be understood" in process.stdout


def test_what_is_no_archive_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("hello" * 100)
    (tmp_path / "empty.zip").touch()
    os.mkfifo(tmp_path / "pipe")
    said = {
        name: refuse("verify_archive", tmp_path / name)[0]
        for name in ("text.txt", "empty.zip", "pipe", ".", "nowhere.zip", "text.txt/x", "a\0b")
    }
    assert "not a ZIP" in said["text.txt"]
    assert "not a ZIP" in said["empty.zip"]
    assert "not a file" in said["pipe"]
    assert "not a file" in said["."]
    assert "No such file" in said["nowhere.zip"]
    assert "Not a directory" in said["text.txt/x"]
    assert "null byte" in said["a\0b"]


def test_a_file_without_permission_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"x")
    (tmp_path / "a.zip").chmod(0)
    if os.access(tmp_path / "a.zip", os.R_OK):
        pytest.skip("root may read anything")
    assert "Permission denied" in refuse("verify_archive", tmp_path / "a.zip")[0]


def test_an_archive_of_another_layout_is_refused_by_its_lists(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as other:
        other.writestr("one/a.txt", "a")
        other.writestr("two/b.txt", "b")
    line, listed = refuse("verify_archive", tmp_path / "a.zip")
    assert "4 problems" in line
    assert "two/b.txt: it lies outside of the folder one/" in listed
    assert listed.count("there is no ") == 3


def test_the_order_of_entries_does_not_matter(archive: Path) -> None:
    def change(contents: dict[str, bytes]) -> None:
        backwards = dict(reversed(contents.items()))
        contents.clear()
        contents.update(backwards)

    rewrite(archive, change)
    assert "is proven" in run("verify_archive", archive)


def test_our_own_packing_is_read_by_the_same_rules(archive: Path) -> None:
    """The fixture's texts were deflated by our encoder; here it is said that they really were."""
    with zipfile.ZipFile(archive) as opened:
        info = opened.getinfo("my-rays/collection.json")
        record = opened.read(info)
    assert info.compress_type == zipfile.ZIP_DEFLATED
    assert info.compress_size == len(deflate_block(record) + END)
    assert json.loads(record)["num_files"] == 4


# --- Progress ---
class Terminal(io.StringIO):
    def __init__(self, *, is_terminal: bool) -> None:
        super().__init__()
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        return self._is_terminal

    def write(self, text: str, style_func: Any = None, ending: str = "\n") -> int:
        return super().write(text + ending)


def test_progress_is_a_bar_on_a_terminal_and_lines_elsewhere() -> None:
    terminal, log = Terminal(is_terminal=True), Terminal(is_terminal=False)
    for out in (terminal, log):
        clock = [0.0]
        bar = BytesProgress(out, "reading", 4_000_000, clock=partial(clock.__getitem__, 0))
        for clock[0] in (0.1, 1.0, 10.0):
            bar.update(1_000_000)
        bar.clear()
    assert log.getvalue() == "reading: 1.0 MB of 4.0 MB, 0:30 left\n"
    assert terminal.getvalue().count("25% reading: 1.0 MB of 4.0 MB") == 2
    assert terminal.getvalue().endswith("\r")
