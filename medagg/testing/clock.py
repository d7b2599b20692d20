"""Processes whose clock is another one than the machine's: Debian's faketime."""

import subprocess
from datetime import timedelta

from medagg.testing.programs import require_program


def moved_clock(by: timedelta) -> dict[str, str]:
    """Environment variables for a process whose clock is to be ``by`` ahead, and goes on.

    Spans of time, which programs measure by the monotonic clock, and the times of files stay
    true. The test is skipped where the program cannot be had.
    """
    program = require_program("faketime")
    shown = subprocess.run(
        [program, "-f", "+0s", "env"], capture_output=True, text=True, check=True
    ).stdout
    (library,) = (line for line in shown.splitlines() if line.startswith("LD_PRELOAD="))
    return {
        "LD_PRELOAD": library.partition("=")[2],
        "FAKETIME": f"{by.total_seconds():+.0f}s",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "NO_FAKE_STAT": "1",
        "FAKE_UTIME": "0",
    }
