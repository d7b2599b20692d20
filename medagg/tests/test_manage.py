"""`manage.py` outside of `up`: which commands get the embedded servers, and what else it says."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from django.utils.crypto import salted_hmac

from medagg.runner.embedded import EmbeddedServers
from medagg.testing.once import copy_new_postgres
from medagg.tests.processes import (
    REPOSITORY,
    any_alive,
    bare_environment,
    find_descendants,
    linux_only,
    run_manage,
    wait_until,
)

NAMED_KEY = "named-by-its-operator-" * 3
OTHER_SERVERS = {"DATABASE_URL": "postgres://db.invalid/medagg", "REDIS_URL": "redis://db.invalid"}
SHOW_DATABASE = "from django.db import connection as c; c.ensure_connection(); print(c.vendor)"


@pytest.fixture
def var() -> Iterator[Path]:
    with TemporaryDirectory(prefix="medagg manage ") as home:
        yield Path(home) / "var"


def test_a_command_gets_servers_and_leaves_none(var: Path) -> None:
    result = run_manage(var, "shell", "-v", "0", "-c", SHOW_DATABASE)

    assert result.stdout == "postgresql\n"
    assert (result.stderr, result.returncode) == ("", 0)
    assert (var / "postgres" / "PG_VERSION").exists()
    assert not [server for server in EmbeddedServers(var).servers if server.is_running()]


def test_two_commands_at_once_do_not_disturb_each_other(var: Path) -> None:
    command = [sys.executable, str(REPOSITORY / "manage.py"), "migrate", "contenttypes", "-v", "0"]
    shell = [sys.executable, str(REPOSITORY / "manage.py"), "shell", "-v", "0", "-c", SHOW_DATABASE]
    running = [
        subprocess.Popen(each, env=bare_environment(var), stderr=subprocess.PIPE, text=True)
        for each in (command, shell, shell)
    ]

    assert [process.communicate(timeout=120)[1] for process in running] == ["", "", ""]
    assert [process.returncode for process in running] == [0, 0, 0]


def test_a_secret_key_is_made_once_and_not_by_reading_the_settings(var: Path) -> None:
    load = "from medagg import settings; print(repr(settings.SECRET_KEY))"
    environment = bare_environment(var, SECRET_KEY="", PYTHONPATH=str(REPOSITORY))
    loaded = subprocess.run(
        [sys.executable, "-c", load], env=environment, capture_output=True, text=True, check=True
    )
    assert loaded.stdout == "''\n"
    assert not var.exists()

    show = "from django.conf import settings as s; print(s.SECRET_KEY)"
    first, second = (
        run_manage(
            var, "shell", "--no-imports", "-v", "0", "-c", show, SECRET_KEY="", **OTHER_SERVERS
        ).stdout
        for _ in range(2)
    )

    assert len(first) > 50
    assert first == second
    assert first.strip() == (var / "secret-key").read_text(encoding="ascii").strip()


def read_keys(var: Path, **environment: str) -> tuple[str, str]:
    """The secret key and the pseudonym of a patient, as a command knows them."""
    show = (
        "from django.conf import settings as s;"
        "from catalog.deidentification import make_pseudonym as name;"
        "print(s.SECRET_KEY, name('Ada 1815'))"
    )
    shown = run_manage(var, "shell", "-v", "0", "-c", show, **{"SECRET_KEY": "", **environment})
    assert shown.returncode == 0, shown.stderr
    key, name = shown.stdout.split()
    return key, name


def test_a_new_secret_key_leaves_patients_their_pseudonyms(var: Path) -> None:
    var.mkdir()
    key, name = read_keys(var, **OTHER_SERVERS)

    (var / "secret-key").unlink()  # as after a leak
    assert read_keys(var, SECRET_KEY=NAMED_KEY, **OTHER_SERVERS) == (NAMED_KEY, name)
    assert key not in (NAMED_KEY, (var / "pseudonym-key").read_text().strip())


def test_patients_keep_the_pseudonyms_of_an_earlier_version(var: Path) -> None:
    """It had one key for both."""
    var.mkdir()
    (var / "secret-key").write_text("the-only-one-" * 5)
    by_secret_key = (
        "anon-"
        + salted_hmac(
            "catalog.dicom-subject", "Ada 1815", "the-only-one-" * 5, algorithm="sha256"
        ).hexdigest()[:16]
    )

    assert read_keys(var, **OTHER_SERVERS)[1] == by_secret_key
    assert (var / "pseudonym-key").read_text().strip() == "the-only-one-" * 5


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LOG_FORMAT", "loud"),
        ("LOG_LEVEL", "loud"),
        ("COLLECTION_LIFETIME_DAYS", "4000000"),
        ("COLLECTION_LIFETIME_DAYS", "4e+06"),
    ],
)
def test_values_that_cannot_be_are_refused_in_one_line(var: Path, name: str, value: str) -> None:
    result = run_manage(var, "up", "--port", "0", **{name: value})

    assert result.returncode == 1
    assert result.stderr.startswith(f"medagg: {name} is “{value}”: it can be ")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(("name", "key"), [("SECRET_KEY", "short"), ("PSEUDONYM_KEY", "x" * 60)])
def test_a_key_that_can_be_guessed_is_refused(var: Path, name: str, key: str) -> None:
    result = run_manage(var, "up", "--port", "0", **{name: key})

    assert result.returncode == 1
    assert result.stderr.startswith(f"medagg: {name} can be guessed: it has {len(key)} characters")
    assert result.stderr.endswith("Make one: openssl rand -hex 32\n")
    assert not var.exists()


@pytest.mark.parametrize(
    "arguments", [["help"], ["version"], ["check"], ["migrate", "--help"], ["up", "--help"]]
)
def test_a_command_that_needs_no_server_starts_none(var: Path, arguments: list[str]) -> None:
    result = run_manage(var, *arguments)

    assert result.returncode == 0, result.stderr
    assert not (var / "postgres").exists()
    assert not (var / "redis").exists()


def test_an_unknown_command_starts_no_server(var: Path) -> None:
    result = run_manage(var, "migrat")

    assert "Did you mean migrate?" in result.stderr
    assert not (var / "postgres").exists()


def test_a_configured_database_is_used_instead(var: Path) -> None:
    result = run_manage(
        var, "shell", "-v", "0", "-c", "print(1)", DATABASE_URL="postgres://db.invalid/medagg"
    )

    assert result.stdout == "1\n"
    assert not (var / "postgres").exists()
    assert (var / "redis").exists()


def test_a_folder_that_cannot_be_used_is_one_clear_line(var: Path) -> None:
    var.mkdir()
    (var / "run").touch()

    result = run_manage(var, "migrate", SECRET_KEY="only-for-tests-" * 5)

    assert result.returncode == 1
    assert result.stderr == f"medagg: cannot write to {var}: File exists\n"


def test_without_the_requirements_it_says_how_to_get_them(tmp_path: Path) -> None:
    shutil.copy(REPOSITORY / "manage.py", tmp_path)

    # -S leaves site-packages out.
    result = subprocess.run(
        [sys.executable, "-S", str(tmp_path / "manage.py"), "check"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert result.returncode == 1
    assert result.stderr == (
        "medagg: No module named 'django'. Start it with `make run`, "
        "or use .venv/bin/python manage.py\n"
    )


@linux_only
def test_a_killed_command_leaves_nothing_behind(var: Path) -> None:
    copy_new_postgres(var)
    code = "import sys, time; print('there', flush=True); time.sleep(60)"
    command = [sys.executable, str(REPOSITORY / "manage.py"), "shell", "-v", "0", "-c", code]
    process = subprocess.Popen(
        command, env=bare_environment(var), stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "there\n"
    started = find_descendants(process.pid)
    assert started

    os.kill(process.pid, signal.SIGKILL)
    process.communicate()

    wait_until(lambda: not any_alive(started), what="the servers to end")
