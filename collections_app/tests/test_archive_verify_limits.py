"""Archives that are made to fill the memory: each is refused in words, and stays small."""

import io
import os
import struct
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from collections_app.archive.verify import MAX_PROBLEMS, ArchiveReader
from collections_app.tests.archive_files import MIB, make_file
from collections_app.verification import MAX_RECORD, Findings, verify_file

FLAT = 32 * MIB
"""More than any reading needs, and less than each of these archives could make it take."""


def peak_of(work: Callable[[], Any]) -> tuple[Any, int]:
    """What `work` returns, and the most bytes that Python held on the way."""
    tracemalloc.start()
    try:
        result = work()
        return result, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def read(path: Path) -> tuple[ArchiveReader, dict[str, str]]:
    """The reader when it is done, and the faults by name."""
    fd = os.open(path, os.O_RDONLY)
    try:
        reader = ArchiveReader(fd)
        return reader, {entry.name: entry.fault for entry in reader.entries() if entry.fault}
    finally:
        os.close(fd)


# --- Entries ---
def write_with_a_tail(path: Path, contents: bytes, tail: int) -> None:
    """One deflated entry, whose packed size includes `tail` zero bytes after the stream's end.

    The tail is a hole in the file: it takes no room on the disk.
    """
    packed = zlib.compress(contents, wbits=-15)
    header = struct.pack("<5H3I2H", 20, 0, 8, 0, 33, zlib.crc32(contents), len(packed) + tail,
                         len(contents), 1, 0)  # fmt: skip
    central = b"PK\1\2" + struct.pack("<H", 20) + header + bytes(14) + b"a"
    with path.open("wb") as file:
        file.write(b"PK\3\4" + header + b"a" + packed)
        start = file.seek(tail, os.SEEK_CUR)
        file.write(central)
        file.write(struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 1, 1, len(central), start, 0))


@pytest.mark.parametrize("contents", [b"", b"word" * 999])
@pytest.mark.parametrize("tail", [1, MIB, 96 * MIB])
def test_what_follows_a_stream_within_its_entry_is_read_but_not_kept(
    tmp_path: Path, contents: bytes, tail: int
) -> None:
    write_with_a_tail(tmp_path / "a.zip", contents, tail)
    (reader, faults), peak = peak_of(lambda: read(tmp_path / "a.zip"))
    assert faults == {"a": "bytes follow after its packed data"}
    assert reader.sha256, "the rest of the file is read all the same"
    assert peak < FLAT


def test_a_stream_that_ends_where_a_piece_of_the_file_ends_is_sound(tmp_path: Path) -> None:
    """The reader gets a MiB at a time: an entry that ends with one is followed by nothing."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a/packed.txt", b"word" * 9999, zipfile.ZIP_DEFLATED)
        room = MIB - archive.fp.tell() - 2 * 30 - len("a/filler") - len("a/last")  # type: ignore[union-attr]
        last = zlib.compress(os.urandom(999), 9, wbits=-15)
        archive.writestr("a/filler", bytes(room - len(last)))
        archive.writestr("a/last", zlib.decompress(last, wbits=-15), zipfile.ZIP_DEFLATED, 9)
        assert archive.fp.tell() == MIB  # type: ignore[union-attr]
        archive.writestr("a/behind", b"pixels")
    reader, faults = read(tmp_path / "a.zip")
    assert (reader.problems, faults) == ([], {})


# --- Problems of the archive as a whole ---
def write_with_gaps(path: Path, count: int) -> None:
    """`count` empty entries, a byte that belongs to none before each."""
    body, directory = io.BytesIO(), io.BytesIO()
    for number in range(count):
        name = f"a/{number}".encode()
        header = struct.pack("<5H3I2H", 20, 0, 0, 0, 33, 0, 0, 0, len(name), 0)
        body.write(b"?")
        offset = struct.pack("<I", body.tell())
        directory.write(b"PK\1\2" + struct.pack("<H", 20) + header + bytes(10) + offset + name)
        body.write(b"PK\3\4" + header + name)
    size, start = directory.tell(), body.tell()
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, count, count, size, start, 0)
    make_file(path, body.getvalue() + directory.getvalue() + end)


@pytest.mark.parametrize("count", [1, MAX_PROBLEMS, MAX_PROBLEMS + 1, 60_000])
def test_gaps_are_all_counted_and_the_first_told(tmp_path: Path, count: int) -> None:
    write_with_gaps(tmp_path / "a.zip", count)
    reader, faults = read(tmp_path / "a.zip")
    assert not faults
    assert reader.num_problems == count
    assert len(reader.problems) == min(count, MAX_PROBLEMS)
    assert reader.problems[0] == "1 bytes before 'a/0' belong to no entry"


def test_a_sound_archive_has_no_problem_to_count(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a/b", b"pixels")
    reader, _ = read(tmp_path / "a.zip")
    assert (reader.problems, reader.num_problems) == ([], 0)


def test_why_the_reading_stopped_is_told_first_however_many_gaps_there_are(tmp_path: Path) -> None:
    write_with_gaps(tmp_path / "a.zip", 500)
    data = (tmp_path / "a.zip").read_bytes()
    last = data.rindex(b"PK\1\2")
    make_file(tmp_path / "a.zip", data[:last] + b"XX" + data[last + 2 :])
    reader, _ = read(tmp_path / "a.zip")
    assert reader.num_problems == 500
    assert reader.problems[0] == "the archive has a damaged directory, at entry 500"
    assert not reader.sha256


def test_the_command_counts_the_gaps_that_it_does_not_show(tmp_path: Path) -> None:
    write_with_gaps(tmp_path / "a.zip", 300)
    shown = io.StringIO()
    # The three lists are missing, too.
    with pytest.raises(CommandError, match=r"303 problems\.$"):
        call_command("verify_archive", tmp_path / "a.zip", stderr=shown)
    assert len(shown.getvalue().splitlines()) == MAX_PROBLEMS + 1
    assert shown.getvalue().endswith("and 203 more\n")


# --- The lists ---
COLUMNS = b"file_name,dataset,source_id,size_bytes,sha256\n"


def verify_text(tmp_path: Path, name: str, text: bytes) -> tuple[Findings, int]:
    """An archive that holds nothing but one list; what is found, and the peak in bytes."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr(f"rays/{name}", text)
    return peak_of(lambda: verify_file(tmp_path / "a.zip"))


def why(findings: Findings, name: str) -> str:
    """Why the list cannot be understood."""
    mark = f"{name}: it cannot be understood: "
    (problem,) = [each for each in findings.problems if each.startswith(mark)]
    return problem.removeprefix(mark)


@pytest.mark.parametrize("before", [b"", COLUMNS, COLUMNS + b"images/a,rays,a,1,0\n"])
def test_a_row_whose_quotes_never_close_is_not_gathered(tmp_path: Path, before: bytes) -> None:
    text = before + b'"x\n' + b'","x\n' * 1_000_000
    findings, peak = verify_text(tmp_path, "metadata.csv", text)
    assert why(findings, "metadata.csv").startswith("a row is too long")
    assert peak < FLAT


def test_rows_over_several_lines_are_understood_one_by_one(tmp_path: Path) -> None:
    """The limit is that of a row: a list may have as many as it likes."""
    columns = COLUMNS.replace(b"\n", b",note\n")
    row = b'images/a,rays,a,1,0,"' + b"some words\n" * 900 + b'"\n'
    findings, _ = verify_text(tmp_path, "metadata.csv", columns + row * 99)
    assert findings.problems[-1] == "images/a: it is in metadata.csv, but not in the archive"
    assert not [each for each in findings.problems if "understood" in each]


@pytest.mark.parametrize("column", range(5))
@pytest.mark.parametrize("letter", ["x", "\U0001f9b4"])
def test_rows_with_long_cells_are_not_gathered(tmp_path: Path, column: int, letter: str) -> None:
    """Two thousand rows are looked up at once."""
    cells = ["a"] * 5
    cells[column] = "y" * 60_000 + letter
    row = ",".join(cells).encode() + b"\n"
    findings, peak = verify_text(tmp_path, "metadata.csv", COLUMNS + row * 1500)
    said = why(findings, "metadata.csv")
    assert said.startswith("row 2 ")
    assert COLUMNS.decode().strip().split(",")[column] in said
    assert peak < FLAT


def test_long_lines_of_checksums_are_not_gathered(tmp_path: Path) -> None:
    text = (b"0" * 64 + b"  " + b"y" * 60_000 + b"\n") * 1500
    findings, peak = verify_text(tmp_path, "SHA256SUMS", text)
    assert "a line is longer than" in why(findings, "SHA256SUMS")
    assert peak < FLAT


def test_a_record_of_millions_of_lists_is_not_parsed(tmp_path: Path) -> None:
    text = b"[" + b"[]," * (MAX_RECORD // 3) + b"[]]"
    findings, peak = verify_text(tmp_path, "collection.json", text)
    assert MAX_RECORD == 8 * MIB
    assert why(findings, "collection.json") == "it is larger than 8,388,608 bytes"
    assert peak < FLAT


def test_a_record_of_the_largest_size_is_parsed(tmp_path: Path) -> None:
    text = b'{"fingerprint": "' + b"0" * 64 + b'", "num_files": 0}'
    findings, _ = verify_text(tmp_path, "collection.json", text.ljust(MAX_RECORD))
    assert findings.fingerprint == "0" * 64
