"""Paths that do not lead out of a dataset, and facts that describe the file as it was read."""

import hashlib
import os
import socket
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.imaging.paths import (
    FileChanged,
    FileFacts,
    UnsafePath,
    check_relative_path,
    iter_files,
    open_beneath,
    read_facts,
)
from catalog.tests.imaging.swapping import swapped_all_the_time


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A dataset's folder with `images/a.png`, beside a file that is none of its business."""
    (tmp_path / "secret.txt").write_bytes(b"secret")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "key.png").write_bytes(b"key")
    folder = tmp_path / "dataset"
    (folder / "images").mkdir(parents=True)
    (folder / "images" / "a.png").write_bytes(b"content of a")
    return folder


def read(root: Path, relative: str) -> bytes:
    with open_beneath(root, relative) as file:
        return file.read()


@pytest.mark.parametrize(
    "path",
    [
        "a.png",
        "images/a.png",
        "subject-001/subject 001 (2).png",
        "röntgen/日本語.dcm",
        "re\u0301sume\u0301.png",  # decomposed, as macOS writes names
        ".hidden/x",
        "...",
        "a..b/c..",
        "-rf",
        "ab:c",
        "x" * 255,
        "/".join(["x" * 99] * 10),
    ],
)
def test_plain_relative_paths_are_returned_unchanged(path: str) -> None:
    assert check_relative_path(path) == path


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("", "empty"),
        ("/etc/passwd", "absolute"),
        ("//server/share", "absolute"),
        ("\\\\server\\share", "Windows"),
        ("C:/x.png", "Windows"),
        ("c:x.png", "Windows"),
        ("images\\a.png", "Windows"),
        ("..", "'..'"),
        ("../secret.txt", "'..'"),
        ("images/../../secret.txt", "'..'"),
        ("images/..", "'..'"),
        (".", "'.'"),
        ("./a.png", "'.'"),
        ("images/./a.png", "'.'"),
        ("images//a.png", "''"),
        ("images/", "''"),
        ("a\0.png", "control"),
        ("a\n.png", "control"),
        ("a\x7f.png", "control"),
        ("a\x85.png", "control"),
        ("a\u2028.png", "control"),
        ("a\udcff.png", "undecodable"),
        ("x" * 256, "255 bytes"),
        ("ä" * 128, "255 bytes"),
        ("/".join(["x" * 100] * 11), "1024 bytes"),
    ],
)
def test_other_paths_are_refused_with_the_reason(path: str, why: str) -> None:
    with pytest.raises(UnsafePath, match=why):
        check_relative_path(path)


def test_a_refusal_shows_the_path_and_what_to_do() -> None:
    with pytest.raises(UnsafePath) as refusal:
        check_relative_path("images/../a.png")
    assert "'images/../a.png'" in str(refusal.value)
    assert "write it without" in str(refusal.value)


def test_a_refusal_does_not_repeat_a_giant_path() -> None:
    with pytest.raises(UnsafePath) as refusal:
        check_relative_path("x/" * 50_000)
    assert len(str(refusal.value)) < 300


@given(st.lists(st.sampled_from(["..", ".", "", "a", "b.png", "C:", "\\", "\0"]), min_size=1))
def test_an_accepted_path_is_its_own_normal_form(parts: list[str]) -> None:
    path = "/".join(parts)
    try:
        check_relative_path(path)
    except UnsafePath:
        return
    assert os.path.normpath(path) == path
    assert os.path.normpath(f"/root/{path}") == f"/root/{path}"


def test_a_file_below_the_root_is_opened(root: Path) -> None:
    assert read(root, "images/a.png") == b"content of a"


def test_the_root_itself_may_be_a_link(root: Path) -> None:
    alias = root.parent / "alias"
    alias.symlink_to(root)
    assert read(alias, "images/a.png") == b"content of a"


@pytest.mark.parametrize("path", ["../secret.txt", "/etc/passwd", "images/../../secret.txt", ""])
def test_a_bad_path_is_refused_at_use_too(root: Path, path: str) -> None:
    with pytest.raises(UnsafePath):
        open_beneath(root, path)


@pytest.mark.parametrize("path", ["images/b.png", "nowhere/a.png", "images/a.png/b.png"])
def test_a_missing_file_is_not_found(root: Path, path: str) -> None:
    with pytest.raises(FileNotFoundError):
        open_beneath(root, path)


def test_a_missing_root_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        open_beneath(tmp_path / "nowhere", "a.png")


@pytest.mark.parametrize("target", ["images/a.png", "../dataset/images/a.png"])
def test_a_link_that_stays_inside_is_followed(root: Path, target: str) -> None:
    (root / "link.png").symlink_to(target)
    assert read(root, "link.png") == b"content of a"


def test_a_chain_of_links_inside_is_followed(root: Path) -> None:
    (root / "annex").symlink_to(root / "images")
    (root / "one.png").symlink_to("annex/a.png")
    (root / "two.png").symlink_to("one.png")
    assert read(root, "two.png") == read(root, "annex/a.png") == b"content of a"


@pytest.mark.parametrize("target", ["../secret.txt", "/etc/passwd", "/proc/self/environ"])
def test_a_file_link_that_leaves_is_refused(root: Path, target: str) -> None:
    (root / "link.png").symlink_to(target)
    with pytest.raises(UnsafePath, match="out of the dataset"):
        open_beneath(root, "link.png")


def test_a_folder_link_that_leaves_is_refused(root: Path) -> None:
    (root / "more").symlink_to(root.parent / "outside")
    with pytest.raises(UnsafePath, match="out of the dataset"):
        open_beneath(root, "more/key.png")


def test_a_neighbour_whose_name_begins_alike_is_outside(root: Path) -> None:
    neighbour = root.parent / "dataset-private"
    neighbour.mkdir()
    (neighbour / "x.png").write_bytes(b"x")
    (root / "link.png").symlink_to(neighbour / "x.png")
    with pytest.raises(UnsafePath, match="out of the dataset"):
        open_beneath(root, "link.png")


def test_a_link_to_itself_is_refused(root: Path) -> None:
    (root / "loop.png").symlink_to("loop.png")
    with pytest.raises(UnsafePath, match="leads to itself"):
        open_beneath(root, "loop.png")


def test_a_dangling_link_is_not_found(root: Path) -> None:
    (root / "gone.png").symlink_to("images/gone.png")
    with pytest.raises(FileNotFoundError):
        open_beneath(root, "gone.png")


def test_a_folder_is_not_a_file(root: Path) -> None:
    with pytest.raises(UnsafePath, match="not a regular file"):
        open_beneath(root, "images")


def test_a_fifo_is_refused_without_waiting_for_a_writer(root: Path) -> None:
    os.mkfifo(root / "pipe.png")
    started = time.monotonic()
    with pytest.raises(UnsafePath, match="not a regular file"):
        open_beneath(root, "pipe.png")
    assert time.monotonic() - started < 1


def test_a_socket_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)  # socket paths are short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.png")
        with pytest.raises(UnsafePath, match="not a regular file"):
            open_beneath(root, "socket.png")


def test_a_device_is_refused() -> None:
    with pytest.raises(UnsafePath, match="not a regular file"):
        open_beneath(Path("/dev"), "null")


def test_a_swapped_folder_never_leads_outside(root: Path) -> None:
    """A folder and a link to another folder change places all the time while it is read."""
    (root / "spare").symlink_to(root.parent / "outside")
    (root.parent / "outside" / "a.png").write_bytes(b"key")
    with swapped_all_the_time(root):
        seen = {_try_to_read(root, "images/a.png") for _ in range(3000)}
    assert seen <= {b"content of a", b"refused", b"not found"}
    assert b"content of a" in seen


def _try_to_read(root: Path, relative: str) -> bytes:
    try:
        return read(root, relative)
    except UnsafePath:
        return b"refused"
    except FileNotFoundError:
        return b"not found"


def test_no_descriptor_is_left_open(root: Path) -> None:
    (root / "link.png").symlink_to("../secret.txt")
    os.mkfifo(root / "pipe.png")
    before = _count_descriptors()
    for path in ["images/a.png", "link.png", "images", "no.png", "no/no.png", "pipe.png"] * 20:
        _try_to_read(root, path)
    assert _count_descriptors() == before


def _count_descriptors() -> int:
    return sum(1 for _ in Path("/dev/fd").iterdir())


def test_opening_is_cheap_enough_for_large_archives(root: Path) -> None:
    """The aim is 15 µs a file; the bound here is loose so that a busy machine does not fail it."""
    started = time.perf_counter()
    for _ in range(2000):
        open_beneath(root, "images/a.png").close()
    assert (time.perf_counter() - started) / 2000 < 150e-6


@pytest.mark.parametrize("size", [0, 1, 12_345, (1 << 20) - 1, 1 << 20, (3 << 20) + 7])
def test_facts_describe_the_file(root: Path, size: int) -> None:
    content = hashlib.shake_128(b"facts").digest(size)
    path = root / "images" / "b.bin"
    path.write_bytes(content)
    os.utime(path, ns=(1, 1_700_000_000_123_456_789))
    with open_beneath(root, "images/b.bin") as file:
        assert read_facts(file) == FileFacts(
            size_bytes=size,
            sha256=hashlib.sha256(content).hexdigest(),
            crc32=zlib.crc32(content),
            mtime_ns=path.stat().st_mtime_ns,
        )


def test_facts_are_read_from_the_start(root: Path) -> None:
    with open_beneath(root, "images/a.png") as file:
        file.read(5)
        assert read_facts(file).sha256 == hashlib.sha256(b"content of a").hexdigest()


def test_a_file_that_grows_while_it_is_read_is_an_error(root: Path) -> None:
    with pytest.raises(FileChanged):
        _read_facts_while(root, lambda path: path.write_bytes(bytes(3 << 20)))


def test_a_file_that_is_touched_while_it_is_read_is_an_error(root: Path) -> None:
    with pytest.raises(FileChanged):
        _read_facts_while(root, lambda path: os.utime(path, ns=(5, 5)))


def _read_facts_while(root: Path, change: Callable[[Path], object]) -> None:
    """Read the facts of a file that `change` alters after the first bytes have been read."""
    path = root / "images" / "a.png"

    class Interrupted:
        def __init__(self) -> None:
            self.file = path.open("rb")
            self.fileno, self.seek = self.file.fileno, self.file.seek

        def readinto(self, buffer: memoryview) -> int:
            count = self.file.readinto(buffer)
            if self.file.tell() == count:
                change(path)
            return count

    read_facts(Interrupted())  # type: ignore[arg-type]


def test_files_are_listed_in_order_of_their_whole_path(root: Path) -> None:
    for path in ["b.png", "a/z.png", "a-b/y.png", "a.png", "a/b/c/d.png", "é.png", "Z.png"]:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"")
    found = list(iter_files(root))
    assert found == sorted(found)
    assert set(found) == {
        "b.png",
        "a/z.png",
        "a-b/y.png",
        "a.png",
        "a/b/c/d.png",
        "é.png",
        "Z.png",
        "images/a.png",
    }


def test_hidden_files_folder_links_and_special_files_are_ignored(root: Path) -> None:
    (root / ".git").mkdir()
    (root / ".git" / "config").write_bytes(b"")
    (root / ".DS_Store").write_bytes(b"")
    (root / "loop").symlink_to(root)
    (root / "out").symlink_to(root.parent / "outside")
    (root / "gone.png").symlink_to("nowhere")
    os.mkfifo(root / "pipe.png")
    assert list(iter_files(root)) == ["gone.png", "images/a.png"], "a file that is to come"


def test_a_link_to_a_file_is_listed_and_judged_when_it_is_opened(root: Path) -> None:
    (root / "in.png").symlink_to("images/a.png")
    (root / "out.png").symlink_to("../secret.txt")
    assert list(iter_files(root)) == ["images/a.png", "in.png", "out.png"]
    assert read(root, "in.png") == b"content of a"
    with pytest.raises(UnsafePath):
        open_beneath(root, "out.png")


def test_a_very_deep_tree_is_listed_without_recursion(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["d"] * 300)
    deep.mkdir(parents=True)
    (deep / "x").write_bytes(b"")
    assert list(iter_files(tmp_path)) == ["d/" * 300 + "x"]


def test_listing_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        list(iter_files(tmp_path / "nowhere"))
