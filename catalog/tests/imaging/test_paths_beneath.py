"""Many files of one dataset, opened by `BeneathOpener`: quick, and never anything outside."""

import os
import resource
import socket
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from catalog.imaging.paths import MAX_PATH_BYTES, BeneathOpener, UnsafePath, open_beneath
from catalog.tests.imaging.swapping import swapped_all_the_time


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A dataset's folder, with a secret and another folder beside it."""
    root = tmp_path / "dataset"
    for path in ("images/a.png", "images/b.png", "more/c.png", "more/deep/d.png", "e.png"):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(path.encode())
    (tmp_path / "secret.txt").write_bytes(b"secret")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "a.png").write_bytes(b"key")
    return root


@pytest.fixture
def files(root: Path) -> Iterator[BeneathOpener]:
    before = count_descriptors()
    with BeneathOpener(root) as files:
        yield files
    assert count_descriptors() == before


def count_descriptors() -> int:
    return sum(1 for _ in Path("/dev/fd").iterdir())


def read(files: BeneathOpener, path: str) -> bytes:
    fd = files.open_fd(path)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return b"not a regular file"
        return os.read(fd, 1000)
    finally:
        os.close(fd)


def test_files_are_opened_in_any_order(files: BeneathOpener) -> None:
    paths = ["images/a.png", "images/b.png", "e.png", "more/deep/d.png", "more/c.png", "e.png"]
    for path in [*paths, *reversed(paths)]:
        assert read(files, path) == path.encode()


def test_the_root_may_be_a_link_and_relative(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root.parent / "alias").symlink_to(root)
    monkeypatch.chdir(root.parent)
    with BeneathOpener(Path("alias")) as files:
        assert read(files, "images/a.png") == b"images/a.png"
        assert read(files, "images/b.png") == b"images/b.png"


def test_names_that_are_not_plain_are_opened_too(root: Path, files: BeneathOpener) -> None:
    for name in ("é.png", "a:b.png", ".hidden", "ü" * 120 + ".png", "it's.png", "n" * 255):
        (root / "images" / name).write_bytes(name.encode())
        for _ in range(2):
            assert read(files, f"images/{name}") == name.encode()


def test_descriptors_are_not_inherited_by_programs(files: BeneathOpener) -> None:
    for path in ("images/a.png", "images/b.png"):
        fd = files.open_fd(path)
        assert not os.get_inheritable(fd)
        os.close(fd)


BAD_PATHS = [
    "../secret.txt",
    "/etc/passwd",
    "images/../../secret.txt",
    "",
    "images/",
    "images//a.png",
]
BAD_PATHS += ["images/..", "images/.", "images\\a.png", "C:/a.png", "C:a.png", "images/a\n.png"]


@pytest.mark.parametrize("path", BAD_PATHS)
@pytest.mark.parametrize("before", ["e.png", "images/a.png"])
def test_a_bad_path_is_refused_whatever_was_opened_before(
    files: BeneathOpener, path: str, before: str
) -> None:
    read(files, before)
    with pytest.raises(UnsafePath):
        files.open_fd(path)
    assert read(files, before) == before.encode()


@pytest.mark.parametrize("folder", [767, 768, 769, 1004])
def test_a_path_that_is_too_long_is_refused_in_an_open_folder_too(root: Path, folder: int) -> None:
    outer = ("f" * 99 + "/") * ((folder - 50) // 100)
    prefix = outer + "g" * (folder - len(outer))
    (root / prefix).mkdir(parents=True)
    with BeneathOpener(root) as files:
        for length in (1, 18, 19, 20, 254, 255):
            path = f"{prefix}/{'n' * length}"
            (root / path).write_bytes(b"x")
            if len(path) <= MAX_PATH_BYTES:
                assert read(files, path) == b"x"
                continue
            with pytest.raises(UnsafePath, match="longer than"):
                files.open_fd(path)


def test_a_name_that_is_too_long_is_refused_in_an_open_folder_too(files: BeneathOpener) -> None:
    read(files, "images/a.png")
    with pytest.raises(UnsafePath, match="over 255 bytes"):
        files.open_fd("images/" + "n" * 256)


@pytest.mark.parametrize("path", ["images/x.png", "nowhere/a.png", "images/a.png/b.png", "x.png"])
@pytest.mark.parametrize("before", ["e.png", "images/a.png"])
def test_a_missing_file_is_not_found(files: BeneathOpener, path: str, before: str) -> None:
    read(files, before)
    for _ in range(2):
        with pytest.raises(FileNotFoundError):
            files.open_fd(path)


def test_a_missing_root_is_not_found_until_it_is_there(tmp_path: Path) -> None:
    with BeneathOpener(tmp_path / "later") as files:
        with pytest.raises(FileNotFoundError):
            files.open_fd("a.png")
        (tmp_path / "later").mkdir()
        (tmp_path / "later" / "a.png").write_bytes(b"here")
        assert read(files, "a.png") == b"here"


@pytest.mark.parametrize("target", ["a.png", "../images/a.png", "../../dataset/images/a.png"])
def test_a_link_that_stays_inside_is_followed(
    root: Path, files: BeneathOpener, target: str
) -> None:
    (root / "images" / "link.png").symlink_to(target)
    (root / "annex").symlink_to("images")
    for path in ("images/a.png", "images/link.png", "annex/a.png", "annex/link.png"):
        assert read(files, path) == b"images/a.png"
        assert read(files, "images/b.png") == b"images/b.png"


@pytest.mark.parametrize("target", ["../../secret.txt", "/etc/passwd", "/proc/self/environ"])
def test_a_link_that_leaves_is_refused(root: Path, files: BeneathOpener, target: str) -> None:
    (root / "images" / "link.png").symlink_to(target)
    (root / "others").symlink_to("../outside")
    read(files, "images/a.png")
    for path in ("images/link.png", "others/a.png"):
        with pytest.raises(UnsafePath, match="out of the dataset"):
            files.open_fd(path)


def test_a_link_to_itself_is_refused(root: Path, files: BeneathOpener) -> None:
    (root / "images" / "loop.png").symlink_to("loop.png")
    read(files, "images/a.png")
    with pytest.raises(UnsafePath, match="leads to itself"):
        files.open_fd("images/loop.png")


def test_a_fifo_is_never_waited_for(root: Path, files: BeneathOpener) -> None:
    os.mkfifo(root / "images" / "pipe.png")
    started = time.monotonic()
    with pytest.raises(UnsafePath, match="not a regular file"):
        files.open_fd("images/pipe.png")
    read(files, "images/a.png")
    assert read(files, "images/pipe.png") == b"not a regular file"
    assert time.monotonic() - started < 1


def test_a_socket_is_refused(
    root: Path, files: BeneathOpener, monkeypatch: pytest.MonkeyPatch
) -> None:
    read(files, "images/a.png")
    monkeypatch.chdir(root / "images")  # socket paths are short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.png")
        with pytest.raises(UnsafePath, match="not a regular file"):
            files.open_fd("images/socket.png")


def test_a_folder_that_takes_the_place_of_the_open_one_is_found(
    root: Path, files: BeneathOpener
) -> None:
    assert read(files, "images/a.png") == b"images/a.png"
    (root / "images").rename(root / "aside")
    (root / "images").mkdir()
    (root / "images" / "new.png").write_bytes(b"new")
    assert read(files, "images/new.png") == b"new"


def test_a_link_that_takes_the_place_of_the_open_folder_leads_nowhere(
    root: Path, files: BeneathOpener
) -> None:
    read(files, "images/b.png")
    (root / "images" / "a.png").unlink()
    (root / "images").rename(root / "aside")
    (root / "images").symlink_to("../outside")
    with pytest.raises(UnsafePath, match="out of the dataset"):
        files.open_fd("images/a.png")


def test_a_root_that_is_replaced_is_found(root: Path, files: BeneathOpener) -> None:
    read(files, "images/b.png")
    root.rename(root.parent / "old")
    (root / "images").mkdir(parents=True)
    (root / "images" / "a.png").write_bytes(b"restored")
    (root.parent / "old" / "images" / "a.png").unlink()
    assert read(files, "images/a.png") == b"restored"


def test_folders_that_are_swapped_all_the_time_never_lead_outside(root: Path) -> None:
    """A folder and a link to another folder change places while their files are opened."""
    (root / "spare").symlink_to("../outside")
    with swapped_all_the_time(root), BeneathOpener(root) as files:
        seen = {try_to_read(files, path) for path in ["images/a.png", "e.png"] * 1500}
    assert seen <= {b"images/a.png", b"e.png", b"refused", b"not found"}
    assert {b"images/a.png", b"e.png"} <= seen


def try_to_read(files: BeneathOpener, path: str) -> bytes:
    try:
        return read(files, path)
    except UnsafePath:
        return b"refused"
    except FileNotFoundError:
        return b"not found"


def test_at_most_two_folders_are_held_open_and_none_after_closing(root: Path) -> None:
    (root / "images" / "link.png").symlink_to("../../secret.txt")
    before = count_descriptors()
    files = BeneathOpener(root)
    assert count_descriptors() == before
    for path in ["images/a.png", "images/link.png", "more/deep/d.png", "no/no.png", "e.png"] * 20:
        try_to_read(files, path)
        assert count_descriptors() <= before + 2
    files.close()
    assert count_descriptors() == before
    files.close()
    assert read(files, "images/a.png") == b"images/a.png"
    files.close()


def test_too_many_open_files_leave_nothing_open(root: Path) -> None:
    before = count_descriptors()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with BeneathOpener(root) as files:
        for spare in range(4):
            lowest = os.dup(0)
            os.close(lowest)
            resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + spare, hard))
            try:
                fd = files.open_fd("more/deep/d.png")
            except OSError as error:
                assert error.errno == 24  # noqa: PT017 - some of these limits are enough
            else:
                os.close(fd)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert count_descriptors() == before


def test_a_file_in_the_same_folder_is_cheaper_than_on_its_own(root: Path) -> None:
    def seconds(files: BeneathOpener | None) -> float:
        started = time.process_time()
        for _ in range(2000):
            if files:
                os.close(files.open_fd("more/deep/d.png"))
            else:
                open_beneath(root, "more/deep/d.png").close()
        return time.process_time() - started

    with BeneathOpener(root) as files:
        assert min(seconds(files) for _ in range(3)) < min(seconds(None) for _ in range(3)) / 2
