"""The Makefile's own part, seen with small scripts in the place of Python."""

import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from medagg.embedded.launch import launch_command, launch_environment
from medagg.tests.processes import NOBODY, REPOSITORY, root_only, wait_until

NAMES = ("python3", "python3.11", "python3.12", "python3.13", "python3.14")

# Writes its arguments down. Asked to make a virtual environment, it puts itself there.
RECORDING = """#!/bin/sh
echo "$*" >> "$RECORD"
case "$*" in *"-m venv"*) mkdir -p .venv/bin && cp "$0" .venv/bin/python;; esac
"""
TOO_OLD = """#!/bin/sh
exit 1
"""
WITHOUT_VENV = """#!/bin/sh
case "$*" in *ensurepip*) exit 1;; esac
"""
WITHOUT_NETWORK = """#!/bin/sh
case "$*" in
*"-m venv"*) mkdir -p .venv/bin && cp "$0" .venv/bin/python;;
*"pip install"*) exit 1;;
esac
"""
WAITING = """#!/bin/sh
case "$*" in
*"-m venv"*) mkdir -p .venv/bin && cp "$0" .venv/bin/python;;
*manage.py*) trap 'echo stopped >> "$RECORD"; exit 0' TERM INT; echo runs >> "$RECORD"
             while :; do sleep 0.05; done;;
esac
"""

pytestmark = pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")


class Clone:
    """A folder with the Makefile, in which `python3` is the script that a test gives."""

    def __init__(self, folder: Path, script: str) -> None:
        self.folder = folder / "my clone"
        self.record = folder / "record"
        self.tools = folder / "tools"
        self.tools.mkdir()
        self.folder.mkdir()
        for name in NAMES:
            (self.tools / name).write_text(script)
            (self.tools / name).chmod(0o755)
        for name in ("Makefile", "requirements.txt", "requirements-dev.txt"):
            shutil.copy(REPOSITORY / name, self.folder)

    @property
    def environment(self) -> dict[str, str]:
        return {"PATH": f"{self.tools}:{os.environ['PATH']}", "RECORD": str(self.record)}

    def make(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            ["make", *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )

    @property
    def calls(self) -> list[str]:
        return self.record.read_text().splitlines() if self.record.exists() else []


@pytest.fixture
def clone(tmp_path: Path) -> Callable[[str], Clone]:
    return lambda script: Clone(tmp_path, script)


def test_run_sets_up_and_starts_in_a_path_with_spaces(clone: Callable[[str], Clone]) -> None:
    here = clone(RECORDING)

    result = here.make("run")

    assert result.returncode == 0, result.stderr
    assert "-m venv --clear .venv" in here.calls
    assert any(call.endswith("-r requirements.txt") for call in here.calls)
    assert here.calls[-1] == "manage.py up --host 127.0.0.1 --port 8000"


def test_run_takes_a_port_and_further_arguments(clone: Callable[[str], Clone]) -> None:
    here = clone(RECORDING)

    here.make("run", "PORT=8123", "UP=--no-demo --workers 4")

    assert here.calls[-1] == "manage.py up --host 127.0.0.1 --port 8123 --no-demo --workers 4"


def test_a_second_run_installs_nothing(clone: Callable[[str], Clone]) -> None:
    here = clone(RECORDING)
    here.make("run")
    before = len(here.calls)

    result = here.make("run")

    assert result.stdout == ""
    assert not [call for call in here.calls[before:] if "pip" in call or "venv" in call]


def test_changed_requirements_are_installed_in_the_same_environment(
    clone: Callable[[str], Clone],
) -> None:
    here = clone(RECORDING)
    here.make("run")
    before = len(here.calls)
    with (here.folder / "requirements.txt").open("a") as file:
        file.write("another==1\n")

    here.make("run")

    assert [call for call in here.calls[before:] if "pip install" in call]
    assert not [call for call in here.calls[before:] if "-m venv" in call]


def test_test_installs_the_tools_and_runs_in_parallel(clone: Callable[[str], Clone]) -> None:
    here = clone(RECORDING)

    here.make("test", "ARGS=-k search")

    assert any(call.endswith("-r requirements-dev.txt") for call in here.calls)
    assert here.calls[-1] == "-m pytest -n auto -k search"


@pytest.mark.parametrize(
    ("script", "line"),
    [
        (TOO_OLD, "medagg: needs Python 3.11 or newer; name it if it is not on PATH: "),
        (WITHOUT_VENV, "medagg: Python's venv module is missing; on Debian and Ubuntu: "),
        (WITHOUT_NETWORK, "medagg: installing requirements.txt failed, see above"),
    ],
)
def test_what_is_missing_is_one_clear_line(
    clone: Callable[[str], Clone], script: str, line: str
) -> None:
    result = clone(script).make("run")

    assert result.returncode != 0
    assert result.stderr.startswith(line)
    # The second line is make's own.
    assert len(result.stderr.splitlines()) == 2


def test_a_failed_installation_is_tried_again(clone: Callable[[str], Clone]) -> None:
    here = clone(WITHOUT_NETWORK)
    here.make("run")

    assert "installing requirements.txt failed" in here.make("run").stderr


@root_only
def test_a_read_only_clone_is_one_clear_line(clone: Callable[[str], Clone], tmp_path: Path) -> None:
    here = clone(RECORDING)
    make = shutil.which("make") or ""
    command = launch_command(
        [make, "-C", here.folder, "run"],
        parent_death_signal=signal.SIGKILL,
        account=NOBODY,
        reach=[here.folder],
    )

    result = subprocess.run(
        command,
        env=launch_environment(here.environment),
        capture_output=True,
        text=True,
        check=False,
    )

    assert f"medagg: cannot write to {here.folder}\n" in result.stderr
    assert "-m venv" not in "".join(here.calls)


def test_a_signal_to_make_reaches_medagg(clone: Callable[[str], Clone]) -> None:
    here = clone(WAITING)
    make = subprocess.Popen(
        ["make", "run"], cwd=here.folder, env=here.environment, stdout=subprocess.DEVNULL
    )
    wait_until(lambda: "runs" in here.calls, what="the start")

    make.send_signal(signal.SIGTERM)
    make.wait(timeout=30)

    assert here.calls[-1] == "stopped"


def test_cleaning_keeps_the_data(clone: Callable[[str], Clone]) -> None:
    here = clone(RECORDING)
    kept = here.folder / "var" / "__pycache__" / "precious"
    gone = here.folder / "catalog" / "__pycache__" / "models.pyc"
    for file in (kept, gone):
        file.parent.mkdir(parents=True)
        file.touch()

    here.make("clean")

    assert kept.exists()
    assert not gone.exists()
