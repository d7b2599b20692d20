"""HTTP to addresses that others name: never into a private network, and for a limited time."""

import ipaddress
import socket
from contextlib import suppress
from threading import Timer
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
    *, allow_private: bool, seconds: float, agent: str, read_seconds: float | None = None
) -> urllib3.PoolManager:
    """Connections that are cut ``seconds`` after a request, however slowly the answer goes on.

    ``read_seconds`` is how long nothing may come. Each connection looks at where it leads: a name
    may have had another address when it was checked. Redirects are the caller's.
    """

    class Guarded:
        cut: Timer | None = None
        held: socket.socket | None = None

        def _new_conn(self) -> socket.socket:
            made: socket.socket = super()._new_conn()  # type: ignore[misc]
            if not allow_private:
                try:
                    refuse_private(made.getpeername()[0])
                except ValueError:
                    made.close()
                    raise
            self.held = made.dup()
            self._wind_up()
            return made

        def putrequest(self, *args: Any, **kwargs: Any) -> None:
            if self.held:  # of the request before, on the same connection
                self._wind_up()
            super().putrequest(*args, **kwargs)  # type: ignore[misc]

        def _wind_up(self) -> None:
            if self.cut:
                self.cut.cancel()
            self.cut = Timer(seconds, _cut_off, [self.held])
            self.cut.daemon = True
            self.cut.start()

        def close(self) -> None:
            if self.cut:
                self.cut.cancel()
            if self.held:
                self.held.close()
            self.cut = self.held = None
            super().close()  # type: ignore[misc]

    class Plain(Guarded, urllib3.connection.HTTPConnection): ...

    class Encrypted(Guarded, urllib3.connection.HTTPSConnection): ...

    class PlainPool(urllib3.HTTPConnectionPool):
        ConnectionCls: Any = Plain

    class EncryptedPool(urllib3.HTTPSConnectionPool):
        ConnectionCls: Any = Encrypted

    pool = urllib3.PoolManager(
        maxsize=16,
        timeout=urllib3.Timeout(connect=min(10.0, seconds), read=read_seconds or seconds),
        retries=False,
        headers={"User-Agent": agent},
    )
    pool.pool_classes_by_scheme = {"http": PlainPool, "https": EncryptedPool}
    return pool


def _cut_off(connection: socket.socket) -> None:
    with suppress(OSError):  # it has ended
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
