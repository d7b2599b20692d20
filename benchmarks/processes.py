"""Measuring the time and memory of programs from outside."""

import os
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil  # type: ignore[import-untyped,import-not-found,unused-ignore]

from benchmarks.folder import REPOSITORY

SAMPLE_SECONDS = 0.05
END_OF_LOG = 2000
# The unit of ru_maxrss on Linux.
KILOBYTE = 1024


class ProgramFailedError(Exception):
    """A program that is measured ended with an error; the message has the end of its log."""


@dataclass(frozen=True, slots=True)
class Run:
    """``peak_bytes`` is the most memory that the process and its children held at one time.

    ``cpu_seconds`` are theirs; what the database server computes meanwhile is not in them.
    """

    seconds: float
    cpu_seconds: float
    peak_bytes: int
    log: str


def run_measured(
    command: Sequence[str], *, environment: Mapping[str, str], log: Path, watched: bool = True
) -> Run:
    """Runs a program to its end. Raises ProgramFailedError.

    Memory is resident memory, sampled over the whole tree of processes, so that pages which they
    share count for each of them; never less than the kernel's own maximum for the largest one.
    Unless ``watched`` only that is known: to look at the tree goes through all processes of the
    machine, which a run of less than a second on all cores would feel.
    """
    start = time.perf_counter()
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env=environment, cwd=REPOSITORY
        )
    watch = _Watch(process.pid)
    if watched:
        watch.start()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if watched:
        watch.stop()
    text = log.read_text(encoding="utf-8", errors="replace")
    if process.returncode != 0:
        raise ProgramFailedError(f"{' '.join(command)} failed:\n{text[-END_OF_LOG:]}")
    cpu_seconds = usage.ru_utime + usage.ru_stime
    return Run(seconds, cpu_seconds, max(watch.peak, usage.ru_maxrss * KILOBYTE), text)


class _Watch(threading.Thread):
    """Samples the memory of a process and its children at intervals."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.pid = pid
        self.peak = 0
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.wait(SAMPLE_SECONDS):
            self.peak = max(self.peak, tree_bytes(self.pid))

    def stop(self) -> None:
        self._over.set()
        self.join()


def tree_bytes(pid: int) -> int:
    """Resident bytes of a process and its descendants; 0 when it has ended."""
    try:
        root = psutil.Process(pid)
        return sum(_resident(each) for each in [root, *root.children(recursive=True)])
    except psutil.NoSuchProcess:
        return 0


def _resident(process: psutil.Process) -> int:
    try:
        size: int = process.memory_info().rss
    except psutil.NoSuchProcess:
        return 0
    return size
