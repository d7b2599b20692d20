"""The pytest plugin: servers of its own for every run, and a real worker."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis
from django.conf import settings
from django.db import connection

from medagg.testing.environment import BASE_VARIABLE
from medagg.testing.worker import WorkerProcess
from medagg.tests.processes import (
    REPOSITORY,
    any_alive,
    bare_environment,
    find_descendants,
    linux_only,
    wait_until,
)

A_TEST = """
import os, time
from django.db import connection

def test_it(db):
    connection.ensure_connection()
    os.write(1, f"BASE={os.environ['MEDAGG_TEST_BASE']}\\n".encode())
    time.sleep(float(os.environ["SECONDS"]))
"""


def run_nested(folder: Path, seconds: float) -> tuple["subprocess.Popen[str]", Path]:
    """A test run of its own in `folder`; returns it with its temporary folder, once it tests."""
    (folder / "test_it.py").write_text(A_TEST)
    (folder / "pytest.ini").write_text(
        "[pytest]\nDJANGO_SETTINGS_MODULE = medagg.settings\naddopts = -p medagg.testing -s\n"
    )
    environment = bare_environment(
        folder / "var",
        PYTHONPATH=str(REPOSITORY),
        SECONDS=str(seconds),
        # A developer's real ones, which no test may touch.
        DATABASE_URL="postgres://production.invalid/medagg",
        REDIS_URL="redis://production.invalid/0",
    )
    run = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-q", "test_it.py"],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert run.stdout is not None
    for line in run.stdout:
        if "BASE=" in line:
            return run, Path(line.partition("BASE=")[2].strip())
    raise AssertionError("the run has ended before its test")


def test_a_run_uses_its_own_servers_and_removes_them(tmp_path: Path) -> None:
    run, base = run_nested(tmp_path, 0)

    said, _ = run.communicate(timeout=60)

    assert run.returncode == 0, said
    assert not base.exists()
    assert not (tmp_path / "var").exists()


@linux_only
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_run_that_is_ended_leaves_nothing_behind(tmp_path: Path, number: int) -> None:
    run, base = run_nested(tmp_path, 60)
    started = find_descendants(run.pid)
    assert started

    os.kill(run.pid, number)
    run.communicate(timeout=60)

    wait_until(lambda: not any_alive(started), what="the servers to end")
    wait_until(lambda: not base.exists(), what="the folder to go")


def test_each_worker_of_a_parallel_run_has_its_own_queue_and_database(db: None) -> None:
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")

    assert urlsplit(settings.REDIS_URL).query == f"db={int(worker[2:]) + 1 if worker else 0}"
    assert connection.settings_dict["NAME"] == f"test_medagg{'_' if worker else ''}{worker}"
    assert connection.settings_dict["HOST"].startswith(os.environ[BASE_VARIABLE])
    assert redis.Redis.from_url(settings.REDIS_URL).ping()


def test_the_data_folder_is_a_temporary_one() -> None:
    assert settings.VAR_DIR.is_relative_to(os.environ[BASE_VARIABLE])


@linux_only
def test_the_worker_works_on_the_database_and_the_queue_of_this_test(
    celery_worker_process: WorkerProcess,
) -> None:
    raw = Path(f"/proc/{celery_worker_process.pid}/environ").read_text()
    environment = dict(entry.split("=", 1) for entry in raw.split("\0") if "=" in entry)

    assert environment["DATABASE_URL"].endswith(f"/{connection.settings_dict['NAME']}")
    assert environment["REDIS_URL"] == settings.REDIS_URL
    assert environment["MEDAGG_VAR"] == str(settings.VAR_DIR)
    assert celery_worker_process.answers()


@linux_only
def test_a_killed_worker_is_gone_with_its_pool_and_can_be_started_again(
    celery_worker_process: WorkerProcess,
) -> None:
    before = celery_worker_process.pid
    processes = {before, *find_descendants(before)}

    celery_worker_process.kill()

    wait_until(lambda: not any_alive(processes), what="the pool to end")
    assert not celery_worker_process.is_alive
    assert not celery_worker_process.answers()

    celery_worker_process.restart(LOG_LEVEL="DEBUG")
    assert celery_worker_process.pid != before
    assert celery_worker_process.answers()


def test_a_worker_changed_by_one_test_is_an_ordinary_one_for_the_next(
    celery_worker_process: WorkerProcess,
) -> None:
    assert celery_worker_process.is_ordinary
    assert celery_worker_process.answers()
    assert "ready." in celery_worker_process.log
