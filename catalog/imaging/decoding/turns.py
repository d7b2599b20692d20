"""Lets so many decode at once, of all processes of this machine, and one at a time for a key.

Locks of files need no server, and the system frees them when a process ends, however it ends. They
count among the containers that share the folder.
"""

import fcntl
import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

SLOTS = 2
WAIT_SECONDS = 5.0
_POLL_SECONDS = 0.02
_KEYS = 256  # files of locks; keys that share one wait for each other


class Busy(Exception):
    """Nobody got a turn in time; the client should come again in ``retry_seconds``."""

    retry_seconds = 3
    reason = "the server is busy drawing others"


class Turns:
    """The turns of a folder; of this process, at most ``most_waiting`` threads take part."""

    def __init__(
        self, folder: Path, *, most_waiting: int, wait_seconds: float = WAIT_SECONDS
    ) -> None:
        self.folder, self.wait_seconds = folder, wait_seconds
        self._threads = threading.BoundedSemaphore(most_waiting)

    @contextmanager
    def take(self, key: str) -> Iterator[Callable[[], int]]:
        """Wait until nobody else has ``key``; gives the function that waits for a slot.

        That one returns the slot's descriptor: the slot is taken for as long as any process has it.
        Raises Busy after ``wait_seconds`` for both together, or at once if too many wait.
        """
        if not self._threads.acquire(blocking=False):
            raise Busy
        deadline = time.monotonic() + self.wait_seconds
        with ExitStack() as stack:
            stack.callback(self._threads.release)
            self.folder.mkdir(parents=True, exist_ok=True)
            number = int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "big") % _KEYS
            self._lock([f"key-{number:02x}"], deadline, stack)
            yield lambda: self._lock([f"slot-{n}" for n in range(SLOTS)], deadline, stack)

    def _lock(self, names: list[str], deadline: float, stack: ExitStack) -> int:
        """Lock one of the files, which holds until the stack is left or the process ends."""
        while True:
            for name in names:
                file = os.open(self.folder / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    os.close(file)
                    continue
                stack.callback(os.close, file)
                return file
            if time.monotonic() >= deadline:
                raise Busy
            time.sleep(_POLL_SECONDS)
