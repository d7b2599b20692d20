"""Datasette over the same rows in SQLite: the same columns, facets and page size.

It is given what helps it: indexes on the columns, statistics, no suggested facets, limits so high
that nothing is cut off. Its facets are counted within all filters, which is less work than ours.
"""

import csv
import re
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path

from benchmarks.catalog_rows import FLAT_COLUMNS
from benchmarks.folder import Folder, passed_on
from benchmarks.peer_queries import ONE_VALUE
from benchmarks.sites import Visitor, await_text, started

BATCH = 20_000
NUMBERS = frozenset({"id", "width", "height", "size_bytes"})
SETTINGS = {
    "facet_time_limit_ms": "600000",
    "sql_time_limit_ms": "600000",
    "facet_suggest_time_limit_ms": "0",
    "suggest_facets": "off",
    "allow_download": "off",
}
_LISTENS = re.compile(r"running on (http://\S+)")


def make_sqlite(rows: Path, path: Path) -> None:
    """Fills a new SQLite database from the CSV of ``write_flat_rows``."""
    path.unlink(missing_ok=True)
    columns = ", ".join(
        f"{name} {'INTEGER' if name in NUMBERS else 'TEXT'}{' PRIMARY KEY' * (name == 'id')}"
        for name in FLAT_COLUMNS
    )
    insert = f"INSERT INTO images VALUES ({', '.join('?' * len(FLAT_COLUMNS))})"  # noqa: S608
    with closing(sqlite3.connect(path)) as connection, rows.open(newline="") as file:
        connection.execute("PRAGMA journal_mode = OFF")
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute(f"CREATE TABLE images ({columns})")
        lines = ([value or None for value in line] for line in csv.reader(file))
        while batch := list(islice(lines, BATCH)):
            connection.executemany(insert, batch)
        for name in ONE_VALUE:
            connection.execute(f"CREATE INDEX images_{name} ON images ({name})")
        connection.execute("ANALYZE")
        connection.commit()


@contextmanager
def start_datasette(folder: Folder, path: Path) -> Iterator[Visitor]:
    """Datasette on a free port, and somebody who asks it. Raises SiteError."""
    settings = [part for name, value in SETTINGS.items() for part in ("--setting", name, value)]
    command = [
        sys.executable, "-m", "datasette", "serve", "--immutable", str(path), "--port", "0",
        *settings,
    ]  # fmt: skip
    log = folder.logs / "datasette.log"
    with started(command, passed_on(), log) as process:
        visitor = Visitor(await_text(log, _LISTENS, process), warm_up=["/-/versions.json"])
        yield visitor
        visitor.close()
