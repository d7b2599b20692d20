"""A real Celery worker in a process of its own, for tests of what tasks do."""

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from django.conf import settings
from django.db import connection

from medagg.celery import app
from medagg.observing.worker_heartbeat import QUEUES, heartbeat_key
from medagg.runner.embedded import database_url
from medagg.runner.embedded.logs import LogFile
from medagg.runner.supervisor import Process, worker_process
from medagg.testing.environment import BASE_VARIABLE

START_SECONDS = 60.0
BUSY_SECONDS = 10.0
ANSWER_SECONDS = 1.0


class WorkerProcess:
    """`celery -A medagg worker` on the database and the queue of the test that asks for it."""

    def __init__(self, *, log: Path, database: str) -> None:
        self.log_path = log
        self._environment = {"DATABASE_URL": database, "REDIS_URL": settings.REDIS_URL}
        self._process: Process | None = None
        # Without variables of one test's own.
        self.is_ordinary = True

    @property
    def pid(self) -> int:
        """Of the main process; its pool works in children of that."""
        if self._process is None or self._process.pid is None:
            raise RuntimeError("the worker has not been started")
        return self._process.pid

    @property
    def log(self) -> str:
        """All that it has written since its first start."""
        return self.log_path.read_text(encoding="utf-8", errors="replace")

    @property
    def is_alive(self) -> bool:
        return self._process is not None and self._process.is_alive

    def start(self, **environment: str) -> None:
        """Returns when it answers. `environment` sets further variables, such as a time limit."""
        self.is_ordinary = not environment
        self._process = worker_process(
            name="worker", queues=QUEUES, concurrency=1, log=LogFile(self.log_path)
        )
        self._process.environment = {**self._environment, **environment}
        self._process.start(Path(settings.BASE_DIR))
        deadline = time.monotonic() + START_SECONDS
        while not self.answers():
            self._process.check()
            if time.monotonic() > deadline:
                raise TimeoutError(f"the worker does not answer:\n{self.log}")

    def answers(self) -> bool:
        """Whether it is there to take tasks."""
        return bool(app.control.ping(timeout=ANSWER_SECONDS, limit=1))

    def is_busy(self) -> bool:
        """Whether it works on a task."""
        active = app.control.inspect(timeout=ANSWER_SECONDS, limit=1).active() or {}
        return self.is_alive and any(active.values())

    def kill(self) -> None:
        """As a machine that loses power: the worker and its pool are gone at once."""
        if self._process:
            with contextlib.suppress(ProcessLookupError):  # it has ended before
                os.killpg(self.pid, signal.SIGKILL)
            self.stop()

    def stop(self) -> None:
        """Asks it to end, and waits until it has."""
        if self._process:
            self._process.stop(lambda: False)
            self._process = None

    def restart(self, **environment: str) -> None:
        self.stop()
        self.start(**environment)


@pytest.fixture(scope="module")
def celery_worker_module(
    django_db_setup: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[WorkerProcess]:
    """The worker of `celery_worker_process`, which most tests want instead: it starts only once."""
    log = tmp_path_factory.mktemp("celery") / "worker.log"
    url = database_url(Path(os.environ[BASE_VARIABLE]), connection.settings_dict["NAME"])
    worker = WorkerProcess(log=log, database=url)
    yield worker
    worker.kill()
    # Its heartbeats live on for a while, and the next module may ask whether any worker does.
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        client.delete(*map(heartbeat_key, QUEUES))


@pytest.fixture
def celery_worker_process(
    transactional_db: None, celery_worker_module: WorkerProcess
) -> Iterator[WorkerProcess]:
    """A worker that runs and has nothing to do. A test may kill it; the next one gets a new one."""
    if not celery_worker_module.is_alive:
        celery_worker_module.start()
    yield celery_worker_module
    app.control.purge()
    # A verification still under way would get into the way of emptying the database.
    deadline = time.monotonic() + BUSY_SECONDS
    while celery_worker_module.is_alive and celery_worker_module.is_busy():
        if time.monotonic() > deadline:
            celery_worker_module.kill()
    if not celery_worker_module.is_ordinary:
        celery_worker_module.kill()
