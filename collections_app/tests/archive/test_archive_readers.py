"""Archives are read by other programs."""

import os
import shutil
import subprocess
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collections_app.archive import (
    Entry,
    FileEntry,
    TextEntry,
    UniqueNames,
    checksum_line,
    safe_name,
)
from collections_app.tests.archive.archive_files import (
    MIB,
    build,
    catalog_file,
    make_file,
    open_plainly,
    text,
)
from medagg.testing.programs import require_program

GIB = 1 << 30
CRC_OF_THE_SPARSE_FILE = 0xB5AD6D21
READERS = {
    "unzip": ["unzip", "-tq"],
    "7z": ["7z", "t"],
    "bsdtar": ["bsdtar", "-tf"],
    "jar": ["jar", "tf"],
}

on_disk = settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def find_reader(program: str) -> str:
    """The reader's path. A whole JDK is not installed for one test; the others are small."""
    if program == "jar":
        return shutil.which(program) or pytest.skip("jar is not installed")
    return require_program(program)


def run_reader(reader: str, archive: Path) -> str:
    return run_command(READERS[reader], archive)


def run_command(command: list[str], archive: Path, *names: str) -> str:
    program, *options = command
    done = subprocess.run(
        [find_reader(program), *options, archive, *names],
        capture_output=True,
        text=True,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "warning" not in (done.stdout + done.stderr).lower()
    return done.stdout


@pytest.fixture
def mixed_archive(tmp_path: Path) -> Path:
    """Every kind of entry: texts, small and large files, known and hashed, empty, other scripts."""
    large = make_file(tmp_path / "large.bin", os.urandom(MIB))
    small = make_file(tmp_path / "small.png")
    empty = make_file(tmp_path / "empty.png", b"")
    target = tmp_path / "mixed.zip"
    build(
        target,
        [
            text("demo/README.md", b"# Demo\n" * 100),
            text("demo/empty.csv", b""),
            text("demo/noise.json", os.urandom(70_000)),
            text("demo/metadata.csv", *(f"images/{n}.png,{n}\n".encode() for n in range(9999))),
            catalog_file(small, "demo/images/small.png"),
            catalog_file(small, "demo/images/hashed.png", crc32=None),
            catalog_file(large, "demo/images/large.bin"),
            catalog_file(large, "demo/images/touched.bin", mtime_ns=1),
            catalog_file(empty, "demo/images/empty.png"),
            catalog_file(empty, "demo/images/empty-hashed.png", mtime_ns=None),
            catalog_file(small, "demo/images/Röntgen/胸部.png"),
        ],
    )
    return target


@pytest.mark.parametrize("reader", READERS)
def test_other_programs_read_every_kind_of_entry(reader: str, mixed_archive: Path) -> None:
    run_reader(reader, mixed_archive)


@pytest.mark.parametrize("reader", ["bsdtar", "jar"])
def test_other_programs_read_the_same_names(reader: str, mixed_archive: Path) -> None:
    listed = run_reader(reader, mixed_archive).splitlines()
    assert listed == zipfile.ZipFile(mixed_archive).namelist()


def test_python_reads_every_kind_of_entry(mixed_archive: Path) -> None:
    with zipfile.ZipFile(mixed_archive) as archive:
        assert archive.testzip() is None
        assert archive.read("demo/images/Röntgen/胸部.png") == b"pixels"
        assert archive.read("demo/metadata.csv").count(b"\n") == 9999


def test_entries_have_fixed_metadata(mixed_archive: Path) -> None:
    with zipfile.ZipFile(mixed_archive) as archive:
        for info in archive.infolist():
            assert info.date_time == (1980, 1, 1, 0, 0, 0)
            assert info.external_attr >> 16 == 0o100644
            assert info.create_system == 3
            assert info.flag_bits == 0x0800
            assert info.extra == info.comment == b""
            assert info.compress_type == zipfile.ZIP_STORED


def test_an_unpacked_archive_passes_sha256sum(tmp_path: Path) -> None:
    unzip = find_reader("unzip")
    paths = [make_file(tmp_path / f"{number}.png", os.urandom(500)) for number in range(20)]
    files = [catalog_file(path, f"images/{path.name}") for path in paths]
    table = text("metadata.csv", *(f"images/{path.name}\n".encode() for path in paths))
    listed: list[FileEntry | TextEntry] = [table, *files]
    sums = TextEntry(
        "SHA256SUMS", (checksum_line(entry.sha256, entry.name).encode() for entry in listed)
    )
    build(tmp_path / "a.zip", [*listed, sums])
    folder = tmp_path / "unpacked"
    subprocess.run([unzip, "-q", tmp_path / "a.zip", "-d", folder], check=True)
    subprocess.run(["sha256sum", "-c", "--quiet", "--strict", "SHA256SUMS"], check=True, cwd=folder)


contents = st.lists(
    st.tuples(
        st.text(st.characters(codec="utf-8"), max_size=30),
        st.binary(max_size=300) | st.integers(0, 200_000).map(lambda size: b"\x07" * size),
        st.sampled_from(["known", "touched", "text", "chunks"]),
    ),
    max_size=12,
)


@on_disk
@given(contents)
def test_any_names_and_sizes_can_be_read_back(
    tmp_path: Path, contents: list[tuple[str, bytes, str]]
) -> None:
    entries: list[Entry] = []
    unique, expected = UniqueNames(), {}
    for number, (path, data, kind) in enumerate(contents):
        name = unique.take(safe_name(path))
        expected[name] = data
        if kind == "text":
            entries.append(text(name, data))
        elif kind == "chunks":
            entries.append(text(name, data[:7], b"", data[7:]))
        else:
            file = catalog_file(make_file(tmp_path / str(number), data), name)
            entries.append(file if kind == "known" else replace(file, mtime_ns=0))
    summary = build(tmp_path / "a.zip", entries)
    assert summary == (len(contents), (tmp_path / "a.zip").stat().st_size)
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == expected
        assert archive.testzip() is None
    if contents:
        run_reader("unzip", tmp_path / "a.zip")


@pytest.mark.parametrize("count", [0, 1, 65_534, 65_535, 65_536, 70_000])
def test_any_number_of_entries_is_counted(tmp_path: Path, count: int) -> None:
    path = make_file(tmp_path / "one.png", b"x")
    entry = catalog_file(path)
    entries = (replace(entry, name=f"i/{n}.png") for n in range(count))
    assert build(tmp_path / "a.zip", entries).num_entries == count
    raw = (tmp_path / "a.zip").read_bytes()
    assert (b"PK\6\6" in raw[-200:]) == (count >= 65_535)
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert len(archive.namelist()) == count
        assert archive.namelist()[-1:] == [f"i/{n}.png" for n in range(count)][-1:]


@pytest.fixture(scope="module")
def archive_of_70_000(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("many")
    entry = catalog_file(make_file(folder / "one.png", b"x"))
    build(folder / "a.zip", (replace(entry, name=f"i/{n}.png") for n in range(70_000)))
    return folder / "a.zip"


@pytest.mark.parametrize("reader", READERS)
def test_other_programs_read_70_000_entries(archive_of_70_000: Path, reader: str) -> None:
    listed = run_reader(reader, archive_of_70_000).splitlines()
    if reader in ("bsdtar", "jar"):
        assert len(listed) == 70_000


@pytest.fixture(scope="module")
def huge_archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file over 4 GiB and entries after it; holes keep it small on disk and fast to write."""
    folder = tmp_path_factory.mktemp("huge")
    sparse, tail = folder / "sparse.raw", make_file(folder / "tail.png")
    with sparse.open("wb") as file:
        file.truncate(5 * GIB)
        file.seek(3 * GIB)
        file.write(b"island")
    huge = FileEntry(
        "huge/sparse.raw",
        open_plainly,
        str(sparse),
        5 * GIB,
        CRC_OF_THE_SPARSE_FILE,
        "",
        sparse.stat().st_mtime_ns,
    )
    target = folder / "huge.zip"
    entries: list[Entry] = [
        catalog_file(tail, "huge/before.png"),
        huge,
        catalog_file(tail, "huge/behind.png"),
        catalog_file(tail, "huge/hashed.png", mtime_ns=0),
        text("huge/text.csv", b"text"),
    ]
    assert build(target, entries).size > 5 * GIB
    if target.stat().st_blocks * 512 > GIB:
        pytest.skip("this file system keeps no holes: 5 GiB would have to be written")
    return target


def test_a_file_over_4_gib_can_be_read_back(huge_archive: Path) -> None:
    with zipfile.ZipFile(huge_archive) as archive:
        assert archive.getinfo("huge/sparse.raw").file_size == 5 * GIB
        assert archive.getinfo("huge/sparse.raw").CRC == CRC_OF_THE_SPARSE_FILE
        assert archive.getinfo("huge/behind.png").header_offset > 5 * GIB
        assert archive.read("huge/behind.png") == archive.read("huge/hashed.png") == b"pixels"
        assert archive.read("huge/before.png") == b"pixels"
        assert archive.read("huge/text.csv") == b"text"
        start = archive.getinfo("huge/sparse.raw").header_offset
    # The contents lie behind 30 bytes, the name and a ZIP64 field; reading all would take long.
    with huge_archive.open("rb") as file:
        file.seek(start + 30 + len("huge/sparse.raw") + 20 + 3 * GIB - 4)
        assert file.read(12) == b"\0\0\0\0island\0\0"


def test_zip64_is_used_only_where_it_is_needed(huge_archive: Path) -> None:
    with zipfile.ZipFile(huge_archive) as archive:
        extras = {info.filename: len(info.extra) for info in archive.infolist()}
    assert extras["huge/before.png"] == 0
    assert extras["huge/sparse.raw"] == 4 + 16
    assert extras["huge/behind.png"] == 4 + 8


@pytest.mark.parametrize("reader", READERS)
def test_other_programs_find_entries_after_4_gib(huge_archive: Path, reader: str) -> None:
    command = {"unzip": ["unzip", "-l"], "7z": ["7z", "l"]}.get(reader, READERS[reader])
    listed = run_command(command, huge_archive)
    assert "huge/behind.png" in listed
    assert str(5 * GIB) in listed or reader in ("bsdtar", "jar")


def test_unzip_extracts_entries_after_4_gib(huge_archive: Path) -> None:
    behind = ["huge/behind.png", "huge/hashed.png", "huge/text.csv"]
    assert run_command(["unzip", "-tq"], huge_archive, *behind)
