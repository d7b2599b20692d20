"""Answers like Django: 200 to the names that it knows, 400 to all others."""

from collections.abc import Callable, Iterable
from typing import Any

KNOWN = {"medagg.example.org", "localhost"}


def application(
    environ: dict[str, Any], respond: Callable[[str, list[tuple[str, str]]], object]
) -> Iterable[bytes]:
    is_known = environ.get("HTTP_HOST", "") in KNOWN
    respond("200 OK" if is_known else "400 Bad Request", [("Content-Length", "0")])
    return [b""]
