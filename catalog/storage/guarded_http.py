"""HTTP to addresses that others name: never into a private network, and for a limited time."""

import ipaddress
import socket
import time
from http.client import HTTPResponse
from io import BufferedReader, RawIOBase
from typing import Any

import urllib3

_PRIVATE = "It is an address within a private network, which is not asked."
# IPv6 addresses of the internet, and those that a network gives to IPv4 addresses.
_PUBLIC, _TRANSLATED = ipaddress.ip_network("2000::/3"), ipaddress.ip_network("64:ff9b::/96")


def refuse_private(address: str) -> None:
    """Raises ValueError for an address that is not of a single machine in the public internet."""
    place = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(place, ipaddress.IPv6Address):
        inner = place.ipv4_mapped or place.sixtofour
        if place in _TRANSLATED:
            inner = ipaddress.IPv4Address(int(place) & 0xFFFFFFFF)
        if inner:
            place = inner
        elif place not in _PUBLIC:
            raise ValueError(_PRIVATE)
    if not place.is_global or place.is_multicast:
        raise ValueError(_PRIVATE)


def make_pool(
    *,
    allow_private: bool,
    seconds: float,
    agent: str,
    read_seconds: float | None = None,
    at_once: int = 16,
) -> urllib3.PoolManager:
    """Connections whose answers end ``seconds`` after the request, however slowly they go on.

    ``read_seconds`` is how long nothing may come, and ``at_once`` how many connections to a host
    are kept. Each looks at where it leads: a name may have had another address when it was
    checked. Redirects are the caller's.
    """
    longest_silence = read_seconds or seconds

    class Guarded:
        until = 0.0

        def _new_conn(self) -> socket.socket:
            made: socket.socket = super()._new_conn()  # type: ignore[misc]
            if not allow_private:
                try:
                    refuse_private(made.getpeername()[0])
                except ValueError:
                    made.close()
                    raise
            return made

        def putrequest(self, *args: Any, **kwargs: Any) -> None:
            self.until = time.monotonic() + seconds
            super().putrequest(*args, **kwargs)  # type: ignore[misc]

        def response_class(self, sock: socket.socket, **kwargs: Any) -> HTTPResponse:
            answer = HTTPResponse(sock, **kwargs)
            reads = _BoundedReads(answer.fp.detach(), sock, self.until, longest_silence)
            answer.fp = BufferedReader(reads)
            return answer

    class Plain(Guarded, urllib3.connection.HTTPConnection): ...  # type: ignore[misc]

    class Encrypted(Guarded, urllib3.connection.HTTPSConnection): ...  # type: ignore[misc]

    class PlainPool(urllib3.HTTPConnectionPool):
        ConnectionCls: Any = Plain

    class EncryptedPool(urllib3.HTTPSConnectionPool):
        ConnectionCls: Any = Encrypted

    pool = urllib3.PoolManager(
        maxsize=at_once,
        timeout=urllib3.Timeout(connect=min(10.0, seconds), read=longest_silence),
        retries=False,
        headers={"User-Agent": agent},
    )
    pool.pool_classes_by_scheme = {"http": PlainPool, "https": EncryptedPool}
    return pool


class _BoundedReads(RawIOBase):
    """What a socket receives; raises TimeoutError when it is silent too long, and at ``until``."""

    def __init__(
        self, received: RawIOBase, sock: socket.socket, until: float, longest_silence: float
    ) -> None:
        self._received, self._socket = received, sock
        self._until, self._longest_silence = until, longest_silence

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError("the answer takes too long")
        if left < self._longest_silence:  # which the socket has as its timeout already
            self._socket.settimeout(left)
        return self._received.readinto(buffer)

    def close(self) -> None:
        self._received.close()
        super().close()
