"""The log files of the programs that medagg starts."""

import contextlib
import os
import shutil
from collections import deque
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

LARGEST_BYTES = 10_000_000
# Beside the present one: demo.log.1 is the latest of them.
OLD_KEPT = 3
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
        rotate_log(self.path)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
        file = os.fdopen(os.open(self.path, flags, 0o600), "ab", buffering=0)
        self._start = self._read = file.seek(0, os.SEEK_END)
        return file

    def new_lines(self) -> list[str]:
        """The lines written since `open` or since the last call. A line in the making waits."""
        if not self.path.exists():
            return []
        with self.path.open("rb") as file:
            if file.seek(0, os.SEEK_END) < self._read:  # it was rotated
                self._read = self._start = 0
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


def rotate_logs(folder: Path) -> None:
    """Rotates those logs in `folder` that have become large; cheap enough to be called often."""
    for path in folder.glob("*.log"):
        rotate_log(path)


def rotate_log(path: Path) -> None:
    """Moves what a large log has into another file, of which the last few are kept.

    The program that writes it goes on as before: it has the file open and appends, and nobody
    needs to tell it. What it writes in the moment between copying and emptying may get lost.
    """
    with contextlib.suppress(FileNotFoundError):
        if path.stat().st_size <= LARGEST_BYTES:
            return
        old = [path.with_name(f"{path.name}.{number}") for number in range(1, OLD_KEPT + 1)]
        for newer, older in reversed(list(pairwise(old))):
            if newer.exists():
                newer.replace(older)
        # What does not fit on a full disk is given up: a log must not stop the site.
        with contextlib.suppress(OSError):
            old[0].touch(mode=0o600)
            with path.open("rb") as source, old[0].open("wb") as target:
                shutil.copyfileobj(source, target)
        os.truncate(path, 0)
