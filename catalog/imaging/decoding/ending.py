"""How the process of a picture ends: what ``child`` says of it, and ``decoder`` understands."""

import struct
from typing import NamedTuple

CPU_SECONDS = 8
# Longer than the processor time, since two processes may share a processor with all others.
WALL_SECONDS = 10
FAILED, NO_MEMORY, NOT_READ = 1, 3, 4  # exit codes
_ENDING = struct.Struct("<iQd?")


class Ending(NamedTuple):
    """How a limited process ended: its exit code or the negative number of its signal, its peak
    memory in KiB, its processor time in seconds, and whether it was ended for taking too long.
    """

    code: int
    peak_kib: int
    cpu_seconds: float
    is_overdue: bool

    def pack(self) -> bytes:
        return _ENDING.pack(*self)

    @classmethod
    def split(cls, answer: bytes) -> tuple[bytes, "Ending | None"]:
        """The answer without its ending, and that; None if the kept process did not write it."""
        if len(answer) < _ENDING.size:
            return b"", None
        return answer[: -_ENDING.size], cls(*_ENDING.unpack(answer[-_ENDING.size :]))
