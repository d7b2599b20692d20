"""Clients that download, as a separate program, so that they do not slow the measurement down.

``python -m benchmarks.download_clients``: reads a JSON object with ``host``, ``port``, ``path``,
``cookie``, ``count`` and ``rate`` (bytes a second each, 0 for as fast as it goes) in one line,
prints ``ready`` when all of them receive data, and repeats finished downloads. When its input ends
it prints the number of bytes received and the seconds.
"""

import json
import selectors
import socket
import sys
import time
from dataclasses import dataclass, field

BLOCK = 1 << 20
# A small one, so that a slow client leaves the rest to the server.
RECEIVE_BUFFER = 1 << 17
# Reads of a throttled client in a second.
TICKS = 10
TIMEOUT_SECONDS = 60.0


class RefusedError(Exception):
    """The site did not send an archive."""


@dataclass
class Client:
    """One download after the other. ``taken`` counts bytes of bodies, ``left`` those to come."""

    host: str
    port: int
    request: bytes
    taken: int = 0
    left: int = 0
    connection: socket.socket = field(init=False, repr=False)

    def begin(self) -> None:
        """Asks, and reads the head. Raises RefusedError unless the status is 200."""
        self.connection = socket.socket()
        self.connection.settimeout(TIMEOUT_SECONDS)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        self.connection.connect((self.host, self.port))
        self.connection.sendall(self.request)
        head = b""
        while b"\r\n\r\n" not in head:
            block = self.connection.recv(4096)
            if not block:
                raise RefusedError(f"the site hangs up after {head!r}")
            head += block
        head, _, body = head.partition(b"\r\n\r\n")
        self.left = read_length(head.decode("latin-1")) - len(body)
        self.taken += len(body)
        self.connection.setblocking(False)

    def take(self, buffer: bytearray, most: int) -> bool:
        """Read at most this number of bytes; False when the download is complete."""
        while most and self.left:
            try:
                got = self.connection.recv_into(buffer, min(most, self.left, len(buffer)))
            except BlockingIOError:
                return True
            if not got:
                raise RefusedError(f"the site hangs up {self.left} bytes before the end")
            self.taken += got
            self.left -= got
            most -= got
        return self.left > 0


def read_length(head: str) -> int:
    """The Content-Length of an answer's head. Raises RefusedError unless its status is 200."""
    status, *lines = head.split("\r\n")
    fields = dict(line.lower().split(": ", 1) for line in lines)
    if " 200 " not in f"{status} " or "content-length" not in fields:
        raise RefusedError(f"the site answers {status!r}")
    return int(fields["content-length"])


def download(clients: list[Client], rate: int) -> float:
    """Until the input ends; returns the seconds."""
    buffer = bytearray(BLOCK)
    for client in clients:
        client.begin()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    start = time.monotonic()
    for client in clients:
        client.taken = 0
    with selectors.DefaultSelector() as selector:
        end = selector.register(sys.stdin, selectors.EVENT_READ)
        if not rate:
            for client in clients:
                selector.register(client.connection, selectors.EVENT_READ, client)
        while True:
            ready = [key for key, _ in selector.select(1 / TICKS)]
            if end in ready:
                return time.monotonic() - start
            most = rate // TICKS or BLOCK
            for client in clients if rate else [key.data for key in ready]:
                if not client.take(buffer, most):
                    _begin_anew(client, selector, watched=not rate)


def _begin_anew(client: Client, selector: selectors.BaseSelector, *, watched: bool) -> None:
    if watched:
        selector.unregister(client.connection)
    client.connection.close()
    client.begin()
    if watched:
        selector.register(client.connection, selectors.EVENT_READ, client)


def main() -> None:
    wanted = json.loads(sys.stdin.readline())
    request = (
        f"GET {wanted['path']} HTTP/1.1\r\nHost: {wanted['host']}:{wanted['port']}\r\n"
        f"Cookie: {wanted['cookie']}\r\nConnection: close\r\n\r\n"
    ).encode()
    clients = [Client(wanted["host"], wanted["port"], request) for _ in range(wanted["count"])]
    seconds = download(clients, wanted["rate"])
    taken = sum(client.taken for client in clients)
    sys.stdout.write(json.dumps({"bytes": taken, "seconds": seconds}) + "\n")


if __name__ == "__main__":
    main()
