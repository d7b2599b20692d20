"""The folder of a benchmark, with its own servers, databases and results.

Nothing outside of it is read or written, so that a running catalog is not affected.
"""

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

from benchmarks.figures import Figures
from medagg.runner.embedded import EmbeddedServers, database_url, redis_url
from medagg.runner.embedded.places import DATABASE_NAME, DATABASE_USER, POSTGRES_PORT, places_in
from medagg.runner.embedded.roles import SUPERUSER

REPOSITORY = Path(__file__).resolve().parent.parent
# Our programs get only these from the shell, and no setting of another site.
PASSED_ON = ("PATH", "HOME", "USER", "LANG", "LC_ALL", "TMPDIR", "SSL_CERT_FILE")
# The databases: the real rows; the real rows several times; plain tables to be copied into.
LOADED, GROWN, PLAIN = "loaded", "grown", "plain"


class MissingResultError(Exception):
    """A step needs the result of another step; the message names that step."""


class Folder:
    """``var`` holds everything; ``servers`` run while the folder is open."""

    def __init__(self, var: Path) -> None:
        self.var = var.resolve()
        self.servers = EmbeddedServers(self.var)
        self.results = self.var / "results"
        self.logs = self.var / "log"

    @contextmanager
    def opened(self) -> Iterator["Folder"]:
        """Starts the servers, and stops them at the end. Raises EmbeddedError."""
        with self.servers:
            self.results.mkdir(exist_ok=True)
            yield self

    def environment(self, database: str) -> dict[str, str]:
        """The environment of a program that works on ``database``, as in production.

        Each database has a data folder for the rest, since two sites cannot share one.
        """
        place = self.var / f"site-{database}"
        place.mkdir(mode=0o711, exist_ok=True)
        return passed_on() | {
            "MEDAGG_ENV_FILE": os.devnull,
            "MEDAGG_VAR": str(place),
            "DATABASE_URL": database_url(self.var, database),
            "REDIS_URL": redis_url(self.var, 1 if database == GROWN else 0),
            "SECRET_KEY": "only-for-benchmarks-" + "x" * 50,
            "DEBUG": "0",
            "PYTHONUNBUFFERED": "1",
        }

    @contextmanager
    def connect(self, database: str) -> Iterator[Connection]:
        """The superuser's connection, which commits each statement by itself."""
        sockets = places_in(self.var).postgres_sockets
        made = psycopg2.connect(
            host=str(sockets), port=POSTGRES_PORT, user=SUPERUSER, dbname=database
        )
        made.autocommit = True
        with closing(made):
            yield made

    def make_database(self, name: str, *, template: str = "template0") -> None:
        """An empty database, or a copy of another; what was there before is dropped."""
        create = f"CREATE DATABASE {{}} TEMPLATE {{}} STRATEGY FILE_COPY OWNER {DATABASE_USER}"
        self.drop_database(name)
        with self.connect(DATABASE_NAME) as connection, connection.cursor() as cursor:
            cursor.execute(sql.SQL(create).format(sql.Identifier(name), sql.Identifier(template)))

    def drop_database(self, name: str) -> None:
        with self.connect(DATABASE_NAME) as connection, connection.cursor() as cursor:
            cursor.execute(
                sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
            )

    def has_database(self, name: str) -> bool:
        with self.connect(DATABASE_NAME) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT EXISTS (SELECT FROM pg_database WHERE datname = %s)", [name])
            found: bool = cursor.fetchone()[0]
        return found

    def need_database(self, name: str) -> None:
        """Raises MissingResultError unless the step ``load`` has filled it."""
        if not self.has_database(name):
            raise MissingResultError("there is no loaded catalog yet: run the step `load` first")

    def save(self, step: str, figures: Mapping[str, object]) -> None:
        text = json.dumps(figures, indent=1, ensure_ascii=False)
        (self.results / f"{step}.json").write_text(text + "\n", encoding="utf-8")

    def read(self, step: str) -> Figures | None:
        """What ``save`` wrote for a step, at any time; None if it has not run."""
        path = self.results / f"{step}.json"
        if not path.exists():
            return None
        figures: Figures = json.loads(path.read_text(encoding="utf-8"))
        return figures


def passed_on() -> dict[str, str]:
    """The environment variables that are passed on to every program."""
    return {name: os.environ[name] for name in PASSED_ON if name in os.environ}


def say(line: str = "") -> None:
    """Print a line of progress."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
