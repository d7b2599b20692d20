"""A real S3 server for tests, and a proxy before it that behaves as badly as networks do.

The server is moto, a process of its own. What it does not do as S3 does (cut connections, slow or
busy answers, redirects) the proxy does, for the keys that a test names.
"""

import http.client
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import boto3  # type: ignore[import-untyped,unused-ignore]
import pytest
from django.conf import LazySettings

BUCKET = "idc-open-data"
START_SECONDS = 60
BLOCK = 1 << 16


@dataclass
class Faults:
    """What goes wrong: by the end of a path, a number of bytes or seconds or a status.

    ``cut`` sends so many bytes and then closes the connection; ``pause`` waits before each block;
    ``shorter`` is what listings tell too little. ``times`` is how often a fault happens, for those
    that end.

    Requests that write are named by a part of their path: ``refuse`` is their status, 0 cuts the
    connection; ``stall`` holds them until it is emptied; the next answer to a POST in ``lose`` is
    lost. Requests that have one of ``pages`` in their method or path get an answer of a proxy, of
    the type ``page_type``. With ``no_ranges`` an answer is the whole object.
    """

    status: dict[str, int] = field(default_factory=dict)
    cut: dict[str, int] = field(default_factory=dict)
    times: dict[str, int] = field(default_factory=dict)
    pause: dict[str, float] = field(default_factory=dict)
    redirect: dict[str, str] = field(default_factory=dict)
    shorter: dict[str, int] = field(default_factory=dict)
    refuse: dict[str, int] = field(default_factory=dict)
    stall: set[str] = field(default_factory=set)
    lose: set[str] = field(default_factory=set)
    pages: set[str] = field(default_factory=set)
    page_type: str = "text/html"
    no_ranges: bool = False

    def find(self, what: dict[str, Any], path: str) -> Any:
        """The fault for a path, unless it has happened as often as it is to."""
        for end, value in what.items():
            if not path.split("?")[0].endswith(end):
                continue
            left = self.times.get(end)
            if left is not None:
                if left <= 0:
                    return None
                self.times[end] = left - 1
            return value
        return None


@dataclass
class S3Server:
    """``endpoint`` is the proxy's; ``requests`` are the paths that it was asked for."""

    endpoint: str
    client: Any
    faults: Faults
    requests: list[str]

    def put(self, key: str, body: bytes) -> str:
        """Put an object that anybody may read; returns its address."""
        self.client.put_object(Bucket=BUCKET, Key=key, Body=body, ACL="public-read")
        return f"s3://{BUCKET}/{key}"

    def put_series(self, series: int, slices: int) -> str:
        """Put a series of ``slice_of`` under a key as the IDC's; returns the series' address."""
        for number in range(slices):
            self.put(f"uuid-{series}/{number:02}.dcm", slice_of(series, number))
        return f"s3://{BUCKET}/uuid-{series}/*"

    def reset(self) -> None:
        """As at the start: no objects, no faults."""
        self.faults.__init__()  # type: ignore[misc]
        self.requests.clear()
        for page in self.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET):
            for each in page.get("Contents", ()):
                self.client.delete_object(Bucket=BUCKET, Key=each["Key"])


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """One server for all tests of a process; they ask for ``s3``."""
    with started_s3() as server:
        yield server


@pytest.fixture
def s3(s3_server: S3Server, settings: LazySettings) -> Iterator[S3Server]:
    """An empty S3 server that stands in for the IDC's."""
    settings.IDC_S3_ENDPOINT = s3_server.endpoint
    yield s3_server
    s3_server.reset()


def slice_of(series: int, number: int) -> bytes:
    """What tests take for a file of a series: no text, which would be an answer in its place."""
    return f"slice {number} of {series}\0".encode() * 100


@contextmanager
def started_s3() -> Iterator[S3Server]:
    """The server and its proxy, until the block ends."""
    port = _free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _await(port, process)
        client = boto3.client(
            "s3", endpoint_url=f"http://127.0.0.1:{port}", region_name="us-east-1",
            aws_access_key_id="test", aws_secret_access_key="test",  # noqa: S106  # nosec
        )  # fmt: skip
        client.create_bucket(Bucket=BUCKET, ACL="public-read")
        with _started_proxy(port) as proxy:
            endpoint = f"http://127.0.0.1:{proxy.server_address[1]}"
            yield S3Server(endpoint, client, proxy.faults, proxy.requests)
    finally:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _await(port: int, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and process.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise RuntimeError("the S3 server of the tests did not start")


class _Proxy(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.port, self.faults = port, Faults()
        self.requests: list[str] = []

    def handle_error(self, *_: object) -> None:
        """Clients may leave."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Proxy
    passed: ClassVar = {"content-length", "content-type", "etag", "last-modified", "content-range",
                        "content-disposition"}  # fmt: skip

    def do_GET(self) -> None:
        faults = self.server.faults
        self.server.requests.append(self.path)
        if target := faults.find(faults.redirect, self.path):
            self.send_response(302)
            self.send_header("Location", target)
            self._end(b"")
        elif status := faults.find(faults.status, self.path):
            self.send_response(status)
            self._end(b"<Error/>")
        else:
            self._pass_on()

    do_HEAD = do_GET  # noqa: N815

    def do_PUT(self) -> None:
        self.server.requests.append(self.path)
        refuse = self.server.faults.refuse
        status = next((refuse[part] for part in refuse if part in self.path), None)
        if status is None:
            while any(part in self.path for part in self.server.faults.stall):
                time.sleep(0.05)
            self._pass_on()
            return
        self.close_connection = True
        if status:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(status)
            self._end(b"<Error/>")

    do_POST = do_DELETE = do_PUT  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Tests are quiet."""

    def _end(self, body: bytes) -> None:
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _pass_on(self) -> None:
        faults = self.server.faults
        if any(part in f"{self.command} {self.path}" for part in faults.pages):
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(200)
            self.send_header("Content-Type", faults.page_type)
            self.close_connection = True
            self._end(b"" if self.command == "HEAD" else b"<p>Closed for maintenance</p>")
            return
        upstream = http.client.HTTPConnection("127.0.0.1", self.server.port)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if faults.no_ranges:
            del self.headers["Range"]
        upstream.request(self.command, self.path, body, dict(self.headers))
        answer = upstream.getresponse()
        if lost := {part for part in faults.lose if part in self.path and self.command == "POST"}:
            faults.lose -= lost
            self.close_connection = True
            return
        if "list-type=2" in self.path and faults.shorter:
            self._end_listing(answer)
            return
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() in self.passed:
                self.send_header(name, value)
        self.send_header("Connection", "close")
        self.end_headers()
        left = faults.find(faults.cut, self.path) if self.command == "GET" else None
        pause = faults.find(faults.pause, self.path) or 0
        while self.command != "HEAD" and (block := answer.read(BLOCK if not pause else 100)):
            if left is not None and left < len(block):
                self.wfile.write(block[:left])
                break
            left = None if left is None else left - len(block)
            self.wfile.write(block)
            self.wfile.flush()
            time.sleep(pause)
        upstream.close()
        self.close_connection = True

    def _end_listing(self, answer: http.client.HTTPResponse) -> None:
        """The listing, with objects that have grown since it was made."""
        text = answer.read().decode()
        for end, less in self.server.faults.shorter.items():
            found = re.search(rf"{re.escape(end)}</Key>.*?<Size>(\d+)", text, re.DOTALL)
            if found:
                at = found.start(1)
                text = f"{text[:at]}{int(found[1]) - less}{text[found.end(1) :]}"
        self.send_response(answer.status)
        self.send_header("Content-Type", "application/xml")
        self._end(text.encode())


@contextmanager
def _started_proxy(port: int) -> Iterator[_Proxy]:
    proxy = _Proxy(port)
    thread = threading.Thread(target=proxy.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.shutdown()
        proxy.server_close()
        thread.join()
