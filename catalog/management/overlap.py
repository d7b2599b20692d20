"""Overlaps two imports: while PostgreSQL writes one dataset, Python reads the next.

Sources are read one after the other and in order, by any thread, as two of them may share a file.
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
    """The import was stopped with Ctrl-C."""


class ReadOrder:
    """Lets tasks read one after the other, in the order of their numbers; can stop them all."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._next = 0
        self._is_stopped = False
        self._connections: list[Any] = []

    @contextmanager
    def wait_for(self, number: int) -> Iterator[Callable[[], None]]:
        """Wait for the turn of ``number`` and connect; yields a function that ends the turn early.

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
        """Let no further task begin."""
        with self._changed:
            self._is_stopped = True
            self._changed.notify_all()

    def cancel_queries(self) -> None:
        """Cancel the queries that are running now; their tasks fail."""
        for raw in list(self._connections):
            # The connection may have just been closed.
            with suppress(psycopg2.Error):
                raw.cancel()

    def check(self) -> None:
        """Raises Stopped after ``stop``."""
        if self._is_stopped:
            raise Stopped


class Overlap:
    """Runs tasks in threads, each with its own connection; a context manager that waits for all.

    Iterating begins the tasks and yields their futures in order, each when it is done. Leaving the
    context early stops and rolls back the running tasks, and cancels the others.
    """

    def __init__(self, tasks: Sequence[Callable[[], Any]], turns: ReadOrder) -> None:
        self._tasks, self._turns = tasks, turns
        self._pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="import")
        self._may_begin = threading.Event()
        self.futures: list[Future[Any]] = []

    def __enter__(self) -> "Overlap":
        return self

    def __iter__(self) -> Iterator[Future[Any]]:
        # None begins before all are known: Ctrl-C may come at any place here, and stops them all.
        for task in self._tasks:
            self.futures.append(self._pool.submit(self._run, task))
        self._may_begin.set()
        for future in self.futures:
            future.exception()  # waits
            yield future

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._turns.stop()
        self._may_begin.set()
        # Repeated, as a thread between two queries is not affected.
        while under_way := [future for future in self.futures if not future.done()]:
            self._turns.cancel_queries()
            wait(under_way, timeout=CANCEL_SECONDS)
        self._pool.shutdown()

    def _run(self, task: Callable[[], Any]) -> Any:
        self._may_begin.wait()
        try:
            return task()
        finally:
            connection.close()


def has_succeeded(future: Future[Any]) -> bool:
    return future.done() and not future.cancelled() and future.exception() is None
