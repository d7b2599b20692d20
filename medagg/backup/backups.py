"""Writes all that must not be lost into one ZIP file, and restores it into an empty database.

In it are the rows of each table as PostgreSQL's COPY writes them, the secrets of var/, and last a
manifest with the state of the schema and the SHA-256 of each part. Not in it are the files of
datasets, which are backed up as files, archives, which can be built again with the same bytes, and
sessions. COPY needs no program but the database itself, which containers have nothing else of.
"""

import hashlib
import json
import lzma
import os
import stat
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from django.conf import settings
from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

from catalog.bulk.whole_file import replacing
from medagg.backup import queries
from medagg.runner.embedded import find_weakness

FORMAT = 1
MANIFEST = "manifest.json"
KEYS = {"secret-key", "pseudonym-key"}
# What manage.py keeps in var/ and cannot make again.
SECRETS = (*sorted(KEYS), "admin-password")
# Whoever was signed in signs in again.
NOT_KEPT = {"django_session", "medagg_session"}
# What reading a file that is damaged, or no backup at all, can end with.
DAMAGE = (
    AttributeError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)
CHUNK = 1 << 20
MAX_MANIFEST, MAX_SECRET = 16 << 20, 64 << 10


class BackupError(Exception):
    """It cannot be written or restored; the message says why and what to do."""


@dataclass(frozen=True)
class Contents:
    """What a backup holds: numbers of rows by table, and when it was made."""

    rows: dict[str, int]
    made_at: str


# --- Writing ---
def write_backup(target: Path) -> Contents:
    """Write the new file ``target``, for its owner's eyes alone; all or nothing.

    Raises BackupError, OSError.
    """
    if os.path.lexists(target):  # also a link that leads nowhere
        raise BackupError(f"{target} exists already. Name another file, or a folder.")
    manifest: dict[str, Any] = {"format": FORMAT, "made_at": timezone.now().isoformat()}
    with (
        replacing(target, mode=0o600, sync=True) as file,
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
    ):
        manifest |= _write_database(archive)
        manifest["secrets"] = _write_secrets(archive)
        manifest["dataset_roots"] = [str(root) for root in settings.DATASET_ROOTS]
        archive.writestr(MANIFEST, json.dumps(manifest, indent=1))
    return _describe(manifest)


def _write_database(archive: zipfile.ZipFile) -> dict[str, Any]:
    """One state of the database, also while others write to it."""
    with transaction.atomic(), connection.cursor() as cursor:
        queries.read_one_state(cursor)
        executor = MigrationExecutor(connection)
        tables = {}
        for table in sorted(set(connection.introspection.django_table_names(True)) - NOT_KEPT):
            columns = queries.list_columns(cursor, table)
            with archive.open(_part(table), "w", force_zip64=True) as part:
                summed = _Summed(part)
                queries.copy_out(cursor, table, columns, summed)
            tables[table] = {"columns": columns, "rows": summed.lines, "sha256": summed.sha256}
        return {
            "migrations": sorted(executor.loader.applied_migrations),
            "sequences": queries.read_sequences(cursor),
            "tables": tables,
        }


def _write_secrets(archive: zipfile.ZipFile) -> dict[str, str]:
    """Their SHA-256 by name."""
    sums = {}
    for name in SECRETS:
        path = settings.VAR_DIR / name
        if path.exists():
            body = path.read_bytes()
            archive.writestr(f"var/{name}", body)
            sums[name] = hashlib.sha256(body).hexdigest()
    return sums


class _Summed:
    """Passes on what is written, and counts lines: COPY writes each row as one."""

    def __init__(self, target: IO[bytes]) -> None:
        self._target = target
        self._digest = hashlib.sha256()
        self.lines = 0

    def write(self, body: bytes) -> int:
        self._digest.update(body)
        self.lines += body.count(b"\n")
        return self._target.write(body)

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()


# --- Restoring ---
def read_contents(source: Path) -> Contents:
    """What ``source`` holds, after each part was read and its sum compared.

    Raises BackupError: it is no backup, is damaged, or needs a newer medagg.
    """
    with _opened(source) as (archive, manifest):
        for table, facts in manifest["tables"].items():
            _check_part(archive, _part(table), facts["sha256"])
        for name, sha256 in manifest["secrets"].items():
            _check_part(archive, f"var/{name}", sha256)
        for name in KEYS.intersection(manifest["secrets"]):
            key = _read_small(archive, f"var/{name}", MAX_SECRET).decode().strip()
            if weakness := find_weakness(key):
                raise BackupError(f"{source}: the {name} in it {weakness}")
        known = set(MigrationExecutor(connection).loader.disk_migrations)
        newer = [node for node in map(tuple, manifest["migrations"]) if node not in known]
        if newer:
            raise BackupError(
                f"{source} was made by another version of medagg, which has the migration "
                f"{'.'.join(newer[0])}. Restore it with that version, then update."
            )
        return _describe(manifest)


def check_place(*, replace: bool) -> None:
    """Raises BackupError if the database is in use, is not ours, or, unless told, not empty."""
    with connection.cursor() as cursor:
        if others := queries.count_other_clients(cursor):
            raise BackupError(
                f"The database is in use by {others} other connection(s). Stop medagg first: "
                "the web server, the workers and beat."
            )
        tables = queries.list_tables(cursor)
        if tables and "django_migrations" not in tables:
            raise BackupError(
                f"The database holds tables that are not medagg's, such as {tables[0]}. "
                "Name an empty one in DATABASE_URL."
            )
        full = [table for table in queries.OWN_ROWS if queries.has_rows(cursor, table)]
    if full and not replace:
        raise BackupError(
            f"The database is not empty: {', '.join(full)} have rows. To delete all of it and put "
            "the backup in its place, add --replace."
        )


def restore(source: Path) -> None:
    """Replace the database by the backup, whole or not at all; its schema is as it was then.

    ``read_contents`` and ``check_place`` come first. Raises BackupError, DatabaseError, OSError.
    """
    with (
        _opened(source) as (archive, manifest),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        queries.empty_schema(cursor)
        _migrate_to(manifest["migrations"])
        _require_all_tables(cursor, source, manifest["tables"])
        _load(cursor, archive, manifest)
        _move_datasets(cursor, manifest["dataset_roots"])
        _restore_secrets(archive, manifest["secrets"])


def _migrate_to(applied: list[list[str]]) -> None:
    """The schema as it was, without rows other than those of migrations."""
    executor = MigrationExecutor(connection)
    graph = executor.loader.graph
    wanted = {node for node in map(tuple, applied) if node in graph.nodes}
    followed = {
        parent.key
        for node in wanted
        for parent in graph.node_map[node].parents
        if parent.key[0] == node[0]
    }
    last: list[Any] = sorted(wanted - followed)
    executor.migrate(last)


def _require_all_tables(cursor: CursorWrapper, source: Path, tables: Iterable[str]) -> None:
    made_by_migrations = {*queries.list_tables(cursor)} - NOT_KEPT - {"django_migrations"}
    if missing := sorted(made_by_migrations.difference(tables)):
        raise BackupError(
            f"{source} is no whole backup of medagg: it lacks tables, such as {missing[0]}."
        )


def _load(cursor: CursorWrapper, archive: zipfile.ZipFile, manifest: dict[str, Any]) -> None:
    tables = manifest["tables"]
    with queries.without_triggers(cursor, list(tables)):
        for table, facts in tables.items():
            with archive.open(_part(table)) as part:
                queries.copy_in(cursor, table, facts["columns"], part)
    queries.set_sequences(cursor, manifest["sequences"])


def _move_datasets(cursor: CursorWrapper, old_roots: list[str]) -> None:
    """Folders below a root of then are looked for below the root of now with the same place."""
    for old, new in zip(old_roots, settings.DATASET_ROOTS, strict=False):
        if old != str(new):
            queries.move_local_paths(cursor, old, str(new))


def _restore_secrets(archive: zipfile.ZipFile, names: dict[str, str]) -> None:
    """Last before the commit. What was there is overwritten: it belongs to the old database."""
    settings.VAR_DIR.mkdir(parents=True, exist_ok=True)
    for name in SECRETS:
        if name in names:
            with replacing(settings.VAR_DIR / name, mode=0o600, sync=True) as file:
                file.write(_read_small(archive, f"var/{name}", MAX_SECRET))


# --- Reading the file ---
@contextmanager
def _opened(source: Path) -> Iterator[tuple[zipfile.ZipFile, dict[str, Any]]]:
    if not stat.S_ISREG(source.stat().st_mode):  # a FIFO would be waited for
        raise BackupError(f"{source} is no file.")
    try:
        with zipfile.ZipFile(source) as archive:
            manifest = json.loads(_read_small(archive, MANIFEST, MAX_MANIFEST))
            if manifest["format"] != FORMAT:
                raise BackupError(f"{source} was made by a newer medagg: update this one first.")
            yield archive, manifest
    except DAMAGE as error:
        raise BackupError(f"{source} is no whole backup of medagg ({error}).") from error


def _read_small(archive: zipfile.ZipFile, name: str, most: int) -> bytes:
    """A member that is in memory as a whole."""
    with archive.open(name) as part:
        content = part.read(most + 1)
    if len(content) > most:
        raise zipfile.BadZipFile(f"{name} has more than {most:,} bytes")
    return content


def _check_part(archive: zipfile.ZipFile, name: str, sha256: str) -> None:
    digest = hashlib.sha256()
    with archive.open(name) as part:
        while chunk := part.read(CHUNK):
            digest.update(chunk)
    if digest.hexdigest() != sha256:
        raise zipfile.BadZipFile(f"{name} has another SHA-256 than the manifest says")


def _part(table: str) -> str:
    return f"tables/{table}.copy"


def _describe(manifest: dict[str, Any]) -> Contents:
    rows = {table: int(facts["rows"]) for table, facts in manifest["tables"].items()}
    made_at = datetime.fromisoformat(manifest["made_at"])
    return Contents(rows, made_at.isoformat())
