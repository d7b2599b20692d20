"""Pages beside downloads: the clients that download, and what is made of the figures."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from benchmarks.download_clients import RefusedError, read_length
from benchmarks.downloads import DOWNLOADS, describe, goals
from benchmarks.folder import REPOSITORY

SIZE = 300_000
COUNT = 3


class Archives(BaseHTTPRequestHandler):
    """Sends SIZE bytes to clients with the cookie."""

    served = 0

    def do_GET(self) -> None:
        if self.headers["Cookie"] != "session=x":
            self.send_error(403)
            return
        type(self).served += 1
        self.send_response(200)
        self.send_header("Content-Length", str(SIZE))
        self.end_headers()
        self.wfile.write(bytes(SIZE))

    def log_message(self, format: str, *args: object) -> None:
        """No line for each request."""


@pytest.fixture
def port() -> Iterator[int]:
    Archives.served = 0
    with ThreadingHTTPServer(("127.0.0.1", 0), Archives) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def run_clients(port: int, *, rate: int, seconds: float, cookie: str = "session=x") -> str:
    """What the program writes after ``ready``."""
    clients = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.download_clients"],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    wanted = {"host": "127.0.0.1", "port": port, "path": "/", "cookie": cookie,
              "count": COUNT, "rate": rate}  # fmt: skip
    assert clients.stdin
    assert clients.stdout
    clients.stdin.write(json.dumps(wanted) + "\n")
    clients.stdin.flush()
    if clients.stdout.readline() == "ready\n":
        time.sleep(seconds)
    said, _ = clients.communicate(timeout=20)
    return said


def test_throttled_clients_keep_to_their_rate(port: int) -> None:
    report = json.loads(run_clients(port, rate=100_000, seconds=1))

    assert report["seconds"] >= 1
    # Each takes its first tick at once.
    assert 0 < report["bytes"] <= COUNT * 100_000 * (report["seconds"] + 0.2)
    assert Archives.served == COUNT


def test_fast_clients_begin_anew_with_what_is_complete(port: int) -> None:
    report = json.loads(run_clients(port, rate=0, seconds=1))

    assert Archives.served > COUNT
    assert report["bytes"] > COUNT * SIZE
    assert report["bytes"] <= Archives.served * SIZE


def test_clients_that_are_refused_say_so(port: int) -> None:
    assert run_clients(port, rate=0, seconds=1, cookie="session=y") == ""


def test_only_an_archive_counts() -> None:
    assert read_length("HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 12") == 12
    for head in (
        "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 12",
        "HTTP/1.1 302 Found\r\nContent-Length: 0",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked",
    ):
        with pytest.raises(RefusedError):
            read_length(head)


def part(median_ms: float, bytes_a_second: float = 0) -> dict[str, float]:
    return {
        "count": 180,
        "median_ms": median_ms,
        "p95_ms": 2 * median_ms,
        "max_ms": 3 * median_ms,
        "bytes_a_second": bytes_a_second,
    }


WAY = {"alone": part(20), "throttled": part(24, 4e7), "fast": part(40, 1e9)}
FIGURES = {"downloads": DOWNLOADS, "rate": 2_000_000, "workers": 2, "ways": {"by itself": WAY}}


def test_the_goal_is_about_throttled_downloads() -> None:
    (goal,) = goals(FIGURES)

    assert goal.measured == pytest.approx(1.2)
    assert goal.is_met


def test_the_document_shows_all_three_and_says_what_is_missing() -> None:
    text = "\n".join(describe(FIGURES))

    assert "| no download | 180 | 20.0 | 40.0 | 60.0 | 1.00× | 0 |" in text
    assert "| throttled downloads | 180 | 24.0 | 48.0 | 72.0 | 1.20× | 40.0 |" in text
    assert "| fast downloads | 180 | 40.0 | 80.0 | 120 | 2.00× | 1,000 |" in text
    assert "no nginx" in text
    with_nginx = FIGURES | {"ways": {"gunicorn alone": WAY, "behind nginx": WAY}}
    assert "no nginx" not in "\n".join(describe(with_nginx))
