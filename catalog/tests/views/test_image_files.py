"""An image's file: sent by Django, or by a real nginx once Django has opened it."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPMessage
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.conf import LazySettings
from django.test import Client

from catalog.models import Dataset, Image
from catalog.tests.factories import ImageFactory, add_file, make_searchable
from catalog.tests.views.pages import get
from medagg.testing.nginx import NginxServer

pytestmark = pytest.mark.django_db

PREFIX = "/protected-datasets/"
CONTENT = b"<script>" + bytes(range(251)) * 400


def make_image(name: str = "scan.html", content: bytes = CONTENT) -> Image:
    image: Image = ImageFactory()
    add_file(image, content, name)
    make_searchable()
    return image


@dataclass(frozen=True)
class Answer:
    status: int
    headers: HTTPMessage
    body: bytes


Fetch = Callable[..., Answer]


@pytest.fixture
def fetch(
    transactional_db: None,
    live_server: object,
    nginx_server: Callable[..., NginxServer],
    settings: LazySettings,
    tmp_path: Path,
) -> Fetch:
    """The file of an image, or what else has the path, as nginx gives it."""
    settings.ALLOWED_HOSTS = ["127.0.0.1"]
    settings.X_ACCEL_DATASETS = [PREFIX]
    server = nginx_server(
        upstream_port=urlsplit(str(live_server)).port,
        archive_root=tmp_path,
        dataset_root=settings.DATASET_ROOTS[0],
    )

    def get(wanted: Image | str, method: str = "GET", **headers: str) -> Answer:
        path = wanted if isinstance(wanted, str) else f"/images/{wanted.pk}/file/"
        with closing(HTTPConnection("127.0.0.1", server.port, timeout=20)) as connection:
            connection.request(method, path, headers=headers)
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())

    return get


def test_nginx_sends_the_file_byte_for_byte_and_never_as_a_page(fetch: Fetch) -> None:
    answer = fetch(make_image())
    assert (answer.status, answer.body) == (200, CONTENT)
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="scan.html"'
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["X-Accel-Redirect"] is None
    # Django sends the whole file always; that a part comes shows who sent it.
    part = fetch(make_image("part.bin"), Range="bytes=10-19")
    assert (part.status, part.body) == (206, CONTENT[10:20])


def test_head_tells_the_size(fetch: Fetch) -> None:
    answer = fetch(make_image(), "HEAD")
    assert (answer.status, answer.headers["Content-Length"], answer.body) == (
        200,
        str(len(CONTENT)),
        b"",
    )


@pytest.mark.parametrize("name", ["a b/50 %.png", "größe.png", "a+b&c=d.png", "q?x#y%2e.png"])
def test_nginx_finds_any_name(fetch: Fetch, name: str) -> None:
    assert fetch(make_image(name)).body == CONTENT


def test_a_link_within_the_dataset_is_followed(fetch: Fetch, settings: LazySettings) -> None:
    image = make_image("real/scan.bin")
    folder = settings.DATASET_ROOTS[0] / image.dataset.local_path
    (folder / "folder").symlink_to("real")
    (folder / "real" / "link.bin").symlink_to("scan.bin")
    Image.objects.filter(pk=image.pk).update(file_path="folder/link.bin")
    assert fetch(image).body == CONTENT


@pytest.mark.parametrize("target", ["../other/secret", "../../secret", "/etc/hostname"])
def test_a_link_out_of_the_dataset_is_not_followed(
    fetch: Fetch, settings: LazySettings, target: str
) -> None:
    image = make_image()
    root = settings.DATASET_ROOTS[0]
    (root / "other").mkdir()
    (root / "other" / "secret").write_text("kept")
    (root.parent / "secret").write_text("kept")
    (root / image.dataset.local_path / "link").symlink_to(target)
    Image.objects.filter(pk=image.pk).update(file_path="link")
    answer = fetch(image)
    assert answer.status == 404
    assert b"The file is not there" in answer.body


def test_files_are_out_of_reach_without_django(fetch: Fetch) -> None:
    image = make_image()
    inner = f"{image.dataset.local_path}/{image.file_path}"
    for path in (f"{PREFIX}{inner}", f"/x/..{PREFIX}{inner}", f"/%70{PREFIX[2:]}{inner}"):
        answer = fetch(path)
        assert answer.status == 404
        assert CONTENT not in answer.body


def test_a_root_without_a_location_is_served_by_django(
    client: Client, settings: LazySettings, tmp_path: Path
) -> None:
    settings.X_ACCEL_DATASETS = [PREFIX]
    settings.DATASET_ROOTS = [*settings.DATASET_ROOTS, tmp_path / "second"]
    image = make_image("scan.bin")
    first = client.get(f"/images/{image.pk}/file/")
    assert first["X-Accel-Redirect"] == f"{PREFIX}{image.dataset.local_path}/scan.bin"
    assert first.content == b""
    folder = tmp_path / "second" / "rays"
    folder.mkdir(parents=True)
    (folder / "scan.bin").write_bytes(CONTENT)
    Dataset.objects.update(local_path=str(folder))
    second = client.get(f"/images/{image.pk}/file/")
    assert "X-Accel-Redirect" not in second
    assert b"".join(second.streaming_content) == CONTENT  # type: ignore[attr-defined]
    # The second location belongs to the second root.
    settings.X_ACCEL_DATASETS = [PREFIX, "/second/"]
    third = client.get(f"/images/{image.pk}/file/")
    assert third["X-Accel-Redirect"] == "/second/rays/scan.bin"


def test_the_file_comes_byte_for_byte_and_never_as_a_page(client: Client) -> None:
    image = ImageFactory(source_id="evil")
    add_file(image, b"<script>alert(1)</script>", "evil.html")
    make_searchable()
    response = client.get(f"/images/{image.pk}/file/")
    assert b"".join(response.streaming_content) == b"<script>alert(1)</script>"  # type: ignore[attr-defined]
    assert response["Content-Type"] == "application/octet-stream"
    assert response["Content-Disposition"] == 'attachment; filename="evil.html"'
    assert response["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("path", ["../secret", "/etc/passwd", "link/secret"])
def test_a_stored_path_that_leads_out_is_not_followed(client: Client, path: str) -> None:
    image = ImageFactory()
    file = add_file(image, b"fine", "fine.bin")
    (file.parent.parent / "secret").write_text("secret")
    (file.parent / "link").symlink_to(file.parent.parent)
    # As if it had come past the door: the database refuses the first two itself.
    if path == "link/secret":
        Image.objects.filter(pk=image.pk).update(file_path=path)
        get(client, f"/images/{image.pk}/file/", status=404)
        get(client, f"/images/{image.pk}/preview/", status=404)
    else:
        image.file_path = path
        with pytest.raises(Exception, match=r"(?i)path"):
            image.full_clean()


def test_a_dataset_folder_outside_the_roots_is_not_read(client: Client, tmp_path: object) -> None:
    image = ImageFactory()
    add_file(image, b"x")
    Dataset.objects.update(local_path="/etc")
    Image.objects.update(file_path="hostname")
    get(client, f"/images/{image.pk}/file/", status=404)
