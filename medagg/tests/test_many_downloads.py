"""As many slow downloads as the site takes, one more, and the pages meanwhile. Without nginx."""

import contextlib
import http.client
import os
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from django.contrib.staticfiles import finders
from django.db import connection

from catalog.models import Image
from catalog.storage.transfers import find_most_transfers
from catalog.tests.factories import ImageFactory, add_file, make_searchable
from collections_app.models import Collection
from collections_app.tests.conftest import clean_folders  # noqa: F401 - real files are written
from collections_app.tests.ready_archives import make_ready_collection, sign_in
from medagg.runner import serving
from medagg.runner.supervisor import threads_of_each
from medagg.tests.deploy.nginx_client import fetch
from medagg.tests.processes import wait_until
from medagg.tests.web_site import WebSite, run_site

pytestmark = pytest.mark.django_db(transaction=True)

# Far more than the buffers between the server and a client with a small one of its own.
CONTENT = bytes(range(256)) * 25_000
LARGEST_SCRIPT = "/static/admin/js/vendor/xregexp/xregexp.js"
THREADS = threads_of_each(1)
MAX_TRANSFERS = find_most_transfers(THREADS)
VISITORS = 8


# By this name its sessions are told from those of other tests.
PROGRAM = f"web site of {os.getpid()}"


@pytest.fixture(scope="module")
def site(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebSite]:
    """One process, so that its limits are the site's."""
    with run_site(tmp_path_factory.mktemp("many"), workers=1, PGAPPNAME=PROGRAM) as started:
        yield started


@pytest.fixture
def collection(transactional_db: None, clean_folders: None) -> Collection:  # noqa: F811
    return make_ready_collection(CONTENT)


@dataclass
class SlowClient:
    """Has asked, and reads no more than the head of the answer until it is told to."""

    socket: socket.socket
    response: http.client.HTTPResponse

    def read(self) -> bytes:
        return self.response.read()

    def close(self) -> None:
        self.response.close()
        self.socket.close()


def ask_slowly(port: int, path: str, cookie: str = "") -> SlowClient:
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.settimeout(20)
    client.connect(("127.0.0.1", port))
    client.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nCookie: {cookie}\r\n\r\n".encode())
    response = http.client.HTTPResponse(client)
    response.begin()
    return SlowClient(client, response)


@contextlib.contextmanager
def held_open(port: int, path: str, cookie: str, count: int) -> Iterator[list[SlowClient]]:
    with contextlib.ExitStack() as stack:
        clients = []
        for _ in range(count):
            clients.append(ask_slowly(port, path, cookie))
            stack.callback(clients[-1].close)
        yield clients


def download_path(collection: Collection) -> str:
    return f"/collections/{collection.uuid}/download/"


def check_pages(port: int, cookie: str) -> None:
    """Pages with and without the database, several at a time."""
    paths = ["/images/", "/collections/", "/datasets/", "/healthz/"] * 5
    headers = {"Cookie": cookie}
    with ThreadPoolExecutor(VISITORS) as visitors:
        answers = list(visitors.map(lambda path: fetch(port, path, headers), paths))
    assert [answer.status for answer in answers] == [200] * len(paths)


def count_database_connections() -> int:
    """Those of the web process."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s",
            [PROGRAM],
        )
        return int(cursor.fetchone()[0])


def test_clients_that_vanish_leave_their_places(site: WebSite, collection: Collection) -> None:
    cookie, path = sign_in(collection.user), download_path(collection)
    for _ in range(3):
        with held_open(site.port, path, cookie, MAX_TRANSFERS) as clients:
            assert {client.response.status for client in clients} == {200}

        def is_free() -> bool:
            return fetch(site.port, path, {"Cookie": cookie}).status == 200

        wait_until(is_free, what="a place for a download")
    check_pages(site.port, cookie)


def test_twenty_downloads_fit_into_two_processes_nearly_however_they_fall() -> None:
    assert find_most_transfers(threads_of_each(2)) >= 18


def test_pages_are_answered_beside_as_many_downloads_as_there_may_be(
    site: WebSite, collection: Collection
) -> None:
    cookie, path = sign_in(collection.user), download_path(collection)
    with held_open(site.port, path, cookie, MAX_TRANSFERS) as clients:
        assert {client.response.status for client in clients} == {200}
        check_pages(site.port, cookie)
        # Two such processes leave enough of the hundred that PostgreSQL has.
        assert count_database_connections() <= THREADS
        refused = fetch(site.port, path, {"Cookie": cookie})
        assert (refused.status, refused.headers["Retry-After"]) == (503, "30")
        assert b"Too many downloads at the moment" in refused.body
        assert fetch(site.port, path, {"Cookie": cookie}, method="HEAD").status == 200
        assert fetch(site.port, LARGEST_SCRIPT).status == 503
        # They come to their end nevertheless, the first and the last.
        for client in (clients[0], clients[-1]):
            assert client.read() == CONTENT
    assert fetch(site.port, path, {"Cookie": cookie}).body == CONTENT
    script = Path(str(finders.find(LARGEST_SCRIPT.removeprefix("/static/"))))
    assert fetch(site.port, LARGEST_SCRIPT).body == script.read_bytes()


def test_files_of_images_hold_up_no_page_either(
    site: WebSite,
    transactional_db: None,
    clean_folders: None,  # noqa: F811
) -> None:
    image = ImageFactory(modality=None)
    add_file(image, CONTENT, "large.dcm")
    make_searchable()
    path = f"/images/{image.pk}/file/"
    with held_open(site.port, path, "", MAX_TRANSFERS) as clients:
        assert {client.response.status for client in clients} == {200}
        refused = fetch(site.port, path)
        assert (refused.status, refused.headers["Retry-After"]) == (503, "30")
        assert b"Too many downloads at the moment" in refused.body
        check_pages(site.port, sign_in(make_ready_collection(b"small").user))
        assert count_database_connections() <= THREADS
        assert clients[0].read() == CONTENT


def test_a_file_of_which_something_is_read_before_is_sent_whole(
    site: WebSite,
    transactional_db: None,
    clean_folders: None,  # noqa: F811
) -> None:
    image = ImageFactory(modality=None)
    add_file(image, CONTENT, "scan.png")
    # Imported by an earlier version: each request looks whether it may tell who somebody is.
    Image.objects.update(identifying=None)
    make_searchable()
    answer = fetch(site.port, f"/images/{image.pk}/file/")
    assert (answer.status, answer.body == CONTENT) == (200, True)


def test_a_connection_serves_on_after_a_download(site: WebSite, collection: Collection) -> None:
    headers = {"Cookie": sign_in(collection.user)}
    visitor = http.client.HTTPConnection("127.0.0.1", site.port, timeout=20)
    with contextlib.closing(visitor):
        for _ in range(3):
            visitor.request("GET", download_path(collection), headers=headers)
            assert visitor.getresponse().read() == CONTENT
            visitor.request("GET", "/collections/", headers=headers)
            response = visitor.getresponse()
            assert (response.status, b"My rays" in response.read()) == (200, True)


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="this kernel cannot")
def test_a_client_that_takes_nothing_any_more_is_given_up(
    collection: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "STALL_SECONDS", 4.0)
    cookie, path = sign_in(collection.user), download_path(collection)
    with (
        run_site(tmp_path, workers=1) as site,
        held_open(site.port, path, cookie, MAX_TRANSFERS) as clients,
    ):
        assert fetch(site.port, path, {"Cookie": cookie}).status == 503

        def is_free() -> bool:
            return fetch(site.port, path, {"Cookie": cookie}).status == 200

        wait_until(is_free, what="the place of a client that was given up")
        # Not all at the same moment: who is not yet given up, reads the whole file now.
        assert any(is_cut_off(client) for client in clients)


def is_cut_off(client: SlowClient) -> bool:
    try:
        client.read()
    except (http.client.IncompleteRead, ConnectionResetError):
        return True
    return False
