"""Work beside the main thread of a build; each has a database connection of its own."""

import os
import pickle
import select
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, Generic, NoReturn, TypeVar

from django.db import connection, connections

T = TypeVar("T")

_WAIT_SECONDS = 1.0


# --- A thread: for work that waits ---
def _disconnect() -> None:
    """Of the thread that calls it: each has its own."""
    connection.close()


def read_ahead(items: Iterable[T]) -> Iterator[T]:
    """The same items; while one is used, the next one is made in a thread.

    What the making of an item raises is raised here when its turn comes.
    """
    iterator = iter(items)
    # The first one here: there is nothing to do meanwhile, and the thread has to connect first.
    found = _take(iterator)
    with ThreadPoolExecutor(1) as pool:
        try:
            while found:
                coming = pool.submit(_take, iterator)
                yield found[0]
                found = coming.result()
        finally:
            pool.submit(_disconnect)


def _take(iterator: Iterator[T]) -> tuple[T] | None:
    for item in iterator:
        return (item,)
    return None


# --- A process: for work that computes ---
class Answer(Generic[T]):
    """What a child process will have to say."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._answer: tuple[bool, Any] | None = None

    def result(self, *, on_wait: Callable[[], None] = lambda: None) -> T:
        """Wait for it; ``on_wait`` is called about once a second meanwhile, and may raise.

        Raises:
            ChildProcessError: the child has ended without an answer.
            Exception: the work has ended with it.
        """
        if self._answer is None:
            self._answer = self._wait(on_wait)
        is_done, value = self._answer
        if not is_done:
            raise value
        result: T = value
        return result

    @property
    def has_died(self) -> bool:
        """Whether the child has ended without an answer, as far as the system tells."""
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        events = dict(poll.poll(0)).get(self._fd, 0)
        return bool(events & select.POLLHUP) and not events & select.POLLIN

    def _wait(self, on_wait: Callable[[], None]) -> tuple[bool, Any]:
        answer = b"".join(self._read(on_wait))
        if not answer:
            raise ChildProcessError("a process of the build has died")
        try:
            found: tuple[bool, Any] = pickle.loads(answer)  # noqa: S301 - our own child wrote it
        except (EOFError, pickle.UnpicklingError) as error:
            raise ChildProcessError("a process of the build has died in its answer") from error
        return found

    def _read(self, on_wait: Callable[[], None]) -> Iterator[bytes]:
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        while True:
            if not poll.poll(_WAIT_SECONDS * 1000):
                on_wait()
                continue
            block = os.read(self._fd, 1 << 16)
            if not block:
                return
            yield block


@contextmanager
def in_child(work: Callable[[], T]) -> Iterator[Answer[T]]:
    """Do ``work`` in a child process beside the block; it outlives neither block nor parent.

    A thread would hinder the other one: whoever reads many small files gives up Python's lock with
    each system call, and waits for it behind the thread that computes. What the work returns or
    raises is pickled. The child shares the open files, and nothing else that it changes.
    """
    reading, writing = os.pipe()
    parent = os.getpid()
    with ExitStack() as stack:
        stack.callback(os.close, reading)
        # What a handler raises in the middle of a fork is lost: Python ignores it there.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        stack.callback(signal.pthread_sigmask, signal.SIG_SETMASK, mask)
        try:
            pid = os.fork()
            if pid == 0:
                os.close(reading)
                signal.pthread_sigmask(signal.SIG_SETMASK, mask)
                _work_and_exit(work, writing, parent)
        finally:
            os.close(writing)
        stack.callback(_end_child, pid)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)  # what has come meanwhile is raised here
        yield Answer(reading)


def _end_child(pid: int) -> None:
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _work_and_exit(work: Callable[[], object], fd: int, parent: int) -> NoReturn:
    """Never returns into the code of the parent, nor runs what that does at its end."""
    try:
        threading.Thread(target=_end_with, args=[parent], daemon=True).start()
        # The parent's session must be neither used nor closed: psycopg leaves it alone.
        connections[connection.alias] = connection.copy()
        try:
            answer = pickle.dumps((True, work()))
        except BaseException as error:  # noqa: BLE001 - the parent raises it
            answer = _pickle_error(error)
        with open(fd, "wb") as pipe:
            pipe.write(answer)
    finally:
        os._exit(0)


def _end_with(parent: int) -> None:
    """Nobody waits for the work of a parent that was killed."""
    while os.getppid() == parent:
        time.sleep(_WAIT_SECONDS)
    os._exit(1)


def _pickle_error(error: BaseException) -> bytes:
    try:
        answer = pickle.dumps((False, error))
        pickle.loads(answer)  # noqa: S301 - some errors can be written but not read
    except Exception:  # noqa: BLE001 - whatever it was, its words can be told
        return pickle.dumps((False, RuntimeError(f"{type(error).__name__}: {error}")))
    return answer
