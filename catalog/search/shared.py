"""A value that all threads of a process share, and that one of them renews.

Others read the last one meanwhile, as HTTP's stale-while-revalidate does (RFC 5861).
"""

import threading
import time
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

# To renew a value may take tenths of a second, and an import asks for it ten times in a second.
# Pages do not wait for that, unless what is known is older than this.
MAX_AGE_SECONDS = 2.0

T = TypeVar("T")


class _Seen(NamedTuple, Generic[T]):
    value: T
    # The time of ``time.monotonic`` at which it was true.
    at: float


class Shared(Generic[T]):
    """``renew`` gets the last value, or None, and returns it again where it is still true."""

    def __init__(self, renew: Callable[[T | None], T]) -> None:
        self._renew = renew
        self._seen: _Seen[T] | None = None
        self._lock = threading.Lock()

    def get(self, *, waits: bool = False) -> T:
        """The value as it is now.

        While another thread renews it, it is the value of up to two seconds ago, unless the caller
        ``waits``.
        """
        asked, seen = time.monotonic(), self._seen
        if seen and self._lock.locked() and not waits and asked - seen.at < MAX_AGE_SECONDS:
            return seen.value
        with self._lock:
            seen = self._seen
            # What another thread has seen since is as new as what this one would see.
            if seen is None or seen.at < asked:
                now = time.monotonic()
                seen = self._seen = _Seen(self._renew(seen.value if seen else None), now)
            return seen.value
