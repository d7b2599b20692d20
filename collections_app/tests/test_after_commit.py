"""What follows a commit may fail: the request has succeeded, and the sweep does the rest."""

import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery, current_app
from django.conf import LazySettings
from django.test import Client

from collections_app.models import Collection
from collections_app.storage import archive_file
from collections_app.sweep import sweep_collections
from collections_app.tests.factories import (
    UserFactory,
    build,
    files_in_archive_root,
    make_collection,
    make_dataset,
    make_ready,
)
from medagg.runner.embedded.redis_server import _binary
from vocab.signals import terms_changed
from vocab.tests.factories import ModalityFactory

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def owner(client: Client) -> Any:
    user = UserFactory(username="owner", is_staff=True, is_superuser=True)
    client.force_login(user)
    make_dataset(files=1)
    return user


@pytest.fixture
def broker() -> Iterator[int]:
    """The port of the only broker that Celery knows; nobody listens there yet."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    usual: Celery = current_app._get_current_object()  # type: ignore[attr-defined]
    other = Celery("other", broker=f"redis://127.0.0.1:{port}/0", set_as_current=True)
    other.conf.update(task_publish_retry_policy=usual.conf.task_publish_retry_policy)
    yield port
    usual.set_current()
    other.close()


@pytest.fixture
def full_redis(broker: int, tmp_path: Path) -> Iterator[None]:
    """Redis without any memory left."""
    command = [_binary(), "--port", str(broker), "--bind", "127.0.0.1", "--maxmemory", "1",
               "--maxmemory-policy", "noeviction", "--save", "", "--dir", tmp_path]  # fmt: skip
    with subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE) as redis:
        assert redis.stdout
        assert any(b"Ready to accept" in line for line in redis.stdout)
        yield
        redis.terminate()


def create(client: Client) -> Collection:
    form = {"title": "x", "expected_images": 1, "filters": ""}
    assert client.post("/collections/new/", form).status_code == 302
    return Collection.objects.get()


@pytest.mark.usefixtures("broker")
def test_a_collection_is_created_without_a_broker(client: Client, owner: Any) -> None:
    collection = create(client)
    assert client.get(f"/collections/{collection.uuid}/").status_code == 200
    assert collection.builds.get().finished_at is None


@pytest.mark.usefixtures("full_redis")
def test_a_collection_is_created_while_the_broker_has_no_memory(
    client: Client, owner: Any, settings: LazySettings, caplog: pytest.LogCaptureFixture
) -> None:
    collection = create(client)
    assert "The sweep will send" in caplog.text
    assert build(collection).status == "ready", "also though no verifier can be told"
    assert sweep_collections()["expired"] == 0


@pytest.mark.parametrize("tail", ["expire/", "delete/"])
def test_an_archive_that_cannot_be_removed_is_left_to_the_sweep(
    client: Client, owner: Any, settings: LazySettings, tail: str, caplog: pytest.LogCaptureFixture
) -> None:
    collection = make_ready("", user=owner)
    # Where there is no collection at all, archives are left alone.
    make_collection("", user=owner, title="Another")
    file = archive_file(collection.archive_path)
    file.unlink()
    file.mkdir()  # which is no file that could be removed, also not by root
    assert client.post(f"/collections/{collection.uuid}/{tail}").status_code == 302
    assert not Collection.objects.filter(status="ready").exists()
    assert "on_commit" in caplog.text
    file.rmdir()
    file.write_bytes(b"an archive")
    settings.BUILD_LEASE_SECONDS = 0
    assert sweep_collections()["files_removed"] == 1
    assert files_in_archive_root() == []


def test_one_archive_that_cannot_be_removed_does_not_keep_others_from_expiring(
    owner: Any,
) -> None:
    first, second = make_ready("", user=owner), make_ready("", user=owner)
    file = archive_file(first.archive_path)
    file.unlink()
    file.mkdir()
    Collection.objects.update(expires_at="2020-01-01T00:00Z")
    # The file is missing, which the sweep would notice later.
    assert sweep_collections()["expired"] == 2
    assert files_in_archive_root() == [first.archive_path]
    second.refresh_from_db()
    assert second.status == "expired"
    file.rmdir()


def test_terms_are_saved_though_what_follows_from_them_fails(client: Client, owner: Any) -> None:
    term = ModalityFactory(code="us", name="Ultrasound")

    def fail(**_: Any) -> None:
        raise OSError("the disk is full")

    terms_changed.connect(fail)
    try:
        path = f"/admin/vocab/modality/{term.pk}/change/"
        form = client.get(path).context["adminform"].form
        values = {name: form[name].value() for name in form.fields}
        given = {name: value for name, value in values.items() if value not in (None, [])}
        page = client.get(path).context["inline_admin_formsets"]
        for inline in page:
            prefix = inline.formset.prefix
            given |= {f"{prefix}-TOTAL_FORMS": 0, f"{prefix}-INITIAL_FORMS": 0}
        changed = client.post(path, {**given, "name": "Sonography"})
        action = {"action": "deactivate", "_selected_action": term.pk}
        deactivated = client.post("/admin/vocab/modality/", action)
    finally:
        terms_changed.disconnect(fail)
    assert (changed.status_code, deactivated.status_code) == (302, 302)
    term.refresh_from_db()
    assert (term.name, term.is_active) == ("Sonography", False)
