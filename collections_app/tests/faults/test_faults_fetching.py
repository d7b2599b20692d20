"""A real Celery worker that is killed while it fetches."""

import os
import re
import signal

import pytest
from django.conf import settings

from collections_app.sweep import sweep_collections
from collections_app.tests.factories import make_collection, read_archive
from collections_app.tests.faults.tools import let_lease_lapse, pool_of, wait_for, wait_for_end
from collections_app.tests.remote_series import make_series
from medagg.testing.s3 import S3Server, slice_of
from medagg.testing.worker import WorkerProcess

pytestmark = pytest.mark.django_db(transaction=True)

HELD = "uuid-1/03.dcm"


def asked_for(s3: S3Server) -> list[str]:
    return sorted(re.findall(r"uuid-[0-9]/[0-9]+[.]dcm", " ".join(s3.requests)))


def num_cached() -> int:
    return sum(1 for _ in settings.REMOTE_CACHE_ROOT.glob("??/*"))


def test_what_a_killed_worker_has_fetched_is_not_fetched_again(
    worker: WorkerProcess, s3: S3Server
) -> None:
    worker.restart(IDC_S3_ENDPOINT=s3.endpoint)
    make_series(s3, series=2, slices=5)
    s3.faults.pause[HELD] = 1.0
    before = num_cached()
    collection = make_collection("", fetch=True)
    wait_for(lambda: num_cached() == before + 9, "all other files to be in the cache")

    os.kill(pool_of(worker), signal.SIGKILL)  # as the kernel does when memory runs out

    assert len(asked_for(s3)) == 10
    s3.faults.pause.clear()
    s3.requests.clear()
    let_lease_lapse(collection)
    sweep_collections()
    wait_for_end(collection)
    assert (collection.status, collection.error_message) == ("ready", "")
    assert collection.builds.get().attempts == 2
    assert asked_for(s3) == [HELD]
    files = read_archive(collection)
    for which in range(2):
        for number in range(5):
            name = f"images/lung_ct/P{which}/1.9.{which}/CT_1.2.{which}/{number:02}.dcm"
            assert files[name] == slice_of(which, number)
    assert not list((settings.REMOTE_CACHE_ROOT / "journals").iterdir())
