"""Tools for the tests of faults: many files, builds that are stopped midway, checks for leftovers.

A build is stopped by database locks that it must wait for. So it stops at a chosen place, in any
process, without code in the product.
"""

import hashlib
import os
import re
import signal
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path

import psycopg2
import pytest
from django.conf import settings
from django.db import connection
from django.test import Client
from django.utils import timezone

from catalog.models import Dataset, Image
from catalog.tests.factories import DatasetFactory, dataset_folder, make_searchable
from collections_app.builds.lease import RENEW_SECONDS
from collections_app.builds.queue import notify_builder
from collections_app.models import Build, Collection, Status
from collections_app.tests.factories import files_in_archive_root, make_collection, read_archive
from medagg.testing.worker import WorkerProcess
from vocab.tests.factories import LicenseFactory, ModalityFactory

PATIENCE_SECONDS = 60.0
# After this time a build reports its progress and renews its lease with the next image.
FILES = 300
UNTIL_PROGRESS_SECONDS = RENEW_SECONDS + 0.1
FIRST_SIZE = 300_000
TEXTS = 6  # README.md, collection.json, licenses.csv, terms.csv, metadata.csv, SHA256SUMS


def make_many_files(slug: str = "many", *, files: int, size: int = 300) -> Dataset:
    """A dataset of ``files`` local images of ``size`` bytes, without a factory for each.

    The first one is larger than the writer's buffer, so it is written at once.
    """
    dataset = DatasetFactory(slug=slug, title="Many", license=LicenseFactory(code="cc-by-4.0"))
    folder, modality = dataset_folder(dataset), ModalityFactory(code="dx")
    images = []
    for number in range(files):
        content = f"{slug} {number} ".encode()
        length = size if number else max(size, FIRST_SIZE)
        content = (content * (length // len(content) + 1))[:length]
        path = folder / f"{number:05}.png"
        path.write_bytes(content)
        images.append(
            Image(
                dataset=dataset,
                source_id=f"{slug}-{number:05}",
                modality=modality,
                file_path=path.name,
                size_bytes=length,
                sha256=hashlib.sha256(content).hexdigest(),
                crc32=zlib.crc32(content),
                mtime_ns=path.stat().st_mtime_ns,
            )
        )
    Image.objects.bulk_create(images)
    make_searchable()
    return dataset


def make_pending() -> Collection:
    """A collection of ``FILES`` files whose build no worker was notified of."""
    make_many_files(files=FILES)
    return make_collection("", notify=False)


def wait_for(
    condition: Callable[[], object], what: str, *, log: WorkerProcess | None = None
) -> None:
    """Wait until ``condition`` holds; fail after a long time with what was waited for.

    The end of the worker's ``log`` is shown then.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"still waiting: {what}\n{log.log[-3000:] if log else ''}")
        time.sleep(0.01)


def wait_for_end(collection: Collection) -> Collection:
    """Wait until it is no longer pending."""

    def has_ended() -> bool:
        collection.refresh_from_db()
        return collection.status != Status.PENDING

    wait_for(has_ended, f"the end of the build of {collection.uuid}")
    return collection


def partial_files() -> list[str]:
    """Names of partial archives, being written or left behind."""
    return [name for name in files_in_archive_root() if name.endswith(".part")]


def size_of_partial() -> int:
    """Size of the partial archive; 0 if there is none."""
    sizes = [0]
    for name in partial_files():
        with suppress(FileNotFoundError):
            sizes.append((settings.ARCHIVE_ROOT / name).stat().st_size)
    return max(sizes)


def assert_nothing_is_left_over() -> None:
    """Every file belongs to a collection, and every ready collection has a file."""
    owned = Collection.objects.exclude(archive_path="").values_list("archive_path", flat=True)
    assert files_in_archive_root() == sorted(set(owned))


def read_page(collection: Collection) -> str:
    """The collection's page as its owner sees it."""
    collection = Collection.objects.select_related("user").get(pk=collection.pk)
    browser = Client()
    browser.force_login(collection.user)
    response = browser.get(collection.get_absolute_url())
    assert response.status_code == 200
    return response.content.decode()


def assert_page_says(collection: Collection, *words: str) -> None:
    page = read_page(collection)
    for each in words:
        assert each in page, f"the page does not say {each!r}"


def assert_ready_after(collection: Collection, *, attempts: int) -> None:
    """The archive is complete, offered on its page, and the only file."""
    assert (collection.status, collection.error_message) == ("ready", "")
    assert collection.builds.latest("pk").attempts == attempts
    assert len(read_archive(collection)) == collection.num_files + TEXTS
    assert_nothing_is_left_over()
    assert_page_says(collection, "Download ZIP")


def let_lease_lapse(*collections: Collection) -> None:
    """As if a worker had not renewed its lease for an hour."""
    an_hour_ago = timezone.now() - timedelta(hours=1)
    leased = Build.objects.filter(attempt_token__isnull=False)
    leased.filter(collection__in=collections).update(lease_expires_at=an_hour_ago)


_STOPPED = "SELECT count(*) FROM pg_stat_activity WHERE %s = ANY(pg_blocking_pids(pid))"


class Hold:
    """Stops builds by locks that its own database connection holds."""

    def __init__(self) -> None:
        self._connection = psycopg2.connect(**connection.get_connection_params())

    def lock_images(self) -> None:
        """Stop builds before their first file, after the texts at the start of the archive."""
        self._execute("LOCK TABLE catalog_image IN ACCESS EXCLUSIVE MODE")

    def open_at_first_image(self, collection: Collection) -> None:
        """Let the build continue until its first image is written."""
        other = Hold()
        row = f"collections_app_build WHERE collection_id = {collection.pk}"
        other._execute(f"SELECT FROM {row} FOR UPDATE")
        self.release()
        self._connection.close()
        self._connection = other._connection
        wait_for(self.stops_somebody, "the build to get to its first image")
        assert size_of_partial() >= FIRST_SIZE

    def stops_somebody(self) -> bool:
        """Whether another connection waits for the lock of this one."""
        with connection.cursor() as cursor:
            cursor.execute(_STOPPED, [self._connection.get_backend_pid()])
            return cursor.fetchone() != (0,)

    def release(self) -> None:
        """Release all locks."""
        self._connection.rollback()

    def close(self) -> None:
        self._connection.close()

    def _execute(self, statement: str) -> None:
        with self._connection.cursor() as cursor:
            cursor.execute(statement)


@contextmanager
def held_build(collection: Collection) -> Iterator[Hold]:
    """Enqueue a build and stop it midway: claimed, with its archive being written.

    It continues when the block releases the hold, or at the end of the block.
    """
    hold = Hold()
    try:
        hold.lock_images()
        notify_builder(collection.pk)
        wait_for(lambda: is_in_the_middle(collection), "the build to be in the middle")
        wait_for(hold.stops_somebody, "the build to ask for its files")
        time.sleep(UNTIL_PROGRESS_SECONDS)
        yield hold
    finally:
        hold.close()


def is_in_the_middle(collection: Collection) -> bool:
    """Whether a worker has claimed it and its partial file exists."""
    collection.refresh_from_db()
    return (
        f"{collection.uuid}.{collection.builds.latest('pk').attempt_token}.part" in partial_files()
    )


def pool_of(worker: WorkerProcess) -> int:
    """The worker's child process, which runs the tasks."""
    children = Path(f"/proc/{worker.pid}/task/{worker.pid}/children").read_text().split()
    return int(children[-1])


# The lines that Celery logs for a task, by its id.
RECEIVED = re.compile(r"\[([0-9a-f-]{36})\] received")
# Of one that had expired, as another test left it in the queue, a line ends with the id.
ENDED = re.compile(r"\[([0-9a-f-]{36})\](?: (?:succeeded in|raised unexpected)|$)", re.MULTILINE)


class LogSince:
    """The lines that a worker logs from now on."""

    def __init__(self, worker: WorkerProcess) -> None:
        self._worker = worker
        self._start = len(worker.log)

    def count(self, words: str) -> int:
        return self._text.count(words)

    @property
    def num_received(self) -> int:
        """The number of tasks received."""
        return len(RECEIVED.findall(self._text))

    @property
    def is_idle(self) -> bool:
        """Whether all tasks received since then have ended."""
        text = self._text
        return set(RECEIVED.findall(text)) <= set(ENDED.findall(text))

    @property
    def _text(self) -> str:
        return self._worker.log[self._start :]


@contextmanager
def stopped_at_images(collection: Collection, worker: WorkerProcess) -> Iterator[None]:
    """Pause the worker's process when some images are written, without locks.

    It continues at the end of the block.
    """
    with held_build(collection) as hold:
        hold.open_at_first_image(collection)
        builder = pool_of(worker)
        os.kill(builder, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(builder, signal.SIGCONT)


def overwrite_in_place(path: Path, content: bytes) -> None:
    """Write other bytes of the same size and keep the mtime."""
    status = path.stat()
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
