"""The download over real HTTP: by Django itself and behind a real nginx."""

import http.client
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.conf import LazySettings
from django.conf import settings as conf
from django.test import Client

from collections_app.archive_files import archive_file
from collections_app.build import build_collection
from collections_app.models import Collection
from collections_app.tests.factories import UserFactory, make_collection, make_dataset
from medagg.testing.nginx import NginxServer

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def collection(transactional_db: None) -> Collection:
    make_dataset(files=30)
    made = make_collection("", user=UserFactory(username="owner"))
    build_collection(collection_id=made.pk)
    made.refresh_from_db()
    return made


@pytest.fixture
def cookie(collection: Collection) -> str:
    """The owner's session, as a browser sends it."""
    client = Client()
    client.force_login(collection.user)
    return f"{conf.SESSION_COOKIE_NAME}={client.cookies[conf.SESSION_COOKIE_NAME].value}"


@pytest.fixture(params=["django", "nginx"])
def site(
    request: pytest.FixtureRequest,
    live_server: object,
    nginx_server: Callable[..., NginxServer],
    settings: LazySettings,
) -> str:
    """host:port of the site, with and without nginx in front."""
    address = urlsplit(str(live_server))
    if request.param == "django":
        return address.netloc
    settings.X_ACCEL_PREFIX = "/protected/"
    settings.ALLOWED_HOSTS = ["127.0.0.1"]
    server = nginx_server(upstream_port=address.port, archive_root=Path(conf.ARCHIVE_ROOT))
    return urlsplit(server.url).netloc


def fetch(
    site: str, collection: Collection, method: str = "GET", **headers: str
) -> tuple[http.client.HTTPResponse, bytes]:
    connection = http.client.HTTPConnection(site, timeout=20)
    path = f"/collections/{collection.uuid}/download/"
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, headers=names)
    response = connection.getresponse()
    return response, response.read()


def test_the_archive_arrives_whole_and_in_parts(
    site: str, collection: Collection, cookie: str
) -> None:
    whole = archive_file(collection.archive_path).read_bytes()
    response, body = fetch(site, collection, Cookie=cookie)
    assert (response.status, body) == (200, whole)
    assert response.headers["Content-Length"] == str(len(whole))
    assert response.headers["Content-Disposition"] == 'attachment; filename="my-rays.zip"'
    assert response.headers["Accept-Ranges"] == "bytes"
    assert "X-Accel-Redirect" not in response.headers

    response, body = fetch(site, collection, Cookie=cookie, Range="bytes=5000-")
    assert (response.status, body) == (206, whole[5000:])
    etag = response.headers["ETag"]
    response, body = fetch(site, collection, Cookie=cookie, Range="bytes=-100", If_Range=etag)
    assert (response.status, body) == (206, whole[-100:])
    response, body = fetch(site, collection, Cookie=cookie, Range="bytes=1-2", If_Range='"other"')
    assert (response.status, body) == (200, whole)
    response, _ = fetch(site, collection, Cookie=cookie, Range=f"bytes={len(whole)}-")
    assert response.status == 416
    response, body = fetch(site, collection, "HEAD", Cookie=cookie)
    assert (response.status, body) == (200, b"")
    assert response.headers["Content-Length"] == str(len(whole))


def test_only_the_owner_gets_it(site: str, collection: Collection) -> None:
    response, body = fetch(site, collection)
    assert response.status == 302
    assert "/accounts/login/" in response.headers["Location"]
    assert b"PK" not in body


def test_a_running_download_outlives_the_archive(
    site: str, collection: Collection, cookie: str
) -> None:
    file = archive_file(collection.archive_path)
    whole = file.read_bytes()
    connection = http.client.HTTPConnection(site, timeout=20)
    path = f"/collections/{collection.uuid}/download/"
    connection.request("GET", path, headers={"Cookie": cookie})
    response = connection.getresponse()
    begun = response.read(1000)
    file.unlink()
    assert begun + response.read() == whole
