"""The embedded servers after what should not have happened."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import environ
import psycopg2
import pytest

from medagg.runner.embedded import (
    EmbeddedError,
    EmbeddedServers,
    database_url,
)
from medagg.runner.embedded.places import places_in
from medagg.tests.processes import (
    any_alive,
    end_user,
    find_by_command,
    find_descendants,
    linux_only,
    read_line,
    run_user,
    wait_until,
)
from medagg.tests.runner.embedded_folder import data_folder, query


@pytest.fixture
def var() -> Iterator[Path]:
    with data_folder(is_new=False) as folder:
        yield folder


@pytest.fixture
def new_var() -> Iterator[Path]:
    with data_folder() as folder:
        yield folder


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
    of_the_suite = find_descendants(os.getpid())
    with EmbeddedServers(var) as servers:
        servers.check()
        ours = find_descendants(os.getpid()) - of_the_suite
        os.kill(find_by_command("valkey-server", ours), signal.SIGKILL)
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
        with suppress(ProcessLookupError):  # one of those before took it along
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


def test_an_interrupted_first_start_is_done_again(new_var: Path) -> None:
    draft = new_var / "postgres.new"
    draft.mkdir(parents=True)
    (draft / "PG_VERSION").write_text("18\n")

    with EmbeddedServers(new_var, redis=False):
        assert query(new_var, "SELECT 1") == [(1,)]
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


def test_data_of_another_version_are_left_alone(new_var: Path) -> None:
    data = new_var / "postgres"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("17\n")

    with pytest.raises(EmbeddedError, match=r"made by PostgreSQL 17, and this is PostgreSQL 18"):
        EmbeddedServers(new_var).start()

    assert (data / "PG_VERSION").read_text() == "17\n"


def test_a_folder_that_is_no_data_folder_is_left_alone(new_var: Path) -> None:
    (new_var / "postgres").mkdir(parents=True)
    (new_var / "postgres" / "thesis.txt").write_text("precious")

    with pytest.raises(EmbeddedError, match="not a PostgreSQL data folder"):
        EmbeddedServers(new_var).start()

    assert (new_var / "postgres" / "thesis.txt").read_text() == "precious"


def test_a_server_that_does_not_start_shows_the_end_of_its_log(var: Path) -> None:
    with EmbeddedServers(var):
        pass
    (var / "postgres" / "postgresql.conf").write_text("nonsense = 1\n")

    with pytest.raises(EmbeddedError, match="PostgreSQL did not start") as caught:
        EmbeddedServers(var).start()

    assert 'unrecognized configuration parameter "nonsense"' in str(caught.value)
    assert str(var / "log" / "postgres.log") in str(caught.value)


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
