"""The download: whole, in parts, conditional; to the owner and nobody else."""

from typing import Any

import pytest
from django.conf import LazySettings
from django.test import Client

from collections_app.delivery.ranges import ByteRange, NotSatisfiable, parse_range
from collections_app.models import Collection
from collections_app.storage import archive_file
from collections_app.tests.ready_archives import make_ready_collection


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", None),
        ("bytes=0-", (0, 100)),
        ("bytes=0-0", (0, 1)),
        ("bytes=10-19", (10, 20)),
        ("bytes=90-200", (90, 100)),
        ("bytes=-10", (90, 100)),
        ("bytes=-200", (0, 100)),
        ("Bytes = 10-19", None),
        ("BYTES=10-19", (10, 20)),
        ("bytes=20-10", None),
        ("bytes=0-1,5-6", None),
        ("lines=1-2", None),
        ("bytes=-", None),
        ("bytes=a-b", None),
        ("bytes=٣-", None),
        (f"bytes={'9' * 5000}-", None),
        ("bytes=99-", (99, 100)),
    ],
)
def test_ranges_follow_the_rfc(header: str, expected: tuple[int, int] | None) -> None:
    assert parse_range(header, 100) == (ByteRange(*expected) if expected else None)


@pytest.mark.parametrize("header", ["bytes=100-", "bytes=100-200", "bytes=-0"])
def test_a_range_after_the_end_is_not_satisfiable(header: str) -> None:
    with pytest.raises(NotSatisfiable):
        parse_range(header, 100)


@pytest.fixture
def collection(db: None, client: Client) -> Collection:
    made = make_ready_collection(bytes(range(256)) * 20)
    client.force_login(made.user)
    return made


def fetch(client: Client, collection: Collection, **headers: str) -> Any:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.get(f"/collections/{collection.uuid}/download/", headers=names)


def body(response: Any) -> bytes:
    return b"".join(response.streaming_content) if response.streaming else response.content


def content(collection: Collection) -> bytes:
    return archive_file(collection.archive_path).read_bytes()


def test_the_whole_archive_has_the_headers_that_a_client_needs(
    client: Client, collection: Collection
) -> None:
    response = fetch(client, collection)
    assert body(response) == content(collection)
    assert response["Content-Length"] == str(collection.archive_size)
    assert response["Content-Type"] == "application/zip"
    assert response["Content-Disposition"] == 'attachment; filename="my-rays.zip"'
    assert response["Accept-Ranges"] == "bytes"
    assert response["ETag"] == f'"{collection.fingerprint}"'


def test_an_interrupted_download_is_resumed(client: Client, collection: Collection) -> None:
    whole = content(collection)
    response = fetch(client, collection, Range="bytes=1000-")
    assert response.status_code == 206
    assert body(response) == whole[1000:]
    assert response["Content-Range"] == f"bytes 1000-{len(whole) - 1}/{len(whole)}"
    assert response["Content-Length"] == str(len(whole) - 1000)
    assert body(fetch(client, collection, Range="bytes=-22")) == whole[-22:]


def test_a_resumed_download_never_mixes_two_archives(
    client: Client, collection: Collection
) -> None:
    same = fetch(client, collection, Range="bytes=5-9", If_Range=f'"{collection.fingerprint}"')
    assert (same.status_code, body(same)) == (206, content(collection)[5:10])
    other = fetch(client, collection, Range="bytes=5-9", If_Range='"another"')
    assert (other.status_code, body(other)) == (200, content(collection))


def test_a_cached_archive_is_not_sent_again(client: Client, collection: Collection) -> None:
    response = fetch(client, collection, If_None_Match=f'"{collection.fingerprint}"')
    assert (response.status_code, response.content) == (304, b"")


def test_a_range_after_the_end_is_a_416(client: Client, collection: Collection) -> None:
    response = fetch(client, collection, Range="bytes=99999999-")
    assert response.status_code == 416
    assert response["Content-Range"] == f"bytes */{collection.archive_size}"


def test_head_has_the_size(client: Client, collection: Collection) -> None:
    response = client.head(f"/collections/{collection.uuid}/download/")
    assert response["Content-Length"] == str(collection.archive_size)
    assert body(response) == b""


def test_nginx_gets_the_path_of_the_archive(
    client: Client, collection: Collection, settings: LazySettings
) -> None:
    settings.X_ACCEL_PREFIX = "/protected/"
    response = fetch(client, collection)
    assert response["X-Accel-Redirect"] == f"/protected/{collection.archive_path}"
    assert response.content == b""
    assert response["Content-Disposition"] == 'attachment; filename="my-rays.zip"'


@pytest.mark.parametrize(
    ("status", "reason"),
    [("pending", "is still being built"), ("expired", "has expired")],
)
def test_without_an_archive_there_is_a_page_that_says_why(
    client: Client, collection: Collection, status: str, reason: str
) -> None:
    Collection.objects.update(status=status, archive_path="", archive_size=None)
    response = fetch(client, collection)
    assert response.status_code == 409
    assert reason in response.content.decode()


def test_an_archive_deleted_from_the_disk_is_explained(
    client: Client, collection: Collection
) -> None:
    archive_file(collection.archive_path).unlink()
    response = fetch(client, collection)
    assert response.status_code == 410
    assert "rebuild" in response.content.decode().lower()
