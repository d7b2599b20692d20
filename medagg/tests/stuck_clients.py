"""Clients that hold on to a server: they send half a request, or read nothing of the answer."""

import contextlib
import http.client
import socket
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

# All of them this machine; nginx takes each for another visitor.
ADDRESSES = tuple(f"127.0.0.{number}" for number in range(2, 12))
PROBES = 12
ROUNDS = 3
PATIENCE_SECONDS = 20.0


def ask(path: str, *headers: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: localhost", *headers, "", ""]).encode()


@contextlib.contextmanager
def stuck_clients(
    port: int, sent: bytes, *, count: int, addresses: Sequence[str] = ADDRESSES
) -> Iterator[list[socket.socket]]:
    """``count`` connections, in turn from each of ``addresses``, that send ``sent`` and no more."""
    with contextlib.ExitStack() as stack:
        clients = []
        for number in range(count):
            client = stack.enter_context(socket.socket())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            # As on a network; over loopback the kernel would take a hundred times as much at once.
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1400)
            client.settimeout(PATIENCE_SECONDS)
            client.bind((addresses[number % len(addresses)], 0))
            client.connect(("127.0.0.1", port))
            client.sendall(sent)
            clients.append(client)
        yield clients


def await_answers(clients: Sequence[socket.socket]) -> None:
    """Until each has got the beginning of an answer, which it leaves where it is."""
    for client in clients:
        client.recv(1, socket.MSG_PEEK)


def keeps_answering(port: int, *paths: str) -> bool:
    """Whether some requests, two at a time, are each answered by 200 within a second.

    In one of a few rounds, because other programs may need the processors meanwhile; a site that
    waits for its stuck clients fails in all of them.
    """
    wanted = [path for path in paths for _ in range(PROBES)]
    with ThreadPoolExecutor(2) as visitors:
        return any(
            max(visitors.map(lambda path: _time(port, path), wanted)) < 1 for _ in range(ROUNDS)
        )


def _time(port: int, path: str) -> float:
    start = time.monotonic()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)
    with contextlib.closing(connection):
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read()
    assert response.status == 200, body[:500]
    return time.monotonic() - start
