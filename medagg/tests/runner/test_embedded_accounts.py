"""Under whose account the embedded servers run, and what that account may do."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from medagg.runner.embedded import EmbeddedServers
from medagg.tests.processes import (
    NOBODY,
    end_user,
    find_by_command,
    find_descendants,
    linux_only,
    read_command,
    read_line,
    root_only,
    run_user,
)
from medagg.tests.runner.embedded_folder import data_folder, query


@pytest.fixture
def var() -> Iterator[Path]:
    with data_folder() as folder:
        yield folder


@linux_only
def test_secrets_of_the_environment_are_not_shown_to_other_users(
    var: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_KEY", "do-not-show-me")

    with EmbeddedServers(var):
        commands = [read_command(pid) for pid in find_descendants(os.getpid())]

    assert commands
    assert not [command for command in commands if "do-not-show-me" in command]


@root_only
def test_root_hands_over_and_leaves_the_folders_above_closed(var: Path) -> None:
    var.parent.chmod(0o700)
    of_the_suite = find_descendants(os.getpid())

    with EmbeddedServers(var):
        owner = (var / "postgres").stat().st_uid
        pid = find_by_command("bin/postgres", find_descendants(os.getpid()) - of_the_suite)
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
    of_the_suite = find_descendants(os.getpid())

    with EmbeddedServers(var, postgres=False):
        pid = find_by_command("valkey-server", find_descendants(os.getpid()) - of_the_suite)
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
