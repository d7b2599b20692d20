"""The download over real HTTP: by Django itself and behind a real nginx."""

import http.client
import os
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.conf import LazySettings
from django.conf import settings as conf
from django.utils.http import http_date

from collections_app.models import Collection
from collections_app.storage import archive_file, mark_time
from collections_app.tests.factories import (
    UserFactory,
    make_dataset,
    make_ready,
)
from collections_app.tests.ready_archives import make_ready_collection, sign_in
from medagg.testing.nginx import NginxServer

pytestmark = pytest.mark.django_db(transaction=True)


CONTENT = bytes(range(251)) * 4000
# No file of a test is written at this time.
TIME = 1_262_304_001


@pytest.fixture
def collection(transactional_db: None) -> Collection:
    return make_ready_collection(CONTENT)


@pytest.fixture
def cookie(collection: Collection) -> str:
    return sign_in(collection.user)


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


def test_the_archive_is_sent_whole_and_in_parts(
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
    assert b"PK\x03\x04" not in body


def test_a_running_download_continues_after_the_archive_is_removed(
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


def test_the_downloaded_bytes_are_those_that_were_built(site: str, transactional_db: None) -> None:
    make_dataset()
    built = make_ready(user=UserFactory(username="builder"))
    file = archive_file(built.archive_path)
    response, body = fetch(site, built, Cookie=sign_in(built.user))
    assert (response.status, body) == (200, file.read_bytes())
    assert response.headers["Content-Length"] == str(built.archive_size)
    assert response.headers["Last-Modified"] == http_date(int(file.stat().st_mtime))


def set_time(collection: Collection, seconds: int) -> None:
    os.utime(archive_file(collection.archive_path), (seconds, seconds))


def test_a_download_can_be_resumed_after_a_rebuild(
    site: str, collection: Collection, cookie: str
) -> None:
    mark_time(archive_file(collection.archive_path), collection.fingerprint)
    response, whole = fetch(site, collection, Cookie=cookie)
    validators = [response.headers["ETag"], response.headers["Last-Modified"]]

    rebuilt = make_ready_collection(
        CONTENT, user=collection.user, fingerprint=collection.fingerprint
    )
    mark_time(archive_file(rebuilt.archive_path), collection.fingerprint)
    assert rebuilt.archive_path != collection.archive_path
    archive_file(rebuilt.archive_path).replace(archive_file(collection.archive_path))

    for validator in validators:
        response, body = fetch(
            site, collection, Cookie=cookie, Range="bytes=1000-", If_Range=validator
        )
        assert (response.status, body) == (206, whole[1000:])
    response, _ = fetch(site, collection, Cookie=cookie, If_None_Match=validators[0])
    assert response.status == 304


def test_a_resumed_download_never_mixes_two_builds(
    site: str, collection: Collection, cookie: str
) -> None:
    set_time(collection, TIME)
    response, _ = fetch(site, collection, Cookie=cookie)
    validators = [response.headers["ETag"], response.headers["Last-Modified"]]
    # An archive of the same size with other bytes, such as after excluding a file.
    other = make_ready_collection(CONTENT[::-1], user=collection.user)
    set_time(other, TIME - 1)
    for validator in validators:
        response, body = fetch(site, other, Cookie=cookie, Range="bytes=9-", If_Range=validator)
        assert (response.status, body) == (200, CONTENT[::-1])


def test_django_and_nginx_send_the_same_last_modified(
    site: str, collection: Collection, cookie: str
) -> None:
    set_time(collection, TIME)
    response, _ = fetch(site, collection, "HEAD", Cookie=cookie)
    assert response.headers["Last-Modified"] == http_date(TIME)
    assert response.headers["ETag"].startswith('"')  # a strong one


@pytest.mark.parametrize(
    ("name", "value", "status"),
    [
        ("If-None-Match", "*", 304),
        ("If-None-Match", '"other", {etag}', 304),
        ("If-None-Match", "W/{etag}", 304),
        ("If-None-Match", '"other"', 200),
        ("If-Match", '"other"', 412),
        ("If-Match", "W/{etag}", 412),
        ("If-Match", "{etag}", 200),
        ("If-Modified-Since", http_date(TIME), 304),
        ("If-Modified-Since", http_date(TIME + 1), 200),
        ("If-Unmodified-Since", http_date(TIME), 200),
        ("If-Unmodified-Since", http_date(TIME - 1), 412),
        ("Range", "bytes=0-1,3-4", 200),
        ("Range", "bytes=-0", 416),
        ("Range", "lines=1-2", 200),
    ],
)
def test_django_and_nginx_understand_the_same_headers(
    site: str, collection: Collection, cookie: str, name: str, value: str, status: int
) -> None:
    set_time(collection, TIME)
    etag = fetch(site, collection, "HEAD", Cookie=cookie)[0].headers["ETag"]
    response, _ = fetch(site, collection, Cookie=cookie, **{name: value.format(etag=etag)})
    assert response.status == status


def test_a_truncated_archive_is_not_sent(site: str, collection: Collection, cookie: str) -> None:
    os.truncate(archive_file(collection.archive_path), 1000)
    response, body = fetch(site, collection, Cookie=cookie)
    assert response.status == 410
    assert b"not the file that was built" in body
    assert response.headers["Content-Type"].startswith("text/html")


def test_another_user_gets_404(site: str, collection: Collection) -> None:
    stranger = sign_in(UserFactory(username="stranger"))
    response, body = fetch(site, collection, Cookie=stranger)
    assert response.status == 404
    assert CONTENT[:100] not in body
