"""A web server with files for tests, which answers as badly as web servers do where a test says."""

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

import pytest
from django.conf import LazySettings

HOST = "files.example.org"


@dataclass
class WebFiles:
    """``files`` by their paths; ``requests`` are methods with paths, as they were asked for, by
    connections from ``ports``.

    ``status`` and ``redirect`` are answered instead of a file, ``cut`` is the number of bytes after
    which the connection ends, ``pause`` the seconds before each hundred bytes. With ``no_head``
    HEAD is not answered, and for ``silent_seconds`` nothing is. ``headers`` go with each file,
    and ``head_headers``, where there are some, with answers to HEAD.
    """

    endpoint: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    ports: set[int] = field(default_factory=set)
    status: dict[str, int] = field(default_factory=dict)
    redirect: dict[str, str] = field(default_factory=dict)
    cut: dict[str, int] = field(default_factory=dict)
    pause: dict[str, float] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    head_headers: dict[str, str] | None = None
    no_head: bool = False
    silent_seconds: float = 0.0


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    web: WebFiles

    def handle_error(self, *_: object) -> None:
        """Clients may leave."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        web, path = self.server.web, unquote(self.path.split("?")[0])
        web.requests.append(f"{self.command} {self.path}")
        web.ports.add(self.client_address[1])
        time.sleep(web.silent_seconds)
        body = web.files.get(path)
        if self.command == "HEAD" and web.no_head:
            self._answer(405, b"")
        elif target := web.redirect.get(path):
            self._answer(302, b"", {"Location": target})
        elif body is None or path in web.status:
            self._answer(web.status.get(path, 404), b"nothing")
        elif self.headers.get("Range") == "bytes=0-0":
            self._answer(206, body[:1], {"Content-Range": f"bytes 0-0/{len(body)}"})
        else:
            of_head = web.head_headers if self.command == "HEAD" else None
            headers = web.headers if of_head is None else of_head
            self._answer(200, body, headers, cut=web.cut.get(path), pause=web.pause.get(path, 0))

    do_HEAD = do_GET  # noqa: N815

    def _answer(
        self,
        status: int,
        body: bytes,
        headers: dict[str, str] | None = None,
        *,
        cut: int | None = None,
        pause: float = 0,
    ) -> None:
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        for start in range(0, len(body[:cut]), 100 if pause else max(1, len(body))):
            time.sleep(pause)
            self.wfile.write(body[:cut][start : start + 100 if pause else None])
            self.wfile.flush()
        self.close_connection = cut is not None

    def log_message(self, *_: Any) -> None:
        """Tests are quiet."""


@pytest.fixture
def web_files(settings: LazySettings) -> Iterator[WebFiles]:
    """A web server that stands in for ``https://files.example.org``, which may be asked."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.web = WebFiles(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    settings.FETCH_HOSTS = [HOST]
    settings.FETCH_ENDPOINTS = {HOST: server.web.endpoint}
    yield server.web
    server.shutdown()
    server.server_close()
    thread.join()
