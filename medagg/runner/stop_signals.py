"""The signals that ask `manage.py up` to stop."""

import select
import signal
import sys
import time
from types import FrameType, TracebackType
from typing import Any, Self

# A signal to the whole process group arrives twice: directly and through make.
ECHO_SECONDS = 0.5
CAUGHT = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopRequested(BaseException):
    """A signal requested a stop. Not an Exception, as only `up` may handle it."""


class StopSignals:
    """Records SIGINT, SIGTERM and SIGHUP inside the context.

    As long as `interrupting` is true, the first of them raises StopRequested wherever the program
    is. Later it is only noted, so that no process is lost between its start and our knowing of it.
    """

    def __init__(self) -> None:
        self.count = 0
        self.interrupting = True
        self._before: dict[signal.Signals, Any] = {}
        self._last = -ECHO_SECONDS
        self._count_at_stop = 0
        self._had_terminal = sys.stdin is not None and sys.stdin.isatty()

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._note) for number in CAUGHT}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def ask_to_stop(self) -> bool:
        """Whether a signal has come, or the terminal that we were started from has gone.

        The kernel tells that only the first process of the terminal's session. A shell passes it
        on, but make, when a window was opened just for it, does not.
        """
        return self.count > 0 or (self._had_terminal and _has_hung_up(sys.stdin.fileno()))

    def begin_stop(self) -> None:
        """From now on, a further signal makes the stop urgent."""
        self.interrupting = False
        self._count_at_stop = self.count

    def is_urgent(self) -> bool:
        """Whether a signal came after `begin_stop`."""
        return self.count > self._count_at_stop

    def _note(self, number: int, frame: FrameType | None) -> None:
        now, before = time.monotonic(), self._last
        self._last = now
        if now - before < ECHO_SECONDS:
            return
        self.count += 1
        if self.interrupting:
            self.interrupting = False
            raise StopRequested


def _has_hung_up(descriptor: int) -> bool:
    poller = select.poll()
    poller.register(descriptor, 0)
    return any(event & select.POLLHUP for _, event in poller.poll(0))
