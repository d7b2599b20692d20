"""The roles of the embedded PostgreSQL: medagg's own is no superuser.

An error in medagg's SQL can then reach medagg's tables at most, and no file or program of the
server. It is no wall against whoever runs as medagg's account, who may enter the socket folder.
"""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psycopg2
from psycopg2 import errors, sql

from medagg.runner.embedded.places import DATABASE_NAME, DATABASE_USER

SUPERUSER = "postgres"
# Exists for a moment, because no session can rename its own role.
_RENAMER = "medagg_renamer"
_OWN_DATABASE = Path(__file__).with_name("own_database.sql")
_IS_READY = (
    "SELECT count(*) = 1 FROM pg_database WHERE datname = %s AND pg_get_userbyid(datdba) = %s"
)

# Connects as a role to a database, in autocommit mode.
Connect = Callable[[str, str], psycopg2.extensions.connection]


def connect_superuser(connect: Connect) -> psycopg2.extensions.connection:
    """The superuser's connection. Raises OperationalError if the server does not answer.

    In data of earlier versions medagg's own role was the first superuser, which nothing can
    demote. It is renamed, and medagg's objects go to a new role (`prepare_database`).
    """
    try:
        return connect(SUPERUSER, "postgres")
    except psycopg2.OperationalError:
        with closing(connect(DATABASE_USER, "postgres")) as connection:
            _rename_superuser(connection, connect)
        return connect(SUPERUSER, "postgres")


def _rename_superuser(connection: psycopg2.extensions.connection, connect: Connect) -> None:
    with connection.cursor() as cursor:
        # Until this session ends: several processes may start at a time.
        cursor.execute("SELECT pg_advisory_lock(hashtext('medagg.rename_superuser'))")
        cursor.execute("SELECT rolname = %s FROM pg_roles WHERE oid = 10", [DATABASE_USER])
        if not cursor.fetchone()[0]:
            return
        role = sql.Identifier(_RENAMER)
        cursor.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(role))
        cursor.execute(sql.SQL("CREATE ROLE {} SUPERUSER LOGIN").format(role))
        rename = sql.SQL("ALTER ROLE {} RENAME TO {}").format(
            sql.Identifier(DATABASE_USER), sql.Identifier(SUPERUSER)
        )
        with closing(connect(_RENAMER, "postgres")) as renamer, renamer.cursor() as other:
            other.execute(rename)
        cursor.execute(sql.SQL("DROP ROLE {}").format(role))


def prepare_database(
    connection: psycopg2.extensions.connection, connect: Connect, *, may_create: bool
) -> None:
    """Makes medagg's role own medagg's database, whether it was there or not.

    ``connection`` is the superuser's. ``may_create``: the role may make databases, as tests do.
    """
    with connection.cursor() as cursor:
        cursor.execute(_IS_READY, [DATABASE_NAME, DATABASE_USER])
        if cursor.fetchone()[0]:
            return
        cursor.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(_RENAMER)))
        _create_database(cursor)
        with closing(connect(SUPERUSER, DATABASE_NAME)) as inside, inside.cursor() as other:
            other.execute("BEGIN;" + _OWN_DATABASE.read_text(encoding="utf-8") + "COMMIT;")
        if may_create:
            cursor.execute(sql.SQL("ALTER ROLE {} CREATEDB").format(sql.Identifier(DATABASE_USER)))


def _create_database(cursor: psycopg2.extensions.cursor) -> None:
    cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE_NAME])
    if cursor.fetchone():
        return
    try:
        cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE_NAME)))
    except (errors.DuplicateDatabase, errors.UniqueViolation):
        return  # another process that started at the same time was faster
