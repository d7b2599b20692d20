"""medagg's role in the embedded PostgreSQL is no superuser, also in data of earlier versions."""

import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from medagg.runner.embedded import EmbeddedServers
from medagg.runner.embedded.places import places_in
from medagg.runner.embedded.postgres_server import PostgresServer, find_binaries
from medagg.runner.embedded.roles import SUPERUSER
from medagg.tests.deploy.compose import ROOT
from medagg.tests.runner.embedded_folder import data_folder, query

WHO = "SELECT rolsuper, rolcreatedb, rolcreaterole FROM pg_roles WHERE rolname = current_user"
OWNERS = (
    "SELECT DISTINCT pg_get_userbyid(relowner) FROM pg_class"
    " WHERE relnamespace = 'public'::regnamespace UNION"
    " SELECT pg_get_userbyid(proowner) FROM pg_proc WHERE proname = 'ours' UNION"
    " SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'medagg'"
)
# As earlier versions made it, with a row, an extension, a function and two kinds of sequences.
OLD_DATA = """
    CREATE EXTENSION pg_trgm;
    CREATE TABLE kept (id serial PRIMARY KEY, other int GENERATED ALWAYS AS IDENTITY, word text);
    CREATE INDEX ON kept USING gin (word gin_trgm_ops);
    CREATE VIEW seen AS SELECT word FROM kept;
    CREATE SEQUENCE of_nobody;
    CREATE FUNCTION ours() RETURNS int LANGUAGE sql RETURN 1;
    INSERT INTO kept (word) VALUES ('before');
"""
OLDER = "INSERT INTO kept (word) VALUES ('older'); ALTER TABLE kept ADD older int"
NEWER = (
    "INSERT INTO kept (word) VALUES ('newer'); CREATE OR REPLACE VIEW seen AS SELECT word FROM kept"
)


@pytest.fixture
def var() -> Iterator[Path]:
    with data_folder(is_new=False) as folder:
        yield folder


def ask(var: Path, *statements: str, role: str = SUPERUSER, database: str = "postgres") -> Any:
    """The rows of the last statement; each is a transaction of its own."""
    made = PostgresServer(places_in(var)).connect(role, database)
    with closing(made), made.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        return cursor.fetchall() if cursor.description else []


@contextmanager
def old_data(var: Path) -> Iterator[None]:
    """Data of an earlier version: the first superuser, which nothing can demote, is medagg.

    Its server runs inside.
    """
    with EmbeddedServers(var, redis=False):
        ask(var, "DROP DATABASE medagg", "DROP OWNED BY medagg", "DROP ROLE medagg")
        ask(var, "CREATE ROLE helper SUPERUSER LOGIN")
        ask(var, f"ALTER ROLE {SUPERUSER} RENAME TO medagg", role="helper")
        ask(var, "CREATE DATABASE medagg", "DROP ROLE helper", role="medagg")
        query(var, OLD_DATA)
        assert query(var, WHO) == [(True, True, True)]
        yield


def test_medaggs_role_has_one_right_beyond_its_own_database(var: Path) -> None:
    with EmbeddedServers(var, redis=False):
        assert query(var, WHO) == [(False, False, False)]
        assert query(var, OWNERS) == [("medagg",)]
        query(var, "SET session_replication_role = replica")
        with pytest.raises(Exception, match="permission denied"):
            query(var, "COPY (SELECT 1) TO PROGRAM 'cat'")
        with pytest.raises(Exception, match="permission denied"):
            query(var, "SELECT pg_read_file('/etc/passwd')")


def test_data_of_an_earlier_version_change_hands_and_stay(var: Path) -> None:
    with old_data(var):
        pass

    for more in (OLDER, NEWER):  # the second time there is nothing to do
        with EmbeddedServers(var, redis=False):
            assert query(var, WHO) == [(False, False, False)]
            assert query(var, OWNERS) == [("medagg",)]
            assert query(var, "SELECT rolname FROM pg_roles WHERE rolsuper") == [("postgres",)]
            query(var, more)
            words = query(var, "SELECT word FROM kept WHERE word % 'before' OR id > 1 ORDER BY id")
    assert words == [("before",), ("older",), ("newer",)]


@pytest.mark.django_db
def test_the_tests_themselves_run_without_a_superuser() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT rolsuper FROM pg_roles WHERE rolname = session_user")
        assert cursor.fetchone() == (False,)


def test_the_script_of_docker_compose_does_the_same(var: Path) -> None:
    """On the socket of a server of ours, as in the container `postgres`: it trusts its socket."""
    places = places_in(var)
    environment = {
        "PATH": f"{find_binaries()}:/usr/bin:/bin",
        "PGHOST": str(places.postgres_sockets),
        "POSTGRES_PASSWORD": "it's $(a) \\word",
        "OWN_DATABASE": str(ROOT / "medagg/runner/embedded/own_database.sql"),
    }
    script = ROOT / "medagg/deploy/postgres-roles.sh"
    with old_data(var):
        # As a run leaves it that was ended in the middle.
        query(var, "CREATE ROLE medagg_renamer SUPERUSER LOGIN")
        for _ in range(2):
            subprocess.run(["/bin/sh", script], env=environment, check=True, timeout=60)
        assert query(var, WHO) == [(False, False, False)]
        assert query(var, OWNERS) == [("medagg",)]
        stored = ask(var, "SELECT rolname, rolpassword IS NULL FROM pg_authid WHERE rolcanlogin")
        assert sorted(stored) == [("medagg", False), ("postgres", True)]
