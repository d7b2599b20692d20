"""A small stand-in for Django behind nginx, served by the real gunicorn with the image's options.

/archive/NAME   what medagg answers to the owner of a collection: a redirect to the archive
/raw/NAME       the same with NAME as it stands, for paths that medagg itself never writes
/raw-file/NAME  the same for a file of a dataset
/denied         what it answers to anybody else
/unready        a part is missing: 503 from the application itself
/redirect       to a sign-in page, with the whole query in its address
anything else   what arrived, as JSON
"""

import json
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import quote

Respond = Callable[[str, list[tuple[str, str]]], object]

PREFIX = "/protected/"
DATASETS_PREFIX = "/protected-datasets/"
ARCHIVE_HEADERS = [
    ("Content-Type", "application/zip"),
    ("Content-Disposition", 'attachment; filename="chest-x-rays.zip"'),
    ("Cache-Control", "private, no-cache"),
]


def application(environ: dict[str, Any], respond: Respond) -> Iterable[bytes]:
    """A WSGI application (PEP 3333)."""
    path = environ["PATH_INFO"].encode("latin-1").decode()
    kind, _, name = path.removeprefix("/").partition("/")
    if kind in ("archive", "raw", "raw-file"):
        prefix = DATASETS_PREFIX if kind == "raw-file" else PREFIX
        target = prefix + (quote(name) if kind == "archive" else name)
        respond("200 OK", [*ARCHIVE_HEADERS, ("X-Accel-Redirect", target)])
        return [b""]
    status, headers, body = _answer(path, environ)
    respond(status, [*headers, ("Content-Length", str(len(body)))])
    return [body]


def _answer(path: str, environ: dict[str, Any]) -> tuple[str, list[tuple[str, str]], bytes]:
    plain = [("Content-Type", "text/plain")]
    if path == "/denied":
        return "403 Forbidden", plain, b"not yours"
    if path == "/unready":
        return "503 Service Unavailable", plain, b"no worker runs"
    if path == "/redirect":
        target = f"/accounts/login/?next={quote(environ['QUERY_STRING'], safe='')}"
        return "302 Found", [("Location", target)], b""
    return "200 OK", [("Content-Type", "application/json")], _describe(environ)


def _describe(environ: dict[str, Any]) -> bytes:
    length = int(environ.get("CONTENT_LENGTH") or 0)
    received = {
        "path": environ["RAW_URI"],
        "query": environ["QUERY_STRING"],
        "body_length": len(environ["wsgi.input"].read(length)),
        "headers": {key: value for key, value in environ.items() if key.startswith("HTTP_")},
    }
    return json.dumps(received, indent=1).encode()
