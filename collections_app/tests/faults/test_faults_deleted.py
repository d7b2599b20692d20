"""Collections and their owners are deleted while a real worker builds."""

from collections.abc import Callable
from pathlib import Path

import pytest
from django.conf import settings as conf

from collections_app.models import Collection, CollectionItem
from collections_app.tests.factories import files_in_archive_root
from collections_app.tests.faults.deletions import OWNER_GOES, delete_only_it, delete_plainly
from collections_app.tests.faults.tools import (
    FILES,
    LogSince,
    held_build,
    make_pending,
    partial_files,
    stopped_at_images,
    wait_for,
)
from medagg.testing.worker import WorkerProcess

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("hooks_on_commit")]


def assert_worker_gave_up(worker: WorkerProcess, log: LogSince) -> None:
    wait_for(lambda: log.num_received and log.is_idle, "the worker to stop", log=worker)
    assert log.count("Traceback") == 0, worker.log
    assert files_in_archive_root() == []
    assert not Collection.objects.exists()
    assert not CollectionItem.objects.exists()


@pytest.mark.parametrize("delete", [delete_only_it, *OWNER_GOES])
def test_a_collection_is_deleted_when_its_build_has_just_begun(
    celery_worker_process: WorkerProcess, delete: Callable[[Collection], None]
) -> None:
    collection, log = make_pending(), LogSince(celery_worker_process)
    with held_build(collection):
        delete(collection)
    assert_worker_gave_up(celery_worker_process, log)


@pytest.mark.parametrize("delete", [delete_only_it, delete_plainly])
@pytest.mark.parametrize("has_bad_file", [False, True])
def test_a_collection_is_deleted_while_a_worker_writes_its_images(
    celery_worker_process: WorkerProcess,
    delete: Callable[[Collection], None],
    has_bad_file: bool,
) -> None:
    collection, log = make_pending(), LogSince(celery_worker_process)
    if has_bad_file:
        image_file_of_many(FILES - 1).unlink()
    with stopped_at_images(collection, celery_worker_process):
        assert len(partial_files()) == 1
        delete(collection)
    assert_worker_gave_up(celery_worker_process, log)


def image_file_of_many(number: int) -> Path:
    return conf.DATASET_ROOTS[0] / "many" / f"{number:05}.png"
