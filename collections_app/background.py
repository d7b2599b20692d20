"""Work beside the main thread of a build; each thread has a database connection of its own."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from django.db import connection

T = TypeVar("T")


@contextmanager
def in_background(work: Callable[[], T]) -> Iterator[Future[T]]:
    """Do ``work`` beside the block, which ends no earlier than the work."""
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(_then_disconnect, work)


def _then_disconnect(work: Callable[[], T]) -> T:
    try:
        return work()
    finally:
        _disconnect()


def _disconnect() -> None:
    """Of the thread that calls it: each has its own."""
    connection.close()


def read_ahead(items: Iterable[T]) -> Iterator[T]:
    """The same items; while one is used, the next one is made in a thread.

    What the making of an item raises is raised here when its turn comes.
    """
    iterator = iter(items)
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(_take, iterator)
        try:
            while found := coming.result():
                coming = pool.submit(_take, iterator)
                yield found[0]
        finally:
            pool.submit(_disconnect)


def _take(iterator: Iterator[T]) -> tuple[T] | None:
    for item in iterator:
        return (item,)
    return None
