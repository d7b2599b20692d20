"""Starts medagg's processes, watches them, and stops them in order."""

import contextlib
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

from medagg.runner.embedded.launch import launch_command, launch_environment
from medagg.runner.embedded.logs import LogFile

POLL_SECONDS = 0.1
# About a third of what a page gets of a processor that both want, and all that is left.
BACKGROUND_NICE = 5
# The error lines of gunicorn, Celery and Django. Django also warns of every 404.
WORTH_SHOWING = re.compile(r"\b(ERROR|CRITICAL)\b")
# A signal to the whole process group arrives twice: directly and through make.
ECHO_SECONDS = 0.5
CAUGHT = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopRequested(BaseException):
    """A signal requested a stop. Not an Exception, as only `up` may handle it."""


class ProcessDiedError(Exception):
    """A process ended unexpectedly; the message names it and its log."""


class StopSignals:
    """Records SIGINT, SIGTERM and SIGHUP inside the context.

    As long as `interrupting` is true, the first of them raises StopRequested wherever the program
    is. Later it is only noted, so that no process is lost between its start and our knowing of it.
    """

    def __init__(self) -> None:
        self.count = 0
        self.interrupting = True
        self._before: dict[signal.Signals, Any] = {}
        self._last = -ECHO_SECONDS
        self._count_at_stop = 0
        self._had_terminal = sys.stdin is not None and sys.stdin.isatty()

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._note) for number in CAUGHT}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def ask_to_stop(self) -> bool:
        """Whether a signal has come, or the terminal that we were started from has gone.

        The kernel tells that only the first process of the terminal's session. A shell passes it
        on, but make, when a window was opened just for it, does not.
        """
        return self.count > 0 or (self._had_terminal and _has_hung_up(sys.stdin.fileno()))

    def begin_stop(self) -> None:
        """From now on, a further signal makes the stop urgent."""
        self.interrupting = False
        self._count_at_stop = self.count

    def is_urgent(self) -> bool:
        """Whether a signal came after `begin_stop`."""
        return self.count > self._count_at_stop

    def _note(self, number: int, frame: FrameType | None) -> None:
        now, before = time.monotonic(), self._last
        self._last = now
        if now - before < ECHO_SECONDS:
            return
        self.count += 1
        if self.interrupting:
            self.interrupting = False
            raise StopRequested


def _has_hung_up(descriptor: int) -> bool:
    poller = select.poll()
    poller.register(descriptor, 0)
    return any(event & select.POLLHUP for _, event in poller.poll(0))


@dataclass
class Process:
    """One long-running program in a process group of its own, writing to its own log."""

    name: str
    command: Sequence[str]
    log: LogFile
    # The signals that stop it, each with the seconds to wait before the next. SIGKILL to the whole
    # group always follows.
    stop_signals: Sequence[tuple[signal.Signals, float]]
    # The signal that the kernel sends it when this process is killed.
    parent_death_signal: signal.Signals
    pass_fds: Sequence[int] = ()
    # From 0 to 19: how far it gives way to the others.
    nice: int = 0
    # Added to our own environment.
    environment: Mapping[str, str] = field(default_factory=dict)
    _popen: subprocess.Popen | None = field(default=None, repr=False)

    def start(self, folder: Path) -> None:
        """Starts it with `folder` as its working directory."""
        command = launch_command(
            self.command, parent_death_signal=self.parent_death_signal, nice=self.nice
        )
        with self.log.open() as log:
            self._popen = subprocess.Popen(
                command,
                cwd=folder,
                env=launch_environment({**os.environ, "PYTHONUNBUFFERED": "1", **self.environment}),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=self.pass_fds,
                # The terminal's Ctrl-C must not reach it before its turn.
                start_new_session=True,
            )

    @property
    def pid(self) -> int | None:
        """Its process id, which is its group's too; None before `start` and after `stop`."""
        return self._popen.pid if self._popen else None

    @property
    def is_alive(self) -> bool:
        return self._popen is not None and self._popen.poll() is None

    def check(self) -> None:
        """Raises ProcessDiedError if it has ended."""
        if self._popen and self._popen.poll() is not None:
            raise ProcessDiedError(
                f"{self.name} has ended by itself ({_describe_end(self._popen.returncode)}).\n"
                f"{self.log.describe_end()}"
            )

    def stop(self, is_urgent: Callable[[], bool]) -> None:
        """Returns when it and all its children have ended. An urgent stop does not wait."""
        if self._popen is None:
            return
        for number, patience in self.stop_signals:
            if self._popen.poll() is None:
                self._popen.send_signal(number)
                _await_end(self._popen, patience, is_urgent)
        with contextlib.suppress(ProcessLookupError):  # the usual case: nobody is left
            os.killpg(self._popen.pid, signal.SIGKILL)
        self._popen.wait()
        self._popen = None


def _await_end(process: subprocess.Popen, patience: float, is_urgent: Callable[[], bool]) -> None:
    deadline = time.monotonic() + patience
    while process.poll() is None and time.monotonic() < deadline and not is_urgent():
        time.sleep(POLL_SECONDS / 2)


def _describe_end(code: int) -> str:
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


class Supervisor:
    """Groups of processes that all have to run. The groups are stopped one after the other."""

    def __init__(
        self, *groups: Sequence[Process], folder: Path, say: Callable[[str], None]
    ) -> None:
        self.groups = groups
        self.processes = [process for group in groups for process in group]
        self.folder = folder
        self.say = say

    def start(self) -> None:
        for process in self.processes:
            process.start(self.folder)

    def check(self, *, quiet: bool = False) -> None:
        """Raises ProcessDiedError if one has ended; unless `quiet`, says what errors they log."""
        for process in self.processes:
            process.check()
            for line in process.log.new_lines():
                if WORTH_SHOWING.search(line) and not quiet:
                    self.say(f"{process.name} | {line}")

    def stop(self, is_urgent: Callable[[], bool]) -> None:
        """Stops those of a group together, which takes as long as the slowest of them."""
        for group in self.groups:
            with ThreadPoolExecutor(len(group)) as threads:
                list(threads.map(lambda process: process.stop(is_urgent), group))


def web_process(
    *, listener: int, workers: int, log: LogFile, environment: Mapping[str, str] | None = None
) -> Process:
    """gunicorn on the listening socket `listener`, a descriptor.

    Three quarters of a worker's threads may send files (catalog.storage.transfers). Each thread may
    keep a connection to the database, of which PostgreSQL allows 100.
    """
    threads = str(max(8, 64 // max(2, workers)))
    options = {
        "--bind": f"fd://{listener}",
        "--worker-class": "medagg.runner.web_worker.WholeRequestWorker",
        "--workers": str(workers),
        "--threads": threads,
        # Each is a descriptor, of which a process has 1024; files and the database need some too.
        "--worker-connections": "800",
        # A collection's filters stand in the URL; this is the most that gunicorn allows.
        "--limit-request-line": "8190",
        # htmx repeats the whole URL in a header.
        "--limit-request-field_size": "16380",
        "--timeout": "120",
        # gunicorn would take a client's SCRIPT_NAME for that of a proxy on this machine.
        "--forwarder-headers": "",
        "--graceful-timeout": "8",
        "--logger-class": "medagg.observing.gunicorn_logger.GunicornLogger",
    }
    return Process(
        name="web",
        command=_python("gunicorn", "medagg.wsgi", "--no-control-socket", *_flatten(options)),
        log=log,
        stop_signals=[(signal.SIGTERM, 10), (signal.SIGQUIT, 2)],
        parent_death_signal=signal.SIGQUIT,
        pass_fds=[listener],
        environment={"WEB_THREADS": threads, **(environment or {})},
    )


def queue_workers(*, builders: int, log: Callable[[str], LogFile]) -> list[Process]:
    """A worker for each queue, so that builds and verifications of hours keep no other waiting.

    These two give way to pages, which somebody waits for; `log` is asked by the worker's name.
    """
    return [
        worker_process(name="worker", queues=["default"], concurrency=1, log=log("worker")),
        worker_process(
            name="verifier",
            queues=["verify"],
            concurrency=1,
            log=log("verifier"),
            nice=BACKGROUND_NICE,
        ),
        worker_process(
            name="builder",
            queues=["builds"],
            concurrency=builders,
            log=log("builder"),
            nice=BACKGROUND_NICE,
        ),
    ]


def worker_process(
    *, name: str, queues: Sequence[str], concurrency: int, log: LogFile, nice: int = 0
) -> Process:
    """A Celery worker. A task that outlives the warm shutdown is delivered again later."""
    options = {
        "--queues": ",".join(queues),
        "--concurrency": str(concurrency),
        "--loglevel": "INFO",
        # Unique, in case that a configured Redis serves more than one clone.
        "--hostname": f"medagg-{name}-{os.getpid()}@%h",
    }
    return Process(
        name=name,
        command=_python(
            "celery",
            "-A",
            "medagg",
            "worker",
            "--without-gossip",
            "--without-mingle",
            *_flatten(options),
        ),
        log=log,
        stop_signals=[(signal.SIGTERM, 20), (signal.SIGQUIT, 5)],
        # Not SIGQUIT: Celery's cold shutdown may hang when the broker ends at the same time. Its
        # pool asks the kernel to be killed with it.
        parent_death_signal=signal.SIGKILL,
        nice=nice,
    )


def beat_process(*, schedule: Path, log: LogFile) -> Process:
    """Celery beat, which stores the times of its last runs in the file `schedule`."""
    options = {"--schedule": str(schedule), "--pidfile": "", "--loglevel": "INFO"}
    return Process(
        name="beat",
        command=_python("celery", "-A", "medagg", "beat", *_flatten(options)),
        log=log,
        stop_signals=[(signal.SIGTERM, 5)],
        parent_death_signal=signal.SIGTERM,
    )


def _python(module: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", module, *arguments]


def _flatten(options: dict[str, str]) -> list[str]:
    return [part for option in options.items() for part in option]
