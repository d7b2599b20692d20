"""What an import may do before it is stopped, and who hears of what it finds."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from catalog.importers.rows import BadRow, FileNote, Source

MAX_SHARE_REJECTED = 0.01
# So many rows are read unless more are allowed: a small file may unfold to any number of them.
MAX_ROWS = 10_000_000


@dataclass(frozen=True, slots=True)
class ImportLimits:
    """What an import may do; what goes beyond stops it, and nothing is changed.

    At most ``max_rejected`` bad rows are allowed or, if that is None, a share of ``max_share``, but
    always ``ALWAYS_ALLOWED`` of ``catalog.importers.store``. No more than ``max_rows`` are read.
    Without ``allow_removal`` most of a dataset's images are not removed: see ``removes_many``. With
    ``allow_move`` the dataset may have been imported from another place that is still there, and
    with ``allow_identifying`` DICOM files may tell who somebody is.
    """

    max_rejected: int | None = None
    max_share: float = MAX_SHARE_REJECTED
    max_rows: int = MAX_ROWS
    allow_removal: bool = False
    allow_move: bool = False
    allow_identifying: bool = False


def _ignore(*arguments: object) -> None:
    """Nobody listens."""


@dataclass(frozen=True, slots=True)
class Listeners:
    """What is called during an import.

    ``on_reject`` gets bad rows, and the conflicts of good ones; ``on_file`` each file that the
    report only counts; ``on_rows`` from time to time the number of rows that were read.
    ``on_read`` is called after the last row. ``check_stopped`` is called often while rows and files
    are read, from any thread, and what it raises stops the import.
    """

    on_reject: Callable[[BadRow], None] = _ignore
    on_file: Callable[[FileNote], None] = _ignore
    on_rows: Callable[[int], None] = _ignore
    on_read: Callable[[], None] = _ignore
    check_stopped: Callable[[], None] = _ignore


DEFAULT_LIMITS = ImportLimits()
NO_LISTENERS = Listeners()


@runtime_checkable
class ReportingSource(Source, Protocol):
    """A source that may read long without a row, or that finds files which become none.

    It calls ``check_stopped`` and ``on_file`` of its ``listeners`` meanwhile.
    """

    listeners: Listeners
