"""Builds by a real Celery worker process."""

import hashlib
import time
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone

from collections_app.models import Build, Collection
from collections_app.storage import archive_file
from collections_app.sweep import sweep_collections
from collections_app.tests.factories import (
    make_collection,
    make_dataset,
    read_archive,
)
from medagg.testing.worker import WorkerProcess

pytestmark = pytest.mark.django_db(transaction=True)


def wait_for(collection: Collection, condition: Callable[[Collection], object]) -> Collection:
    """Wait until the stored collection meets a condition; fail with its state after a minute."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        collection.refresh_from_db()
        if condition(collection):
            return collection
        time.sleep(0.01)
    pytest.fail(f"still {collection.status} {collection.error_message}")


def is_finalized(collection: Collection) -> bool:
    return collection.status != "pending"


def test_the_worker_builds_a_collection_queued_by_a_request(
    celery_worker_process: WorkerProcess,
) -> None:
    make_dataset(files=5)
    collection = make_collection("")
    wait_for(collection, is_finalized)
    assert (collection.status, collection.builds.latest("pk").attempts) == ("ready", 1)
    assert len(read_archive(collection)) == 11
    wait_for(collection, lambda c: c.archive_sha256)
    content = archive_file(collection.archive_path).read_bytes()
    assert collection.archive_sha256 == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("since", [timedelta(hours=-1), timedelta(days=365)])
def test_a_verification_whose_message_was_lost_is_done_by_the_sweep(
    celery_worker_process: WorkerProcess, since: timedelta
) -> None:
    make_dataset(files=1)
    collection = make_collection("")
    wait_for(collection, lambda c: c.archive_sha256)
    Collection.objects.update(archive_sha256="", verified_at=None)
    Build.objects.update(notified_at=timezone.now() + since)
    assert sweep_collections()["verifications"] == 1
    wait_for(collection, lambda c: c.archive_sha256)
