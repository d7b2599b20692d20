"""Sends messages to the broker, so that one that hangs takes a thread of a process, not all."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from kombu.exceptions import ChannelError, OperationalError

# The broker does not answer, or its memory is full.
NOT_QUEUED = (OperationalError, ChannelError)
# A broker that hangs takes ten seconds of one thread, and then of nobody for a while.
_LOCK_SECONDS = 0.5
_PAUSE_SECONDS = 10


class BrokerIsBusy(OperationalError):
    """Another thread waits for the broker, or it has not answered just now."""


class BrokerTurns:
    """One thread of a process asks the broker at a time, and none soon after it did not answer."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._paused_until = 0.0

    @contextmanager
    def take(self) -> Iterator[None]:
        """Raises BrokerIsBusy. After an error of NOT_QUEUED within it, others do not ask."""
        if self._is_paused() or not self._lock.acquire(timeout=_LOCK_SECONDS):
            raise BrokerIsBusy("it does not answer at the moment")
        try:
            if self._is_paused():
                raise BrokerIsBusy("it did not answer another request")
            yield
        except BrokerIsBusy:
            raise
        except NOT_QUEUED:
            self._paused_until = time.monotonic() + _PAUSE_SECONDS
            raise
        finally:
            self._lock.release()

    def forget(self) -> None:
        self._paused_until = 0.0

    def _is_paused(self) -> bool:
        return time.monotonic() < self._paused_until


broker_turns = BrokerTurns()
