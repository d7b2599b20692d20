"""Lists of an import as CSV files: bad rows, and how many are too many; files with problems."""

import contextlib
import csv
import os
import re
import threading
from argparse import ArgumentTypeError
from collections.abc import Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import Any, NamedTuple

from catalog.bulk.csv_text import safe_cell
from catalog.bulk.whole_file import remove_old_partials, replacing
from catalog.importers.options import MAX_SHARE_REJECTED
from catalog.importers.refused_files import FILE_PROBLEMS, REJECTS
from catalog.importers.rows import BadRow, FileNote

COLUMNS = ("dataset", "line", "column", "value", "reason")
FILE_COLUMNS = ("dataset", "problem", "file", "line", "others", "what_to_do")


class Limit(NamedTuple):
    """The limit on bad rows, as in ``ImportLimits``."""

    max_rejected: int | None = None
    max_share: float = MAX_SHARE_REJECTED


def parse_limit(text: str) -> Limit:
    """``"25"`` or ``"2.5%"``; raises ArgumentTypeError."""
    share = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) ?%", text)
    if share and float(share[1]) <= 100:
        # 0% means no bad row at all; other shares always allow ALWAYS_ALLOWED rows.
        return Limit(max_share=float(share[1]) / 100) if float(share[1]) else Limit(0)
    if re.fullmatch("[0-9]{1,18}", text):
        return Limit(int(text))
    raise ArgumentTypeError(f"{text!r} is neither a number of rows nor a share such as 5%")


class ListFile:
    """Written beside its place and moved there at the end; without a row there is no file.

    The list of an earlier import is then taken away, and nothing else that may lie there.

    Raises OSError where it cannot be written.
    """

    def __init__(self, path: Path, columns: Sequence[str], option: str = "--rejects") -> None:
        if path.is_dir() or not os.access(path.parent, os.W_OK):
            raise PermissionError(f"{path} cannot be written; name another place with {option}.")
        self.path = path
        self.count = 0
        self._columns = columns
        self._stack = contextlib.ExitStack()
        self._writer: Any = None
        self._lock = threading.Lock()  # two datasets may be imported at a time

    def add(self, *cells: Any) -> None:
        """Add one row."""
        with self._lock:
            if self._writer is None:
                remove_old_partials(self.path.parent)
                file = self._stack.enter_context(replacing(self.path))
                text = TextIOWrapper(file, "utf-8", errors="backslashreplace", newline="")
                self._stack.callback(text.flush)
                self._writer = csv.writer(text)
                self._writer.writerow(self._columns)
            self.count += 1
            self._writer.writerow(map(safe_cell, cells))

    def close(self) -> None:
        if self._writer is not None:
            self._stack.close()
            self._writer = None
        elif self.count == 0 and self._is_earlier_list():
            self.path.unlink()

    def _is_earlier_list(self) -> bool:
        """Whether it begins with our header: a person may have named any file."""
        if not self.path.is_file():
            return False
        header = ",".join(self._columns).encode()
        with self.path.open("rb") as file:
            return file.read(len(header) + 1) in (header + b"\r", header + b"\n")


class RejectsFile(ListFile):
    """rejects.csv: the rows that an import could not take, each with its place and the reason."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, COLUMNS)

    def write(self, dataset: str, row: BadRow) -> None:
        """Add one bad row of a dataset."""
        self.add(dataset, row.line or "", row.column, row.value, row.reason)


def name_file_problems(rejects: str) -> str:
    """The name of the list of files beside the list of bad rows that is called so."""
    return (
        rejects.removesuffix(REJECTS) + FILE_PROBLEMS
        if rejects.endswith(REJECTS)
        else FILE_PROBLEMS
    )


class FileProblemsFile(ListFile):
    """file-problems.csv beside rejects.csv: files that ask for attention, one a row."""

    def __init__(self, rejects: Path) -> None:
        super().__init__(rejects.with_name(name_file_problems(rejects.name)), FILE_COLUMNS)

    def write(self, dataset: str, note: FileNote) -> None:
        """Add one file of a dataset."""
        self.add(dataset, note.problem, note.file, note.line or "", note.others, note.remedy)
