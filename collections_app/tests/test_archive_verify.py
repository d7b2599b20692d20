"""Reading archives back: what is right is proven, what is wrong is named, nothing is believed."""

import hashlib
import io
import os
import struct
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from collections_app.archive.directory import BadArchive
from collections_app.archive.verify import ArchiveReader, CheckedEntry, iter_contents
from collections_app.tests.archive_files import MIB, build, catalog_file, make_file, text


class Reading(NamedTuple):
    entries: list[CheckedEntry]
    problems: list[str]
    sha256: str

    @property
    def faults(self) -> dict[str, str]:
        return {entry.name: entry.fault for entry in self.entries if entry.fault}

    @property
    def is_sound(self) -> bool:
        return not (self.problems or self.faults)

    @property
    def all_words(self) -> str:
        return " | ".join([*self.problems, *(f"{n}: {f}" for n, f in self.faults.items())])


def read(path: Path) -> Reading:
    fd = os.open(path, os.O_RDONLY)
    try:
        reader = ArchiveReader(fd)
        return Reading(list(reader.entries()), reader.problems, reader.sha256)
    finally:
        os.close(fd)


def read_bytes(tmp_path: Path, data: bytes) -> Reading:
    return read(make_file(tmp_path / "read.zip", data))


@pytest.fixture
def sound(tmp_path: Path) -> bytes:
    """A small archive of two texts and three files, as bytes."""
    files = [
        catalog_file(make_file(tmp_path / f"{n}.png", bytes([n]) * n * 700), f"rays/images/{n}.png")
        for n in range(1, 4)
    ]
    texts = [text("rays/README.md", b"# Rays\n" * 50), text("rays/SHA256SUMS", b"x" * 9)]
    build(tmp_path / "sound.zip", [texts[0], *files, texts[1]])
    return (tmp_path / "sound.zip").read_bytes()


# --- What is right ---
def test_a_sound_archive_is_proven_entry_by_entry(tmp_path: Path, sound: bytes) -> None:
    reading = read_bytes(tmp_path, sound)
    assert reading.is_sound, reading.all_words
    assert reading.sha256 == hashlib.sha256(sound).hexdigest()
    with zipfile.ZipFile(io.BytesIO(sound)) as archive:
        expected = [
            (name, len(archive.read(name)), hashlib.sha256(archive.read(name)).hexdigest())
            for name in archive.namelist()
        ]
    assert [(e.name, e.size, e.sha256) for e in reading.entries] == expected


def test_the_contents_of_an_entry_can_be_read_again(tmp_path: Path, sound: bytes) -> None:
    path = make_file(tmp_path / "read.zip", sound)
    entries = {entry.name: entry for entry in read(path).entries}
    with path.open("rb") as file:
        words = b"".join(iter_contents(file.fileno(), entries["rays/README.md"]))
        image = b"".join(iter_contents(file.fileno(), entries["rays/images/2.png"]))
    assert (words, image) == (b"# Rays\n" * 50, b"\2" * 1400)


def test_a_text_that_was_changed_between_two_readings_is_noticed(
    tmp_path: Path, sound: bytes
) -> None:
    path = make_file(tmp_path / "read.zip", sound)
    first = read(path).entries[0]
    damage = b"\xff" * first.packed
    path.write_bytes(sound[: first.data_at] + damage + sound[first.data_at + 99 :])
    with path.open("rb") as file, pytest.raises(BadArchive):
        list(iter_contents(file.fileno(), first))


def test_an_empty_archive_is_sound(tmp_path: Path) -> None:
    build(tmp_path / "empty.zip", [])
    assert read(tmp_path / "empty.zip").is_sound
    assert read(tmp_path / "empty.zip").entries == []


def test_archives_of_other_programs_are_read_too(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("a/stored.bin", b"\0" * 3_000_000)
        archive.writestr("a/packed.txt", b"word " * 900_000, zipfile.ZIP_DEFLATED, 9)
        archive.writestr("a/Ö.txt", b"")
    reading = read(tmp_path / "other.zip")
    assert reading.is_sound, reading.all_words
    assert [entry.size for entry in reading.entries] == [3_000_000, 4_500_000, 0]


def with_long_end(sound: bytes) -> bytes:
    """The same archive with a ZIP64 end record, which nothing but its size calls for."""
    count, size, start = struct.unpack_from("<H2I", sound, len(sound) - 12)
    end64 = struct.pack("<4sQ2H2I4Q", b"PK\6\6", 44, 45, 45, 0, 0, count, count, size, start)
    locator = struct.pack("<4sIQI", b"PK\6\7", 0, start + size, 1)
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    return sound[:-22] + end64 + locator + end


def test_zip64_records_are_read_wherever_they_stand(tmp_path: Path, sound: bytes) -> None:
    assert read_bytes(tmp_path, with_long_end(sound)).is_sound
    with (
        zipfile.ZipFile(tmp_path / "long.zip", "w") as archive,
        archive.open(zipfile.ZipInfo("a"), "w", force_zip64=True) as entry,
    ):
        entry.write(b"pixels")
    assert b"\1\0\x10\0" in (tmp_path / "long.zip").read_bytes()
    assert read(tmp_path / "long.zip").is_sound


def test_more_entries_than_the_short_count_holds(tmp_path: Path) -> None:
    file = catalog_file(make_file(tmp_path / "x", b"pixels"))
    names = (f"rays/images/{number}.png" for number in range(70_000))
    build(tmp_path / "many.zip", (replace(file, name=name) for name in names))
    reading = read(tmp_path / "many.zip")
    assert reading.is_sound, reading.all_words[:500]
    assert len(reading.entries) == 70_000


def test_a_file_of_over_4_gib_is_proven(tmp_path: Path) -> None:
    # Of that many zero bytes, as `sha256sum` and Python's zlib say.
    size, crc = (4 << 30) + 12345, 511906685
    sha256 = "59ead87e2e32370612861365e7dcf1543fb29afaa0b29432c37eab5373fed514"
    with (tmp_path / "huge").open("wb") as huge:
        huge.truncate(size)
    small = catalog_file(make_file(tmp_path / "small", b"pixels"))
    facts = {"size": size, "crc32": crc, "sha256": sha256}
    facts["mtime_ns"] = (tmp_path / "huge").stat().st_mtime_ns
    entry = catalog_file(tmp_path / "small", "rays/huge.bin", **facts)
    entry.open_fd = lambda path: os.open(tmp_path / "huge", os.O_RDONLY)
    build(tmp_path / "big.zip", [entry, small])
    reading = read(tmp_path / "big.zip")
    assert reading.is_sound, reading.all_words
    assert next((e.size, e.sha256) for e in reading.entries) == (size, sha256)


def test_progress_tells_the_bytes_and_may_stop_the_reading(tmp_path: Path) -> None:
    make_file(tmp_path / "x", b"x" * 5_000_000)
    build(tmp_path / "a.zip", [catalog_file(tmp_path / "x")])
    heard: list[int] = []
    with (tmp_path / "a.zip").open("rb") as file:
        for _ in ArchiveReader(file.fileno(), on_bytes=heard.append).entries():
            pass
        assert heard == sorted(heard)
        assert heard[-1] == (tmp_path / "a.zip").stat().st_size

        def stop(done: int) -> None:
            raise InterruptedError(done)

        with pytest.raises(InterruptedError):
            list(ArchiveReader(file.fileno(), on_bytes=stop).entries())


# --- What is wrong ---
def replace_once(data: bytes, old: bytes, new: bytes) -> bytes:
    assert data.count(old) == 1
    return data.replace(old, new)


def shift_directory(data: bytes, extra: bytes, at: int) -> bytes:
    """Put bytes in at an offset, and let the end record know where the directory is now."""
    start = struct.unpack_from("<I", data, len(data) - 6)[0]
    end = data[-22:-6] + struct.pack("<IH", start + len(extra), 0)
    return data[:at] + extra + data[at:-22] + end


def directory_start(data: bytes) -> int:
    start: int = struct.unpack_from("<I", data, len(data) - 6)[0]
    return start


def test_a_flipped_bit_in_a_file_is_its_crc(tmp_path: Path, sound: bytes) -> None:
    at = sound.index(b"\2" * 1400) + 700
    reading = read_bytes(tmp_path, sound[:at] + b"!" + sound[at + 1 :])
    assert list(reading.faults) == ["rays/images/2.png"]
    assert "CRC-32" in reading.faults["rays/images/2.png"]
    assert reading.entries[2].sha256, "what it really holds is still told"


def test_a_flipped_bit_in_a_text_is_found(tmp_path: Path, sound: bytes) -> None:
    first = read_bytes(tmp_path, sound).entries[0]
    at = first.data_at + first.packed // 2
    reading = read_bytes(tmp_path, sound[:at] + bytes([sound[at] ^ 1]) + sound[at + 1 :])
    assert list(reading.faults) == ["rays/README.md"]


@pytest.mark.parametrize("cut", [1, 21, 22, 60, 300, 3000])
def test_a_truncated_archive_is_called_that(tmp_path: Path, sound: bytes, cut: int) -> None:
    (problem,) = read_bytes(tmp_path, sound[:-cut]).problems
    assert "truncated" in problem


@pytest.mark.parametrize("data", [b"", b"x", b"hello" * 1000, bytes(100_000)])
def test_what_is_no_zip_is_called_that(tmp_path: Path, data: bytes) -> None:
    assert read_bytes(tmp_path, data).problems == ["the archive is not a ZIP archive"]


def test_bytes_after_the_end_are_found(tmp_path: Path, sound: bytes) -> None:
    reading = read_bytes(tmp_path, sound + b"garbage")
    assert reading.problems == ["7 bytes follow after its end"]
    assert not reading.faults


def test_bytes_before_the_first_entry_are_found(tmp_path: Path, sound: bytes) -> None:
    (problem,) = read_bytes(tmp_path, b"#!/bin/sh\n" + sound).problems
    assert "put in" in problem


def test_bytes_cut_out_of_the_middle_are_found(tmp_path: Path, sound: bytes) -> None:
    (problem,) = read_bytes(tmp_path, sound[:500] + sound[600:]).problems
    assert "cut out" in problem


def test_bytes_between_the_last_entry_and_the_directory_are_found(
    tmp_path: Path, sound: bytes
) -> None:
    data = shift_directory(sound, b"hidden", directory_start(sound))
    reading = read_bytes(tmp_path, data)
    assert reading.problems == ["6 bytes before the directory belong to no entry"]
    assert not reading.faults


def test_a_name_that_differs_between_header_and_directory_is_found(
    tmp_path: Path, sound: bytes
) -> None:
    at = sound.index(b"rays/images/2.png")
    reading = read_bytes(tmp_path, sound[:at] + b"ways" + sound[at + 4 :])
    assert reading.faults == {
        "rays/images/2.png": "its header and the directory disagree on the name"
    }


@pytest.mark.parametrize(
    ("offset", "what"), [(6, "flags"), (8, "method"), (10, "time"), (14, "CRC"), (22, "size")]
)
def test_any_other_difference_between_header_and_directory_is_found(
    tmp_path: Path, sound: bytes, offset: int, what: str
) -> None:
    at = sound.index(b"rays/images/2.png") - 30 + offset
    reading = read_bytes(tmp_path, sound[:at] + bytes([sound[at] ^ 0x10]) + sound[at + 1 :])
    assert list(reading.faults) == ["rays/images/2.png"]
    assert what in reading.faults["rays/images/2.png"]


def test_an_entry_that_is_in_the_directory_twice_is_found(tmp_path: Path, sound: bytes) -> None:
    """The second record points at the same bytes: a bomb of overlapping entries works like that."""
    start = directory_start(sound)
    record = sound[start : sound.index(b"PK\1\2", start + 4)]
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 6, 6, len(sound) - 22 - start + len(record),
                      start, 0)  # fmt: skip
    reading = read_bytes(tmp_path, sound[:-22] + record + end)
    assert list(reading.faults) == ["rays/README.md"]
    assert "overlaps" in reading.all_words
    assert len(reading.entries) == 6


def names_archive(tmp_path: Path, *names: str) -> Reading:
    with zipfile.ZipFile(tmp_path / "names.zip", "w") as archive:
        for name in names:
            archive.writestr(zipfile.ZipInfo(name), b"pixels")
    return read(tmp_path / "names.zip")


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    "names", [("a/b", "a/b"), ("a/b", "a/B"), ("a/Ö", "a/O\u0308"), ("a/b", "a/b/c")]
)
def test_names_that_a_file_system_takes_for_the_same_are_found(
    tmp_path: Path, names: tuple[str, str]
) -> None:
    reading = names_archive(tmp_path, *names)
    assert [bool(entry.fault) for entry in reading.entries] == [False, True], reading.all_words


@pytest.mark.parametrize(
    "name",
    ["../up", "/etc/passwd", "a/../../up", "a//b", "./a", "folder/", "C:/a", "a\nb", "con.png",
     "a/\u202egnp.exe", "a/b.", "x/" * 300 + "x", "x" * 200],
)  # fmt: skip
def test_names_that_are_not_safe_to_unpack_are_found(tmp_path: Path, name: str) -> None:
    (entry,) = names_archive(tmp_path, name).entries
    assert "name" in entry.problem
    assert entry.sha256 == hashlib.sha256(b"pixels").hexdigest()


def test_a_name_that_is_no_utf8_is_shown_escaped(tmp_path: Path, sound: bytes) -> None:
    reading = read_bytes(tmp_path, sound.replace(b"rays/images/2.png", b"rays/images/\xff.png"))
    assert reading.faults == {"rays/images/\\xff.png": "its name is not UTF-8"}


@pytest.mark.parametrize(
    ("method", "what"), [(zipfile.ZIP_BZIP2, "method 12"), (zipfile.ZIP_LZMA, "method 14")]
)
def test_other_ways_of_packing_are_refused(tmp_path: Path, method: int, what: str) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w", method) as archive:
        archive.writestr("a", b"word" * 100)
    assert what in read(tmp_path / "x.zip").faults["a"]


def test_an_encrypted_entry_is_refused(tmp_path: Path) -> None:
    names_archive(tmp_path, "a")
    data = bytearray((tmp_path / "names.zip").read_bytes())
    data[6] |= 1
    data[data.index(b"PK\1\2") + 8] |= 1
    assert "encrypted" in read_bytes(tmp_path, bytes(data)).faults["a"]


@pytest.mark.parametrize("attributes", [0o120777 << 16, 0o040755 << 16, 0o010644 << 16, 0x10])
def test_an_entry_that_would_unpack_as_a_link_or_folder_is_refused(
    tmp_path: Path, attributes: int
) -> None:
    info = zipfile.ZipInfo("a")
    info.external_attr = attributes
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr(info, b"/etc/passwd")
    assert read(tmp_path / "x.zip").faults == {"a": "it is marked as something else than a file"}


def test_a_comment_at_the_end_is_found(tmp_path: Path, sound: bytes) -> None:
    assert read_bytes(tmp_path, sound[:-2] + b"\2\0hi").problems == ["2 bytes follow after its end"]
    (problem,) = read_bytes(tmp_path, sound[:-2] + b"\2\0").problems
    assert "comment" in problem


def test_a_bomb_is_stopped_where_it_says_that_it_ends(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.txt", bytes(200 * MIB))
    size, small = struct.pack("<I", 200 * MIB), struct.pack("<I", 999)
    data = (tmp_path / "bomb.zip").read_bytes()
    assert data.count(size) == 2
    tracemalloc.start()
    reading = read_bytes(tmp_path, data.replace(size, small))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert reading.faults == {"bomb.txt": "it unpacks to more than it says"}
    assert peak < 16 * MIB


def test_packed_data_that_ends_early_or_late_is_found(tmp_path: Path) -> None:
    packed = zlib.compress(b"word" * 999, wbits=-15)
    for data, what in ((packed[:-2], "ends too early"), (packed + b"xx", "follow after")):
        header = struct.pack("<5H3I2H", 20, 0, 8, 0, 33, zlib.crc32(b"word" * 999), len(data), 3996,
                             1, 0)  # fmt: skip
        local = b"PK\3\4" + header + b"a" + data
        central = b"PK\1\2" + struct.pack("<H", 20) + header + bytes(14) + b"a"
        end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 1, 1, len(central), len(local), 0)
        assert what in read_bytes(tmp_path, local + central + end).faults["a"]


def test_a_file_that_shrinks_while_it_is_read_is_a_message(tmp_path: Path) -> None:
    make_file(tmp_path / "x", os.urandom(6_000_000))
    names = [catalog_file(tmp_path / "x", f"{number}") for number in range(3)]
    build(tmp_path / "a.zip", names)

    def shrink(done: int) -> None:
        os.truncate(tmp_path / "a.zip", 7_000_000)

    with (tmp_path / "a.zip").open("rb") as file:
        reader = ArchiveReader(file.fileno(), on_bytes=shrink)
        entries = list(reader.entries())
    assert [entry.name for entry in entries] == ["0"]
    assert not reader.sha256
    assert any("truncated" in p or "shorter" in p for p in reader.problems)


# --- Whatever may come ---
@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    folder = tmp_path_factory.mktemp("fuzz")
    file = catalog_file(make_file(folder / "x", os.urandom(300)), "rays/images/x.png")
    readme = text("rays/README.md", b"some words, some words" * 20)
    build(folder / "a.zip", [readme, file])
    return folder / "fuzz.zip", (folder / "a.zip").read_bytes()


Damage = Callable[[bytes], bytes]
FLIP = st.tuples(st.integers(0, 1 << 30), st.integers(1, 255))


def tell_contents(reading: Reading) -> list[tuple[str, int, str]]:
    return [(entry.name, entry.size, entry.sha256) for entry in reading.entries]


@settings(max_examples=400, deadline=None)
@example(flips=[(3610, 2)])
@given(flips=st.lists(FLIP, min_size=1, max_size=4))
def test_no_changed_byte_goes_unnoticed_or_raises(
    fuzzed: tuple[Path, bytes], flips: list[tuple[int, int]]
) -> None:
    path, sound = fuzzed
    data = bytearray(sound)
    for at, mask in flips:
        data[at % len(sound)] ^= mask
    path.write_bytes(data)
    reading = read(path)
    # Who made it, for which version, and who may read it: nothing that changes what is unpacked.
    for mark, fields in ((b"PK\3\4", [(4, 6)]), (b"PK\1\2", [(4, 8), (36, 42)])):
        for record in find_all(mark, sound):
            for start, end in fields:
                data[record + start : record + end] = sound[record + start : record + end]
    # A bit that packs the same text otherwise, such as the length of a code that nothing uses, is
    # seen in the SHA-256 of the file; what is unpacked is the same.
    path.write_bytes(sound)
    whole = read(path)
    assert not reading.is_sound or data == sound or tell_contents(reading) == tell_contents(whole)


def find_all(mark: bytes, data: bytes) -> list[int]:
    return [at for at in range(len(data)) if data.startswith(mark, at)]


@settings(max_examples=300, deadline=None)
@given(flips=st.lists(FLIP, min_size=1, max_size=3))
def test_no_changed_byte_of_a_long_end_goes_unnoticed_or_raises(
    fuzzed: tuple[Path, bytes], flips: list[tuple[int, int]]
) -> None:
    path, sound = fuzzed[0], with_long_end(fuzzed[1])
    data = bytearray(sound)
    for at, mask in flips:
        data[-1 - at % 98] ^= mask
    path.write_bytes(data)
    reading = read(path)
    # The two versions that the record names tell a reader nothing about the contents.
    versions = slice(len(sound) - 98 + 12, len(sound) - 98 + 16)
    data[versions] = sound[versions]
    assert reading.is_sound == (data == sound), reading.all_words


@settings(max_examples=200, deadline=None)
@given(start=st.integers(0, 1000), size=st.integers(1, 1000), put=st.binary(max_size=40))
def test_no_piece_can_be_cut_out_or_put_in(
    fuzzed: tuple[Path, bytes], start: int, size: int, put: bytes
) -> None:
    path, sound = fuzzed
    start %= len(sound)
    data = sound[:start] + put + sound[start + size :]
    path.write_bytes(data)
    reading = read(path)
    assert data == sound or len(data) == len(sound) or not reading.is_sound


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=300), tail=st.binary(min_size=18, max_size=18))
def test_any_bytes_before_an_end_record_are_survived(
    fuzzed: tuple[Path, bytes], data: bytes, tail: bytes
) -> None:
    fuzzed[0].write_bytes(data + b"PK\5\6" + tail)
    read(fuzzed[0])
