"""The log files of the programs that medagg starts."""

import os
from collections import deque
from pathlib import Path
from typing import BinaryIO

LARGEST_BYTES = 10_000_000
LINES_SHOWN = 6


class LogFile:
    """A file that one program's output is appended to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        # Where this run's output begins, and how far `new_lines` has read.
        self._start = 0
        self._read = 0

    def open(self) -> BinaryIO:
        """Opens for appending, for this user's eyes only; a large old file is put aside first."""
        if self.path.exists() and self.path.stat().st_size > LARGEST_BYTES:
            self.path.replace(self.path.with_suffix(".log.1"))
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
        file = os.fdopen(os.open(self.path, flags, 0o600), "ab", buffering=0)
        self._start = self._read = file.seek(0, os.SEEK_END)
        return file

    def new_lines(self) -> list[str]:
        """The lines written since `open` or since the last call. A line in the making waits."""
        if not self.path.exists():
            return []
        with self.path.open("rb") as file:
            file.seek(self._read)
            whole, newline, _ = file.read().rpartition(b"\n")
        self._read += len(whole) + len(newline)
        return whole.decode(errors="replace").splitlines()

    def describe_end(self) -> str:
        """The last lines and the path, to be put under an error message."""
        if not self.path.exists():
            return f"There is no log in {self.path}."
        with self.path.open(encoding="utf-8", errors="replace") as file:
            file.seek(self._start)
            lines = deque((line.rstrip() for line in file if line.strip()), LINES_SHOWN)
        return "\n".join([f"Its log {self.path} ends:", *(f"  {line}" for line in lines)])
