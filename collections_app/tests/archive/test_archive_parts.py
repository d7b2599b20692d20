"""An upload in parts gets the bytes that a file gets, though it cannot go back."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from collections_app.archive import Entry, PartSink, write_archive
from collections_app.archive.records import LOCAL_SIZE
from collections_app.tests.archive.archive_files import (
    LARGE,
    SMALL,
    build,
    catalog_file,
    make_file,
    text,
)


def make_entries(folder: Path) -> list[Entry]:
    """All ways in which bytes get into an archive: known, hashed, holes, texts in pieces."""
    small, large = make_file(folder / "small", SMALL), make_file(folder / "large", LARGE[:400_000])
    hole = folder / "hole"
    with hole.open("wb") as file:
        file.write(b"begin")
        os.truncate(file.fileno(), 65 << 20)
    return [
        text("first.txt", b"one", b"two"),
        catalog_file(small, "a/known"),
        replace(catalog_file(small, "a/hashed"), crc32=None),
        replace(catalog_file(large, "a/large"), mtime_ns=1),
        catalog_file(large, "a/large-known"),
        text("middle.csv", *[b"row,row\n" * 100] * 500),
        catalog_file(hole, "a/hole"),
        text("last.txt", b""),
    ]


@pytest.fixture(scope="module")
def entries(tmp_path_factory: pytest.TempPathFactory) -> list[Entry]:
    return make_entries(tmp_path_factory.mktemp("parts"))


@pytest.mark.parametrize("size", [1 << 20, 300_001, 64 << 20])
def test_parts_are_the_file_in_pieces(entries: list[Entry], tmp_path: Path, size: int) -> None:
    summary = build(tmp_path / "file.zip", entries)
    parts: dict[int, bytes] = {}

    sink = PartSink(size, lambda number, part: parts.update({number: bytes(part)}))

    assert write_archive(sink, entries) == summary
    assert sorted(parts) == list(range(1, len(parts) + 1))
    assert {len(parts[number]) for number in range(1, len(parts))} <= {size}
    assert (
        b"".join(parts[number] for number in sorted(parts)) == (tmp_path / "file.zip").read_bytes()
    )


@pytest.mark.parametrize("size", range(LOCAL_SIZE // 3, 3 * LOCAL_SIZE))
def test_a_header_may_lie_across_parts(tmp_path: Path, size: int) -> None:
    """However it is cut, nothing is sent that is changed afterwards, and little waits."""
    small = make_file(tmp_path / "small", b"pixels " * 20)
    entries: list[Entry] = [
        text("a.txt", b"a" * 100),
        replace(catalog_file(small), crc32=None),
    ]
    build(tmp_path / "file.zip", entries)
    sent: list[tuple[int, bytearray, bytes]] = []

    write_archive(PartSink(size, lambda n, part: sent.append((n, part, bytes(part)))), entries)

    assert all(part == before for _, part, before in sent)
    whole = b"".join(before for _, _, before in sorted(sent, key=lambda each: each[0]))
    assert whole == (tmp_path / "file.zip").read_bytes()


def test_parts_go_ahead_of_a_header_that_is_not_whole() -> None:
    order: list[int] = []

    def chunks() -> Iterator[bytes]:
        for _ in range(10):
            yield bytes(300_000)
        assert order == [2, 3, 4, 5, 6], "the first one waits, those behind it do not"

    entry = text("long.csv")
    entry.chunks = chunks()
    write_archive(PartSink(500_000, lambda number, part: order.append(number)), [entry])
    assert order == [2, 3, 4, 5, 6, 1, 7]


def test_an_error_of_an_upload_ends_the_writing(path: Path) -> None:
    def refuse(number: int, part: bytearray) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        write_archive(PartSink(100, refuse), [catalog_file(path)])
