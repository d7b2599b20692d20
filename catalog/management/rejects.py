"""rejects.csv: the rows that an import could not take, each with its place and the reason."""

import contextlib
import csv
import os
from pathlib import Path
from typing import Any

from catalog.importers.rows import BadRow

COLUMNS = ("dataset", "line", "column", "value", "reason")


class RejectsFile:
    """Written beside its place and moved there at the end; no bad row, no file.

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
        self._writer.writerow([_guard(cell) for cell in cells])

    def close(self) -> None:
        if self._writer is not None:
            self._stack.close()
            self._partial.replace(self.path)
            self._writer = None


def _guard(cell: Any) -> Any:
    """A cell that no spreadsheet runs as a formula (OWASP, CSV injection); numbers stay."""
    if isinstance(cell, str) and cell[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return "'" + cell
    return cell
