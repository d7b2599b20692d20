"""Files of web servers that the operator allows, one by one: a web server lists none."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from urllib.parse import SplitResult, unquote, urlsplit

import urllib3
from django.conf import settings

from catalog.storage.guarded_http import make_pool
from catalog.storage.problems import (
    Changed,
    Forbidden,
    Gone,
    ListedFile,
    NotAllowed,
    Unreachable,
)

CHUNK = 1 << 20
_HEADERS = {"Accept-Encoding": "identity"}
# More digits are no size.
_SIZE = re.compile(r"[0-9]{1,18}", re.ASCII)
_TOTAL = re.compile(r"bytes 0-0/([0-9]{1,18})", re.ASCII)
# A size is told at once.
_SIZE_SECONDS = 60
_MOST_TAG = 200


def list_pages(address: str, *, seconds: int) -> list[ListedFile]:
    """The one file at an address, with its size.

    Raises:
        SourceProblem: there is none, it is not given out, or its size is not told.
    """
    path = _split(address).path
    name = unquote(path.rpartition("/")[2])
    size, tag = _find_size(address, seconds)
    return [ListedFile(name, address, size, "", tag)]


def read_page(file: ListedFile, *, seconds: int) -> Iterator[bytes]:
    """The bytes of a file, in chunks; raises SourceProblem."""
    with _ask("GET", file.key, file.find_seconds(seconds)) as answer:
        _require_ok(answer, 200)
        if file.tag and _tag_of(answer) != file.tag:
            raise Unreachable("what came is not what was listed (ETag)")
        with _explained():
            while chunk := answer.read1(CHUNK, decode_content=False):
                yield chunk


def _tag_of(answer: urllib3.BaseHTTPResponse) -> str:
    """By what the source tells states of the file apart; empty if it does not."""
    told = answer.headers.get("ETag") or answer.headers.get("Last-Modified") or ""
    return told if len(told) <= _MOST_TAG else ""


def _find_size(address: str, seconds: int) -> tuple[int, str]:
    """As HEAD tells it, or a part of the file where HEAD is not answered so."""
    seconds = min(seconds, _SIZE_SECONDS)
    with _ask("HEAD", address, seconds) as answer:
        told = answer.headers.get("Content-Length", "")
        if answer.status == 200 and _SIZE.fullmatch(told):
            return int(told), _tag_of(answer)
        if answer.status not in (200, 400, 403, 405, 501):
            _require_ok(answer, 200)
    with _ask("GET", address, seconds, {"Range": "bytes=0-0"}) as answer:
        told = answer.headers.get("Content-Length", "")
        if answer.status == 200 and _SIZE.fullmatch(told):
            return int(told), _tag_of(answer)
        _require_ok(answer, 206)
        if found := _TOTAL.fullmatch(answer.headers.get("Content-Range", "")):
            return int(found[1]), _tag_of(answer)
    raise NotAllowed("the source does not tell its size")


@contextmanager
def _ask(
    method: str, address: str, seconds: int, more: dict[str, str] | None = None
) -> Iterator[urllib3.BaseHTTPResponse]:
    parts = _split(address)
    endpoint = settings.FETCH_ENDPOINTS.get(parts.netloc, "")
    target = f"{parts.path}?{parts.query}" if parts.query else parts.path
    pool = _pool(bool(endpoint), seconds, settings.FETCH_STALL_SECONDS)
    with _explained():
        answer = pool.request(
            method,
            f"{endpoint or f'https://{parts.netloc}'}{target}",
            headers={**pool.headers, **_HEADERS, **(more or {})},
            redirect=False,
            preload_content=False,
        )
    try:
        yield answer
    finally:
        # A connection whose answer was not read to its end serves no other request.
        answer.close()


@lru_cache(maxsize=8)
def _pool(allow_private: bool, seconds: int, read_seconds: int) -> urllib3.PoolManager:
    return make_pool(
        allow_private=allow_private, seconds=seconds, agent="medagg", read_seconds=read_seconds
    )


def _split(address: str) -> SplitResult:
    """The parts of an address that names one file: no folder, no fragment, no user."""
    parts = urlsplit(address)
    if not parts.path.rpartition("/")[2].strip("*") or "#" in address or "@" in parts.netloc:
        raise NotAllowed("its address is none that this server can fetch")
    return parts


def _require_ok(answer: urllib3.BaseHTTPResponse, expected: int) -> None:
    status = answer.status
    if status == expected:
        return
    if status in (404, 410):
        raise Gone("the source has no file at its address any more")
    if status in (401, 403):
        raise Forbidden("the source does not give it out (forbidden)")
    if 300 <= status < 400:
        raise NotAllowed("the source sends elsewhere, which is not followed")
    if status == 429 or status >= 500:
        raise Unreachable("the source is too busy")
    raise Changed(f"the source answers with the status {status}")


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise Unreachable("the connection to the source failed") from error
    except ValueError as error:  # of refuse_private
        raise NotAllowed(f"its server is not asked: {error}") from error
