"""Reads the index of the NCI Imaging Data Commons, from the package idc-index-data.

Two Parquet tables are read: ``collections_index`` has a row for each collection, ``idc_index`` a
row for each DICOM series, sorted by collection. Their columns are described in the ``.json`` files
beside them; ``series_size_MB`` is in millions of bytes.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped,unused-ignore]
import pyarrow.compute as pc  # type: ignore[import-untyped,unused-ignore]
import pyarrow.parquet as pq  # type: ignore[import-untyped,unused-ignore]

from catalog.importers.idc.entry import SeriesSummary
from catalog.importers.rows import SourceError

PACKAGE = "idc-index-data"
PACKAGE_VERSION = "25.0.5"
SERIES_INDEX = "idc_index.parquet"
COLLECTIONS_INDEX = "collections_index.parquet"
BATCH_ROWS = 4_096
_REVISED = "series_revised_idc_version"
_SUMMARY = ("collection_id", "analysis_result_id", "Modality", "BodyPartExamined",
            "license_short_name", "source_DOI", "series_size_MB")  # fmt: skip

# Arrow's own allocator would keep 60 MB that it used only once.
pa.set_memory_pool(pa.system_memory_pool())


class SeriesReader:
    """Reads ranges of the series table, in one pass if they are requested in its order."""

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self.path = path
        self._columns = columns
        self._batches: Iterator[Any] = iter(())
        self._rest: Any = None
        self._at = 0
        self._is_open = False

    def read(self, start: int, stop: int) -> Iterator[tuple[int, Any]]:
        """The rows [start, stop) as (number of the first row, batch); raises SourceError."""
        while start < stop:
            if start < self._at or not self._is_open:
                self._open()
            batch = self._rest if self._rest is not None else next(self._batches, None)
            if batch is None:
                raise SourceError(f"{self.path} has become shorter while it was read. Start again.")
            self._rest = None
            end = self._at + batch.num_rows
            if start < end:
                piece = batch.slice(start - self._at, stop - start)
                end = start + piece.num_rows
                self._rest = batch.slice(end - self._at) if end == stop else None
                self._at = end
                yield start, piece
                start = end
            else:
                self._at = end

    def _open(self) -> None:
        self._batches = _iter_batches(self.path, self._columns)
        self._rest, self._at, self._is_open = None, 0, True


def _iter_batches(path: Path, columns: Sequence[str]) -> Iterator[Any]:
    """Raises SourceError if the file is not a Parquet table with these columns."""
    if not path.is_file():
        raise SourceError(f"There is no {path}. It is part of the package {PACKAGE}.")
    try:
        with pq.ParquetFile(path) as file:
            missing = sorted(set(columns) - set(file.schema_arrow.names))
            if missing:
                raise SourceError(
                    f"{path} lacks the columns {', '.join(missing)}. Use the table of "
                    f"{PACKAGE} {PACKAGE_VERSION}, or one with the same columns."
                )
            yield from file.iter_batches(batch_size=BATCH_ROWS, columns=list(columns))
    except (pa.ArrowException, OSError) as error:
        raise SourceError(f"{path} cannot be read as a Parquet table: {error}") from error


def read_collections(folder: Path) -> list[dict[str, Any]]:
    columns = ("collection_id", "collection_name", "cancer_types", "tumor_locations", "species",
               "subjects", "supporting_data", "sources", "description")  # fmt: skip
    batches = _iter_batches(folder / COLLECTIONS_INDEX, columns)
    return [row for batch in batches for row in batch.to_pylist() if row["collection_id"]]


def find_release(path: Path) -> str:
    """The IDC's data release that an index is of: the last one that changed a series; or ''."""
    try:
        table = pq.read_table(path, columns=[_REVISED])
    except (pa.ArrowException, OSError, KeyError):
        return ""
    last = pc.max(table.column(_REVISED)).as_py() if _REVISED in table.column_names else None
    return "" if last is None else str(last)


def summarize_series(path: Path) -> dict[str, SeriesSummary]:
    """A summary of every collection; raises SourceError unless the table is sorted by them."""
    summaries: dict[str, SeriesSummary] = {}
    last, row = None, 0
    for batch in _iter_batches(path, _SUMMARY):
        for name, piece in _split_runs(batch):
            if not name:
                raise SourceError(f"{path}: row {row + 1} has no collection_id.")
            if name != last and name in summaries:
                raise SourceError(
                    f"{path} is not sorted: the collection {name} goes on at row {row + 1}. "
                    f"Use the table of the package {PACKAGE}, or sort it by collection_id."
                )
            summary = summaries.setdefault(name, SeriesSummary(start=row))
            _add(summary, piece)
            last, row = name, row + piece.num_rows
            summary.stop = row
    return summaries


def _split_runs(batch: Any) -> Iterator[tuple[str | None, Any]]:
    runs = pc.run_end_encode(batch.column("collection_id"))
    start = 0
    for name, end in zip(runs.values.to_pylist(), runs.run_ends.to_pylist(), strict=True):
        yield name, batch.slice(start, end - start)
        start = end


def _add(summary: SeriesSummary, piece: Any) -> None:
    own = piece.filter(pc.is_null(piece.column("analysis_result_id")))
    summary.modalities.update(_count(piece, "Modality"))
    summary.body_parts.update(_count(piece, "BodyPartExamined"))
    summary.licenses.update(_count(piece, "license_short_name"))
    summary.own_licenses.update(_count(own, "license_short_name"))
    summary.own_modalities.update(_count(own, "Modality"))
    summary.own_dois.update(_count(own, "source_DOI"))
    summary.size_mb += pc.sum(piece.column("series_size_MB")).as_py() or 0.0


def _count(piece: Any, column: str) -> Counter[str]:
    counts = piece.column(column).value_counts()
    pairs = zip(counts.field("values").to_pylist(), counts.field("counts").to_pylist(), strict=True)
    return Counter({value: count for value, count in pairs if value})
