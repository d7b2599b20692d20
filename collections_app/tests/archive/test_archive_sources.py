"""Files that are not as the catalog says: an error names them, and no partial entry is left."""

import os
import pickle
import resource
import zipfile
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from collections_app.archive import BadEntry, check_entry
from collections_app.tests.archive.archive_files import (
    LARGE,
    MIB,
    OPEN_FLAGS,
    build,
    catalog_file,
    make_file,
    text,
)

pytestmark = pytest.mark.usefixtures("no_descriptor_is_left_open")

Known = dict[str, Any]


def keep_mtime(path: Path, change: Callable[[], object]) -> None:
    """Change a file and keep its mtime."""
    mtime = path.stat().st_mtime_ns
    change()
    os.utime(path, ns=(mtime, mtime))


def remove(path: Path) -> None:
    path.unlink()


def remove_folder(path: Path) -> None:
    path.unlink()
    path.parent.rmdir()


def truncate(path: Path) -> None:
    keep_mtime(path, lambda: os.truncate(path, 10))


def empty(path: Path) -> None:
    keep_mtime(path, lambda: os.truncate(path, 0))


def grow(path: Path) -> None:
    keep_mtime(path, lambda: path.write_bytes(path.read_bytes() + b"!"))


def rewrite(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(b"PIXELS" + data[6:])
    os.utime(path, (1, 1))


def replace_by_link(path: Path) -> None:
    twin = make_file(path.with_suffix(".twin"), path.read_bytes())
    path.unlink()
    path.symlink_to(twin)


def replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def replace_by_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


ACCIDENTS = [
    (remove, "missing", "file is missing"),
    (remove_folder, "missing", "file is missing"),
    (truncate, "changed", "10 bytes"),
    (empty, "changed", "0 bytes"),
    (grow, "changed", "the catalog says"),
    (rewrite, "changed", "SHA-256"),
    (replace_by_link, "unsafe", "link"),
    (replace_by_folder, "unsafe", "not a regular file"),
    (replace_by_fifo, "unsafe", "not a regular file"),
]


@pytest.mark.parametrize(("accident", "kind", "reason"), ACCIDENTS)
def test_a_file_that_changed_since_the_import_is_named(
    path: Path, target: Path, accident: Callable[[Path], None], kind: str, reason: str
) -> None:
    entry = catalog_file(path, "x/images/scan.png")
    accident(path)
    with pytest.raises(BadEntry, match=reason) as caught:
        build(target, [text("x/README.md", b"hello"), entry])
    assert (caught.value.name, caught.value.kind) == ("x/images/scan.png", kind)
    assert not zipfile.is_zipfile(target)


@pytest.mark.parametrize(("accident", "kind", "reason"), ACCIDENTS)
def test_check_entry_finds_the_same_problems(
    path: Path, accident: Callable[[Path], None], kind: str, reason: str
) -> None:
    entry = catalog_file(path)
    assert check_entry(entry) is None
    accident(path)
    bad = check_entry(entry)
    assert bad is not None
    assert bad.kind == kind
    assert reason in bad.reason


def test_a_file_with_another_mtime_only_is_read_and_accepted(path: Path, target: Path) -> None:
    entry = catalog_file(path)
    os.utime(path, (1, 1))
    assert check_entry(entry) is None
    build(target, [entry])
    assert zipfile.ZipFile(target).read("scan.png") == path.read_bytes()


@pytest.mark.parametrize(
    "unknown", [{"crc32": None}, {"mtime_ns": None}, {"crc32": 1, "mtime_ns": 1}]
)
def test_a_file_without_recorded_checksums_is_hashed(
    path: Path, target: Path, unknown: Known
) -> None:
    build(target, [catalog_file(path, **unknown)])
    with zipfile.ZipFile(target) as archive:
        assert zlib.crc32(path.read_bytes()) == archive.getinfo("scan.png").CRC
        assert archive.testzip() is None
    bad = catalog_file(path, **unknown, sha256="0" * 64)
    assert check_entry(bad) is not None
    with pytest.raises(BadEntry, match="SHA-256"):
        build(target, [bad])


def test_a_file_with_the_same_size_and_mtime_is_not_hashed(path: Path, target: Path) -> None:
    """Size and mtime match, so the catalog's checksums are used."""
    build(target, [catalog_file(path, crc32=7, sha256="not looked at")])
    assert zipfile.ZipFile(target).getinfo("scan.png").CRC == 7


def open_then(change: Callable[[], object], path: str) -> int:
    fd = os.open(path, OPEN_FLAGS)
    change()
    return fd


@pytest.mark.parametrize("mtime", [{}, {"mtime_ns": None}])
def test_a_file_deleted_while_it_is_read_is_written_completely(
    path: Path, target: Path, mtime: Known
) -> None:
    data, entry = path.read_bytes(), catalog_file(path, **mtime)
    entry.open_fd = partial(open_then, path.unlink)
    build(target, [entry])
    assert zipfile.ZipFile(target).read("scan.png") == data


@pytest.mark.parametrize("size", [0, 17 * MIB, 39 * MIB, 41 * MIB])
@pytest.mark.parametrize("known", [{}, {"mtime_ns": None}], ids=["copied", "hashed"])
def test_a_file_that_changes_size_while_it_is_copied_is_refused(
    tmp_path: Path, target: Path, size: int, known: Known
) -> None:
    path = make_file(tmp_path / "big.raw", LARGE * 13 + bytes(MIB))
    with pytest.raises(BadEntry, match="while it was read") as caught:
        build(
            target,
            [catalog_file(path, **known)],
            on_progress=lambda entries, done: os.truncate(path, size) if done < 40 * MIB else None,
        )
    assert caught.value.kind == "changed"


def test_a_file_rewritten_while_it_is_copied_is_refused(tmp_path: Path, target: Path) -> None:
    path = make_file(tmp_path / "big.raw", LARGE * 13)

    def rewrite_the_end(entries: int, done: int) -> None:
        with path.open("r+b") as file:
            file.seek(-3, os.SEEK_END)
            file.write(b"new")

    with pytest.raises(BadEntry, match="changed while it was read"):
        build(target, [catalog_file(path)], on_progress=rewrite_the_end)


def test_a_file_that_cannot_be_read_is_named(path: Path, target: Path) -> None:
    entry = catalog_file(path)
    entry.open_fd = partial(os.open, flags=os.O_WRONLY)  # a read fails with EBADF
    bad = check_entry(catalog_file(path, open_fd=entry.open_fd, mtime_ns=None))
    assert bad is not None
    assert bad.kind == "unreadable"
    with pytest.raises(BadEntry, match="Bad file descriptor"):
        build(target, [entry])


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_file_that_may_not_be_opened_is_named(path: Path) -> None:
    entry = catalog_file(path)
    path.chmod(0)
    bad = check_entry(entry)
    assert bad is not None
    assert bad.kind == "unreadable"


def test_the_opener_may_refuse_a_path_itself(path: Path, target: Path) -> None:
    def refuse(path: str) -> int:
        raise BadEntry("scan.png", "unsafe", "outside of the dataset")

    with pytest.raises(BadEntry, match="outside of the dataset"):
        build(target, [catalog_file(path, open_fd=refuse)])


def test_an_opener_that_refuses_the_path_makes_the_entry_unsafe(path: Path, target: Path) -> None:
    def refuse(path: str) -> int:
        raise ValueError("The path leads out of the dataset's folder.")

    entry = catalog_file(path, "x/scan.png", open_fd=refuse)
    assert check_entry(entry) is not None
    with pytest.raises(BadEntry, match="leads out of the dataset's folder") as caught:
        build(target, [entry])
    assert (caught.value.name, caught.value.kind) == ("x/scan.png", "unsafe")


def shorten(path: Path) -> None:
    os.truncate(path, 10)


def lengthen(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"!")


@pytest.mark.parametrize("accident", [shorten, lengthen, rewrite])
@pytest.mark.parametrize("known", [{}, {"mtime_ns": None}], ids=["copied", "hashed"])
def test_a_file_that_changes_just_after_it_was_opened_is_refused(
    path: Path, target: Path, known: Known, accident: Callable[[Path], None]
) -> None:
    entry = catalog_file(path, **known)
    entry.open_fd = partial(open_then, partial(accident, path))
    with pytest.raises(BadEntry) as caught:
        build(target, [entry])
    assert (caught.value.name, caught.value.kind) == ("scan.png", "changed")


@pytest.mark.parametrize("known", [{}, {"mtime_ns": None}], ids=["copied", "hashed"])
def test_a_good_file_is_opened_once(path: Path, target: Path, known: Known) -> None:
    opened: list[str] = []
    entry = catalog_file(path, **known)
    entry.open_fd = lambda path: open_then(lambda: opened.append(path), path)
    build(target, [entry])
    assert opened == [str(path)]


def test_small_files_that_must_be_hashed_are_written_once(tmp_path: Path, target: Path) -> None:
    """What was read of a file that then needs a closer look must not stay in the archive."""
    good = [make_file(tmp_path / f"{n}.png", bytes([n]) * (1000 + n)) for n in range(50)]
    entries = [catalog_file(path) for path in good]
    for path in good[10:40:3]:
        os.utime(path, (1, 1))
    build(target, entries)
    with zipfile.ZipFile(target) as archive:
        assert {path.name: archive.read(path.name) for path in good} == {
            path.name: path.read_bytes() for path in good
        }


def test_too_many_open_files_is_not_a_bad_entry(path: Path, target: Path) -> None:
    entry = catalog_file(path)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with target.open("wb"):
        highest = max(map(int, os.listdir("/proc/self/fd")))  # noqa: PTH208
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(highest, 3), hard))
        try:
            with pytest.raises(OSError, match="Too many open files"):
                check_entry(entry)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_bad_entry_can_be_pickled() -> None:
    bad = pickle.loads(pickle.dumps(BadEntry("a.png", "missing", "the file is missing")))  # noqa: S301
    assert (bad.name, bad.kind, bad.reason) == ("a.png", "missing", "the file is missing")
    assert str(bad) == "a.png: the file is missing"


def test_reading_a_large_file_calls_on_step_for_each_megabyte(tmp_path: Path) -> None:
    path = tmp_path / "large.bin"
    path.write_bytes(bytes(3 << 20))
    steps: list[None] = []
    entry = catalog_file(path, mtime_ns=None)
    assert check_entry(entry, on_step=lambda: steps.append(None)) is None
    assert len(steps) == 3
