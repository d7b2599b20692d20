"""gunicorn's threaded worker, in which files on their way to slow clients hold up no page.

gunicorn sends a body in the thread that has answered the request. Eight slow downloads would
keep all eight threads of a process busy for as long as they last, while the process goes on to
accept connections that nobody answers. Here a thread that begins to send a large file leaves the
pool, and another takes its place: there are always as many threads for pages as ``--threads``
says, and as many connections to the database at most. The thread that has left gives its
connections back before the first byte, and ends with the last one.
"""

import socket
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, Future
from queue import SimpleQueue
from typing import Any, ParamSpec, TypeVar

from django.db import connections
from gunicorn.workers.gthread import ThreadWorker  # type: ignore[import-untyped]

# A smaller file is mostly taken by the socket's buffers at once.
LARGE_BYTES = 256 * 1024
# So many threads of a process may be away. Those of collections end at a lower limit of their own.
MAX_AWAY = 256
# A client that takes nothing for so long is cut off; it may resume by a range. nginx has the same.
STALL_SECONDS = 300.0

P = ParamSpec("P")
T = TypeVar("T")
Headers = list[tuple[str, str]]
Application = Callable[[dict[str, Any], Callable[..., object]], Iterable[bytes]]


class PagePool(Executor):
    """``size`` threads that take jobs, and those that have left with theirs.

    They are daemons: a process that is asked to end waits for downloads as long as gunicorn's
    ``--graceful-timeout`` says, and not for the last byte of the last one.
    """

    def __init__(self, size: int, *, max_away: int) -> None:
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._max_away = max_away
        self._num_away = 0
        self._size = size
        self._lock = threading.Lock()
        self._thread = threading.local()
        for _ in range(size):
            self._start()

    @property
    def num_away(self) -> int:
        """How many threads send a file now."""
        return self._num_away

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        future: Future[T] = Future()

        def run() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                result = fn(*args, **kwargs)
            # Whatever it is, it belongs to whoever asks for the result.
            except BaseException as error:  # noqa: BLE001
                future.set_exception(error)
            else:
                future.set_result(result)

        self._jobs.put(run)
        return future

    def leave(self) -> bool:
        """For a job that will take long: from now on its thread does not count.

        False if too many are away already; then the thread stays. Raises RuntimeError if the
        system grants no further thread.
        """
        with self._lock:
            if self._num_away >= self._max_away:
                return False
            self._start()
            self._num_away += 1
        self._thread.has_left = True
        return True

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """The threads end with the jobs that they have; gunicorn never asks to ``wait``."""
        for _ in range(self._size):
            self._jobs.put(None)

    def _start(self) -> None:
        threading.Thread(target=self._work, name="page", daemon=True).start()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
            if getattr(self._thread, "has_left", False):
                with self._lock:
                    self._num_away -= 1
                return


class LargeFiles:
    """A WSGI application around another one; ``leave`` is called before a large file is sent."""

    def __init__(self, application: Application, leave: Callable[[], bool]) -> None:
        self._application = application
        self._leave = leave

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., object]
    ) -> Iterable[bytes]:
        length = 0

        def start(status: str, headers: Headers, exc_info: Any = None) -> object:
            nonlocal length
            length = _find_length(headers)
            return start_response(status, headers, exc_info)

        body = self._application(environ, start)
        is_file = isinstance(body, environ["wsgi.file_wrapper"])
        if is_file and length >= LARGE_BYTES and environ["REQUEST_METHOD"] != "HEAD":
            self._prepare(environ["gunicorn.socket"], body)
        return body

    def _prepare(self, client: socket.socket, body: Any) -> None:
        try:
            self._leave()
            # All that was asked of the database is in the answer's head.
            connections.close_all()
            _limit_stalls(client)
        except BaseException:
            body.close()
            raise


class PageWorker(ThreadWorker):
    """For gunicorn's ``--worker-class``."""

    wsgi: Application
    tpool: PagePool

    def get_thread_pool(self) -> PagePool:
        return PagePool(self.cfg.threads, max_away=MAX_AWAY)

    def load_wsgi(self) -> None:
        super().load_wsgi()
        self.wsgi = LargeFiles(self.wsgi, self.tpool.leave)


def _find_length(headers: Headers) -> int:
    return next((int(value) for name, value in headers if name.lower() == "content-length"), 0)


def _limit_stalls(client: socket.socket) -> None:
    """Asks the kernel to give the client up. Where it cannot (macOS), a stalled one stays."""
    if hasattr(socket, "TCP_USER_TIMEOUT") and client.family != socket.AF_UNIX:
        milliseconds = int(1000 * STALL_SECONDS)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
