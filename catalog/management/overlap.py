"""Two imports at once: while PostgreSQL writes one dataset, Python reads the next.

Sources are read one after another and in order, whoever reads them: two of them may share a file.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from django.db import connection

WORKERS = 2


class Stopped(Exception):
    """The import was stopped from outside, with Ctrl-C."""


class Turns:
    """Who may read: each number once, in order."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._next = 0
        self._is_stopped = False

    @contextmanager
    def take(self, number: int) -> Iterator[Callable[[], None]]:
        """Wait for one's turn; call what it yields to pass it on, else its end does.

        Raises:
            Stopped: ``stop`` was called.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._next == number or self._is_stopped)
        self.check()

        def pass_on() -> None:
            with self._changed:
                self._next = max(self._next, number + 1)
                self._changed.notify_all()

        try:
            yield pass_on
        finally:
            pass_on()

    def stop(self) -> None:
        with self._changed:
            self._is_stopped = True
            self._changed.notify_all()

    def check(self) -> None:
        """Raises Stopped after ``stop``."""
        if self._is_stopped:
            raise Stopped


class Overlap:
    """Runs tasks in threads with connections of their own; a context, at whose end all are done.

    Iterating gives the futures in order, each when it is done. Leaving the context early stops what
    is under way, which is rolled back, and cancels the rest.
    """

    def __init__(self, tasks: Sequence[Callable[[], Any]], turns: Turns) -> None:
        self._turns = turns
        self._connections: list[Any] = []
        self._pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="import")
        self.futures: list[Future[Any]] = [self._pool.submit(self._run, task) for task in tasks]

    def __enter__(self) -> "Overlap":
        return self

    def __iter__(self) -> Iterator[Future[Any]]:
        for future in self.futures:
            future.exception()  # waits
            yield future

    def __exit__(self, *_: object) -> None:
        self._turns.stop()
        self._pool.shutdown(wait=False, cancel_futures=True)
        for raw in list(self._connections):
            raw.cancel()
        self._pool.shutdown()

    def _run(self, task: Callable[[], Any]) -> Any:
        connection.ensure_connection()
        raw = connection.connection
        self._connections.append(raw)
        try:
            return task()
        finally:
            self._connections.remove(raw)
            connection.close()


def has_succeeded(future: Future[Any]) -> bool:
    return future.done() and not future.cancelled() and future.exception() is None
