"""Two imports at once: while PostgreSQL writes one dataset, Python reads the next.

Sources are read one after another and in order, whoever reads them: two of them may share a file.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import psycopg2
from django.db import connection

WORKERS = 2
CANCEL_SECONDS = 0.2


class Stopped(Exception):
    """The import was stopped from outside, with Ctrl-C."""


class Turns:
    """Who may read: each number once, in order; and how to stop all who have begun."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._next = 0
        self._is_stopped = False
        self._connections: list[Any] = []

    @contextmanager
    def take(self, number: int) -> Iterator[Callable[[], None]]:
        """Wait for one's turn and connect; what it yields passes the turn on, as the end does.

        Raises:
            Stopped: ``stop`` was called.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._next == number or self._is_stopped)
        self.check()
        pass_on = partial(self._pass_on, number)
        try:
            connection.ensure_connection()
            raw = connection.connection
            self._connections.append(raw)
            try:
                yield pass_on
            finally:
                self._connections.remove(raw)
        finally:
            pass_on()

    def _pass_on(self, number: int) -> None:
        with self._changed:
            self._next = max(self._next, number + 1)
            self._changed.notify_all()

    def stop(self) -> None:
        """Nobody begins any more."""
        with self._changed:
            self._is_stopped = True
            self._changed.notify_all()

    def cancel_queries(self) -> None:
        """Cancel what is under way at this moment; whose query it is fails."""
        for raw in list(self._connections):
            # One that has just been closed needs no stopping.
            with suppress(psycopg2.Error):
                raw.cancel()

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
        self._pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="import")
        self.futures: list[Future[Any]] = [self._pool.submit(_run, task) for task in tasks]

    def __enter__(self) -> "Overlap":
        return self

    def __iter__(self) -> Iterator[Future[Any]]:
        for future in self.futures:
            future.exception()  # waits
            yield future

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._turns.stop()
        # Again and again: a thread that is between two queries just now has not noticed.
        while under_way := [future for future in self.futures if not future.done()]:
            self._turns.cancel_queries()
            wait(under_way, timeout=CANCEL_SECONDS)
        self._pool.shutdown()


def _run(task: Callable[[], Any]) -> Any:
    try:
        return task()
    finally:
        connection.close()


def has_succeeded(future: Future[Any]) -> bool:
    return future.done() and not future.cancelled() and future.exception() is None
