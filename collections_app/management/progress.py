"""How far a long step is, in bytes: a bar on a terminal, a plain line now and then elsewhere."""

import shutil
import time
from collections.abc import Callable
from typing import Any

from catalog.formats import file_size
from catalog.management.progress import format_seconds

TERMINAL_SECONDS = 0.2
LINE_SECONDS = 10.0
BAR = 24


class BytesProgress:
    """Shows ``done`` of ``total`` bytes of a step; ``out`` is a command's stderr."""

    def __init__(
        self, out: Any, step: str, total: int, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._out = out
        self._step = step
        self._total = total
        self._clock = clock
        self._is_terminal = bool(out.isatty())
        self._pause = TERMINAL_SECONDS if self._is_terminal else LINE_SECONDS
        self._begun = self._shown = clock()
        self._is_drawn = False

    @property
    def seconds(self) -> float:
        """Since it was made."""
        return self._clock() - self._begun

    def update(self, done: int) -> None:
        """Show it, if it is time to."""
        if self._clock() - self._shown < self._pause:
            return
        self._shown = self._clock()
        share = min(1.0, done / self._total) if self._total else 0.0
        text = f"{self._step}: {file_size(done)} of {file_size(self._total)}"
        if done and share < 1:
            text += f", {format_seconds(self.seconds * (self._total - done) / done)} left"
        if not self._is_terminal:
            self._out.write(text, style_func=str)
            return
        filled = round(BAR * share)
        self._draw(f"[{'#' * filled}{'-' * (BAR - filled)}] {share:4.0%} {text}")

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
