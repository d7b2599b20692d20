"""Real Celery workers: one that is killed while it fetches, and two of one user at once."""

import os
import re
import shutil
import signal
from collections.abc import Iterator

import pytest
from django.conf import LazySettings, settings

from catalog.models import Image
from catalog.storage.disk import BLOCK
from catalog.tests.factories import make_searchable
from collections_app.builds.build import build_collection
from collections_app.selection.fetch_quota import count_fetched_today
from collections_app.sweep import sweep_collections
from collections_app.tests.factories import make_collection, read_archive
from collections_app.tests.faults.tools import let_lease_lapse, pool_of, wait_for, wait_for_end
from collections_app.tests.remote_series import make_series
from medagg.testing.s3 import S3Server, slice_of
from medagg.testing.worker import WorkerProcess

pytestmark = pytest.mark.django_db(transaction=True)

HELD = "uuid-1/03.dcm"


@pytest.fixture(autouse=True)
def empty_cache() -> Iterator[None]:
    yield
    shutil.rmtree(settings.REMOTE_CACHE_ROOT, ignore_errors=True)


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


def test_two_workers_take_no_more_together_than_their_users_day_has(
    worker: WorkerProcess, s3: S3Server, settings: LazySettings
) -> None:
    """One builds in a process of its own, the other one here."""
    most = 30 * BLOCK
    worker.restart(IDC_S3_ENDPOINT=s3.endpoint, FETCH_PARALLEL="2", FETCH_MAX_DAY_BYTES=str(most))
    settings.FETCH_PARALLEL, settings.FETCH_MAX_DAY_BYTES = 2, most
    make_series(s3, series=2, slices=30)
    Image.objects.update(size_bytes=None)
    make_searchable()
    s3.faults.pause[".dcm"] = 0.06  # for each 100 bytes
    theirs = make_collection("q=P0", fetch=True)
    mine = make_collection("q=P1", fetch=True, user=theirs.user, notify=False)
    wait_for(lambda: asked_for(s3), "the other worker to begin")

    build_collection(collection_id=mine.pk)

    for each in (wait_for_end(theirs), wait_for_end(mine)):
        assert each.status == "failed"
        assert "Build it again later." in each.error_message
        assert each.builds.get().bytes_fetched
    # Each goes on for a second or two after the other one, with about three files a second.
    assert most - BLOCK < count_fetched_today(theirs.user) <= most + 12 * BLOCK
