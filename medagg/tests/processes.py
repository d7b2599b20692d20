"""Real processes for the tests: starting them, finding their children, seeing them gone."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from medagg.runner.embedded.launch import launch_command, launch_environment

REPOSITORY = Path(__file__).resolve().parent.parent.parent
PATIENCE_SECONDS = 30.0

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="is about root handing over")

# An account without any rights, for what an ordinary user meets when the tests run as root.
NOBODY = (65534, 65534)

# Uses the servers of the folder in its argument until its standard input ends.
USER_OF_SERVERS = """
import sys
from pathlib import Path
from medagg.runner.embedded import EmbeddedError, EmbeddedServers
servers = EmbeddedServers(Path(sys.argv[1]))
try:
    servers.start()
except EmbeddedError as error:
    print("refused", error, flush=True)
else:
    print("started", flush=True)
    sys.stdin.read()
    servers.stop()
    print("stopped", flush=True)
"""


def bare_environment(var: Path, **more: str) -> dict[str, str]:
    """Ours without what the test run has set: a developer's shell that has configured nothing."""
    ours = ("DATABASE_URL", "REDIS_URL", "MEDAGG_", "PYTEST_", "DJANGO_")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
    return {**kept, "MEDAGG_ENV_FILE": os.devnull, "MEDAGG_VAR": str(var), **more}


def run_user(var: Path, *, account: tuple[int, int] | None = None) -> "subprocess.Popen[str]":
    """A process that uses the servers in `var` until its standard input is closed."""
    command: list[str | Path] = [sys.executable, "-c", USER_OF_SERVERS, str(var)]
    environment = bare_environment(var, PYTHONPATH=str(REPOSITORY))
    if account:
        # The interpreter may lie where only root may look.
        command = [
            *launch_command(
                command,
                parent_death_signal=signal.SIGKILL,
                account=account,
                reach=[Path(sys.executable)],
            )
        ]
        environment = launch_environment(environment)
    return subprocess.Popen(
        command,
        env=environment,
        cwd="/",
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def read_line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def end_user(process: "subprocess.Popen[str]") -> str:
    """Lets the user go; returns the rest of what it says."""
    said, _ = process.communicate(timeout=PATIENCE_SECONDS)
    return said.strip()


def run_manage(var: Path, *arguments: str, **more: str) -> "subprocess.CompletedProcess[str]":
    """`manage.py` with `arguments` from a shell that has configured nothing but the folder."""
    return subprocess.run(
        [sys.executable, str(REPOSITORY / "manage.py"), *arguments],
        env=bare_environment(var, **more),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def wait_until(
    condition: Callable[[], bool], *, what: str, seconds: float = PATIENCE_SECONDS
) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"still waiting: {what}"
        time.sleep(0.02)


def find_descendants(pid: int) -> set[int]:
    """The living processes below `pid`, without itself."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        parent = _read_parent(folder)
        children.setdefault(parent, []).append(int(folder.name))
    found: set[int] = set()
    waiting = [pid]
    while waiting:
        for child in children.get(waiting.pop(), []):
            found.add(child)
            waiting.append(child)
    return found


def find_by_command(text: str, among: Iterable[int]) -> int:
    """The oldest of the processes `among` whose command line contains `text`."""
    return min(pid for pid in among if text in read_command(pid))


def read_command(pid: int) -> str:
    """The command line of a process, its arguments parted by spaces; empty if it is gone."""
    try:
        raw = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return raw.replace(b"\0", b" ").decode(errors="replace").strip()


def any_alive(pids: Iterable[int]) -> bool:
    """Whether one of them runs. One that has ended and was not waited for counts as gone."""
    return any(_read_state(Path(f"/proc/{pid}")) not in ("", "Z", "X") for pid in pids)


def _read_stat(folder: Path) -> list[str]:
    try:
        # The name in parentheses may contain anything.
        return (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def _read_state(folder: Path) -> str:
    return next(iter(_read_stat(folder)), "")


def _read_parent(folder: Path) -> int:
    fields = _read_stat(folder)
    return int(fields[1]) if fields else 0
