import shutil
from collections.abc import Iterator

import pytest
from django.conf import settings

from medagg.testing.worker import WorkerProcess


@pytest.fixture(autouse=True)
def clean_folders() -> Iterator[None]:
    """Each test begins without files; a worker process shares these folders with it."""
    folders = (settings.ARCHIVE_ROOT, settings.PREVIEW_ROOT, *settings.DATASET_ROOTS)
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    yield
    for folder in folders:
        shutil.rmtree(folder)


@pytest.fixture
def worker(celery_worker_process: WorkerProcess) -> WorkerProcess:
    return celery_worker_process
