"""Servers in folders of their own, for the tests of the embedded servers."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import environ
import psycopg2
import redis

from medagg.runner.embedded import EmbeddedServers, database_url, redis_url
from medagg.testing.once import copy_new_postgres
from medagg.tests.processes import wait_until


@contextmanager
def data_folder(*, is_new: bool = True) -> Iterator[Path]:
    """A data folder below a path with spaces. Nothing may run there at the end.

    One that is not new has seen a start of PostgreSQL.
    """
    # Not tmp_path, which is too long for a socket and closed to other accounts.
    with TemporaryDirectory(prefix="medagg test ") as home:
        Path(home).chmod(0o755)
        var = Path(home) / "var"
        if not is_new:
            copy_new_postgres(var)
        yield var
        wait_until(lambda: not is_running(var), what="the servers to end")


def is_running(var: Path) -> bool:
    return any(server.is_running() for server in EmbeddedServers(var).servers)


def query(var: Path, statement: str) -> list[tuple]:
    config = environ.Env.db_url_config(database_url(var))
    connection = psycopg2.connect(
        host=config["HOST"], port=config["PORT"], user=config["USER"], dbname=config["NAME"]
    )
    with closing(connection), connection, connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall() if cursor.description else []


def client(var: Path) -> redis.Redis:
    return redis.Redis.from_url(redis_url(var), decode_responses=True)
