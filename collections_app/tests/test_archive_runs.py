"""An archive that several processes write is the one that a single process writes."""

import os
from itertools import accumulate, pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collections_app.archive import (
    BadEntry,
    Entry,
    FileEntry,
    WrittenRun,
    stored_size,
    write_archive,
    write_run,
)
from collections_app.archive.records import MAX_32, CentralDirectory
from collections_app.tests.archive_files import build, catalog_file, make_file

pytestmark = pytest.mark.usefixtures("no_descriptor_is_left_open")

GIB = 1 << 30
LARGE = os.urandom(300_000)
SIZE = st.integers(0, 40) | st.just(len(LARGE))


def size_of(files: list[FileEntry]) -> int:
    """What these files take in an archive, by the arithmetic that the build uses."""
    return stored_size(
        count=len(files),
        name_bytes=sum(len(file.name.encode()) for file in files),
        size=sum(file.size for file in files),
        num_large=sum(file.size >= MAX_32 for file in files),
    )


def write_by_turns(target: Path, runs: list[list[FileEntry]]) -> None:
    """The first run as an ordinary archive; the others before it, the last one first of all."""
    first, *others = runs or [[]]
    starts = accumulate(map(size_of, [first, *others]))
    with target.open("w+b") as out:
        written = []
        for files, start in reversed(list(zip(others, starts, strict=False))):
            with target.open("r+b") as other:
                written.append(write_run(other, files, offset=start))
        write_archive(out, [*first, *reversed(written)])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    st.lists(st.tuples(SIZE, st.text("aé", max_size=3), st.booleans()), max_size=12),
    st.sets(st.integers(0, 12), max_size=4),
)
def test_it_does_not_show_who_wrote_what(
    tmp_path: Path, contents: list[tuple[int, str, bool]], cuts: set[int]
) -> None:
    files = []
    for number, (size, name, is_known) in enumerate(contents):
        path = make_file(tmp_path / f"{number}.png", LARGE[:size])
        known = {} if is_known else {"mtime_ns": 0}
        files.append(catalog_file(path, f"images/{number}{name}.png", **known))
    build(tmp_path / "one.zip", files)
    ends = sorted({0, len(files)} | {cut for cut in cuts if cut < len(files)})
    write_by_turns(tmp_path / "many.zip", [files[start:end] for start, end in pairwise(ends)])
    assert (tmp_path / "many.zip").read_bytes() == (tmp_path / "one.zip").read_bytes()


def test_runs_before_and_behind_4_gib_are_in_their_places(tmp_path: Path, target: Path) -> None:
    path = make_file(tmp_path / "a.png")
    huge = tmp_path / "huge.raw"
    huge.touch()
    os.truncate(huge, 5 * GIB)
    entry = FileEntry(
        "huge.raw", lambda p: os.open(p, os.O_RDONLY), str(huge), 5 * GIB, 0, "",
        huge.stat().st_mtime_ns,
    )  # fmt: skip
    runs = [[catalog_file(path, "1.png")], [catalog_file(path, "2.png"), entry],
            [catalog_file(path, "3.png")], [catalog_file(path, "4.png")]]  # fmt: skip
    write_by_turns(target, runs)
    if target.stat().st_blocks * 512 > GIB:
        pytest.skip("this file system keeps no holes: 5 GiB would have to be compared")
    single = tmp_path / "single.zip"
    build(single, [file for files in runs for file in files])
    assert target.stat().st_size == single.stat().st_size > 5 * GIB
    for start in (0, 5 * GIB):
        with target.open("rb") as ours, single.open("rb") as theirs:
            ours.seek(start)
            theirs.seek(start)
            assert ours.read(1 << 16) == theirs.read(1 << 16)


def test_a_run_in_a_wrong_place_is_an_error(tmp_path: Path, target: Path) -> None:
    path = make_file(tmp_path / "a.png")
    for offset in (0, size_of([catalog_file(path, "1.png")]) + 1):
        run = WrittenRun(offset, 5, CentralDirectory())
        with pytest.raises(ValueError, match="belongs at"):
            build(target, [catalog_file(path, "1.png"), run])


def test_a_bad_file_in_a_run_is_named(tmp_path: Path, target: Path) -> None:
    path = make_file(tmp_path / "a.png")
    target.touch()
    with target.open("r+b") as out, pytest.raises(BadEntry, match=r"2\.png"):
        write_run(out, [catalog_file(path), catalog_file(path, "2.png", size=9)], offset=100)


def test_a_run_reports_its_own_progress_only(tmp_path: Path, target: Path) -> None:
    path = make_file(tmp_path / "a.png", b"12345678")
    first, second = catalog_file(path, "1.png"), catalog_file(path, "2.png")
    told: list[tuple[int, int]] = []
    with target.open("w+b") as out:
        run = write_run(
            out, [second], offset=size_of([first]), on_progress=lambda *done: told.append(done)
        )
        assert told[-1] == (1, 8)
        entries: list[Entry] = [first, run]
        assert write_archive(out, entries, on_progress=lambda *done: told.append(done)) == (
            2,
            target.stat().st_size,
        )
    assert told[-1] == (1, 8)
