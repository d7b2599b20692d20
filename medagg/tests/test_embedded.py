"""The embedded servers, really started: sharing, crashes, accounts."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import environ
import kombu
import psycopg2
import pytest
import redis

from medagg.embedded import (
    EmbeddedError,
    EmbeddedServers,
    celery_broker_url,
    database_url,
    keeper,
    launch,
    redis_url,
)
from medagg.embedded.places import places_in
from medagg.tests.processes import (
    NOBODY,
    any_alive,
    end_user,
    find_by_command,
    find_descendants,
    linux_only,
    read_command,
    read_line,
    root_only,
    run_user,
    wait_until,
)


@pytest.fixture
def var() -> Iterator[Path]:
    """A data folder below a path with spaces. Nothing may run there after the test."""
    # Not tmp_path, which is too long for a socket and closed to other accounts.
    with TemporaryDirectory(prefix="medagg test ") as home:
        Path(home).chmod(0o755)
        yield Path(home) / "var"
        wait_until(lambda: not is_running(Path(home) / "var"), what="the servers to end")


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


def test_both_servers_serve_from_a_path_with_spaces(var: Path) -> None:
    with EmbeddedServers(var):
        assert query(var, "SELECT current_database(), current_user") == [("medagg", "medagg")]
        assert client(var).ping()


def test_nothing_listens_on_tcp_and_only_the_owner_reaches_the_sockets(var: Path) -> None:
    with EmbeddedServers(var):
        places = places_in(var)
        assert query(var, "SHOW listen_addresses") == [("",)]
        assert client(var).config_get("port") == {"port": "0"}
        for folder in (places.postgres_sockets, places.redis_socket.parent):
            assert folder.stat().st_mode & 0o077 == 0


def test_data_are_written_safely_and_tasks_are_never_evicted(var: Path) -> None:
    with EmbeddedServers(var):
        assert query(var, "SHOW fsync") == query(var, "SHOW data_checksums") == [("on",)]
        assert client(var).config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert client(var).config_get("appendonly") == {"appendonly": "yes"}


def test_the_database_knows_letters_beyond_ascii(var: Path) -> None:
    with EmbeddedServers(var):
        query(var, "CREATE EXTENSION pg_trgm; CREATE EXTENSION unaccent")
        assert query(var, "SHOW server_encoding") == [("UTF8",)]
        assert query(var, "SELECT upper('größe'), unaccent('größe')") == [("GRÖßE", "grosse")]
        assert query(var, "SELECT similarity('größe', 'grße') < 1, word_similarity('ö', 'ö')") == [
            (True, 1.0)
        ]
        assert query(var, "SELECT length(to_tsvector('simple', 'naïve–größe'))") == [(2,)]


def test_celery_reaches_redis_in_a_path_with_spaces(var: Path) -> None:
    with EmbeddedServers(var), kombu.Connection(celery_broker_url(redis_url(var, 5))) as broker:
        queue = broker.SimpleQueue("test")
        queue.put({"number": 1})
        assert queue.get(timeout=5).payload == {"number": 1}
        assert client(var).config_get("databases") == {"databases": "64"}


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


def test_only_what_is_not_configured_starts(var: Path) -> None:
    real = {"DATABASE_URL": "postgres://db/medagg", "REDIS_URL": "redis://cache/0"}

    def titles(environment: dict[str, str]) -> list[str]:
        servers = EmbeddedServers.not_configured_in(environment, var).servers
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


def test_users_that_come_at_once_share_one_start(var: Path) -> None:
    users = [run_user(var) for _ in range(4)]

    assert [read_line(user) for user in users] == ["started"] * 4

    for user in users:
        assert end_user(user) == "stopped"


def test_users_that_come_and_go_never_meet_a_dead_server(var: Path) -> None:
    with EmbeddedServers(var):
        pass
    for _ in range(3):
        users = [run_user(var) for _ in range(3)]
        for user in users:
            assert read_line(user) == "started"
            assert end_user(user) == "stopped"


@linux_only
def test_a_killed_user_leaves_nothing_behind(var: Path) -> None:
    user = run_user(var)
    assert read_line(user) == "started"
    started = find_descendants(user.pid)
    assert len(started) > 4

    user.kill()
    end_user(user)

    wait_until(lambda: not any_alive(started), what="the servers to follow their only user")


@linux_only
@pytest.mark.parametrize("name", ["keeper.py postgres", "keeper.py redis"])
def test_a_server_does_not_outlive_its_keeper(var: Path, name: str) -> None:
    user = run_user(var)
    assert read_line(user) == "started"
    killed = find_by_command(name, find_descendants(user.pid))
    kept = find_descendants(killed)

    os.kill(killed, signal.SIGKILL)

    wait_until(lambda: not any_alive(kept), what="the server to follow its keeper")
    end_user(user)


@linux_only
def test_a_user_learns_that_a_server_has_died(var: Path) -> None:
    with EmbeddedServers(var) as servers:
        servers.check()
        os.kill(find_by_command("redis-server", find_descendants(os.getpid())), signal.SIGKILL)
        wait_until(lambda: not servers.servers[1].is_running(), what="the end of Redis")

        with pytest.raises(EmbeddedError, match="Redis has ended") as caught:
            servers.check()
        assert str(var / "log" / "redis.log") in str(caught.value)


@linux_only
def test_the_next_start_recovers_from_a_crash_of_everything(var: Path) -> None:
    user = run_user(var)
    assert read_line(user) == "started"
    query(var, "CREATE TABLE kept AS SELECT 42 AS value")
    crashed = {user.pid, *find_descendants(user.pid)}

    for pid in crashed:
        os.kill(pid, signal.SIGKILL)
    end_user(user)
    wait_until(lambda: not any_alive(crashed), what="the crash")

    with EmbeddedServers(var):
        assert query(var, "SELECT value FROM kept") == [(42,)]


@linux_only
def test_a_lock_file_that_names_another_living_program_is_stale(var: Path) -> None:
    with EmbeddedServers(var) as servers:
        account = servers.servers[0].account
    # As after a reboot: the number in the file is a program's that has nothing to do with us.
    stranger = subprocess.Popen(["sleep", "60"], user=account.uid if account else None)
    try:
        for lock_file in (
            var / "postgres" / "postmaster.pid",
            places_in(var).postgres_sockets / ".s.PGSQL.5432.lock",
        ):
            lock_file.write_text(f"{stranger.pid}\n{var / 'postgres'}\n1700000000\n5432\n")

        with EmbeddedServers(var):
            assert query(var, "SELECT 1") == [(1,)]
    finally:
        stranger.kill()
        stranger.wait()


def test_an_interrupted_first_start_is_done_again(var: Path) -> None:
    draft = var / "postgres.new"
    draft.mkdir(parents=True)
    (draft / "PG_VERSION").write_text("18\n")

    with EmbeddedServers(var, redis=False):
        assert query(var, "SELECT 1") == [(1,)]
        assert not draft.exists()


def test_a_dropped_database_is_made_again(var: Path) -> None:
    with EmbeddedServers(var) as servers:
        config = environ.Env.db_url_config(database_url(var, "postgres"))
        connection = psycopg2.connect(host=config["HOST"], user=config["USER"], dbname="postgres")
        connection.autocommit = True
        with closing(connection):
            connection.cursor().execute("DROP DATABASE medagg")
        servers.stop()

        servers.start()
        assert query(var, "SELECT 1") == [(1,)]


def test_data_of_another_version_are_left_alone(var: Path) -> None:
    data = var / "postgres"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("17\n")

    with pytest.raises(EmbeddedError, match=r"made by PostgreSQL 17, and this is PostgreSQL 18"):
        EmbeddedServers(var).start()

    assert (data / "PG_VERSION").read_text() == "17\n"


def test_a_folder_that_is_no_data_folder_is_left_alone(var: Path) -> None:
    (var / "postgres").mkdir(parents=True)
    (var / "postgres" / "thesis.txt").write_text("precious")

    with pytest.raises(EmbeddedError, match="not a PostgreSQL data folder"):
        EmbeddedServers(var).start()

    assert (var / "postgres" / "thesis.txt").read_text() == "precious"


def test_a_server_that_does_not_start_shows_the_end_of_its_log(var: Path) -> None:
    with EmbeddedServers(var):
        pass
    (var / "postgres" / "postgresql.conf").write_text("nonsense = 1\n")

    with pytest.raises(EmbeddedError, match="PostgreSQL did not start") as caught:
        EmbeddedServers(var).start()

    assert 'unrecognized configuration parameter "nonsense"' in str(caught.value)
    assert str(var / "log" / "postgres.log") in str(caught.value)


def test_a_forked_child_does_not_stop_its_parents_servers(var: Path) -> None:
    with EmbeddedServers(var, postgres=False) as servers:
        child = os.fork()
        if child == 0:
            servers.stop()
            os._exit(0)
        os.waitpid(child, 0)

        assert client(var).ping()


@linux_only
def test_secrets_of_the_environment_are_not_shown_to_other_users(
    var: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_KEY", "do-not-show-me")

    with EmbeddedServers(var):
        commands = [read_command(pid) for pid in find_descendants(os.getpid())]

    assert commands
    assert not [command for command in commands if "do-not-show-me" in command]


@pytest.mark.parametrize("ending", ["stop", "kill"])
def test_a_throw_away_server_leaves_no_files(tmp_path: Path, ending: str) -> None:
    base = tmp_path / "base"
    pid = os.fork()
    if pid == 0:
        servers = EmbeddedServers(base, throwaway=True)
        servers.start()
        if ending == "stop":
            servers.stop()
        os._exit(0)
    os.waitpid(pid, 0)

    wait_until(lambda: not base.exists(), what="the folder to be removed")


@root_only
def test_root_hands_over_and_leaves_the_folders_above_closed(var: Path) -> None:
    var.parent.chmod(0o700)

    with EmbeddedServers(var):
        owner = (var / "postgres").stat().st_uid
        pid = find_by_command("bin/postgres", find_descendants(os.getpid()))
        assert owner != 0
        assert Path(f"/proc/{pid}").stat().st_uid == owner
        assert query(var, "SELECT 1") == [(1,)]

    assert var.parent.stat().st_mode & 0o777 == 0o700
    assert var.parent.stat().st_uid == 0


@root_only
@pytest.mark.parametrize(("mode", "capabilities"), [(0o755, {0}), (0o700, {1 << 1, 1 << 2})])
def test_a_server_keeps_one_capability_only_where_it_needs_it(
    var: Path, mode: int, capabilities: set[int]
) -> None:
    var.parent.chmod(mode)

    with EmbeddedServers(var, postgres=False):
        pid = find_by_command("redis-server", find_descendants(os.getpid()))
        status = Path(f"/proc/{pid}/status").read_text()

    assert int(status.partition("CapEff:")[2].split()[0], base=16) in capabilities


@root_only
def test_an_ordinary_user_starts_the_servers(var: Path) -> None:
    os.chown(var.parent, *NOBODY)
    user = run_user(var, account=NOBODY)

    assert read_line(user) == "started"
    owners = {Path(f"/proc/{pid}").stat().st_uid for pid in find_descendants(user.pid)}
    assert end_user(user) == "stopped"

    assert owners == {NOBODY[0]}


@root_only
def test_root_may_run_an_ordinary_users_clone_in_between(var: Path) -> None:
    os.chown(var.parent, *NOBODY)
    for account in (NOBODY, None, NOBODY):
        user = run_user(var, account=account)
        assert read_line(user) == "started"
        assert end_user(user) == "stopped"

    assert (var / "postgres").stat().st_uid == NOBODY[0]


@root_only
def test_an_ordinary_user_without_write_access_gets_a_clear_line(var: Path) -> None:
    user = run_user(var, account=NOBODY)

    assert read_line(user) == f"refused cannot write to {var}: Permission denied"
    end_user(user)


def test_the_two_scripts_agree_on_how_a_child_knows_its_parent() -> None:
    # They import nothing of medagg, and so not each other.
    assert keeper.PARENT_VARIABLE == launch.PARENT_VARIABLE
