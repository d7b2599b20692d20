"""What nginx takes of one address, of all together, and of clients that dawdle."""

import contextlib
import http.client
import socket
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from medagg.testing.nginx import LOOPBACK, NginxFactory, NginxServer
from medagg.tests.deploy.nginx_client import fetch, serve_with_gunicorn
from medagg.tests.processes import wait_until

FILE = "/images/7/file/"


@pytest.fixture(scope="module")
def upstream() -> Iterator[int]:
    with serve_with_gunicorn("medagg.tests.deploy.nginx_upstream") as port:
        yield port


@pytest.fixture
def server(upstream: int, nginx_server: NginxFactory, tmp_path: Path) -> NginxServer:
    """One that believes this machine whom it speaks for."""
    return nginx_server(upstream_port=upstream, archive_root=tmp_path, trusted_proxy=LOOPBACK)


def ask_as(server: NginxServer, address: str, path: str, *, method: str = "GET") -> int:
    headers = {"X-Forwarded-For": address}
    body = b"username=x" if method == "POST" else None
    return fetch(server.port, path, headers, method=method, body=body).status


def ask_often(
    server: NginxServer,
    address: str,
    path: str,
    count: int,
    *,
    method: str = "GET",
    clients: int = 4,
) -> Counter[int]:
    """How often each status came, of as many requests as fast as so many clients go."""
    headers = {"X-Forwarded-For": address}
    if method == "POST":
        headers["Content-Length"] = "0"

    def ask_some(number: int) -> Counter[int]:
        statuses: Counter[int] = Counter()
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
        with contextlib.closing(connection):
            for _ in range(number):
                connection.request(method, path, headers=headers)
                response = connection.getresponse()
                response.read()
                statuses[response.status] += 1
        return statuses

    with ThreadPoolExecutor(clients) as threads:
        return sum(threads.map(ask_some, [count // clients] * clients), Counter())


@pytest.mark.parametrize(
    ("path", "method", "hall"),
    [(FILE, "GET", 100), ("/accounts/login/", "POST", 100)],
)
def test_a_lecture_hall_behind_one_address_is_served_and_a_script_is_not(
    server: NginxServer, path: str, method: str, hall: int
) -> None:
    assert ask_often(server, "203.0.113.9", path, hall, method=method) == {200: hall}
    assert 429 in ask_often(server, "203.0.113.9", path, 800, method=method)
    assert ask_as(server, "203.0.113.10", path, method=method) == 200, "others do not feel it"


@pytest.mark.parametrize("path", ["/datasets/", "/vocabularies/label/"])
def test_a_lecture_hall_opens_a_page_and_what_a_script_asks_for_waits(
    server: NginxServer, path: str
) -> None:
    assert ask_often(server, "203.0.113.9", path, 100, clients=100) == {200: 100}
    statuses = ask_often(server, "203.0.113.9", path, 420, clients=420)
    assert statuses[429] > 0
    assert statuses[200] > 0
    assert ask_as(server, "203.0.113.10", path) == 200, "others do not feel it"


@pytest.mark.parametrize("path", ["/vocabularies/label/", "/datasets.json", "/datasets.csv"])
def test_whole_lists_wait_for_their_turn_without_a_search_too(
    server: NginxServer, path: str
) -> None:
    begin = time.monotonic()
    assert ask_often(server, "203.0.113.9", path, 60) == {200: 60}
    assert time.monotonic() - begin > 1.2, "some twenty of them wait, at ten a second"


def test_searches_wait_for_their_turn_before_they_are_refused(server: NginxServer) -> None:
    assert ask_often(server, "203.0.113.9", "/images/?q=lung", 60) == {200: 60}


def test_no_spelling_of_an_address_evades_the_limit(server: NginxServer) -> None:
    begin = time.monotonic()
    assert ask_often(server, "203.0.113.9", "/%69mages/?q=lung", 60) == {200: 60}
    assert time.monotonic() - begin > 0.8, "twenty of them wait, at twenty a second"


def test_styles_and_previews_of_a_page_are_not_counted(server: NginxServer) -> None:
    for path in ("/static/css/base.css", "/images/7/preview/"):
        assert ask_often(server, "203.0.113.9", path, 640) == {200: 640}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/healthz/"),
        ("POST", "/images/7/preview/"),
        ("GET", "/images/7/preview/x"),
    ],
)
def test_what_no_page_asks_for_counts_as_a_page(
    server: NginxServer, method: str, path: str
) -> None:
    """Forms have to be read, and an address that no page has is given back."""
    # On a busy machine they take seconds, in each of which thirty are let in.
    statuses = ask_often(server, "203.0.113.9", path, 520, method=method, clients=520)
    assert statuses[429] > 0


@pytest.mark.parametrize(
    ("first", "second", "is_same"),
    [
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2:ffff::1", True),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:3:3:4:5:6", False),
        ("2001:db8::1", "2001:db8::2", True),
        ("2001:db8::1", "2001:db9::1", False),
    ],
)
def test_an_ipv6_network_counts_as_one_visitor(
    server: NginxServer, first: str, second: str, is_same: bool
) -> None:
    ask_often(server, first, "/accounts/login/", 120, method="POST")
    assert ask_as(server, second, "/accounts/login/", method="POST") == (429 if is_same else 200)


def test_a_client_cannot_count_as_others(
    upstream: int, nginx_server: NginxFactory, tmp_path: Path
) -> None:
    server = nginx_server(upstream_port=upstream, archive_root=tmp_path)
    statuses = {
        ask_as(server, f"203.0.113.{number}", "/accounts/login/", method="POST")
        for number in range(150)
    }
    assert statuses == {200, 429}


def test_who_is_refused_reads_what_to_do(server: NginxServer) -> None:
    ask_often(server, "203.0.113.9", "/accounts/login/", 120, method="POST")
    answer = fetch(
        server.port, "/accounts/login/", {"X-Forwarded-For": "203.0.113.9"},
        method="POST", body=b"",
    )  # fmt: skip
    assert (answer.status, answer.headers["Retry-After"]) == (429, "30")
    assert answer.headers["Content-Type"] == "text/html"
    assert "Wait half a minute" in answer.body.decode()


@pytest.mark.parametrize("method", ["POST", "PUT", "GET"])
def test_half_sent_forms_of_one_address_fill_no_disk(server: NginxServer, method: str) -> None:
    """Where nginx keeps forms that are not whole yet is 64 MB of memory in its container."""
    for path, length, most in [("/", 99_999, 0), ("/admin/", 3 * 1024**2, 8)]:
        with contextlib.ExitStack() as stack:
            for _ in range(20):
                client = socket.create_connection(("127.0.0.1", server.port), timeout=20)
                stack.enter_context(client)
                head = f"{method} {path} HTTP/1.1\r\nHost: a\r\n"
                head += "X-Forwarded-For: 203.0.113.9\r\n"
                client.sendall(f"{head}Content-Length: {length}\r\n\r\n".encode())
                with contextlib.suppress(ConnectionError):
                    client.sendall(b"x" * (length - 1))
            others = {"X-Forwarded-For": "203.0.113.10"}
            assert fetch(server.port, "/admin/", others).status == 200
            wait_until(partial(has_files, server, most), what="forms in files")
        assert count_files(server) == most


def count_files(server: NginxServer) -> int:
    return server.error_log.count("buffered to a temporary file")


def has_files(server: NginxServer, number: int) -> bool:
    return count_files(server) >= number


def test_no_log_says_what_was_searched_for_by_whom(server: NginxServer) -> None:
    statuses = ask_often(server, "203.0.113.9", "/images/?q=sarcoidosis", 420, clients=420)
    assert statuses[429] > 0
    assert " 429 " in server.access_log
    assert "sarcoidosis" not in server.access_log + server.error_log


def test_requests_that_a_client_gives_up_count_until_they_are_answered(
    nginx_server: NginxFactory, tmp_path: Path
) -> None:
    """medagg answers them all the same, so that the limits would bound nothing."""
    with (
        socket.create_server(("127.0.0.1", 0), backlog=256) as silent,
        contextlib.ExitStack() as stack,
    ):
        port = silent.getsockname()[1]
        server = nginx_server(upstream_port=port, archive_root=tmp_path, trusted_proxy=LOOPBACK)
        head = f"GET {FILE} HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 203.0.113.9\r\n\r\n"
        for _ in range(120):
            with socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
                client.sendall(head.encode())
                stack.enter_context(silent.accept()[0]).recv(1)
        time.sleep(0.5)  # nginx has seen that they left
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as other:
            other.sendall(head.replace("203.0.113.9", "203.0.113.10").encode())
            silent.accept()[0].close()  # others do not feel it
        assert ask_as(server, "203.0.113.9", FILE) == 429
