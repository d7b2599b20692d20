"""Processes whose clock is another one than the machine's: Debian's faketime."""

import subprocess
from datetime import timedelta
from pathlib import Path

from medagg.testing.programs import require_program

_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where Linux has it  # nosec B108


def moved_clock(by: timedelta) -> dict[str, str]:
    """Environment variables for a process whose clock is to be ``by`` ahead, and goes on.

    Spans of time, which programs measure by the monotonic clock, and the times of files stay
    true. The test is skipped where the program cannot be had.
    """
    program = require_program("faketime")
    shown = subprocess.run(
        [program, "-f", "+0s", "env"], capture_output=True, text=True, check=True
    ).stdout
    values = dict(line.partition("=")[::2] for line in shown.splitlines())
    # Its own process has become another program and does not remove them. Named by its number, they
    # stop a later one that has this number again.
    for name in values["FAKETIME_SHARED"].split():
        for prefix in ("", "sem."):  # as sem_overview(7) has it
            (_SHARED_MEMORY / f"{prefix}{name.lstrip('/')}").unlink(missing_ok=True)
    return {
        "LD_PRELOAD": values["LD_PRELOAD"],
        "FAKETIME": f"{by.total_seconds():+.0f}s",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "NO_FAKE_STAT": "1",
        "FAKE_UTIME": "0",
    }
