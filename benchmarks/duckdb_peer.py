"""DuckDB over the same rows in memory: the bare GROUP BYs of the facets, and no page."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb  # type: ignore[import-untyped,import-not-found,unused-ignore]

from benchmarks.catalog_rows import FLAT_COLUMNS
from benchmarks.filter_sets import FACETS, FilterSet
from benchmarks.peer_queries import LISTS, duckdb_where

CORES = 2


@dataclass(frozen=True, slots=True)
class Counted:
    """``seconds`` for the counts of all facets and the total."""

    seconds: float
    total: int


@dataclass(frozen=True, slots=True)
class DuckTable:
    connection: "duckdb.DuckDBPyConnection"

    def count_facets(self, filters: FilterSet) -> Counted:
        """Each facet counted without its own filter, as our page does, and the total."""
        start = time.perf_counter()
        where, values = duckdb_where(filters, without="")
        total = self.connection.execute(
            f"SELECT count(*) FROM images WHERE {where}",  # noqa: S608 - names of columns
            values,
        ).fetchone()
        for name in FACETS:
            self._count(name, filters)
        return Counted(time.perf_counter() - start, total[0] if total else 0)

    def _count(self, name: str, filters: FilterSet) -> None:
        # With label_mode=all, labels also narrow their own facet.
        keeps = name == "label" and ("label_mode", "all") in filters.params
        where, values = duckdb_where(filters, without="" if keeps else name)
        column = f"unnest({LISTS[name]})" if name in LISTS else name
        self.connection.execute(
            f"SELECT {column} AS code, count(*) FROM images WHERE {where} GROUP BY code",  # noqa: S608
            values,
        ).fetchall()


@contextmanager
def open_duckdb(rows: Path) -> Iterator[DuckTable]:
    """The CSV of ``write_flat_rows`` as a table in memory, with as many threads as our workers."""
    types = dict.fromkeys(FLAT_COLUMNS, "VARCHAR")
    types |= {"id": "BIGINT", "width": "BIGINT", "height": "BIGINT", "size_bytes": "BIGINT"}
    columns = ", ".join(
        f"from_json({name}, '[\"VARCHAR\"]') AS {name}" if name in LISTS.values() else name
        for name in FLAT_COLUMNS
    )
    with duckdb.connect(config={"threads": CORES}) as connection:
        connection.execute(
            f"CREATE TABLE images AS SELECT {columns} FROM read_csv(?, header = false,"  # noqa: S608
            " quote = '\"', escape = '\"', columns = ?)",
            [str(rows), types],
        )
        yield DuckTable(connection)
