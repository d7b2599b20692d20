"""One request to where files lie elsewhere, and what its answer means for users.

Redirects are never followed: they would lead to places that the operator has not allowed.
"""

import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache

import urllib3
from django.conf import settings

from catalog.storage.guarded_http import make_pool
from catalog.storage.problems import Changed, Forbidden, Gone, NotAllowed, Unreachable

CHUNK = 1 << 19
# Who gets chunks can stop, and sees how fast they come.
_MOMENT_SECONDS = 0.2
_HEADERS = {"Accept-Encoding": "identity"}
# More digits are no size.
_SIZE = re.compile(r"[0-9]{1,18}", re.ASCII)
NO_SIZE = "the source does not tell its size"
_NO_FILE = "the source has no file at its address any more"


@contextmanager
def ask(
    method: str,
    url: str,
    *,
    seconds: int,
    may_be_private: bool,
    headers: Mapping[str, str] | None = None,
) -> Iterator[urllib3.BaseHTTPResponse]:
    """The answer for a percent-encoded ``url``, which takes at most ``seconds``, with its body.

    ``may_be_private`` if the operator has named this server.

    Raises:
        Unreachable: there is no connection.
        NotAllowed: it leads into a private network.
    """
    pool = _pool(may_be_private, seconds, settings.FETCH_STALL_SECONDS)
    with _explained():
        answer = pool.urlopen(
            method,
            url,
            headers={**pool.headers, **_HEADERS, **(headers or {})},
            redirect=False,
            preload_content=False,
        )
    try:
        yield answer
        if method == "HEAD":
            answer.drain_conn()  # of nothing, after which the connection can serve others
    finally:
        # A connection whose answer was not read to its end serves no other request.
        answer.close()


def iter_body(answer: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
    """The bytes of an answer, in chunks of CHUNK or of what comes in a moment.

    Raises:
        Unreachable: it breaks off, after all that came.
    """
    pieces: list[bytes] = []
    size, since, broken = 0, time.monotonic(), None
    try:
        with _explained():
            while piece := answer.read1(CHUNK, decode_content=False):
                pieces.append(piece)
                size += len(piece)
                if size >= CHUNK or time.monotonic() - since > _MOMENT_SECONDS:
                    yield b"".join(pieces)
                    pieces.clear()
                    size, since = 0, time.monotonic()
    except Unreachable as error:
        broken = error
    if pieces:
        yield b"".join(pieces)
    if broken:
        raise broken


def require_status(
    answer: urllib3.BaseHTTPResponse, expected: int, *, missing: str = _NO_FILE
) -> None:
    """Raises SourceProblem for an answer with another status; ``missing`` is what 404 means."""
    status = answer.status
    if status == expected:
        return
    if status in (404, 410):
        raise Gone(missing)
    if status in (401, 403):
        raise Forbidden("the source does not give it out (forbidden)")
    if 300 <= status < 400 and status != 304:
        raise NotAllowed("the source sends elsewhere, which is not followed")
    if status == 429 or status >= 500:
        raise Unreachable("the source is too busy")
    raise Changed(f"the source answers with the status {status}")


def read_size(answer: urllib3.BaseHTTPResponse) -> int | None:
    """The size in bytes that an answer tells; None if it tells none."""
    told = answer.headers.get("Content-Length", "")
    return int(told) if _SIZE.fullmatch(told) else None


def require_tag(told: str, listed: str) -> None:
    """Raises Unreachable if an answer tells another state of a file than was listed.

    Servers write one tag in several ways, and some tell none with the file itself.
    """
    if told and listed and _plain_tag(told) != _plain_tag(listed):
        raise Unreachable("what came is not what was listed (ETag)")


def _plain_tag(tag: str) -> str:
    return tag.strip().removeprefix("W/").strip('"')


@lru_cache(maxsize=8)
def _pool(may_be_private: bool, seconds: int, read_seconds: int) -> urllib3.PoolManager:
    return make_pool(
        allow_private=may_be_private,
        seconds=seconds,
        agent="medagg",
        read_seconds=read_seconds,
        at_once=2 * settings.FETCH_PARALLEL,  # as many are listed while files of others come
    )


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise Unreachable("the connection to the source failed") from error
    except ValueError as error:  # of refuse_private
        raise NotAllowed(f"its server is not asked: {error}") from error
