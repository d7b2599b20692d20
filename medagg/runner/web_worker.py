"""gunicorn's threads: no client has a process wait.

``gthread`` closes connections in the one thread that accepts all others, where it waits for the
client, and gives each new connection a thread, which then waits for the request without end. Here
both kinds of waiting are done by the loop of the process, for all clients at once. Behind nginx,
which sends whole requests only, the first is enough.
"""

import contextlib
import fcntl
import re
import selectors
import socket
import struct
import termios
import time
from concurrent.futures import Future
from functools import partial
from http import HTTPStatus
from typing import Any

from gunicorn.workers.gthread import ThreadWorker

# From a connection's first byte to its request's last; also to have a page of the answer read.
REQUEST_SECONDS = 10.0
PAGE_SECONDS = 60.0
# For the client to close its side too, lest a reset cut off the end of the answer.
LINGER_SECONDS = 2.0
# Between looks at the clients that have asked again before they took all of the last answer.
LOOK_SECONDS = 0.05
# gunicorn takes 8190 bytes of request line and 16380 of a header; there are no uploads.
MAX_HEAD = 64 * 1024
MAX_REQUEST = 512 * 1024
BLOCK = 64 * 1024
# Possessive: what does not match takes time in proportion to its length.
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*+([0-9]*+)[ \t]*+\r\n", re.IGNORECASE)
_HAS_LENGTH = re.compile(rb"\ncontent-length", re.IGNORECASE)
# Of a number beyond any request.
MANY_DIGITS = 12
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:", re.IGNORECASE)


class RequestRefused(Exception):
    """The request is not one to wait for; ``status`` says why."""

    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(status.phrase)
        self.status = status


class ArrivingRequest:
    """What has come of a request, and when the rest is due."""

    def __init__(self) -> None:
        self.received = bytearray()
        self.due = time.monotonic() + REQUEST_SECONDS
        self._size = 0

    def is_whole(self) -> bool:
        """Raises RequestRefused."""
        self._size = self._size or measure_request(self.received)
        return 0 < self._size <= len(self.received)


def measure_request(received: bytearray) -> int:
    """Bytes of the request that begins so, 0 if that is not yet known. Raises RequestRefused."""
    end = received.find(b"\r\n\r\n", 0, MAX_HEAD)
    if end < 0:
        if len(received) >= MAX_HEAD:
            raise RequestRefused(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        return 0
    head = received[: end + 2]
    if _CHUNKED.search(head):
        raise RequestRefused(HTTPStatus.LENGTH_REQUIRED)
    size = end + 4 + _measure_body(head)
    if size > MAX_REQUEST:
        raise RequestRefused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    return size


def _measure_body(head: bytearray) -> int:
    """Never less than gunicorn would wait for: what is not understood is refused."""
    if not _HAS_LENGTH.search(head):
        return 0
    length = _LENGTH.search(head)
    if not length:
        raise RequestRefused(HTTPStatus.BAD_REQUEST)
    digits = length[1].lstrip(b"0") or b"0"
    return int(digits) if len(digits) <= MANY_DIGITS else MAX_REQUEST


class LingeringWorker(ThreadWorker):
    """Closes connections in the loop of the process without waiting for a client there.

    gunicorn's own waits two seconds for each client that has not closed its side.
    """

    _next_look = 0.0

    def finish_request(self, conn: Any, fs: Future[Any]) -> None:
        if not fs.cancelled() and fs.exception() is None and fs.result():
            super().finish_request(conn, fs)
        else:
            self._linger(conn)

    def murder_pending(self) -> None:
        """gunicorn calls this after each event; once a second is enough."""
        now = time.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + 1
        for conn in [each for each in self.pending_conns if self._is_over(each, now)]:
            self._stop_awaiting(conn)
            self._drop(conn)

    def _is_over(self, conn: Any, now: float) -> bool:
        return bool(conn.timeout < now)

    def _await(self, conn: Any, callback: Any, *, until: float) -> None:
        conn.timeout = until
        self.pending_conns.append(conn)
        self.poller.register(conn.sock, selectors.EVENT_READ, partial(callback, conn))

    def _stop_awaiting(self, conn: Any) -> None:
        self.pending_conns.remove(conn)
        with contextlib.suppress(OSError, KeyError, ValueError):
            self.poller.unregister(conn.sock)

    def _linger(self, conn: Any) -> None:
        try:
            conn.sock.setblocking(False)
            conn.sock.shutdown(socket.SHUT_WR)
            self._await(conn, self._drain, until=time.monotonic() + LINGER_SECONDS)
        except (OSError, ValueError):
            self._drop(conn)

    def _drain(self, conn: Any, sock: socket.socket) -> None:
        try:
            is_open = bool(sock.recv(BLOCK))
        except BlockingIOError:
            return
        except OSError:
            is_open = False
        if not is_open:
            self._stop_awaiting(conn)
            self._drop(conn)

    def _drop(self, conn: Any) -> None:
        self.nr_conns -= 1
        conn.close()


class WholeRequestWorker(LingeringWorker):
    """Reads each request in the loop, and hands it to a thread once it has all of it."""

    _next_look_at_unread = 0.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Their next request is whole, and waits until they have taken the answer before it.
        self.unread_conns: list[Any] = []

    def enqueue_req(self, conn: Any) -> None:
        """gunicorn calls this for a new connection, and whenever one has something to read."""
        if not hasattr(conn, "arriving"):
            conn.arriving = ArrivingRequest()
            if conn.parser:
                # The end of the request before may have brought the beginning of this one.
                conn.arriving.received += conn.parser.unreader.take_buffered()
        try:
            is_open = receive(conn.sock, conn.arriving.received)
            if conn.arriving.is_whole():
                self._hand_over_once_read(conn)
            elif is_open and time.monotonic() < conn.arriving.due:
                self._await(conn, self.on_pending_socket_readable, until=conn.arriving.due)
            else:
                self._drop(conn)
        except RequestRefused as refusal:
            self._refuse(conn, refusal.status)
        except OSError:
            self._drop(conn)

    def handle_request(self, req: Any, conn: Any) -> bool:
        """Runs in a thread; a page that is not taken in time, or a file that stalls, is given up.

        For ``sendall`` this is the time for all of it, for ``sendfile`` that without any progress.
        """
        conn.sock.settimeout(PAGE_SECONDS)
        try:
            return bool(super().handle_request(req, conn))
        except TimeoutError:
            return False

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        """No event tells that a client has taken all of an answer."""
        super().wait_for_and_dispatch_events(
            min(timeout, LOOK_SECONDS) if self.unread_conns else timeout
        )

    def murder_pending(self) -> None:
        now = time.monotonic()
        if self.unread_conns and now >= self._next_look_at_unread:
            self._next_look_at_unread = now + LOOK_SECONDS
            self._look_at_unread(now)
        super().murder_pending()

    def _is_over(self, conn: Any, now: float) -> bool:
        # Browsers open connections in advance, and a stop need not wait for what never begins.
        arriving = getattr(conn, "arriving", None)
        never_began = arriving is not None and not arriving.received
        return super()._is_over(conn, now) or (never_began and not self.alive)

    def _hand_over_once_read(self, conn: Any) -> None:
        """What a client leaves of one answer takes the room of the next, and would hold its thread.

        Who waits for an answer before asking again has acknowledged all of it by that.
        """
        if count_unread(conn.sock):
            conn.timeout = time.monotonic() + PAGE_SECONDS
            self.unread_conns.append(conn)
        else:
            self._hand_over(conn)

    def _look_at_unread(self, now: float) -> None:
        waiting, self.unread_conns = self.unread_conns, []
        for conn in waiting:
            if has_failed(conn.sock) or conn.timeout < now:
                self._drop(conn)
            elif count_unread(conn.sock):
                self.unread_conns.append(conn)
            else:
                self._hand_over(conn)

    def _hand_over(self, conn: Any) -> None:
        received = bytes(conn.arriving.received)
        del conn.arriving
        conn.init()
        conn.parser.unreader.unread(received)
        conn.data_ready = True
        super().enqueue_req(conn)

    def _refuse(self, conn: Any, status: HTTPStatus) -> None:
        line = f"HTTP/1.1 {status.value} {status.phrase}\r\nConnection: close\r\n"
        with contextlib.suppress(OSError):
            conn.sock.send(f"{line}Content-Length: 0\r\n\r\n".encode())
        self._linger(conn)


def receive(sock: socket.socket, received: bytearray) -> bool:
    """Adds what there is to read; false when the client has closed its side."""
    sock.setblocking(False)
    while len(received) <= MAX_REQUEST:
        try:
            block = sock.recv(BLOCK)
        except BlockingIOError:
            return True
        if not block:
            return False
        received += block
    return True


def count_unread(sock: socket.socket) -> int:
    """Bytes of answers that the client's side has not acknowledged; 0 where no kernel tells."""
    # Of a socket, Linux calls it SIOCOUTQ; macOS has none.
    with contextlib.suppress(OSError):
        return int(struct.unpack("i", fcntl.ioctl(sock, termios.TIOCOUTQ, bytes(4)))[0])
    return 0


def has_failed(sock: socket.socket) -> bool:
    """Whether the client has reset the connection, or was given up."""
    return bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
