"""The embedded servers, really started: what they are like, and who shares them."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import kombu
import pytest

from medagg.runner.embedded import (
    EmbeddedServers,
    celery_broker_url,
    keeper,
    launch,
    redis_url,
)
from medagg.runner.embedded.places import places_in
from medagg.tests.processes import (
    end_user,
    read_line,
    run_user,
)
from medagg.tests.runner.embedded_folder import client, data_folder, is_running, query


@pytest.fixture
def var() -> Iterator[Path]:
    with data_folder(is_new=False) as folder:
        yield folder


@pytest.fixture
def new_var() -> Iterator[Path]:
    with data_folder() as folder:
        yield folder


@pytest.fixture(scope="module")
def running() -> Iterator[Path]:
    """The folder of servers that run, started once for all tests that only look at them."""
    with data_folder() as folder, EmbeddedServers(folder):
        yield folder


def test_both_servers_serve_from_a_path_with_spaces(running: Path) -> None:
    assert " " in str(running)
    assert query(running, "SELECT current_database(), current_user") == [("medagg", "medagg")]
    assert client(running).ping()


def test_both_servers_serve_from_a_path_too_long_for_sockets(new_var: Path) -> None:
    long = new_var.parent / ("x" * 150) / "new_var"
    sockets = places_in(long).socket_home
    try:
        with EmbeddedServers(long):
            assert query(long, "SELECT 1") == [(1,)]
            assert client(long).ping()
            assert sockets.parent == Path("/tmp")  # noqa: S108
    finally:
        shutil.rmtree(sockets, ignore_errors=True)


def test_nothing_listens_on_tcp_and_only_the_owner_reaches_the_sockets(running: Path) -> None:
    places = places_in(running)
    assert query(running, "SHOW listen_addresses") == [("",)]
    assert client(running).config_get("port") == {"port": "0"}
    for folder in (places.postgres_sockets, places.redis_socket.parent):
        assert folder.stat().st_mode & 0o077 == 0


def test_data_are_written_safely_and_tasks_are_never_evicted(running: Path) -> None:
    assert query(running, "SHOW fsync") == query(running, "SHOW data_checksums") == [("on",)]
    assert client(running).config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
    assert client(running).config_get("appendonly") == {"appendonly": "yes"}


def test_the_database_has_a_connection_for_each_thread_of_as_many_workers_as_may_be(
    running: Path,
) -> None:
    ((allowed,),) = query(running, "SHOW max_connections")
    assert int(allowed) > 512 + 64 + 20


def test_the_database_knows_letters_beyond_ascii(running: Path) -> None:
    query(running, "CREATE EXTENSION pg_trgm; CREATE EXTENSION unaccent")
    assert query(running, "SHOW server_encoding") == [("UTF8",)]
    assert query(running, "SELECT upper('größe'), unaccent('größe')") == [("GRÖßE", "grosse")]
    assert query(running, "SELECT similarity('größe', 'grße') < 1, word_similarity('ö', 'ö')") == [
        (True, 1.0)
    ]
    assert query(running, "SELECT length(to_tsvector('simple', 'naïve–größe'))") == [(2,)]


def test_celery_reaches_redis_in_a_path_with_spaces(running: Path) -> None:
    with kombu.Connection(celery_broker_url(redis_url(running, 5))) as broker:
        queue = broker.SimpleQueue("test")
        queue.put({"number": 1})
        assert queue.get(timeout=5).payload == {"number": 1}
        assert client(running).config_get("databases") == {"databases": "64"}


def test_data_survive_a_restart(var: Path) -> None:
    with EmbeddedServers(var):
        query(var, "CREATE TABLE kept AS SELECT 42 AS value")
        client(var).set("kept", "42")
    assert not is_running(var)

    with EmbeddedServers(var):
        assert query(var, "SELECT value FROM kept") == [(42,)]
        assert client(var).get("kept") == "42"


def test_starting_and_stopping_twice_is_the_same_as_once(var: Path) -> None:
    servers = EmbeddedServers(var)
    servers.start()
    servers.start()
    assert is_running(var)
    servers.stop()
    servers.stop()
    assert not is_running(var)


def test_only_what_is_not_configured_starts(new_var: Path) -> None:
    real = {"DATABASE_URL": "postgres://db/medagg", "REDIS_URL": "redis://cache/0"}

    def titles(environment: dict[str, str]) -> list[str]:
        servers = EmbeddedServers.not_configured_in(environment, new_var).servers
        return [server.title for server in servers]

    assert titles({}) == ["PostgreSQL", "Redis"]
    assert titles({"DATABASE_URL": real["DATABASE_URL"], "REDIS_URL": ""}) == ["Redis"]
    assert titles({"REDIS_URL": real["REDIS_URL"]}) == ["PostgreSQL"]
    assert titles(real) == []


def test_the_last_user_stops_the_servers(var: Path) -> None:
    first = run_user(var)
    assert read_line(first) == "started"
    second = run_user(var)
    assert read_line(second) == "started"

    assert end_user(first) == "stopped"
    assert query(var, "SELECT 1") == [(1,)]
    assert client(var).ping()

    assert end_user(second) == "stopped"
    assert not is_running(var)


def test_users_that_come_at_once_share_one_start(new_var: Path) -> None:
    users = [run_user(new_var) for _ in range(4)]

    assert [read_line(user) for user in users] == ["started"] * 4

    for user in users:
        assert end_user(user) == "stopped"


def test_users_that_come_and_go_never_meet_a_dead_server(var: Path) -> None:
    for _ in range(3):
        users = [run_user(var) for _ in range(3)]
        for user in users:
            assert read_line(user) == "started"
            assert end_user(user) == "stopped"


def test_a_forked_child_does_not_stop_its_parents_servers(new_var: Path) -> None:
    with EmbeddedServers(new_var, postgres=False) as servers:
        child = os.fork()
        if child == 0:
            servers.stop()
            os._exit(0)
        os.waitpid(child, 0)

        assert client(new_var).ping()


def test_the_two_scripts_agree_on_how_a_child_knows_its_parent() -> None:
    # They import nothing of medagg, and so not each other.
    assert keeper.PARENT_VARIABLE == launch.PARENT_VARIABLE
