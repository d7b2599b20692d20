"""rejects.csv: the rows that an import could not take, each with its place and the reason."""

import contextlib
import csv
import os
from pathlib import Path
from typing import Any

from catalog.csv_text import safe_cell
from catalog.importers.rows import BadRow

COLUMNS = ("dataset", "line", "column", "value", "reason")


class RejectsFile:
    """Written beside its place and moved there at the end; no bad row, no file.

    The list of an earlier import is then taken away, and nothing else that may lie there.

    Raises OSError where it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        if path.is_dir() or not os.access(path.parent, os.W_OK):
            raise PermissionError(f"{path} cannot be written; name another place with --rejects.")
        self.path = path
        self.count = 0
        self._partial = path.with_name(f".{path.name}.part")
        self._stack = contextlib.ExitStack()
        self._writer: Any = None

    def write(self, dataset: str, row: BadRow) -> None:
        """Add one bad row of a dataset."""
        if self._writer is None:
            file = self._stack.enter_context(
                self._partial.open("w", encoding="utf-8", errors="backslashreplace", newline="")
            )
            self._writer = csv.writer(file)
            self._writer.writerow(COLUMNS)
        self.count += 1
        cells = (dataset, row.line or "", row.column, row.value, row.reason)
        self._writer.writerow(map(safe_cell, cells))

    def close(self) -> None:
        if self._writer is not None:
            self._stack.close()
            self._partial.replace(self.path)
            self._writer = None
        elif self.count == 0 and _is_rejects_file(self.path):
            self.path.unlink()


def _is_rejects_file(path: Path) -> bool:
    """Whether it begins with our header: a person may have named any file."""
    if not path.is_file():
        return False
    header = ",".join(COLUMNS).encode()
    with path.open("rb") as file:
        return file.read(len(header) + 1) in (header + b"\r", header + b"\n")
