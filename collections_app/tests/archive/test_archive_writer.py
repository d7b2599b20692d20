"""The writer: output, progress and errors."""

import dataclasses
import hashlib
import os
import time
import tracemalloc
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from collections_app.archive import Entry, write_archive, writer
from collections_app.archive.records import CentralDirectory
from collections_app.archive.sink import copy_in_kernel
from collections_app.tests.archive.archive_files import (
    LARGE,
    MIB,
    build,
    catalog_file,
    file_size_limit,
    make_file,
    text,
)

pytestmark = pytest.mark.usefixtures("no_descriptor_is_left_open")

Known = dict[str, Any]


@pytest.mark.parametrize("known", [{}, {"mtime_ns": None}], ids=["copied", "hashed"])
def test_a_full_disk_is_an_error_of_the_output(path: Path, known: Known) -> None:
    entries = [catalog_file(path, **known)]
    with (
        Path("/dev/full").open("r+b", buffering=0) as out,
        pytest.raises(OSError, match="No space left on device"),
    ):
        write_archive(out, entries)


@pytest.mark.parametrize("entry_size", [1000, 5 * MIB])
@pytest.mark.parametrize("known", [{}, {"mtime_ns": None}], ids=["copied", "hashed"])
def test_an_archive_over_the_size_limit_is_an_error_of_the_output(
    tmp_path: Path, target: Path, entry_size: int, known: Known
) -> None:
    path = make_file(tmp_path / "scan.png", bytes(entry_size))
    entries = [catalog_file(path, **known)] * (20 * MIB // entry_size)
    with file_size_limit(12 * MIB), pytest.raises(OSError, match="File too large"):
        build(target, entries)


def test_files_are_copied_from_another_file_system(target: Path, other_file_system: Path) -> None:
    path = make_file(other_file_system / "scan.png", LARGE)
    build(target, [catalog_file(path)] * 3)
    assert target.read_bytes().count(LARGE) == 3


def test_the_kernel_copy_starts_at_the_offset_and_moves_no_position(
    tmp_path: Path, other_file_system: Path
) -> None:
    for folder in (tmp_path, other_file_system):
        path = make_file(folder / "data.bin", b"0123456789")
        with path.open("rb", buffering=0) as source, (tmp_path / "out").open("w+b") as out:
            source.seek(1)
            assert copy_in_kernel(source.fileno(), out.fileno(), 2, 5) == 5
            assert copy_in_kernel(source.fileno(), out.fileno(), 7, 99) == 3
            assert copy_in_kernel(source.fileno(), out.fileno(), 10, 99) == 0
            assert source.tell() == 1
            assert out.read() == b""
            assert (tmp_path / "out").read_bytes() == b"23456789"


def test_the_file_is_read_if_the_kernel_does_not_copy(tmp_path: Path, target: Path) -> None:
    """Linux copies to no file that is open for appending, which is why it serves here."""
    path = make_file(tmp_path / "scan.png", LARGE)
    with target.open("ab") as out, path.open("rb") as source:
        assert copy_in_kernel(source.fileno(), out.fileno(), 0, MIB) == 0
        write_archive(out, [catalog_file(path)] * 2)
    assert zipfile.ZipFile(target).testzip() is None


def test_an_output_open_for_appending_is_refused(tmp_path: Path, target: Path) -> None:
    """A CRC-32 that is known late should go to its place, and would land at the end."""
    entry = catalog_file(make_file(tmp_path / "scan.png", LARGE), crc32=None)
    with target.open("ab") as out, pytest.raises(OSError, match="is the file shared"):
        write_archive(out, [entry])


def test_a_longer_old_output_is_refused(path: Path, target: Path) -> None:
    target.write_bytes(b"old" * 3 * MIB)
    with target.open("r+b") as out, pytest.raises(OSError, match="is the file shared"):
        write_archive(out, [catalog_file(path)])


def test_the_position_of_the_output_is_its_end(path: Path, target: Path) -> None:
    with target.open("wb") as out:
        summary = write_archive(out, [catalog_file(path)])
        assert out.tell() == summary.size


def test_holes_of_a_sparse_file_stay_holes(tmp_path: Path, target: Path) -> None:
    path = tmp_path / "sparse.raw"
    for start in (0, 40 * MIB, 79 * MIB):
        with path.open("ab") as file:
            file.truncate(start)
            file.write(b"data" * 1000)
    os.truncate(path, 80 * MIB)
    build(target, [catalog_file(path), catalog_file(path, mtime_ns=0)])
    with zipfile.ZipFile(target) as archive:
        assert archive.testzip() is None
    build(target, [catalog_file(path)])
    if path.stat().st_blocks * 512 < MIB:
        assert target.stat().st_blocks * 512 < MIB


def test_the_directory_of_a_million_entries_stays_small() -> None:
    directory = CentralDirectory()
    records = [b"%010d images/some-dataset/%08d.png" % (n * 7919, n) for n in range(2000)]
    tracemalloc.start()
    try:
        for _ in range(500):
            for record in records:
                directory.add(record)
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert directory.count == 1_000_000
    assert held < 16 * MIB
    *blocks, end = directory.end_of_archive(0)
    digest = hashlib.sha256()
    for block in blocks:
        digest.update(block)
    assert digest.digest() == hashlib.sha256(b"".join(records) * 500).digest()
    assert end[:4] == b"PK\6\6"


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/etc/passwd",
        "../a",
        "a/../b",
        "a/..",
        "./a",
        "a//b",
        "a/",
        "a\\b",
        "a\0b",
        "é" * 33_000,
    ],
)
def test_an_unsafe_or_ambiguous_name_is_refused(path: Path, target: Path, name: str) -> None:
    for entry in (text(name, b"x"), dataclasses.replace(catalog_file(path), name=name)):
        with pytest.raises(ValueError, match="name"):
            build(target, [entry])


@pytest.mark.parametrize("name", [".hidden", "...", "a/.b/..c", "a../b.", "é/.é", "~", " "])
def test_a_name_with_harmless_dots_is_accepted(path: Path, target: Path, name: str) -> None:
    build(target, [catalog_file(path, name), text(f"{name}/text", b"x")])
    assert zipfile.ZipFile(target).namelist() == [name, f"{name}/text"]


def test_entries_keep_their_order(path: Path, target: Path) -> None:
    names = ["b.png", "a.png", "c/z.png", "c/a.png"]
    build(target, [catalog_file(path, name) for name in names])
    assert zipfile.ZipFile(target).namelist() == names


def test_progress_is_reported_at_the_end(path: Path, target: Path) -> None:
    calls: list[tuple[int, int]] = []
    entries: list[Entry] = [text("a.csv", b"x" * 1000), *[catalog_file(path)] * 3]
    build(target, entries, on_progress=lambda *done: calls.append(done))
    assert calls == sorted(calls)
    assert calls[-1] == (4, 1000 + 3 * path.stat().st_size)


def test_progress_is_reported_at_intervals(tmp_path: Path, target: Path) -> None:
    entry = catalog_file(make_file(tmp_path / "scan.png"))
    calls: list[int] = []

    def entries() -> Iterator[Entry]:
        for _ in range(10):
            yield from [entry] * 100
            time.sleep(0.06)

    build(target, entries(), on_progress=lambda entries, done: calls.append(entries))
    assert 3 <= len(calls) <= 8
    assert calls[-1] == 1000


def test_progress_is_reported_for_every_64_mebibytes(
    tmp_path: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "_PROGRESS_SECONDS", 60)
    monkeypatch.setattr(writer, "_PROGRESS_BYTES", 64 << 10)
    entry = catalog_file(make_file(tmp_path / "scan.png", bytes(1 << 10)))
    calls: list[int] = []
    build(target, [entry] * 256, on_progress=lambda entries, done: calls.append(entries))
    assert calls == [32, 96, 160, 224, 256]


@pytest.mark.parametrize("known", [{}, {"mtime_ns": None}], ids=["copied", "hashed"])
def test_progress_can_stop_the_writing_within_a_file(
    tmp_path: Path, target: Path, known: Known
) -> None:
    path = make_file(tmp_path / "big.raw", LARGE * 13)

    def cancel(entries: int, done: int) -> None:
        assert entries == 0
        assert 0 < done < path.stat().st_size
        raise InterruptedError("cancelled")

    with pytest.raises(InterruptedError, match="cancelled"):
        build(target, [catalog_file(path, **known)], on_progress=cancel)
    assert target.stat().st_size < path.stat().st_size


def test_an_exception_of_the_entries_is_not_caught(path: Path, target: Path) -> None:
    def entries() -> Iterator[Entry]:
        yield catalog_file(path)
        raise LookupError("the database went away")

    with pytest.raises(LookupError, match="went away"):
        build(target, entries())
    assert not zipfile.is_zipfile(target)
