"""The most memory that a program held, as the kernel counts it for that program alone."""

import itertools
import re
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import psutil  # type: ignore[import-untyped,import-not-found,unused-ignore]

SAMPLE_SECONDS = 0.02
HELPERS_EVERY = 10
KILOBYTE = 1024
_PRIVATE = re.compile(r"^Private_(?:Clean|Dirty): +(\d+) kB$", re.MULTILINE)
_HIGH_WATER = re.compile(r"^VmHWM:\s+(\d+) kB$", re.MULTILINE)


class HighWater(threading.Thread):
    """Watches the one program that this process starts while the block runs.

    Its child processes count with their unshared memory. ``peak`` is in bytes, 0 if nothing was
    measured. The kernel's figure after the end of a program (``ru_maxrss``) is useless for small
    programs: it includes the memory that the process had before ``exec``, which is that of its
    parent. The mark read here is reset by ``exec`` and never falls, so that only memory taken in
    the last moment can be missed.
    """

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak = 0
        self._over = threading.Event()
        self._parent = psutil.Process()
        self._command = self._parent.cmdline()
        self._others = {child.pid for child in self._parent.children()}

    def __enter__(self) -> "HighWater":
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self.join()

    def run(self) -> None:
        program: psutil.Process | None = None
        turns, helpers = itertools.count(), 0
        while not self._over.wait(SAMPLE_SECONDS):
            try:
                program = program or self._find()
                if program:
                    if next(turns) % HELPERS_EVERY == 0:
                        helpers = max(helpers, _of_helpers(program))
                    self.peak = max(self.peak, high_water(program) + helpers)
            except (psutil.NoSuchProcess, ProcessLookupError, FileNotFoundError):
                program = None

    def _find(self) -> psutil.Process | None:
        """The child, once it is the program and no longer a copy of this process."""
        started = (each for each in self._parent.children() if each.pid not in self._others)
        return next((child for child in started if child.cmdline() != self._command), None)


def _of_helpers(program: psutil.Process) -> int:
    """What the processes that it has forked hold for themselves alone, in bytes (Linux)."""
    total = 0
    # Not by psutil: it reads all processes of the machine, which would slow the measurement down.
    with suppress(FileNotFoundError, ProcessLookupError):
        folder = Path(f"/proc/{program.pid}/task/{program.pid}")
        for pid in (folder / "children").read_text().split():
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
            total += sum(map(int, _PRIVATE.findall(rollup))) * KILOBYTE
    return total


def high_water(process: psutil.Process) -> int:
    """The most resident bytes so far; what is resident now where the kernel does not tell."""
    status = Path(f"/proc/{process.pid}/status")
    if status.exists() and (found := _HIGH_WATER.search(status.read_text())):
        return int(found[1]) * KILOBYTE
    size: int = process.memory_info().rss
    return size
