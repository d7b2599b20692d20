"""Facts of a dataset's files: read beside one another, in order, once, and never from elsewhere."""

import hashlib
import os
import threading
import time
import tracemalloc
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import pytest

from catalog.imaging.paths import FileFacts, read_facts
from catalog.importers import refused_files
from catalog.importers.local_files import BATCH, BLOCK, with_facts
from catalog.importers.rows import BadRow, ImageRow
from catalog.tests.importers.folder_files import as_someone_else, make_nifti, make_scan

NEVER = FileFacts(1, "0" * 64, 0, 0)


def write(root: Path, name: str, content: bytes = b"pixels") -> ImageRow:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return ImageRow(source_id=f"id of {name}", file_path=name)


def read_one(root: Path, row: ImageRow, **options: object) -> ImageRow | BadRow:
    (found,) = with_facts([row], root=root, **options)  # type: ignore[arg-type]
    return found


def test_a_file_beside_another_format_is_not_dicom(tmp_path: Path) -> None:
    """Nobody would look for names in it."""
    write(tmp_path, "a.img", make_scan(PatientName="Doe^Jane"))
    row = replace(write(tmp_path, "a.nii", make_nifti(4, 4)), beside=("a.img",))
    found = read_one(tmp_path, row)
    assert isinstance(found, BadRow)
    assert found.reason == "Its other file a.img is DICOM. Import that by itself."


def facts_of(row: ImageRow | BadRow) -> FileFacts:
    assert isinstance(row, ImageRow), row
    assert row.facts
    return row.facts


def test_facts_are_those_of_the_bytes(tmp_path: Path) -> None:
    content = os.urandom(3_000_000)
    row = write(tmp_path, "a/b.raw", content)

    facts = facts_of(read_one(tmp_path, row))

    assert facts.sha256 == hashlib.sha256(content).hexdigest()
    assert (facts.crc32, facts.size_bytes) == (zlib.crc32(content), len(content))
    assert facts.mtime_ns == (tmp_path / "a/b.raw").stat().st_mtime_ns


@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize("count", [0, 1, BLOCK, BLOCK + 1, BATCH + 5])
def test_rows_come_in_their_order_and_all_of_them(tmp_path: Path, count: int, workers: int) -> None:
    # Large and small ones in turn, so that they are not finished in the order they were begun.
    rows = [
        write(tmp_path, f"{n % 7}/{n}", b"x" * (200_000 if n % 50 == 0 else n))
        for n in range(count)
    ]

    found = list(with_facts(rows, root=tmp_path, workers=workers))

    assert [row.source_id for row in found] == [row.source_id for row in rows]
    for n, row in enumerate(found):
        assert facts_of(row).size_bytes == (200_000 if n % 50 == 0 else n)


def test_other_columns_of_a_row_are_kept_as_metadata(tmp_path: Path) -> None:
    row = replace(write(tmp_path, "a"), line=7, sex="F", metadata={"split": "train"})

    found = read_one(tmp_path, row)

    assert isinstance(found, ImageRow)
    assert replace(found, facts=None, problem=None) == row
    assert row.facts is None, "the source's own row is left as it is"


def test_rows_without_a_file_bad_rows_and_known_facts_pass_as_they_are(tmp_path: Path) -> None:
    rows: list[ImageRow | BadRow] = [
        ImageRow("elsewhere", remote_url="s3://bucket/series"),
        BadRow(3, "age", "x", "Not an age."),
        ImageRow("known", file_path="not/there", facts=NEVER),
    ]

    assert list(with_facts(rows, root=tmp_path / "no such folder")) == rows


def test_a_missing_file_leaves_its_image_elsewhere_and_is_counted(tmp_path: Path) -> None:
    rows = [write(tmp_path, "here"), ImageRow("gone", file_path="a/gone.png", remote_url="s3://x")]
    missing: list[ImageRow] = []

    found = list(with_facts(rows, root=tmp_path, on_missing=missing.append))

    assert missing == [rows[1]]
    assert found[1] == ImageRow("gone", remote_url="s3://x")
    assert facts_of(found[0])


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("../secret", "'..'"),
        ("/etc/passwd", "write it relative"),
        ("a\\b", "Windows path"),
        ("a\0b", "rename the file"),
        ("link", "leads out of the dataset's folder; copy the file"),
        ("folder", "not a regular file"),
        ("pipe", "not a regular file"),
        ("loop", "leads to itself"),
        ("x" * 300, "shorten"),
    ],
)
def test_an_unsafe_path_is_a_bad_row_that_says_what_to_do(
    tmp_path: Path, path: str, reason: str
) -> None:
    root = tmp_path / "dataset"
    (root / "folder").mkdir(parents=True)
    (tmp_path / "secret").write_text("secret")
    (root / "link").symlink_to(tmp_path / "secret")
    (root / "loop").symlink_to("loop")
    os.mkfifo(root / "pipe")

    found = read_one(root, ImageRow("i", line=4, file_path=path))

    assert isinstance(found, BadRow)
    assert (found.line, found.column, found.value, found.source_id) == (4, "file", path, "i")
    assert reason in found.reason


def test_a_link_inside_the_folder_is_followed(tmp_path: Path) -> None:
    write(tmp_path, "real.raw", b"pixels")
    (tmp_path / "link.raw").symlink_to("real.raw")

    assert facts_of(read_one(tmp_path, ImageRow("i", file_path="link.raw"))).size_bytes == 6


def test_a_file_that_may_not_be_read_is_a_bad_row(tmp_path: Path) -> None:
    row = write(tmp_path, "locked.png")
    (tmp_path / "locked.png").chmod(0)

    with as_someone_else(tmp_path):
        found = read_one(tmp_path, row)

    assert isinstance(found, BadRow)
    assert "Permission denied" in found.reason


def test_a_file_that_grows_while_it_is_read_is_a_bad_row(tmp_path: Path) -> None:
    row = write(tmp_path, "growing", b"x" * 50_000_000)
    stop = threading.Event()

    def grow() -> None:
        with (tmp_path / "growing").open("ab") as file:
            while not stop.is_set():
                file.write(b"more")
                file.flush()

    writer = threading.Thread(target=grow)
    writer.start()
    try:
        found = read_one(tmp_path, row)
    finally:
        stop.set()
        writer.join()

    assert isinstance(found, BadRow)
    assert "when nothing writes to it" in found.reason


# --- Files that the catalog has already ---


def remember(rows: Sequence[ImageRow | BadRow]) -> dict[str, FileFacts]:
    return {row.file_path: facts_of(row) for row in rows}  # type: ignore[union-attr]


def test_a_file_of_the_same_size_and_time_is_not_hashed_again(tmp_path: Path) -> None:
    row = write(tmp_path, "a")
    status = (tmp_path / "a").stat()
    told = FileFacts(6, "f" * 64, 99, status.st_mtime_ns)

    found = read_one(tmp_path, row, known=lambda rows: {"a": told})

    assert facts_of(found) is told, "the hash is the catalog's own, so the file was not read"


@pytest.mark.parametrize("change", ["content", "time", "path"])
def test_a_changed_file_is_read_again(tmp_path: Path, change: str) -> None:
    row = write(tmp_path, "a")
    known = remember(list(with_facts([row], root=tmp_path)))
    if change == "content":
        (tmp_path / "a").write_bytes(b"other pixels")
    elif change == "time":
        (tmp_path / "a").write_bytes(b"PIXELS")
        os.utime(tmp_path / "a", ns=(1, 1))
    else:
        status = (tmp_path / "a").stat()
        write(tmp_path, "b", b"PIXELS")
        os.utime(tmp_path / "b", ns=(1, status.st_mtime_ns))
        row = replace(row, file_path="b")

    facts = facts_of(read_one(tmp_path, row, known=lambda ids: known))

    assert facts.sha256 == hashlib.sha256((tmp_path / row.file_path).read_bytes()).hexdigest()


def test_what_is_known_is_asked_for_in_batches_and_only_for_files(tmp_path: Path) -> None:
    rows = [write(tmp_path, str(n)) for n in range(BATCH)]
    rows += [ImageRow(f"elsewhere {n}") for n in range(BATCH)]
    rows += [write(tmp_path, "last")]
    asked: list[int] = []
    threads: set[int] = set()

    def known(rows: Sequence[ImageRow]) -> Mapping[str, FileFacts]:
        asked.append(len(rows))
        threads.add(threading.get_ident())
        return {}

    assert len(list(with_facts(rows, root=tmp_path, known=known))) == len(rows)
    assert asked == [BATCH, 1], "a batch without files asks nothing"
    assert threads == {threading.get_ident()}, "a database connection belongs to one thread"


# --- How it works under load ---


def test_memory_stays_flat_however_many_rows_there_are(tmp_path: Path) -> None:
    write(tmp_path, "a")
    taken = 0

    def endless() -> Iterator[ImageRow]:
        nonlocal taken
        while True:
            taken += 1
            yield ImageRow(f"{taken:06}", file_path="a")

    rows = with_facts(endless(), root=tmp_path)
    tracemalloc.start()
    for n, _ in enumerate(rows, start=1):
        if n == 4_000:
            before = tracemalloc.get_traced_memory()[0]
        if n == 10_000:
            break
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()

    assert taken <= 10_000 + 2 * BATCH
    assert after - before < 400_000


def test_stopping_early_leaves_no_thread_behind(tmp_path: Path) -> None:
    rows = with_facts((write(tmp_path, str(n)) for n in range(3 * BATCH)), root=tmp_path)

    next(rows)
    rows.close()  # type: ignore[attr-defined]

    names = [thread.name for thread in threading.enumerate()]
    assert not [name for name in names if name.startswith("facts")]


def test_stopping_does_not_wait_for_a_large_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refused_files, "MAX_HOLE", 1 << 40)
    rows = [write(tmp_path, "small"), *(write(tmp_path, f"large {n}") for n in range(BLOCK))]
    for n in range(BLOCK):
        os.truncate(tmp_path / f"large {n}", 20_000_000_000)  # all of it a hole
    last = [*([write(tmp_path, "other")] * (BLOCK - 1)), *rows]
    found = with_facts(last, root=tmp_path)

    next(found)
    started = time.monotonic()
    found.close()  # type: ignore[attr-defined]

    assert time.monotonic() - started < 5


def test_an_error_of_the_source_comes_through(tmp_path: Path) -> None:
    def torn() -> Iterator[ImageRow]:
        yield write(tmp_path, "a")
        raise ValueError("the table is torn")

    with pytest.raises(ValueError, match="the table is torn"):
        list(with_facts(torn(), root=tmp_path))


def test_several_threads_share_a_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each file waits for another one to be begun: only readers beside one another get through."""
    together = threading.Barrier(2, timeout=10)

    def read_in_pairs(file: BinaryIO) -> FileFacts:
        together.wait()
        return read_facts(file)

    monkeypatch.setattr("catalog.importers.local_files.read_facts", read_in_pairs)
    rows = [write(tmp_path, str(n)) for n in range(2 * BLOCK)]

    assert len(list(with_facts(rows, root=tmp_path, workers=2))) == len(rows)
