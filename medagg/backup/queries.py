"""What backups ask PostgreSQL directly, in the schema that medagg's tables are in."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django.db.backends.utils import CursorWrapper
from psycopg2 import sql

# Rows in these are somebody's: a new installation has none.
OWN_ROWS = ("auth_user", "catalog_dataset", "collections_app_collection")

_COLUMNS = """
    SELECT column_name FROM information_schema.columns
    WHERE table_schema = current_schema() AND table_name = %s AND is_generated = 'NEVER'
    ORDER BY ordinal_position
"""
_OTHER_CLIENTS = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND backend_type = 'client backend'
      AND pid <> pg_backend_pid()
"""


def read_one_state(cursor: CursorWrapper) -> None:
    """First of all in a transaction: what others commit meanwhile is not seen."""
    cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")


def list_columns(cursor: CursorWrapper, table: str) -> list[str]:
    """Those that are stored; PostgreSQL computes the others again."""
    cursor.execute(_COLUMNS, [table])
    return [name for (name,) in cursor.fetchall()]


def copy_out(cursor: CursorWrapper, table: str, columns: Sequence[str], target: Any) -> None:
    statement = sql.SQL("COPY {} ({}) TO STDOUT").format(*_names(table, columns))
    with cursor.db.wrap_database_errors:
        cursor.cursor.copy_expert(statement, target)


def copy_in(cursor: CursorWrapper, table: str, columns: Sequence[str], source: Any) -> None:
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(*_names(table, columns))
    with cursor.db.wrap_database_errors:
        cursor.cursor.copy_expert(statement, source)


def _names(table: str, columns: Sequence[str]) -> tuple[sql.Composable, sql.Composable]:
    return sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, columns))


def read_sequences(cursor: CursorWrapper) -> dict[str, int]:
    """The last value that each has given; those without one have given none."""
    cursor.execute(
        "SELECT sequencename, last_value FROM pg_sequences"
        " WHERE schemaname = current_schema() AND last_value IS NOT NULL"
    )
    return dict(cursor.fetchall())


def set_sequences(cursor: CursorWrapper, values: dict[str, int]) -> None:
    for name, value in values.items():
        cursor.execute("SELECT setval(quote_ident(%s)::regclass, %s)", [name, value])


def list_tables(cursor: CursorWrapper) -> list[str]:
    cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = current_schema() ORDER BY 1")
    return [name for (name,) in cursor.fetchall()]


def has_rows(cursor: CursorWrapper, table: str) -> bool:
    """False also if there is no such table."""
    cursor.execute("SELECT to_regclass(%s)", [table])
    if cursor.fetchone()[0] is None:
        return False
    cursor.execute(sql.SQL("SELECT EXISTS (SELECT FROM {})").format(sql.Identifier(table)))
    return bool(cursor.fetchone()[0])


def count_other_clients(cursor: CursorWrapper) -> int:
    cursor.execute(_OTHER_CLIENTS)
    return int(cursor.fetchone()[0])


def empty_schema(cursor: CursorWrapper) -> None:
    """Without tables, functions and extensions; fails soon if somebody uses them after all."""
    cursor.execute("SET LOCAL lock_timeout = '10s'")
    cursor.execute("SELECT current_schema()")
    schema = sql.Identifier(cursor.fetchone()[0])
    for statement in (
        "DROP SCHEMA {} CASCADE",
        "CREATE SCHEMA {}",
        "GRANT USAGE ON SCHEMA {} TO PUBLIC",
    ):
        cursor.execute(sql.SQL(statement).format(schema))


@contextmanager
def without_triggers(cursor: CursorWrapper, tables: Sequence[str]) -> Iterator[None]:
    """Empties the tables; inside, our triggers do not number rows anew. Then keys are checked."""
    names = [sql.Identifier(table) for table in tables]
    # What migrations have written is checked now: a table with checks to come cannot be emptied.
    cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    cursor.execute(sql.SQL("TRUNCATE {} CASCADE").format(sql.SQL(", ").join(names)))
    for name in names:
        cursor.execute(sql.SQL("ALTER TABLE {} DISABLE TRIGGER USER").format(name))
    # A row may come before the one that it names.
    cursor.execute("SET CONSTRAINTS ALL DEFERRED")
    yield
    cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    for name in names:
        cursor.execute(sql.SQL("ALTER TABLE {} ENABLE TRIGGER USER").format(name))


def move_local_paths(cursor: CursorWrapper, old: str, new: str) -> None:
    cursor.execute(
        "UPDATE catalog_dataset SET local_path = %s || substr(local_path, length(%s) + 1)"
        " WHERE local_path = %s OR starts_with(local_path, %s || '/')",
        [new, old, old, old],
    )
