"""The script that becomes another program, under another account and bound to its parent."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from medagg.runner.embedded.launch import CANNOT_START, launch_command, launch_environment
from medagg.tests.processes import NOBODY, any_alive, linux_only, root_only, wait_until

PARENT = """
import signal, subprocess, sys, time
from medagg.runner.embedded.launch import launch_command, launch_environment
command = launch_command(["/bin/sleep", "60"], parent_death_signal=signal.SIGTERM)
child = subprocess.Popen(command, env=launch_environment({}))
print(child.pid, flush=True)
time.sleep(60)
"""


def launch(
    command: list[str],
    *,
    account: tuple[int, int] | None = None,
    reach: list[Path] | None = None,
    through: tuple[str, ...] = (),
) -> "subprocess.CompletedProcess[str]":
    launched = launch_command(
        command, parent_death_signal=signal.SIGTERM, account=account, reach=reach or []
    )
    return subprocess.run(
        [*through, *launched],
        env=launch_environment({"KEPT": "yes"}),
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_program_gets_its_arguments_and_environment_unchanged() -> None:
    result = launch(["/bin/sh", "-c", 'echo "$1|$KEPT|$MEDAGG_PARENT_PID"', "sh", "a b $HOME"])

    assert result.stdout == "a b $HOME|yes|\n"


def test_the_programs_exit_code_is_passed_on() -> None:
    assert launch(["/bin/sh", "-c", "exit 7"]).returncode == 7


def test_a_program_that_is_missing_is_one_clear_line() -> None:
    result = launch(["/nowhere/at all"])

    assert result.returncode == CANNOT_START
    assert result.stderr == "medagg: cannot run /nowhere/at all: No such file or directory\n"


@linux_only
def test_the_program_gives_way_if_it_is_told_to() -> None:
    autogroup = Path("/proc/self/autogroup")
    look = f"import os; print(os.nice(0)); print(os.path.exists({str(autogroup)!r}) and "
    look += f"open({str(autogroup)!r}).read())"
    command = launch_command(
        [sys.executable, "-c", look], parent_death_signal=signal.SIGTERM, nice=10
    )
    done = subprocess.run(
        command, env=launch_environment(dict(os.environ)), start_new_session=True,
        capture_output=True, check=True, text=True, timeout=30,
    )  # fmt: skip
    own, of_session = done.stdout.split("\n", 1)
    assert own == "10"
    assert not autogroup.exists() or of_session.strip().endswith("nice 10")


@linux_only
def test_the_program_dies_with_its_parent() -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parent.parent.parent.parent,
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    wait_until(lambda: any_alive([child]), what="the child")

    parent.kill()
    parent.communicate()

    wait_until(lambda: not any_alive([child]), what="the child's end")


@linux_only
def test_a_program_whose_parent_has_died_before_does_not_start() -> None:
    command = launch_command(["/bin/echo", "started"], parent_death_signal=signal.SIGTERM)

    result = subprocess.run(
        command,
        env={"MEDAGG_PARENT_PID": str(os.getpid() + 1)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (result.stdout, result.returncode) == ("", CANNOT_START)


@root_only
def test_root_hands_over_completely() -> None:
    script = "id -u; id -g; id -G; grep Cap /proc/self/status"

    lines = launch(["/bin/sh", "-c", script], account=NOBODY).stdout.splitlines()

    assert lines[:3] == ["65534", "65534", "65534"]
    rights = dict(line.split(":\t") for line in lines[3:])
    assert {rights[name] for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {"0" * 16}


@root_only
def test_a_folder_closed_to_the_account_can_be_entered_but_nothing_written(
    tmp_path: Path,
) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    (closed / "file").write_text("read me")

    read = launch(["/bin/cat", str(closed / "file")], account=NOBODY, reach=[closed / "file"])
    written = launch(["/bin/touch", str(closed / "new")], account=NOBODY, reach=[closed / "file"])
    # As initdb looks for `postgres` beside itself, by access(2).
    found = launch(["/usr/bin/test", "-r", str(closed / "file")], account=NOBODY, reach=[closed])

    assert read.stdout == "read me"
    assert found.returncode == 0
    assert "Permission denied" in written.stderr


@root_only
@pytest.mark.skipif(not shutil.which("setpriv"), reason="takes capabilities away with setpriv")
def test_the_usual_capabilities_of_a_container_are_enough(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o700)

    result = launch(
        ["/bin/ls", str(tmp_path / "closed")],
        account=NOBODY,
        reach=[tmp_path / "closed" / "."],
        through=("setpriv", "--bounding-set=-dac_read_search"),
    )

    assert (result.returncode, result.stderr) == (0, "")


@root_only
@pytest.mark.parametrize("without", ["-dac_override,-dac_read_search", "-setpcap"])
@pytest.mark.skipif(not shutil.which("setpriv"), reason="takes capabilities away with setpriv")
def test_a_root_without_the_capability_is_told_what_to_do(tmp_path: Path, without: str) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)

    result = launch(
        ["/bin/true"],
        account=NOBODY,
        reach=[closed / "file"],
        through=("setpriv", f"--bounding-set={without}"),
    )

    assert result.returncode == CANNOT_START
    assert result.stderr == (
        f"medagg: the user with the id 65534 cannot reach {closed}/file; "
        "move the clone out of that folder, or set DATABASE_URL and REDIS_URL\n"
    )
