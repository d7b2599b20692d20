"""Builds that take as long as they like, and what is due meanwhile, by the real workers."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import redis
from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from collections_app.models import Build, Collection, Status
from collections_app.tasks import sweep_collections_task
from collections_app.tests.conftest import clean_folders  # noqa: F401 - real files are written
from collections_app.tests.factories import make_collection, make_dataset
from collections_app.tests.ready_archives import make_ready_collection
from medagg.observing.worker_heartbeat import QUEUES, heartbeat_key
from medagg.runner.embedded import database_url
from medagg.runner.embedded.logs import LogFile
from medagg.runner.supervisor import Process, queue_workers
from medagg.testing.environment import BASE_VARIABLE
from medagg.tests.deploy.compose import fill_in, read_services
from medagg.tests.processes import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

BUILDERS = 2


def workers_of_up(folder: Path) -> list[Process]:
    return queue_workers(builders=BUILDERS, log=lambda name: LogFile(folder / f"{name}.log"))


def workers_of_compose(folder: Path) -> list[Process]:
    return [make_worker(name, folder) for name in ("worker", "builder")]


def make_worker(service: str, folder: Path) -> Process:
    command = [fill_in(part, {}) for part in read_services()[service]["command"]]
    return Process(
        name=service,
        command=[sys.executable, "-m", *command],
        log=LogFile(folder / f"{service}.log"),
        stop_signals=[(signal.SIGTERM, 5)],
        parent_death_signal=signal.SIGKILL,
    )


@pytest.fixture
def environment() -> Iterator[dict[str, str]]:
    url = database_url(Path(os.environ[BASE_VARIABLE]), connection.settings_dict["NAME"])
    yield {"DATABASE_URL": url, "REDIS_URL": settings.REDIS_URL}
    # Heartbeats outlast their worker by some seconds, in which others test /readyz/.
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        client.delete(*map(heartbeat_key, QUEUES))


def count_waiting_builds() -> int:
    """The builds whose workers wait for our lock."""
    with connection.cursor() as cursor:
        # pg_stat_activity does not change within a transaction.
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
        return int(cursor.fetchone()[0])


@pytest.mark.parametrize("make_workers", [workers_of_up, workers_of_compose])
def test_two_long_builds_keep_the_sweep_and_expiry_waiting_for_nothing(
    make_workers: Callable[[Path], list[Process]],
    environment: dict[str, str],
    clean_folders: None,  # noqa: F811
    tmp_path: Path,
) -> None:
    over = make_ready_collection(b"an archive")
    Collection.objects.filter(pk=over.pk).update(expires_at=timezone.now() - timedelta(days=1))
    make_dataset(files=1)
    slow = [make_collection("") for _ in range(BUILDERS + 1)]
    workers = make_workers(tmp_path)
    # As long as this transaction lasts, no build can begin, and its worker waits.
    with transaction.atomic():
        list(Build.objects.select_for_update().filter(collection__in=slow))
        try:
            for worker in workers:
                worker.environment = environment
                worker.start(settings.BASE_DIR)
            wait_until(
                lambda: count_waiting_builds() >= BUILDERS,
                what="two builds at work",
                # The builder gives way to all other programs of a busy machine, at its start too.
                seconds=120,
            )
            sweep_collections_task.delay()
            wait_until(
                lambda: Collection.objects.get(pk=over.pk).status == Status.EXPIRED,
                what="the archive that is over",
            )
            assert count_waiting_builds() >= BUILDERS
        finally:
            for worker in workers:
                worker.stop(lambda: True)


@pytest.mark.parametrize("answer", ["ack", "reject"])
def test_a_worker_that_cannot_acknowledge_a_task_ends(answer: str) -> None:
    """It would take no other one; its supervisor starts a new one."""
    code = (
        "import logging, time, medagg.celery; from celery.signals import worker_init; "
        "worker_init.send(None); "
        "logging.getLogger('celery.worker.request').critical(" + f'"Couldn\'t {answer} %r", 1); '
        "time.sleep(20)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=settings.BASE_DIR, timeout=15)
    assert done.returncode == -signal.SIGTERM
