"""Loading everything: the whole command, and a bare COPY plus indexes of the same rows."""

import re
import sys
import time
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

from benchmarks.catalog_rows import count_rows
from benchmarks.figures import Figures, Goal, short, table
from benchmarks.folder import GROWN, LOADED, PLAIN, Folder, say
from benchmarks.processes import Run, run_measured

TITLE = "Import"
COMMAND = "load_catalog"
TABLES = ("catalog_image", "catalog_imagelabel")
MEMORY_GOAL_MB = 600
SHOWN_OF_REPORT = 3


def measure(folder: Folder, options: Namespace) -> Figures:
    """Loads into an empty database, copies, and so on by turns; then loads once more."""
    loads, copies = [], []
    for number in range(options.loads):
        loads.append(_load_anew(folder, options))
        say(f"  load {number + 1}: {loads[-1].seconds:.0f} s, {loads[-1].peak_bytes / 1e6:.0f} MB")
        if number == 0:
            _export(folder)
        copies.append(_copy(folder))
        say(f"  COPY and indexes: {copies[-1]['seconds']:.0f} s")
    with folder.connect(LOADED) as connection:
        counts = count_rows(connection)
    again = _load(folder, options)
    say(f"  once more, unchanged: {again.seconds:.0f} s")
    return {
        "counts": counts,
        "loads": [_describe_run(run) for run in loads],
        "copies": copies,
        "again": _describe_run(again),
        "ratio": median(run.seconds for run in loads) / median(c["seconds"] for c in copies),
    }


def _load_anew(folder: Folder, options: Namespace) -> Run:
    folder.drop_database(GROWN)  # made of what is replaced now
    folder.make_database(LOADED)
    _manage(folder, "migrate")
    return _load(folder, options)


def _load(folder: Folder, options: Namespace) -> Run:
    arguments = ["--rejects", str(folder.var / "rejects.csv")]
    for name in ("index", "tables"):
        if path := getattr(options, name):
            arguments += [f"--{name}", str(path.resolve())]
    return _manage(folder, COMMAND, *arguments)


def _manage(folder: Folder, command: str, *arguments: str) -> Run:
    return run_measured(
        [sys.executable, "manage.py", command, *arguments],
        environment=folder.environment(LOADED),
        log=folder.logs / f"{command}.log",
    )


def _describe_run(run: Run) -> Figures:
    lines = [line.strip() for line in run.log.splitlines() if line.strip()]
    return {
        "seconds": run.seconds,
        "cpu_seconds": run.cpu_seconds,
        "peak_bytes": run.peak_bytes,
        "said": lines[-SHOWN_OF_REPORT:],
    }


def _path(folder: Folder, name: str) -> Path:
    return folder.var / f"{name}.copy"


def _export(folder: Folder) -> None:
    """The loaded rows as files that COPY reads; not part of what is measured."""
    with folder.connect(LOADED) as connection, connection.cursor() as cursor:
        for name in TABLES:
            with _path(folder, name).open("wb") as file:
                cursor.copy_expert(f"COPY {name} TO STDOUT", file)


def _copy(folder: Folder) -> Figures:
    """COPY into plain tables, then the indexes that ours have; seconds of both."""
    with folder.connect(LOADED) as connection:
        columns, indexes = _columns(connection), _indexes(connection)
    folder.make_database(PLAIN)
    with folder.connect(PLAIN) as connection, connection.cursor() as cursor:
        for name in TABLES:
            cursor.execute(f"CREATE TABLE {name} ({columns[name]})")
        start = time.perf_counter()
        for name in TABLES:
            with _path(folder, name).open("rb") as file:
                cursor.copy_expert(f"COPY {name} FROM STDIN", file)
        copied = time.perf_counter()
        for statement in indexes:
            cursor.execute(statement)
        end = time.perf_counter()
    return {"seconds": end - start, "copy_s": copied - start, "index_s": end - copied,
            "indexes": len(indexes)}  # fmt: skip


def _columns(connection: Connection) -> dict[str, str]:
    """By table its columns with their types, and nothing that would have to be checked."""
    found = {}
    for name in TABLES:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT string_agg(quote_ident(attname) || ' ' || format_type(atttypid, atttypmod),"
                " ', ' ORDER BY attnum) FROM pg_attribute"
                " WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped"
                " AND attgenerated = ''",  # COPY leaves generated columns out
                [name],
            )
            found[name] = cursor.fetchone()[0]
    return found


def _indexes(connection: Connection) -> list[str]:
    """The statements that make the indexes of our tables, those of constraints included."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT indexdef FROM pg_indexes WHERE tablename = ANY(%s) ORDER BY indexname",
            [list(TABLES)],
        )
        return [re.sub(r"\bpublic\.", "", row[0]) for row in cursor]


def goals(figures: Figures) -> Iterator[Goal]:
    peak = max(run["peak_bytes"] for run in figures["loads"]) / 1e6
    yield Goal("import by a bare COPY plus indexes", figures["ratio"], 4, "×")
    yield Goal("memory of the import", peak, MEMORY_GOAL_MB, " MB")


def describe(figures: Figures) -> Iterator[str]:
    counts, again = figures["counts"], figures["again"]
    seconds = median(run["seconds"] for run in figures["loads"])
    yield (
        f"`manage.py {COMMAND}` into an empty database: vocabularies, {counts['datasets']:,} "
        f"datasets, of which {counts['datasets_with_images']:,} with {counts['images']:,} images "
        f"and {counts['labels']:,} labels; rows checked, {counts['profiles']:,} profiles, counts "
        f"and search vectors made. That is {counts['images'] / seconds:,.0f} images a second. "
        "The peer is what PostgreSQL needs at least: COPY of just these rows, written out before, "
        f"into two tables without constraints, then the same {figures['copies'][0]['indexes']} "
        "indexes. The two by turns; memory is that of the command's processes together."
    )
    yield ""
    rows = []
    for number, (run, copy) in enumerate(zip(figures["loads"], figures["copies"], strict=True), 1):
        copied = f"{short(copy['seconds'])} s ({short(copy['copy_s'])} + {short(copy['index_s'])})"
        rows.append(
            (
                f"{number}",
                f"{short(run['seconds'])} s",
                f"{short(run['cpu_seconds'])} s",
                copied,
                f"{short(run['seconds'] / copy['seconds'])}×",
                f"{run['peak_bytes'] / 1e6:.0f} MB",
            )
        )
    yield from table(
        ("run", "import", "its CPU time", "COPY + indexes", "ratio", "memory of the import"), rows
    )
    yield (
        f"Once more, with nothing changed: {short(again['seconds'])} s, "
        f"{again['peak_bytes'] / 1e6:.0f} MB."
    )
    yield ""
