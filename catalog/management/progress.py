"""How far an import is: a bar on a terminal, a plain line every few seconds elsewhere."""

import shutil
import time
from collections.abc import Callable
from typing import Any

TERMINAL_SECONDS = 0.2
LINE_SECONDS = 5.0
BAR = 24


class Display:
    """One line that is drawn over and over on a terminal, or plain lines elsewhere.

    ``out`` is a command's stderr, so that what a command reports stays alone on stdout. Elsewhere
    there is a line every ``line_seconds``.
    """

    def __init__(self, out: Any, *, line_seconds: float, clock: Callable[[], float]) -> None:
        self._out = out
        self._clock = clock
        self._is_terminal = bool(out.isatty())
        self._pause = TERMINAL_SECONDS if self._is_terminal else line_seconds
        self._shown_at = self.started_at = clock()
        self._is_drawn = False

    @property
    def seconds(self) -> float:
        """Since it was made."""
        return self._clock() - self.started_at

    def clear(self) -> None:
        """Take the bar away, before something else is written to the terminal."""
        if self._is_drawn:
            self._draw("")
            self._is_drawn = False

    def _draw(self, text: str) -> None:
        width = shutil.get_terminal_size().columns - 1
        self._out.write(f"\r{text[:width]:<{width}}\r", style_func=str, ending="")
        self._out.flush()
        self._is_drawn = True


class Progress(Display):
    """Counts rows over all datasets of a run; ``total`` is None where nobody knows it."""

    def __init__(
        self, out: Any, *, total: int | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(out, line_seconds=LINE_SECONDS, clock=clock)
        self._total = total
        self._earlier = 0
        self._rows = 0
        self._name = ""
        self._expected: int | None = None

    @property
    def rows(self) -> int:
        """Rows that were read so far, in all datasets."""
        return self._earlier + self._rows

    def start_dataset(self, name: str, *, rows: int | None) -> None:
        """What follows is of this dataset, of so many rows where that is known."""
        self._earlier, self._rows = self.rows, 0
        self._name, self._expected = name, rows

    def update(self, rows: int) -> None:
        """``rows`` of the present dataset are read; shown at most every few moments."""
        self._rows = rows
        now = self._clock()
        # What is read is merged next, which takes a while without any news.
        is_read = self._expected is not None and rows >= self._expected
        if now - self._shown_at < self._pause and not (is_read and self._is_terminal):
            return
        self._shown_at = now
        text = describe(self.rows, self._total, self.seconds) + (", storing" if is_read else "")
        if self._is_terminal:
            self._draw(f"{_bar(self.rows, self._total)}{self._name}: {text}")
        else:
            self._out.write(f"{self._name}: {text}", style_func=str)


def describe(rows: int, total: int | None, seconds: float) -> str:
    """``"1,200 of 4,000 rows, 600 rows/s, 0:05 left"``."""
    speed = rows / seconds if seconds > 0 else 0.0
    if not total or total < rows:
        return f"{rows:,} rows, {speed:,.0f} rows/s"
    left = f", {format_seconds((total - rows) / speed)} left" if speed else ""
    return f"{rows:,} of {total:,} rows, {speed:,.0f} rows/s{left}"


def format_seconds(seconds: float) -> str:
    """``"0:07"``, ``"12:30"``, ``"1:02:03"``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _bar(rows: int, total: int | None) -> str:
    if not total or total < rows:
        return ""
    return f"{draw_bar(BAR * rows // total)} {100 * rows // total:3}% "


def draw_bar(filled: int) -> str:
    """``"[####----]"``, with so many of ``BAR`` places filled."""
    return f"[{'#' * filled}{'-' * (BAR - filled)}]"
