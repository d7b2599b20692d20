"""The address of the client behind a request: what throttles and locks count by."""

import ipaddress
from functools import lru_cache

from django.conf import settings
from django.http import HttpRequest

IPV6_PREFIX = 64
# Of TRUSTED_PROXIES: what asks by a socket of this machine's, and has no address.
UNIX = "unix"
UNKNOWN = "unknown"

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def client_address(request: HttpRequest) -> str | None:
    """The client's address; of an IPv6 address its network, as a client has all of that.

    X-Forwarded-For is believed only if the request comes from one of ``TRUSTED_PROXIES``, and of
    it only the last address, which that proxy wrote itself. None if the address is not known.
    """
    remote = request.META.get("REMOTE_ADDR", "")
    peer = _parse(remote)
    if _is_trusted(peer) if peer else not remote and UNIX in settings.TRUSTED_PROXIES:
        forwarded = request.META.get("HTTP_X_FORWARDED_FOR", "")
        peer = _parse(forwarded.rpartition(",")[2].strip()) or peer
    if isinstance(peer, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((peer, IPV6_PREFIX), strict=False).network_address)
    return str(peer) if peer else None


def client_or_unknown(request: HttpRequest) -> str:
    """As ``client_address``; all whose address is not known count as one client."""
    return client_address(request) or UNKNOWN


def find_wrong_proxies() -> list[str]:
    """Those of TRUSTED_PROXIES that are neither an address nor a network."""
    return [text for text in settings.TRUSTED_PROXIES if text != UNIX and not _is_network(text)]


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return True


def _parse(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _is_trusted(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    networks = _networks(tuple(settings.TRUSTED_PROXIES))
    return any(address in network for network in networks)


@lru_cache(maxsize=4)
def _networks(texts: tuple[str, ...]) -> tuple[Network, ...]:
    return tuple(ipaddress.ip_network(text, strict=False) for text in texts if _is_network(text))
