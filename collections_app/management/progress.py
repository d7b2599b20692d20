"""How far a long step is, in bytes: a bar on a terminal, a plain line now and then elsewhere."""

import time
from collections.abc import Callable
from typing import Any

from catalog.formats import file_size
from catalog.management.progress import BAR, Display, draw_bar, format_seconds

LINE_SECONDS = 10.0


class BytesProgress(Display):
    """Shows ``done`` of ``total`` bytes of a step; ``out`` is a command's stderr."""

    def __init__(
        self, out: Any, step: str, total: int, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(out, line_seconds=LINE_SECONDS, clock=clock)
        self._step = step
        self._total = total

    def update(self, done: int) -> None:
        """Show it, if it is time to."""
        if self._clock() - self._shown_at < self._pause:
            return
        self._shown_at = self._clock()
        share = min(1.0, done / self._total) if self._total else 0.0
        text = f"{self._step}: {file_size(done)} of {file_size(self._total)}"
        if done and share < 1:
            text += f", {format_seconds(self.seconds * (self._total - done) / done)} left"
        if not self._is_terminal:
            self._out.write(text, style_func=str)
            return
        self._draw(f"{draw_bar(round(BAR * share))} {share:4.0%} {text}")
