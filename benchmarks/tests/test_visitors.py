"""The step with visitors, builds and downloads: how they browse, and what its figures say."""

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from benchmarks import browsing
from benchmarks.browsing import Crowd
from benchmarks.figures import Figures
from benchmarks.visitors import describe, goals

PAGE = """<a href="/images/7/">x</a> <a href="/images/?label=mass&amp;page=2">x</a>
<a href="/accounts/login/">x</a> <img src="/images/7/preview/?size=small&amp;v=1">"""


class Pages(BaseHTTPRequestHandler):
    """Has every page but one image's."""

    asked: set[str] = set()

    def do_GET(self) -> None:
        self.asked.add(self.path)
        self.send_response(503 if self.path == "/images/7/" else 200)
        self.end_headers()
        self.wfile.write(PAGE.encode())

    def log_message(self, format: str, *args: object) -> None:
        """No line for each request."""


@pytest.fixture
def port() -> Iterator[int]:
    Pages.asked.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Pages) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def test_visitors_follow_links_load_previews_and_note_errors(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(browsing, "THINK_SECONDS", (0.0, 0.01))
    deadline = time.monotonic() + 20
    with Crowd("127.0.0.1", port, 3) as crowd:
        while len(Pages.asked) < 4 and time.monotonic() < deadline:
            time.sleep(0.01)
    assert Pages.asked == {
        "/images/", "/images/7/", "/images/?label=mass&page=2", "/images/7/preview/?size=small&v=1",
    }  # fmt: skip
    assert {visit.error for visit in crowd.visits} == {"", "503 /images/7/"}
    assert {visit.is_page for visit in crowd.visits} == {True, False}
    assert crowd.between(0, crowd.visits[0].when) == []


def times(p95_ms: float) -> Figures:
    return {"count": 9, "median_ms": 30.0, "p95_ms": p95_ms, "max_ms": 900.0}


@pytest.fixture
def figures() -> Figures:
    samples = [{"web": 100 + 10 * number, "PostgreSQL": 50} for number in range(8)]
    phases = {"before": times(50), "during": times(400), "after": times(50)}
    return {
        "seconds": 60,
        "pages": phases,
        "previews": phases,
        "answers": 96,
        "errors": [("500 /images/", 1)],
        "built": 3,
        "failed": {"the disk is full": 1},
        "bytes_a_second": 4e7,
        "memory": {"before": samples[0], "samples": samples, "after": samples[-1]},
    }


def test_goals_are_about_errors_pages_and_memory(figures: Figures) -> None:
    found = list(goals(figures))
    assert [goal.is_met for goal in found] == [False, True, False, True]
    assert [round(goal.measured, 2) for goal in found] == [98.0, 400, 1.32, 1]


def test_description_names_errors(figures: Figures) -> None:
    text = "\n".join(describe(figures))
    assert "1 times: 500 /images/" in text
    assert "1 times: the disk is full" in text
    assert "3 were built" in text
