"""Texts that are packed into a spool file: the same bytes, from anywhere in it."""

import hashlib
import os
import tempfile
import threading
import tracemalloc
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import BinaryIO

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collections_app.archive import PackedEntry, pack_text, packing, write_archive
from collections_app.archive.deflate import BLOCK
from collections_app.tests.archive_files import (
    MIB,
    build,
    catalog_file,
    file_size_limit,
    make_file,
    text,
)

pytestmark = pytest.mark.usefixtures("no_descriptor_is_left_open")

TABLE = b"".join(b"images/%d.png,%d,normal\n" % (n, n * n) for n in range(60_000))


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[BinaryIO]:
    with (tmp_path / "spool").open("w+b") as file:
        yield file


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    return (data[start : start + size] for start in range(0, len(data), size))


def test_texts_come_back_from_before_and_behind_files(
    tmp_path: Path, spool: BinaryIO, target: Path
) -> None:
    path = make_file(tmp_path / "a.png")
    texts = {"x/a.csv": TABLE, "x/empty.csv": b"", "x/random.csv": os.urandom(BLOCK + 7)}
    packed = [pack_text(name, pieces(data, 999), spool) for name, data in texts.items()]
    build(target, [packed[0], catalog_file(path), *packed[1:]])
    with zipfile.ZipFile(target) as archive:
        assert archive.namelist() == ["x/a.csv", "a.png", "x/empty.csv", "x/random.csv"]
        assert {name: archive.read(name) for name in texts} == texts
        assert archive.read("a.png") == path.read_bytes()


def test_how_a_text_is_cut_does_not_show(tmp_path: Path) -> None:
    build(tmp_path / "whole.zip", [text("a.csv", TABLE)])
    build(tmp_path / "lines.zip", [text("a.csv", *TABLE.splitlines(keepends=True))])
    assert (tmp_path / "lines.zip").read_bytes() == (tmp_path / "whole.zip").read_bytes()


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(st.binary(max_size=300), max_size=5), max_size=4))
def test_neither_the_spool_nor_the_chunks_show(tmp_path: Path, texts: list[list[bytes]]) -> None:
    with tempfile.TemporaryFile(dir=tmp_path) as spool:
        packed = [pack_text(f"{n}.csv", chunks, spool) for n, chunks in enumerate(texts)]
        build(tmp_path / "packed.zip", reversed(packed))
    whole = [text(f"{n}.csv", b"".join(chunks)) for n, chunks in enumerate(texts)]
    build(tmp_path / "whole.zip", reversed(whole))
    assert (tmp_path / "packed.zip").read_bytes() == (tmp_path / "whole.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "packed.zip") as archive:
        assert all(archive.read(f"{n}.csv") == b"".join(chunks) for n, chunks in enumerate(texts))


def test_a_packed_text_knows_its_sizes_and_checksums(spool: BinaryIO) -> None:
    spool.write(b"what others keep here")
    entry = pack_text("a.csv", pieces(TABLE, 4096), spool)
    assert (entry.name, entry.spool_fd, entry.offset) == ("a.csv", spool.fileno(), 21)
    assert (entry.size, entry.crc32) == (len(TABLE), zlib.crc32(TABLE))
    assert entry.sha256 == hashlib.sha256(TABLE).hexdigest()
    packed = os.pread(spool.fileno(), 2 * entry.packed_size, entry.offset)
    assert len(packed) == entry.packed_size < len(TABLE)
    assert zlib.decompress(packed, wbits=-zlib.MAX_WBITS) == TABLE


def test_nothing_hangs_on_the_position_of_the_spool(spool: BinaryIO, target: Path) -> None:
    first = pack_text("a.csv", [TABLE], spool)
    spool.seek(3)
    second = pack_text("b.csv", [TABLE * 2], spool)
    assert spool.tell() == 3
    build(target, [second, first])
    assert spool.tell() == 3
    with zipfile.ZipFile(target) as archive:
        assert (archive.read("a.csv"), archive.read("b.csv")) == (TABLE, TABLE * 2)


def test_the_writer_copies_while_another_thread_packs(spool: BinaryIO, target: Path) -> None:
    texts = {f"{n}.csv": TABLE[n:] for n in range(12)}
    packed: SimpleQueue[PackedEntry | None] = SimpleQueue()

    def pack_all() -> None:
        for name, data in texts.items():
            packed.put(pack_text(name, pieces(data, 8192), spool))
        packed.put(None)

    thread = threading.Thread(target=pack_all)
    thread.start()
    build(target, iter(packed.get, None))
    thread.join()
    with zipfile.ZipFile(target) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == texts


def test_a_large_text_is_never_held_whole(spool: BinaryIO, target: Path) -> None:
    rows = (b"%d,some words that repeat,0123456789abcdef\n" % n * 100 for n in range(5000))
    pack_text("warm-up.csv", [b"x"], spool)
    tracemalloc.start()
    try:
        entry = pack_text("a.csv", rows, spool)
        build(target, [entry])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert entry.size > 20 * MIB
    assert peak < 16 * MIB


def test_the_spool_is_read_when_the_kernel_does_not_copy(spool: BinaryIO, target: Path) -> None:
    """Linux copies to no file that is open for appending, which is why it serves here."""
    texts = {"a.csv": os.urandom(MIB), "b.csv": TABLE}
    packed = [pack_text(name, [data], spool) for name, data in texts.items()]
    with target.open("ab") as out:
        write_archive(out, packed)
    with zipfile.ZipFile(target) as archive:
        assert {name: archive.read(name) for name in texts} == texts


def test_a_spool_on_another_file_system_is_copied(target: Path, other_file_system: Path) -> None:
    with tempfile.TemporaryFile(dir=other_file_system) as spool:
        build(target, [pack_text("a.csv", [TABLE], spool)])
    assert zipfile.ZipFile(target).read("a.csv") == TABLE


def test_a_spool_that_lost_its_text_is_an_error_that_names_it(
    spool: BinaryIO, target: Path
) -> None:
    entry = pack_text("x/a.csv", [TABLE], spool)
    os.truncate(spool.fileno(), entry.packed_size // 2)
    with pytest.raises(OSError, match=r"x/a\.csv: its packed text is no longer in the spool"):
        build(target, [entry])
    assert not zipfile.is_zipfile(target)


def test_a_spool_that_is_closed_is_an_error(tmp_path: Path, target: Path) -> None:
    with (tmp_path / "spool").open("w+b") as spool:
        entry = pack_text("a.csv", [TABLE], spool)
    with pytest.raises(OSError, match="Bad file descriptor"):
        build(target, [entry])


def test_a_full_disk_is_an_error_of_the_spool(spool: BinaryIO) -> None:
    with file_size_limit(MIB), pytest.raises(OSError, match="File too large"):
        pack_text("a.csv", (os.urandom(BLOCK) for _ in range(4)), spool)


def test_an_error_of_the_chunks_passes_through(spool: BinaryIO) -> None:
    def rows() -> Iterator[bytes]:
        yield TABLE
        raise LookupError("the database went away")

    with pytest.raises(LookupError, match="went away"):
        pack_text("a.csv", rows(), spool)


def test_a_text_of_4_gib_is_refused(spool: BinaryIO, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a lower limit: to pack 4 GiB would take a minute."""
    monkeypatch.setattr(packing, "MAX_32", MIB)
    too_large_once_it_is_packed = os.urandom(MIB - 1)
    for data in (bytes(MIB), too_large_once_it_is_packed):
        with pytest.raises(ValueError, match=r"a\.csv: a text of 4 GiB or more"):
            pack_text("a.csv", pieces(data, BLOCK), spool)
    assert pack_text("b.csv", [bytes(MIB - 1)], spool).size == MIB - 1


def test_progress_counts_the_text_and_can_stop_in_the_middle(spool: BinaryIO, target: Path) -> None:
    entry = pack_text("a.csv", [os.urandom(BLOCK)] * 40, spool)
    calls: list[tuple[int, int]] = []
    build(target, [entry], on_progress=lambda *done: calls.append(done))
    assert calls[0] == (0, 0)
    assert calls[-1] == (1, entry.size)

    def cancel(entries: int, done: int) -> None:
        raise InterruptedError("cancelled")

    with pytest.raises(InterruptedError, match="cancelled"):
        build(target, [entry], on_progress=cancel)
    assert target.stat().st_size < entry.packed_size
