"""Files of web servers that the operator allows, one by one: a web server lists none."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import SplitResult, unquote, urlsplit

import urllib3
from django.conf import settings

from catalog.storage.problems import ListedFile, NotAllowed, read_tag, shorten_name
from catalog.storage.source_http import (
    NO_SIZE,
    ask,
    iter_body,
    read_size,
    require_status,
    require_tag,
)

_DATE = re.compile(r"[A-Z][a-z]{2}, ")
_TOTAL = re.compile(r"bytes 0-0/([0-9]{1,18})", re.ASCII)
# A size is told at once.
_SIZE_SECONDS = 60


def list_pages(address: str, *, seconds: int) -> list[ListedFile]:
    """The one file at an address, with its size.

    Raises:
        SourceProblem: there is none, it is not given out, or its size is not told.
    """
    path = _split(address).path
    name = shorten_name(unquote(path.rpartition("/")[2]))
    size, tag = _find_size(address, seconds)
    return [ListedFile(name, address, size, "", tag)]


def read_page(file: ListedFile, *, seconds: int) -> Iterator[bytes]:
    """The bytes of a file, in chunks; raises SourceProblem."""
    with _ask("GET", file.whole_key, file.find_seconds(seconds)) as answer:
        require_status(answer, 200)
        # Some tell an ETag with one method and a date with another.
        told = answer.headers.get("Last-Modified" if _DATE.match(file.tag) else "ETag")
        require_tag(read_tag(told or ""), file.tag)
        yield from iter_body(answer)


def _tag_of(answer: urllib3.BaseHTTPResponse) -> str:
    """By what the source tells states of the file apart; empty if it does not."""
    return read_tag(answer.headers.get("ETag") or answer.headers.get("Last-Modified") or "")


def _find_size(address: str, seconds: int) -> tuple[int, str]:
    """As HEAD tells it, or a part of the file where HEAD is not answered so."""
    seconds = min(seconds, _SIZE_SECONDS)
    with _ask("HEAD", address, seconds) as answer:
        size = read_size(answer)
        if answer.status == 200 and size is not None:
            return size, _tag_of(answer)
        if answer.status not in (200, 400, 403, 405, 501):
            require_status(answer, 200)
    with _ask("GET", address, seconds, {"Range": "bytes=0-0"}) as answer:
        size = read_size(answer)
        if answer.status == 200 and size is not None:
            return size, _tag_of(answer)
        if answer.status == 200:  # in pieces, and without heeding what was asked for
            raise NotAllowed(NO_SIZE)
        require_status(answer, 206)
        if found := _TOTAL.fullmatch(answer.headers.get("Content-Range", "")):
            return int(found[1]), _tag_of(answer)
    raise NotAllowed(NO_SIZE)


@contextmanager
def _ask(
    method: str, address: str, seconds: int, headers: dict[str, str] | None = None
) -> Iterator[urllib3.BaseHTTPResponse]:
    parts = _split(address)
    endpoint = settings.FETCH_ENDPOINTS.get(parts.netloc, "")
    target = f"{parts.path}?{parts.query}" if parts.query else parts.path
    with ask(
        method,
        f"{endpoint or f'https://{parts.netloc}'}{target}",
        seconds=seconds,
        may_be_private=bool(endpoint),
        headers=headers,
    ) as answer:
        yield answer


def _split(address: str) -> SplitResult:
    """The parts of an address that names one file: no folder, no fragment, no user."""
    parts = urlsplit(address)
    if not parts.path.rpartition("/")[2].strip("*") or "#" in address or "@" in parts.netloc:
        raise NotAllowed("its address is none that this server can fetch")
    return parts
