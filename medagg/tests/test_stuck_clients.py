"""Clients that hold on to the site, each in another way; pages go on, behind nginx and without."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from catalog.models import Image
from catalog.tests.factories import DatasetFactory, ImageFactory, add_file, make_searchable
from collections_app.tests.conftest import clean_folders  # noqa: F401 - real files are written
from medagg.testing.nginx import NginxFactory
from medagg.tests.deploy.compose import NEEDED, environment_of
from medagg.tests.stuck_clients import ADDRESSES, ask, await_answers, keeps_answering, stuck_clients
from medagg.tests.web_site import WebSite, run_site

pytestmark = pytest.mark.django_db(transaction=True)

CLIENTS = 200
CLIENTS_OF_NGINX = 1000
# Until the site has looked at each of them.
SETTLE_SECONDS = 0.5
LARGEST_SCRIPT = "/static/admin/js/vendor/xregexp/xregexp.js"
LARGE = bytes(1_000_000) * 8
PAGES = ("/healthz/", "/images/")
HALF_A_HEAD = b"GET /images/ HTTP/1.1\r\nHost: localhost\r\nAccept: te"
HALF_A_FORM = (
    b"POST /accounts/login/ HTTP/1.1\r\nHost: localhost\r\n"
    b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 300\r\n\r\nusername="
)
CHUNKS = (
    b"POST /accounts/login/ HTTP/1.1\r\nHost: localhost\r\n"
    b"Content-Type: application/x-www-form-urlencoded\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nu"
)


@pytest.fixture(scope="module")
def site(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebSite]:
    with run_site(tmp_path_factory.mktemp("stuck"), workers=2) as started:
        yield started


@pytest.fixture
def port_of_nginx(
    transactional_db: None, nginx_server: NginxFactory, tmp_path: Path
) -> Iterator[int]:
    """As docker-compose.yml has it, also in what nginx sends itself."""
    prefix = environment_of("web", NEEDED)["X_ACCEL_DATASETS"]
    named: dict[str, Any] = {"X_ACCEL_DATASETS": prefix, "TRUSTED_PROXIES": "127.0.0.1"}
    with run_site(tmp_path, behind_nginx=True, **named) as site:
        server = nginx_server(
            upstream_port=site.port,
            archive_root=settings.ARCHIVE_ROOT,
            dataset_root=settings.DATASET_ROOTS[0],
        )
        yield server.port


@pytest.fixture
def image(transactional_db: None, clean_folders: None) -> Image:  # noqa: F811
    image = ImageFactory(modality=None)
    add_file(image, LARGE, "large.dcm")
    make_searchable()
    return image


@pytest.mark.parametrize(
    "sent",
    [b"", HALF_A_HEAD, HALF_A_FORM, CHUNKS],
    ids=["nothing", "half a head", "half a form", "chunks"],
)
def test_pages_are_answered_beside_clients_that_send_half_a_request(
    site: WebSite, image: Image, sent: bytes
) -> None:
    with stuck_clients(site.port, sent, count=CLIENTS):
        time.sleep(SETTLE_SECONDS)
        assert keeps_answering(site.port, *PAGES)


@pytest.mark.parametrize(
    "sent",
    [
        ask("/datasets/"),
        ask("/datasets/long/"),
        ask("/healthz/", "Connection: close"),
        ask(LARGEST_SCRIPT),
    ],
    ids=["a page", "a long page", "never closes", "the largest script"],
)
def test_pages_are_answered_beside_clients_that_read_nothing(
    site: WebSite, image: Image, sent: bytes
) -> None:
    DatasetFactory(slug="long", description="long " * 400_000)
    make_searchable()
    with stuck_clients(site.port, sent, count=CLIENTS) as clients:
        await_answers(clients)
        assert keeps_answering(site.port, *PAGES)


@pytest.mark.parametrize("times", [4, 100])
def test_pages_are_answered_beside_clients_that_ask_again_and_read_nothing(
    site: WebSite, image: Image, times: int
) -> None:
    """What the kernel takes of their first answers, it does not take of all."""
    sent = ask(LARGEST_SCRIPT) * times
    with stuck_clients(site.port, sent, count=CLIENTS) as clients:
        await_answers(clients)
        time.sleep(SETTLE_SECONDS)
        assert keeps_answering(site.port, *PAGES)


def test_pages_are_answered_beside_clients_that_read_no_file(site: WebSite, image: Image) -> None:
    with stuck_clients(site.port, ask(f"/images/{image.pk}/file/"), count=CLIENTS) as clients:
        await_answers(clients)
        assert keeps_answering(site.port, *PAGES)


def test_pages_go_on_behind_nginx(image: Image, port_of_nginx: int) -> None:
    """In one test, because starting the site takes longer than each attack."""
    path = f"/images/{image.pk}/file/"
    with contextlib.ExitStack() as stack:
        for sent in (HALF_A_HEAD, HALF_A_FORM, CHUNKS):
            stack.enter_context(stuck_clients(port_of_nginx, sent, count=CLIENTS))
        assert keeps_answering(port_of_nginx, *PAGES)
        readers = stuck_clients(port_of_nginx, ask(path), count=CLIENTS_OF_NGINX)
        await_answers(stack.enter_context(readers))
        assert keeps_answering(port_of_nginx, *PAGES)
        # Of one address so many and no more.
        more = stuck_clients(port_of_nginx, ask(path), count=50, addresses=ADDRESSES[:1])
        statuses = [client.recv(12)[-3:] for client in stack.enter_context(more)]
        assert set(statuses) == {b"200", b"429"}
