"""Clock jumps: real processes with a moved clock, and rows with times as after a jump."""

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings as conf
from django.db import connection
from django.db.models import F
from django.utils import timezone

from collections_app.builds.build import build_claimed, build_collection
from collections_app.builds.lease import claim_build
from collections_app.models import Build, Collection
from collections_app.services import expire_collection, rebuild_collection
from collections_app.storage import archive_file
from collections_app.sweep import sweep_collections
from collections_app.tests.factories import (
    build,
    files_in_archive_root,
    make_collection,
    make_dataset,
    read_archive,
)
from collections_app.tests.faults.tools import (
    assert_nothing_is_left_over,
    assert_page_says,
    held_build,
    make_many_files,
    partial_files,
    wait_for_end,
)
from medagg.runner.embedded import database_url
from medagg.testing.clock import moved_clock
from medagg.testing.environment import BASE_VARIABLE
from medagg.testing.worker import WorkerProcess

pytestmark = pytest.mark.django_db(transaction=True)

HOUR = timedelta(hours=1)
SWEEP = "from collections_app.sweep import sweep_collections as sweep; print(sweep())"


def run_elsewhere(code: str, *, clock: timedelta) -> str:
    """Run a line of Python in a process whose clock is ahead by ``clock``."""
    url = database_url(Path(os.environ[BASE_VARIABLE]), connection.settings_dict["NAME"])
    result = subprocess.run(
        [sys.executable, "manage.py", "shell", "--no-imports", "-c", code],
        env={**os.environ, "DATABASE_URL": url, **moved_clock(clock)},
        cwd=conf.BASE_DIR, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.parametrize("clock", [HOUR, -HOUR], ids=["ahead", "behind"])
def test_a_sweep_with_another_clock_does_not_disturb_a_build(
    celery_worker_process: WorkerProcess, clock: timedelta
) -> None:
    make_many_files(files=50)
    collection = make_collection("", notify=False)
    with held_build(collection) as hold:
        before = partial_files()
        run_elsewhere(SWEEP, clock=clock)
        assert partial_files() == before, "it is still being written"
        hold.release()
        wait_for_end(collection)
    assert (
        collection.status,
        collection.error_message,
        collection.builds.latest("pk").attempts,
    ) == (
        "ready",
        "",
        1,
    )
    assert len(read_archive(collection)) == 56
    assert_nothing_is_left_over()


@pytest.mark.parametrize("clock", [HOUR, -HOUR], ids=["ahead", "behind"])
def test_a_worker_with_another_clock_builds_as_usual(
    celery_worker_process: WorkerProcess, clock: timedelta
) -> None:
    """Leases use the database's clock, so other workers are not affected."""
    make_many_files(files=50)
    collection = make_collection("", notify=False)
    celery_worker_process.restart(**moved_clock(clock))
    with held_build(collection):
        started_at = collection.builds.latest("pk").started_at
        assert started_at is not None
        assert abs(started_at - timezone.now() - clock) < HOUR / 2, "its clock is moved indeed"
        assert claim_build(collection_id=collection.pk) is None
        assert sweep_collections()["notified"] == 0
    wait_for_end(collection)
    assert (collection.status, collection.builds.latest("pk").attempts) == ("ready", 1)
    assert_page_says(collection, "Download ZIP")
    assert_nothing_is_left_over()


def shift(collection: Collection, by: timedelta) -> None:
    """Move all times of the build by ``by``, as if all clocks had been moved by ``-by``."""
    names = ("queued_at", "notified_at", "lease_expires_at", "started_at", "finished_at")
    Build.objects.filter(collection=collection).update(**{name: F(name) + by for name in names})
    mine = Collection.objects.filter(pk=collection.pk)
    mine.update(**{name: F(name) + by for name in ("finished_at", "expires_at")})
    collection.refresh_from_db()


@pytest.mark.parametrize("by", [HOUR, -HOUR], ids=["back", "forward"])
def test_a_queued_build_is_sent_again_after_a_clock_jump(by: timedelta) -> None:
    make_dataset()
    collection = make_collection("")
    shift(collection, by)
    assert_page_says(collection, "Next in the queue", "Cancel the build")
    assert sweep_collections()["notified"] == 1
    assert sweep_collections()["notified"] == 0
    build(collection)
    assert collection.status == "ready"


@pytest.mark.parametrize("by", [HOUR, -HOUR], ids=["back", "forward"])
def test_a_lease_of_a_dead_worker_does_not_count_after_a_clock_jump(by: timedelta) -> None:
    """Its worker has died, but the lease would look valid for an hour."""
    make_dataset()
    collection = make_collection("")
    dead = claim_build(collection_id=collection.pk)
    assert dead is not None
    shift(collection, by)
    assert sweep_collections()["notified"] == 1
    build(collection)
    assert (collection.status, collection.builds.latest("pk").attempts) == ("ready", 2)
    assert_nothing_is_left_over()


@pytest.mark.parametrize("by", [HOUR, -HOUR], ids=["back", "forward"])
def test_a_build_survives_a_clock_jump(by: timedelta) -> None:
    make_dataset()
    collection = make_collection("")
    claim = claim_build(collection_id=collection.pk)
    assert claim is not None
    shift(collection, by)
    assert_page_says(collection, "Cancel the build")
    build_claimed(claim)
    collection.refresh_from_db()
    assert (collection.status, collection.builds.latest("pk").attempts) == ("ready", 1)
    assert collection.expires_at is not None
    assert collection.expires_at > timezone.now() + timedelta(days=1)
    assert_nothing_is_left_over()


def test_after_a_clock_jump_archives_expire_early_and_can_be_rebuilt() -> None:
    make_dataset()
    collection = make_collection("")
    build_collection(collection_id=collection.pk)
    path, before = collection_file(collection)
    run_elsewhere(SWEEP, clock=timedelta(days=conf.COLLECTION_LIFETIME_DAYS + 1))
    collection.refresh_from_db()
    assert collection.status == "expired"
    assert files_in_archive_root() == []
    assert_page_says(collection, "has been removed", "Rebuild the archive")
    rebuild_collection(collection=collection)
    build_collection(collection_id=collection.pk)
    new_path, after = collection_file(collection)
    assert (after, new_path != path) == (before, True)


def collection_file(collection: Collection) -> tuple[str, bytes]:
    collection.refresh_from_db()
    return collection.archive_path, archive_file(collection.archive_path).read_bytes()


def test_an_archive_built_with_a_clock_a_year_ahead_can_be_removed() -> None:
    """The page shows the expiry, and the owner can remove the archive earlier."""
    make_dataset()
    collection = make_collection("")
    build_collection(collection_id=collection.pk)
    shift(collection, timedelta(days=365))
    assert sweep_collections()["expired"] == 0
    assert_page_says(collection, f"{collection.expires_at:%Y}", "Remove the archive")
    expire_collection(collection=collection)
    assert files_in_archive_root() == []
