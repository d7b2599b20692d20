"""Small files that unfold to very much: each costs little memory and gets a clear sentence."""

import gzip
import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped,unused-ignore]
import pyarrow.parquet as pq  # type: ignore[import-untyped,unused-ignore]
import pytest
from django.conf import LazySettings

from catalog.importers import room, staging
from catalog.importers.options import ImportLimits, Listeners
from catalog.importers.pipeline import import_source
from catalog.importers.rows import BadRow, ImportStopped, SourceError
from catalog.importers.store import store_images
from catalog.importers.tables import many, unfolding
from catalog.importers.tables.many import MAX_ROWS_OF_AN_IMAGE, Piece, join_rows
from catalog.importers.tables.reading import Table, TableFormat
from catalog.importers.tables.source import open_dataset_toml
from catalog.models import Image
from catalog.tests.factories import DatasetFactory
from catalog.tests.importers.import_rows import row

MEMORY = """
import resource, sys
from pathlib import Path
from catalog.importers.tables.reading import SourceError, Table, TableFormat
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    for number, _ in enumerate(Table(Path(sys.argv[1]), sys.argv[2], TableFormat()).rows()):
        if number == 2000:
            break
except SourceError as error:
    print(error)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def write(folder: Path, how: dict[str, bool] | None = None, **columns: Any) -> Path:
    path = folder / "t.parquet"
    pq.write_table(
        pa.table(columns), path, compression="zstd", row_group_size=1 << 25, **(how or {})
    )
    assert path.stat().st_size < 100_000
    return path


def read(folder: Path, name: str = "t.parquet") -> list[Any]:
    return list(Table(folder, name, TableFormat()).rows())


def test_a_dictionary_with_one_long_cell_takes_little_memory(tmp_path: Path) -> None:
    long = pa.DictionaryArray.from_arrays(pa.array([0] * 100_000, pa.int32()), ["x" * 900_000])
    write(tmp_path, id=long)

    program = [sys.executable, "-c", MEMORY, str(tmp_path), "t.parquet"]
    done = subprocess.run(program, capture_output=True, text=True, check=True)

    assert int(done.stdout) < 400_000, "kilobytes; all rows of a batch would take 3.6 GB"


def test_a_page_that_unfolds_to_hundreds_of_megabytes_is_refused_unread(tmp_path: Path) -> None:
    plain = {"use_dictionary": False, "write_statistics": False}
    write(tmp_path, plain, id=["a"], text=["x" * 135_000_000])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    with pytest.raises(SourceError, match="the column text unfolds to more than fits into memory"):
        read(tmp_path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000


def test_damaged_headers_of_pages_are_refused_at_once(tmp_path: Path) -> None:
    """In the place of the first one is a number of which each byte says that it goes on."""
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"id": ["a" * 1_100_000]}), path, compression="none",
                   use_dictionary=False, write_statistics=False)  # fmt: skip
    content = bytearray(path.read_bytes())
    content[4:1_000_005] = b"\x15" + b"\xff" * 1_000_000
    path.write_bytes(content)
    start = time.process_time()

    with pytest.raises(SourceError, match="the headers of its pages cannot be read"):
        read(tmp_path)
    assert time.process_time() - start < 5


def test_a_list_of_millions_of_items_is_refused(tmp_path: Path) -> None:
    write(tmp_path, id=["a"], list=pa.array([[7] * 6_000_000]))

    with pytest.raises(SourceError, match=r"the column list\.list\.element unfolds to more"):
        read(tmp_path)


def test_a_long_cell_costs_its_own_row(tmp_path: Path) -> None:
    write(tmp_path, id=["a", "b"], text=["x" * 2_000_000, "y"])

    bad, good = read(tmp_path)

    assert isinstance(bad, BadRow)
    assert "A cell has at most 1,048,576 characters" in bad.reason
    assert good.cells == ["b", "y"]


def test_a_table_that_unfolds_a_thousandfold_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unfolding, "ALWAYS_ALLOWED_BYTES", 1 << 16)
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(b"id\n" + (b"a" * 200 + b"\n") * 20_000, 9))

    with pytest.raises(SourceError, match=r"t\.csv\.gz unfolds to more than"):
        read(tmp_path, "t.csv.gz")


def test_millions_of_empty_lines_are_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(b"\n" * 1_100_000))

    with pytest.raises(SourceError, match="1,000,000 lines one after the other are empty"):
        read(tmp_path, "t.csv.gz")


@pytest.mark.parametrize(("start", "kind"), [(b"BZh9", "bzip2"), (b"\xfd7zXZ\0", "xz")])
def test_what_cannot_be_unpacked_is_named(tmp_path: Path, start: bytes, kind: str) -> None:
    (tmp_path / "t.csv").write_bytes(start)

    with pytest.raises(SourceError, match=f"is compressed with {kind}, which is not read here"):
        read(tmp_path, "t.csv")


def test_an_object_of_megabytes_is_one_bad_row(tmp_path: Path) -> None:
    lines = [json.dumps({"id": [[]] * 1_500_000}), '{"id": "b"}']
    (tmp_path / "t.jsonl").write_text("\n".join(lines))

    bad, good = read(tmp_path, "t.jsonl")

    assert isinstance(bad, BadRow)
    assert "more than 4,194,304 characters" in bad.reason
    assert good.cells == ["b"]


# --- Rows without end ---
def test_rows_of_one_image_have_a_limit() -> None:
    pieces = ((row("a", line=n), {"x": n}) for n in range(1, MAX_ROWS_OF_AN_IMAGE + 9))

    (bad,) = join_rows(pieces, "boxes", adjacent=True)

    assert isinstance(bad, BadRow)
    assert "More than 10,000 rows have this id" in bad.reason


def test_rows_that_are_held_together_have_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small file had an import hold gigabytes."""
    monkeypatch.setattr(many, "MAX_HELD", 1_000_000)
    same = {"x": "y" * 1_000}

    def read(pieces: Iterable[Piece], *, adjacent: bool = False) -> int:
        return sum(1 for _ in join_rows(iter(pieces), "boxes", adjacent=adjacent))

    images: list[Piece] = [(row(f"i{n}", line=n, metadata=same), {}) for n in range(2_000)]
    gathered: list[Piece] = [(row("a", line=n), {"x": str(n)}) for n in range(9_000)]
    for pieces in (images, gathered):
        with pytest.raises(SourceError, match=r"MB would have to be held .* adjacent = true"):
            read(pieces)
        assert read(pieces, adjacent=True) in (2_000, 1)
    assert read((row("a", line=n, metadata=same), {}) for n in range(9_000)) == 1


@pytest.mark.django_db
def test_what_is_kept_of_an_image_has_a_limit() -> None:
    """Its page and its archives show all of it."""
    rows = [row("a", line=1, metadata={"text": "x" * 1_100_000}), row("b", line=2)]
    rejected: list[BadRow] = []

    report = store_images(
        dataset=DatasetFactory(),
        rows=rows,
        limits=ImportLimits(max_share=1.0),
        listeners=Listeners(on_reject=rejected.append),
    )

    assert report.added == 1
    assert "What is kept of it has 1,100,011 characters (limit: 200,000)." in rejected[0].reason


def test_what_is_gathered_of_an_image_has_a_limit() -> None:
    long: dict[str, Any] = {"x": "y" * 600_000}
    differing = [letter * 600_000 for letter in "uvw"]
    cases: tuple[list[Piece], ...] = (
        [(row("a", line=n), long) for n in range(1, 50)],
        [(row("a", line=n, metadata={"x": text}), {}) for n, text in enumerate(differing * 9)],
    )
    for pieces in cases:
        found = list(join_rows(iter([*pieces, (row("b"), {})]), "boxes", adjacent=True))
        assert [type(each).__name__ for each in found] == ["BadRow", "ImageRow"]
        assert "(limit: 200,000)" in found[0].reason  # type: ignore[union-attr]


@pytest.mark.django_db
def test_what_is_made_of_cells_has_a_limit(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(f"id,a\n1,{'x' * 600_000}\n2,y\n")
    (tmp_path / "dataset.toml").write_text(
        '[dataset]\nslug = "long"\ntitle = "Long"\n[[table]]\npath = "t.csv"\n'
        '[image]\nid = "{id}"\n[metadata]\nadd = { twice = "{a}{a}" }\n'
    )
    bad, good = open_dataset_toml(tmp_path / "dataset.toml").rows()
    assert isinstance(bad, BadRow)
    assert bad.column == "{a}{a}"
    assert "more than 1,000,000 characters" in bad.reason
    assert not isinstance(good, BadRow)


JOINED = """
[dataset]
slug = "joined"
title = "Joined"
[[table]]
path = "t.csv"
[[join]]
path = "long.csv"
key = "{key}"
to = "{a}"
[image]
id = "{id}"
"""


@pytest.mark.django_db
def test_small_tables_that_make_very_much_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each image has the same long text of a second table."""
    monkeypatch.setattr(room, "MAX_ALL", 1_000_000)
    monkeypatch.setattr(room, "_BETWEEN_CHECKS", 100_000)
    monkeypatch.setattr(staging, "BLOCK_CHARACTERS", 100_000)
    (tmp_path / "t.csv").write_text("id,a\n" + "".join(f"r{n},a\n" for n in range(800)))
    (tmp_path / "long.csv").write_text(f"key,long\na,{'x' * 150_000}\n")
    (tmp_path / "dataset.toml").write_text(JOINED)
    source = open_dataset_toml(tmp_path / "dataset.toml")
    with pytest.raises(ImportStopped, match=r"more than 20,000 each, so nothing was changed.*drop"):
        import_source(source=source)
    assert not Image.objects.exists()


@pytest.mark.django_db
def test_an_import_leaves_the_reserve_of_the_database(settings: LazySettings) -> None:
    dataset, rows = DatasetFactory(), [row(str(n)) for n in range(10)]
    settings.DATABASE_MAX_BYTES = 1000
    with pytest.raises(ImportStopped, match=r"no room for this import.*nothing was changed"):
        store_images(dataset=dataset, rows=rows)
    settings.DATABASE_MAX_BYTES = 0
    assert store_images(dataset=dataset, rows=rows).added == 10


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("num_rows", "limits"),
    [(None, ImportLimits()), (None, ImportLimits(max_rejected=50)), (10**6, ImportLimits())],
)
def test_a_stream_of_equal_rows_ends_while_it_is_read(
    num_rows: int | None, limits: ImportLimits
) -> None:
    read_rows = iter(range(10**9))
    rows = (row("same") for _ in read_rows)

    with pytest.raises(ImportStopped, match="of them repeat an id, such as “same”"):
        store_images(dataset=DatasetFactory(), rows=rows, num_rows=num_rows, limits=limits)

    assert next(read_rows) < 20_000
    assert not Image.objects.exists()


@pytest.mark.django_db
def test_more_rows_than_allowed_are_not_read() -> None:
    rows = (row(f"{n}") for n in range(10**9))
    limits = ImportLimits(max_rows=3_000)

    with pytest.raises(ImportStopped, match=r"more than 3,000 rows.*--max-rows"):
        store_images(dataset=DatasetFactory(), rows=rows, limits=limits)
    with pytest.raises(ImportStopped, match="more than 3,000 rows"):
        store_images(dataset=DatasetFactory(), rows=rows, num_rows=3_001, limits=limits)
