import contextlib
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connection

from medagg.testing.worker import WorkerProcess


@pytest.fixture(autouse=True)
def clean_folders() -> Iterator[None]:
    """Each test begins without files; a worker process shares these folders with it."""
    folders = (settings.ARCHIVE_ROOT, settings.PREVIEW_ROOT, *settings.DATASET_ROOTS)
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    yield
    for folder in folders:
        _remove(folder)


def _remove(folder: Path) -> None:
    """Also while the site still writes a preview for a page that the browser has left."""
    for _ in range(50):
        with contextlib.suppress(OSError):
            shutil.rmtree(folder)
            return
        time.sleep(0.1)
    shutil.rmtree(folder)


@pytest.fixture
def hooks_on_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a test that is rolled back, what waits for a commit is done where one would be."""
    commit = connection.savepoint_commit

    def commit_and_run_hooks(sid: str) -> None:
        commit(sid)
        # The test's own transaction has no savepoint: the outermost block of the code has ended.
        is_rolled_back = getattr(connection.atomic_blocks[0], "_from_testcase", False)
        if is_rolled_back and not connection.savepoint_ids:
            hooks, connection.run_on_commit = connection.run_on_commit, []
            for _, hook, is_robust in hooks:  # type: ignore[misc]
                with contextlib.suppress(*[Exception] if is_robust else []):
                    hook()

    monkeypatch.setattr(connection, "savepoint_commit", commit_and_run_hooks)


@pytest.fixture
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An empty cache of fetched files."""
    monkeypatch.setattr(settings, "REMOTE_CACHE_ROOT", tmp_path / "cache")


@pytest.fixture
def worker(celery_worker_process: WorkerProcess) -> WorkerProcess:
    return celery_worker_process
