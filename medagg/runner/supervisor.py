"""Starts medagg's processes, watches them, and stops them in order."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from medagg.runner.embedded.launch import launch_command, launch_environment
from medagg.runner.embedded.logs import LogFile

POLL_SECONDS = 0.1
# Between the end of a worker and its next start; one that ran for so long begins anew.
FIRST_PAUSE, LONGEST_PAUSE, CALM_SECONDS = 1.0, 60.0, 300.0
# About a third of what a page gets of a processor that both want, and all that is left.
BACKGROUND_NICE = 5
# The error lines of gunicorn, Celery and Django. Django also warns of every 404.
WORTH_SHOWING = re.compile(r"\b(ERROR|CRITICAL)\b")


class ProcessDiedError(Exception):
    """A process ended unexpectedly; the message names it and its log."""


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
    # Whether the site goes on without it until it is started again.
    revives: bool = False
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

    @property
    def end(self) -> str:
        """How it has ended by itself; empty while it runs, and before `start`."""
        code = self._popen.poll() if self._popen else None
        return "" if code is None else _describe_end(code)

    def check(self) -> None:
        """Raises ProcessDiedError if it has ended."""
        if self.end:
            raise ProcessDiedError(
                f"{self.name} has ended by itself ({self.end}).\n{self.log.describe_end()}"
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


class Reviver:
    """Starts a process again that has ended by itself, after pauses that grow while it ends soon.

    It never gives up: what it needs may be back at any time, as room on a full disk.
    """

    def __init__(self, process: Process, folder: Path, say: Callable[[str], None]) -> None:
        self._process, self._folder, self._say = process, folder, say
        self._pause = FIRST_PAUSE
        self._started = time.monotonic()
        self._due: float | None = None

    def check(self) -> None:
        now = time.monotonic()
        if self._due is None and self._process.end:
            self._plan(now, f"{self._process.name} has ended by itself ({self._process.end})")
        elif self._due is not None and now >= self._due:
            self._start(now)

    def _plan(self, now: float, why: str) -> None:
        if now - self._started > CALM_SECONDS:
            self._pause = FIRST_PAUSE
        self._due = now + self._pause
        where = self._process.log.path
        self._say(f"{why}, and is started again in {self._pause:.0f} s. Its log: {where}")
        self._pause = min(2 * self._pause, LONGEST_PAUSE)

    def _start(self, now: float) -> None:
        self._due, self._started = None, now
        self._process.stop(lambda: True)  # what it left behind
        try:
            self._process.start(self._folder)
        except OSError as error:  # as without memory for it
            self._plan(now, f"{self._process.name} does not start ({error})")


class Supervisor:
    """Groups of processes that all have to run. The groups are stopped one after the other."""

    def __init__(
        self, *groups: Sequence[Process], folder: Path, say: Callable[[str], None]
    ) -> None:
        self.groups = groups
        self.processes = [process for group in groups for process in group]
        self.folder = folder
        self.say = say
        self._revivers = {
            process.name: Reviver(process, folder, say)
            for process in self.processes
            if process.revives
        }

    def start(self) -> None:
        for process in self.processes:
            process.start(self.folder)

    def check(self, *, quiet: bool = False) -> None:
        """Starts again what has ended and may; raises ProcessDiedError for what may not.

        Unless `quiet`, says what errors they log.
        """
        for process in self.processes:
            (self._revivers.get(process.name) or process).check()
            for line in process.log.new_lines():
                if WORTH_SHOWING.search(line) and not quiet:
                    self.say(f"{process.name} | {line}")

    def stop(self, is_urgent: Callable[[], bool]) -> None:
        """Stops those of a group together, which takes as long as the slowest of them."""
        for group in self.groups:
            with ThreadPoolExecutor(len(group)) as threads:
                list(threads.map(lambda process: process.stop(is_urgent), group))


def threads_of_each(workers: int) -> int:
    """The threads of each of so many processes for pages."""
    return max(8, 96 // max(2, workers))


def web_process(
    *, listener: int, workers: int, log: LogFile, environment: Mapping[str, str] | None = None
) -> Process:
    """gunicorn on the listening socket `listener`, a descriptor.

    A quarter of a worker's threads is for pages alone (catalog.storage.web_threads). Each may
    keep a connection to the database, of which the embedded PostgreSQL allows 700.
    """
    threads = str(threads_of_each(workers))
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
        revives=True,
    )


def beat_process(*, log: LogFile) -> Process:
    """Celery beat, with the scheduler that the settings name."""
    options = {"--pidfile": "", "--loglevel": "INFO"}
    return Process(
        name="beat",
        command=_python("celery", "-A", "medagg", "beat", *_flatten(options)),
        log=log,
        stop_signals=[(signal.SIGTERM, 5)],
        parent_death_signal=signal.SIGTERM,
        revives=True,
    )


def _python(module: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", module, *arguments]


def _flatten(options: dict[str, str]) -> list[str]:
    return [part for option in options.items() for part in option]
