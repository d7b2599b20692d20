"""A rebuild first looks at the files, in the build; until then the present archive is kept."""

from datetime import timedelta
from typing import Any

import pytest
from django.conf import LazySettings
from django.db.models import F
from django.test import Client
from django.utils import timezone

from collections_app.builds.lease import claim_build
from collections_app.builds.verification import verify_archive
from collections_app.models import Build, Collection, Reason
from collections_app.notices.mail import _write_mail
from collections_app.notices.page import SINCE_KEY
from collections_app.services import cancel_build, delete_collection
from collections_app.storage import archive_file
from collections_app.sweep import sweep_collections
from collections_app.tests.factories import (
    UserFactory,
    build,
    files_in_archive_root,
    image_file,
    make_dataset,
    make_ready,
)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("hooks_on_commit")]


@pytest.fixture
def ready(client: Client) -> Collection:
    """A verified collection of three images; its owner is signed in."""
    owner = UserFactory(username="owner", email="owner@example.org")
    client.force_login(owner)
    make_dataset(files=3)
    collection = make_ready("", user=owner)
    verify_archive(collection_id=collection.pk)
    collection.refresh_from_db()
    assert collection.verified_at
    return collection


def rebuild(client: Client, collection: Collection) -> str:
    """The page that the button leads to."""
    path = f"/collections/{collection.uuid}/rebuild/"
    html = client.post(path, follow=True).content.decode()
    collection.refresh_from_db()
    return html


def page(client: Client, collection: Collection, tail: str = "") -> str:
    return client.get(f"/collections/{collection.uuid}/{tail}").content.decode()


def archive_of(collection: Collection) -> tuple[Any, ...]:
    collection.refresh_from_db()
    return (collection.archive_path, collection.archive_sha256, collection.fingerprint,
            collection.verified_at, collection.expires_at)  # fmt: skip


def test_the_request_looks_at_no_file(client: Client, ready: Collection) -> None:
    image_file(1).unlink()
    before = ready.archive_path
    assert "is being built again" in rebuild(client, ready)
    assert (ready.status, files_in_archive_root()) == ("pending", [before])
    assert claim_build(collection_id=ready.pk)
    html = page(client, ready)
    assert "The files are being checked before the archive is replaced." in html
    assert "The present archive is kept until" in html


def test_if_files_have_changed_the_present_archive_stays_and_the_page_names_them(
    client: Client, ready: Collection
) -> None:
    before = archive_of(ready)
    image_file(0).unlink()
    image_file(2).write_bytes(b"other")
    rebuild(client, ready)
    build(ready)
    assert archive_of(ready) == before
    assert (ready.status, files_in_archive_root()) == ("ready", [before[0]])
    assert ready.builds.latest("pk").reason == Reason.FILES_CHANGED
    notice = client.get("/").content.decode()
    assert "was not rebuilt: its present archive is kept" in notice
    html = page(client, ready)
    assert "It was not rebuilt." in html
    assert "2 files are not as they were frozen" in html
    assert client.get(f"/collections/{ready.uuid}/download/").status_code == 200
    problems = page(client, ready, "problems/")
    assert "rays-000" in problems
    assert "rays-001" not in problems
    assert "It was not rebuilt: files have changed. This is its" in _write_mail(ready).body
    verify_archive(collection_id=ready.pk)
    assert sweep_collections()["missing"] == 0
    assert archive_of(ready) == before


def test_when_the_files_are_back_the_rebuild_replaces_the_archive(
    client: Client, ready: Collection
) -> None:
    path, content = ready.archive_path, image_file(1).read_bytes()
    before = archive_file(path).read_bytes()
    image_file(1).unlink()
    rebuild(client, ready)
    build(ready)
    image_file(1).write_bytes(content)
    rebuild(client, ready)
    build(ready)
    assert ready.archive_path != path
    assert files_in_archive_root() == [ready.archive_path]
    assert archive_file(ready.archive_path).read_bytes() == before
    assert "It was not rebuilt." not in page(client, ready)


def test_a_cancelled_rebuild_leaves_the_present_archive(client: Client, ready: Collection) -> None:
    before = archive_of(ready)
    rebuild(client, ready)
    assert "Its present archive is kept" in page(client, ready, "cancel/")
    assert claim_build(collection_id=ready.pk)
    client.post(f"/collections/{ready.uuid}/cancel/")
    assert archive_of(ready) == before
    assert "You cancelled that." in page(client, ready)
    assert 'data-status="ready">Ready<' in client.get("/collections/").content.decode()


def test_a_rebuild_without_room_leaves_the_present_archive(
    client: Client, ready: Collection, settings: LazySettings
) -> None:
    before = archive_of(ready)
    settings.ARCHIVE_RESERVE_BYTES = 1 << 60
    rebuild(client, ready)
    build(ready)
    assert archive_of(ready) == before
    assert "Reason: the disk is full." in page(client, ready)


def test_a_rebuild_without_the_time_to_write_leaves_the_present_archive(
    client: Client, ready: Collection, settings: LazySettings
) -> None:
    before = archive_of(ready)
    settings.BUILD_SOFT_LIMIT = 0
    rebuild(client, ready)
    build(ready)
    assert archive_of(ready) == before
    assert "remove this one, then rebuild it" in page(client, ready)
    client.post(f"/collections/{ready.uuid}/expire/")
    rebuild(client, ready)
    assert build(ready).status == "ready"


def test_a_rebuild_without_the_time_that_the_last_one_took_leaves_the_present_archive(
    client: Client, ready: Collection, settings: LazySettings
) -> None:
    before = archive_of(ready)
    settings.BUILD_SOFT_LIMIT = 600
    ready.builds.update(writing_at=F("finished_at") - timedelta(seconds=600))
    rebuild(client, ready)
    build(ready)
    assert archive_of(ready) == before
    assert "remove this one, then rebuild it" in page(client, ready)


def test_an_archive_that_was_lost_meanwhile_does_not_come_back(
    client: Client, ready: Collection
) -> None:
    rebuild(client, ready)
    archive_file(files_in_archive_root()[0]).unlink()
    cancel_build(collection=ready)
    assert ready.status == "failed"
    build_again = client.post(f"/collections/{ready.uuid}/retry/")
    assert build_again.status_code == 302
    build(ready)
    assert ready.status == "ready"


def test_the_sweep_keeps_the_archive_of_a_waiting_rebuild(
    client: Client, ready: Collection, settings: LazySettings
) -> None:
    path = ready.archive_path
    rebuild(client, ready)
    settings.BUILD_LEASE_SECONDS = 0
    sweep_collections()
    assert files_in_archive_root() == [path]
    delete_collection(collection=ready)
    assert files_in_archive_root() == []


def test_hopeless_rebuilds_leave_the_present_archive(client: Client, ready: Collection) -> None:
    before = archive_of(ready)
    rebuild(client, ready)
    past = timezone.now() - timedelta(hours=1)
    claim_build(collection_id=ready.pk)
    Build.objects.unfinished().update(attempts=3, lease_expires_at=past)
    assert sweep_collections()["failed"] == 1
    assert archive_of(ready) == before
    assert SINCE_KEY in client.session
