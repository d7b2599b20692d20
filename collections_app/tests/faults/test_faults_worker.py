"""Faults of a real Celery worker during a build."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.conf import LazySettings
from django.conf import settings as conf
from django.db import connection

from collections_app.builds.queue import notify_builder
from collections_app.services import cancel_build, retry_collection
from collections_app.storage import archive_file
from collections_app.sweep import sweep_collections
from collections_app.tests.factories import files_in_archive_root
from collections_app.tests.faults.tools import (
    FILES,
    LogSince,
    assert_page_says,
    assert_ready_after,
    held_build,
    let_lease_lapse,
    make_pending,
    partial_files,
    pool_of,
    stopped_at_images,
    wait_for,
    wait_for_end,
)
from medagg.runner.embedded import database_url
from medagg.testing.environment import BASE_VARIABLE
from medagg.testing.worker import WorkerProcess

pytestmark = pytest.mark.django_db(transaction=True)


# --- The worker dies ---
def is_gone(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return stat.rpartition(")")[2].split()[0] in "ZX"


def kill_all(worker: WorkerProcess) -> None:
    worker.kill()


def kill_the_head(worker: WorkerProcess) -> None:
    """The process that builds has lost its parent and must end by itself."""
    pool = pool_of(worker)
    os.kill(worker.pid, signal.SIGKILL)
    wait_for(lambda: is_gone(pool), "the pool to follow its worker")


def kill_the_hand(worker: WorkerProcess) -> None:
    """As the kernel does when memory runs out; the worker starts another process."""
    pool = pool_of(worker)
    os.kill(pool, signal.SIGKILL)
    wait_for(lambda: is_gone(pool), "the end of the pool's process")


@pytest.mark.parametrize("kill", [kill_all, kill_the_head, kill_the_hand])
def test_a_build_survives_kill_9_of_its_worker(
    worker: WorkerProcess, kill: Callable[[WorkerProcess], None]
) -> None:
    collection = make_pending()
    with held_build(collection) as hold:
        hold.open_at_first_image(collection)
        kill(worker)
        (left,) = partial_files()
    collection.refresh_from_db()
    assert (collection.status, collection.builds.latest("pk").attempts) == ("pending", 1)
    assert_page_says(collection, "Cancel the build")

    if not worker.is_alive:
        worker.start()
    let_lease_lapse(collection)
    # A worker that lives on may claim the build first: its message came back to the queue.
    assert sweep_collections()["notified"] <= 1
    wait_for_end(collection)
    assert left not in files_in_archive_root()
    assert_ready_after(collection, attempts=2)


def test_a_build_that_kills_every_worker_fails_and_can_be_retried(
    worker: WorkerProcess,
) -> None:
    collection = make_pending()
    for _ in range(conf.BUILD_MAX_ATTEMPTS):
        with held_build(collection):
            kill_the_hand(worker)
        let_lease_lapse(collection)
    # The last message returns to the queue, but all attempts are used up.
    notify_builder(collection.pk)
    swept = sweep_collections()
    assert (swept["failed"], swept["notified"]) == (1, 0)
    collection.refresh_from_db()
    assert (collection.status, collection.builds.latest("pk").attempt_token) == ("failed", None)
    assert_page_says(collection, "interrupted 3 times: its worker stopped", "Try again")

    retry_collection(collection=collection)
    wait_for_end(collection)
    assert_ready_after(collection, attempts=1)


# --- Messages arrive twice or never ---
@pytest.fixture
def second_worker(worker: WorkerProcess, tmp_path: Path) -> Iterator[WorkerProcess]:
    url = database_url(Path(os.environ[BASE_VARIABLE]), connection.settings_dict["NAME"])
    second = WorkerProcess(log=tmp_path / "second.log", database=url)
    second.start()
    wait_for(lambda: "ready." in second.log, "the second worker to listen")
    yield second
    second.kill()


def test_two_workers_with_the_same_task_build_once(
    worker: WorkerProcess, second_worker: WorkerProcess
) -> None:
    collection = make_pending()
    first_log, second_log = LogSince(worker), LogSince(second_worker)
    with held_build(collection) as hold:
        notify_builder(collection.pk)
        wait_for(
            lambda: first_log.count("succeeded in") + second_log.count("succeeded in"),
            "the other worker to see that it is taken",
        )
        assert first_log.count("build_collection_task") >= 1
        assert second_log.count("build_collection_task") >= 1
        assert len(partial_files()) == 1
        hold.release()
        wait_for_end(collection)
    assert_ready_after(collection, attempts=1)
    assert len(files_in_archive_root()) == 1


def test_a_task_delivered_many_times_builds_once(worker: WorkerProcess) -> None:
    collection, log = make_pending(), LogSince(worker)
    for _ in range(3):
        notify_builder(collection.pk)
    wait_for_end(collection)
    written = archive_file(collection.archive_path).stat()
    notify_builder(collection.pk)
    wait_for(
        lambda: log.num_received >= 5 and log.is_idle, "four builds and a verification to be done"
    )
    assert archive_file(collection.archive_path).stat().st_mtime_ns == written.st_mtime_ns
    collection.refresh_from_db()
    assert_ready_after(collection, attempts=1)


def test_a_build_whose_task_is_never_delivered_is_sent_again_by_the_sweep(
    worker: WorkerProcess, settings: LazySettings
) -> None:
    collection = make_pending()
    assert sweep_collections()["notified"] == 0, "its message may still be on the way"
    settings.BUILD_LEASE_SECONDS = 0.001
    assert sweep_collections()["notified"] == 1
    settings.BUILD_LEASE_SECONDS = conf.BUILD_LAST_LEASE - conf.BUILD_HARD_LIMIT
    wait_for_end(collection)
    assert_ready_after(collection, attempts=1)


# --- The owner cancels ---
def test_a_running_build_is_cancelled(worker: WorkerProcess) -> None:
    collection, log = make_pending(), LogSince(worker)
    with held_build(collection) as hold:
        cancel_build(collection=collection)
        hold.release()
        wait_for(lambda: log.count("this worker has lost its lease"), "the worker to stop")
    collection.refresh_from_db()
    assert_page_says(collection, "You cancelled this build", "Build it")
    assert files_in_archive_root() == []

    retry_collection(collection=collection)
    wait_for_end(collection)
    assert_ready_after(collection, attempts=1)


def test_a_build_is_cancelled_and_retried_before_its_worker_notices(
    worker: WorkerProcess,
) -> None:
    collection, log = make_pending(), LogSince(worker)
    with held_build(collection) as hold:
        cancel_build(collection=collection)
        retry_collection(collection=collection)
        collection.refresh_from_db()
        assert collection.builds.latest("pk").attempt_token is None
        hold.release()
        wait_for(lambda: log.count("this worker has lost its lease"), "the first build to stop")
    wait_for_end(collection)
    assert_ready_after(collection, attempts=1)


# --- A file changes ---
def remove(path: Path) -> None:
    path.unlink()


def truncate(path: Path) -> None:
    os.truncate(path, 10)


def replace_by_same_size(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1] + b"!")


def replace_by_a_link(path: Path) -> None:
    """The link leads out of the dataset's folder, to the same bytes."""
    outside = conf.PREVIEW_ROOT / path.name
    path.rename(outside)
    path.symlink_to(outside)


@pytest.mark.parametrize("harm", [remove, truncate, replace_by_same_size, replace_by_a_link])
def test_a_file_changed_during_the_build_is_named(
    worker: WorkerProcess, harm: Callable[[Path], None]
) -> None:
    collection = make_pending()
    last = conf.DATASET_ROOTS[0] / "many" / f"{FILES - 1:05}.png"
    with stopped_at_images(collection, worker):
        assert len(partial_files()) == 1
        harm(last)
    wait_for_end(collection)
    assert collection.status == "failed"
    assert files_in_archive_root() == []
    assert_page_says(
        collection, "1 file is not as the catalog says", last.name, "Try again", "Build without"
    )
