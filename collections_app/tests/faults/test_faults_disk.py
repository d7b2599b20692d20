"""The disk of the archives is full before or during a build by a real worker."""

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.conf import settings as conf

from collections_app.builds.queue import notify_builder
from collections_app.models import Collection
from collections_app.services import retry_collection
from collections_app.tests.factories import files_in_archive_root, make_collection
from collections_app.tests.faults.tools import (
    FILES,
    assert_page_says,
    assert_ready_after,
    held_build,
    make_many_files,
    make_pending,
    pool_of,
    wait_for_end,
)
from medagg.testing.small_disk import MountDisk
from medagg.testing.worker import WorkerProcess

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("hooks_on_commit")]


@contextmanager
def file_size_limit(pid: int, size: int) -> Iterator[None]:
    """Limit the files of this process to ``size`` bytes."""
    soft, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, hard))
    yield
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (soft, hard))


def test_a_build_that_reaches_the_file_size_limit_fails(worker: WorkerProcess) -> None:
    # The limit also applies to the worker's log.
    limit = worker.log_path.stat().st_size + 100_000
    make_many_files(files=FILES, size=2 * limit // FILES)
    collection = make_collection("", notify=False)
    with held_build(collection) as hold, file_size_limit(pool_of(worker), limit):
        hold.release()
        wait_for_end(collection)
    assert_failed_for_the_disk(collection)
    retry_collection(collection=collection)
    wait_for_end(collection)
    assert_ready_after(collection, attempts=1)


def assert_failed_for_the_disk(collection: Collection) -> None:
    assert (collection.status, collection.builds.latest("pk").attempt_token) == ("failed", None)
    assert "disk is full" in collection.error_message
    assert files_in_archive_root() == []
    assert_page_says(collection, "disk is full. Nothing is lost", "Try again")


@pytest.fixture
def small_disk(mount_disk: MountDisk) -> Path:
    """A disk of four megabytes for the archives."""
    return mount_disk(Path(conf.ARCHIVE_ROOT), num_bytes=4 << 20)


def fill_disk(folder: Path, *, but: int) -> Path:
    """Fill the disk except for this number of bytes."""
    filler = folder / "filler"
    status = os.statvfs(folder)
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, status.f_bavail * status.f_frsize - but)
    return filler


def test_a_disk_that_fills_up_during_a_build_fails_it(
    worker: WorkerProcess, small_disk: Path
) -> None:
    worker.restart(ARCHIVE_RESERVE_BYTES="0")
    collection = make_pending()
    with held_build(collection) as hold:
        filler = fill_disk(small_disk, but=collection.num_bytes // 2)
        hold.release()
        wait_for_end(collection)
        filler.unlink()
    assert_failed_for_the_disk(collection)
    retry_collection(collection=collection)
    wait_for_end(collection)
    assert_ready_after(collection, attempts=1)


def test_a_full_disk_fails_the_build_before_it_begins(
    worker: WorkerProcess, small_disk: Path
) -> None:
    """It fails at once and says how much space is needed."""
    worker.restart(ARCHIVE_RESERVE_BYTES="0")
    collection = make_pending()
    filler = fill_disk(small_disk, but=500_000)
    notify_builder(collection.pk)
    wait_for_end(collection)
    assert_page_says(collection, "no room for this archive", "Try again")
    filler.unlink()
    assert files_in_archive_root() == []
