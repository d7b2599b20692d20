"""Requests that arrive in pieces, together, or never whole: gunicorn as `up` starts it."""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from medagg.runner.web_worker import (
    MAX_HEAD,
    MAX_REQUEST,
    ArrivingRequest,
    RequestRefused,
    measure_request,
    receive,
)
from medagg.tests.deploy.nginx_client import fetch
from medagg.tests.web_site import WebSite, run_site

HEAD = b"GET /healthz/ HTTP/1.1\r\nHost: localhost\r\n"
FORM = b"POST /healthz/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"


@pytest.fixture(scope="module")
def site(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebSite]:
    with run_site(tmp_path_factory.mktemp("worker"), workers=1) as started:
        yield started


def test_a_client_that_does_not_close_its_side_keeps_nobody_waiting_in_the_image(
    django_db_setup: None, tmp_path: Path
) -> None:
    """Also behind nginx, which closes its side only once it has sent all of a long answer on.

    Nobody reads these forms, and what is left of them is not drained.
    """
    with run_site(tmp_path, workers=1, behind_nginx=True) as image, ExitStack() as clients:
        for _ in range(5):
            address = ("127.0.0.1", image.port)
            client = clients.enter_context(socket.create_connection(address, timeout=20))
            client.sendall(FORM.replace(b"POST", b"GET") % 99_000 + b"x" * 99_000)
        time.sleep(0.2)
        begin = time.monotonic()
        assert fetch(image.port, "/healthz/").status == 200
        assert time.monotonic() - begin < 3


@pytest.fixture
def client(site: WebSite) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", site.port), timeout=20) as connection:
        yield connection


def read_until(client: socket.socket, end: bytes, *, times: int = 1) -> bytes:
    received = b""
    while received.count(end) < times and (block := client.recv(1 << 16)):
        received += block
    return received


def test_a_request_may_come_in_pieces(client: socket.socket) -> None:
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for piece in (HEAD[:5], HEAD[5:], b"\r", b"\n"):
        time.sleep(0.02)
        client.sendall(piece)
    assert b"200 OK" in read_until(client, b"ok\n")


def test_a_header_does_not_change_what_is_asked_for(client: socket.socket) -> None:
    client.sendall(HEAD + b"SCRIPT_NAME: /healthz\r\nConnection: close\r\n\r\n")
    assert read_until(client, b"ok\n").endswith(b"ok\n")


def test_several_requests_may_come_at_once(client: socket.socket) -> None:
    client.sendall((HEAD + b"\r\n") * 3)
    assert read_until(client, b"ok\n", times=3).count(b"200 OK") == 3


def test_further_requests_are_answered_once_the_answers_before_them_are_read(
    client: socket.socket,
) -> None:
    script = b"GET /static/admin/js/vendor/xregexp/xregexp.js HTTP/1.1\r\nHost: localhost\r\n\r\n"
    client.sendall(script * 12)
    time.sleep(1)
    assert read_until(client, b"HTTP/1.1 200", times=12).count(b"HTTP/1.1 200") == 12


def test_the_next_request_may_begin_with_the_one_before(client: socket.socket) -> None:
    client.sendall(HEAD + b"\r\n" + HEAD[:9])
    assert b"200 OK" in read_until(client, b"ok\n")
    client.sendall(HEAD[9:] + b"\r\n")
    assert b"200 OK" in read_until(client, b"ok\n")


def test_a_form_is_read_to_its_end(client: socket.socket) -> None:
    client.sendall(FORM % 15_000 + b"x" * 14_999)
    client.sendall(b"x")
    assert b"403 Forbidden" in read_until(client, b"\r\n\r\n"), "it has no CSRF token"


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (HEAD + b"X-Long: " + b"x" * MAX_HEAD, b"431 "),
        (FORM % MAX_REQUEST, b"413 "),
        (FORM % (10**30), b"413 "),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\n", b"411 "),
        (HEAD + b"Content-Length: +5\r\n\r\n", b"400 "),
        (HEAD + b"X: y\nContent-Length: 5\r\n\r\n", b"400 "),
    ],
)
def test_a_request_that_is_not_waited_for_says_why(
    client: socket.socket, sent: bytes, status: bytes
) -> None:
    client.sendall(sent)
    answer = read_until(client, b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 " + status)
    assert client.recv(1) == b"", "the connection is closed"


@pytest.mark.parametrize("length", [b"5", b"  5 ", b"\t5\t", b"0" * 30 + b"5"])
def test_any_spelling_of_a_length_is_waited_for(length: bytes) -> None:
    head = b"POST / HTTP/1.1\r\ncontent-LENGTH:" + length + b"\r\n\r\n"
    assert measure_request(bytearray(head)) == len(head) + 5


@pytest.mark.parametrize("sign", [b"0", b" "])
def test_a_long_length_that_is_none_is_refused_without_much_work(sign: bytes) -> None:
    head = b"GET / HTTP/1.1\r\nContent-Length: " + sign * 65_000 + b"x\r\n\r\n"
    start = time.process_time()
    with pytest.raises(RequestRefused):
        measure_request(bytearray(head))
    assert time.process_time() - start < 1


def test_bytes_that_drip_prolong_nothing() -> None:
    server, client = socket.socketpair()
    with server, client:
        request = ArrivingRequest()
        due = request.due
        for byte in HEAD:
            client.sendall(bytes([byte]))
            assert receive(server, request.received)
            assert not request.is_whole()
        assert request.due == due
        client.close()
        assert not receive(server, request.received)
