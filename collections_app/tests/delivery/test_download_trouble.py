"""Downloads that are not possible: the page says why and what to do; no wrong byte is sent."""

import gc
import os
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import LazySettings
from django.test import Client

from catalog.storage import transfers
from collections_app.models import Collection
from collections_app.services import expire_collection
from collections_app.storage import archive_file
from collections_app.tests.factories import UserFactory
from collections_app.tests.ready_archives import make_ready_collection

CONTENT = b"archive" * 1000


@pytest.fixture
def collection(db: None, client: Client) -> Collection:
    made = make_ready_collection(CONTENT)
    client.force_login(made.user)
    return made


@pytest.fixture(params=["", "/protected/"], ids=["django", "nginx"])
def either_way(request: pytest.FixtureRequest, settings: LazySettings) -> None:
    settings.X_ACCEL_PREFIX = request.param


def fetch(client: Client, collection: Collection, **headers: str) -> Any:
    return client.get(f"/collections/{collection.uuid}/download/", headers=headers)


def give_up(response: Any) -> None:
    """Close the file before its end, as the server does when the client disconnects."""
    next(response.streaming_content)
    response._iterator.close()


def text(response: Any) -> str:
    return " ".join(response.content.decode().split())


@pytest.mark.parametrize("is_absolute", [False, True])
def test_a_path_that_a_restored_row_has_leads_to_no_other_folder(
    client: Client,
    collection: Collection,
    either_way: None,
    is_absolute: bool,
    settings: LazySettings,
) -> None:
    settings.ARCHIVE_ROOT.mkdir(parents=True, exist_ok=True)
    victim = settings.ARCHIVE_ROOT.parent / "victim"
    victim.write_bytes(CONTENT)
    path = str(victim) if is_absolute else "../victim"
    Collection.objects.update(archive_path=path)
    assert fetch(client, collection).status_code == 410
    collection.refresh_from_db()
    expire_collection(collection=collection)
    assert victim.read_bytes() == CONTENT
    victim.unlink()


def make_shorter(collection: Collection) -> None:
    os.truncate(archive_file(collection.archive_path), len(CONTENT) - 1)


def make_longer(collection: Collection) -> None:
    with archive_file(collection.archive_path).open("ab") as file:
        file.write(b"more")


def make_empty(collection: Collection) -> None:
    os.truncate(archive_file(collection.archive_path), 0)


def make_link(collection: Collection) -> None:
    path = archive_file(collection.archive_path)
    path.rename(path.with_suffix(".elsewhere"))
    path.symlink_to(path.with_suffix(".elsewhere"))


def make_folder(collection: Collection) -> None:
    path = archive_file(collection.archive_path)
    path.unlink()
    path.mkdir()


def make_pipe(collection: Collection) -> None:
    path = archive_file(collection.archive_path)
    path.unlink()
    os.mkfifo(path)


@pytest.mark.usefixtures("either_way")
@pytest.mark.parametrize(
    "spoil", [make_shorter, make_longer, make_empty, make_link, make_folder, make_pipe]
)
def test_a_damaged_archive_is_never_sent(
    client: Client, collection: Collection, spoil: Any
) -> None:
    spoil(collection)
    response = fetch(client, collection)
    assert response.status_code == 410
    assert "X-Accel-Redirect" not in response
    assert "is not the file that was built" in text(response)
    assert collection.get_absolute_url() in text(response)


@pytest.mark.usefixtures("either_way")
def test_a_missing_archive_is_explained(client: Client, collection: Collection) -> None:
    archive_file(collection.archive_path).unlink()
    response = fetch(client, collection)
    assert response.status_code == 410
    assert "X-Accel-Redirect" not in response
    assert "is missing on the server. Rebuild it" in text(response)


@pytest.mark.usefixtures("either_way")
def test_only_the_owner_learns_about_a_bad_archive(client: Client, collection: Collection) -> None:
    make_shorter(collection)
    client.force_login(UserFactory(username="somebody"))
    assert fetch(client, collection).status_code == 404
    client.logout()
    response = fetch(client, collection)
    assert response.status_code == 302
    assert response["Location"].startswith("/accounts/login/")


@pytest.fixture
def one_slot(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    slots = threading.BoundedSemaphore(1)
    monkeypatch.setattr(transfers, "_slots", slots)
    yield
    # In every case the slot is free again, and only once.
    assert slots.acquire(blocking=False)


@pytest.mark.usefixtures("one_slot")
def test_one_download_too_many_gets_503_with_retry_after(
    client: Client, collection: Collection
) -> None:
    running = fetch(client, collection)
    response = fetch(client, collection)
    assert (response.status_code, response["Retry-After"]) == (503, "30")
    assert "Too many downloads" in text(response)
    assert b"".join(running.streaming_content) == CONTENT
    again = fetch(client, collection)
    assert (again.status_code, b"".join(again.streaming_content)) == (200, CONTENT)


@pytest.mark.usefixtures("one_slot")
def test_an_aborted_download_frees_its_slot(client: Client, collection: Collection) -> None:
    for _ in range(3):
        response = fetch(client, collection)
        assert response.status_code == 200
        give_up(response)
    for _ in range(3):
        # Never read and never closed, as if something had failed after the view.
        assert fetch(client, collection).status_code == 200
        gc.collect()


@pytest.mark.usefixtures("one_slot")
def test_responses_without_a_body_need_no_slot(client: Client, collection: Collection) -> None:
    running = fetch(client, collection)
    path = f"/collections/{collection.uuid}/download/"
    assert client.head(path).status_code == 200
    assert fetch(client, collection, **{"If-None-Match": "*"}).status_code == 304
    assert fetch(client, collection, Range="bytes=99999-").status_code == 416
    give_up(running)


@pytest.mark.usefixtures("one_slot")
def test_downloads_by_nginx_have_no_limit(
    client: Client, collection: Collection, settings: LazySettings
) -> None:
    running = fetch(client, collection)
    settings.X_ACCEL_PREFIX = "/protected/"
    assert fetch(client, collection).status_code == 200
    give_up(running)
