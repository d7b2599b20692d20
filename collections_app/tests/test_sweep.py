"""The sweep: what it repairs, and what it does not change."""

import shutil
import time
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from django.conf import LazySettings
from django.conf import settings as conf
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from collections_app.builds.build import build_collection
from collections_app.builds.lease import claim_build
from collections_app.builds.verification import verify_archive
from collections_app.models import Build, Collection
from collections_app.services import delete_collection
from collections_app.storage import archive_file
from collections_app.sweep import sweep_collections
from collections_app.tests.factories import (
    build,
    files_in_archive_root,
    make_collection,
    make_dataset,
)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("hooks_on_commit")]


def test_the_sweep_expires_old_archives(settings: LazySettings) -> None:
    make_dataset(files=1)
    old, new = build(make_collection("")), build(make_collection(""))
    past = timezone.now() - timedelta(seconds=1)
    Collection.objects.filter(pk=old.pk).update(expires_at=past)
    assert sweep_collections()["expired"] == 1
    old.refresh_from_db()
    assert (old.status, old.archive_path) == ("expired", "")
    assert old.items.count() == 1
    assert files_in_archive_root() == [new.archive_path]


def test_the_sweep_sends_lost_messages_again_and_fails_them_after_too_many_attempts() -> None:
    make_dataset(files=1)
    collection = make_collection("")
    assert sweep_collections()["notified"] == 0, "it has only just been queued"
    long_ago = timezone.now() - timedelta(hours=1)
    Build.objects.update(notified_at=long_ago)
    assert sweep_collections()["notified"] == 1
    for _ in range(3):
        assert claim_build(collection_id=collection.pk)
        Build.objects.update(lease_expires_at=long_ago)
    assert claim_build(collection_id=collection.pk) is None
    assert sweep_collections()["failed"] == 1
    collection.refresh_from_db()
    assert collection.status == "failed"
    assert "interrupted 3 times" in collection.error_message


def test_the_sweep_removes_stray_files(settings: LazySettings) -> None:
    make_dataset(files=1)
    collection = build(make_collection(""))
    for name in (f"{'0' * 64}.{uuid4()}.zip", f"{uuid4()}.{uuid4()}.part",
                 "thesis.zip"):  # fmt: skip
        (conf.ARCHIVE_ROOT / name).write_bytes(b"stray")
    settings.BUILD_LEASE_SECONDS = 0.2  # files are old after ten leases
    time.sleep(2.2)
    young = conf.ARCHIVE_ROOT / f"{uuid4()}.{uuid4()}.part"
    young.write_bytes(b"still being written")
    assert sweep_collections()["files_removed"] == 2
    kept = [collection.archive_path, young.name, "thesis.zip"]
    assert files_in_archive_root() == sorted(kept)
    # As of a site that has another database.
    content = archive_file(collection.archive_path).read_bytes()
    delete_collection(collection=collection)
    archive_file(kept[0]).write_bytes(content)
    time.sleep(2.2)
    assert sweep_collections()["files_removed"] == 1
    assert files_in_archive_root() == sorted([kept[0], "thesis.zip"])


def test_a_stray_file_that_cannot_be_removed_does_not_stop_the_sweep(
    settings: LazySettings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = (conf.ARCHIVE_ROOT / f"{uuid4()}.{uuid4()}.part" for _ in range(2))
    for path in (first, second):
        path.write_bytes(b"stray")
    settings.BUILD_LEASE_SECONDS = 0.02
    time.sleep(0.3)
    unlink = Path.unlink

    def refuse(path: Path, missing_ok: bool = False) -> None:
        if path == first:
            raise PermissionError(1, "Operation not permitted", str(path))
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse)
    assert sweep_collections()["files_removed"] == 1
    assert files_in_archive_root() == [first.name]
    assert "cannot be removed" in caplog.text


def test_an_unmounted_disk_fails_no_collection(
    settings: LazySettings, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    make_dataset(files=3)
    collections = [build(make_collection("", title=f"T{n}")) for n in range(3)]
    for collection in collections:
        verify_archive(collection_id=collection.pk)
    elsewhere = tmp_path / "disk"
    shutil.move(conf.ARCHIVE_ROOT, elsewhere)
    conf.ARCHIVE_ROOT.mkdir()
    settings.BUILD_LEASE_SECONDS = 0.02
    assert sweep_collections()["missing"] == 0
    assert "is the disk of the archives mounted?" in caplog.text
    conf.ARCHIVE_ROOT.rmdir()
    shutil.move(elsewhere, conf.ARCHIVE_ROOT)
    time.sleep(0.3)
    done = sweep_collections()
    assert (done["missing"], done["files_removed"]) == (0, 0)
    assert all(archive_file(collection.archive_path).exists() for collection in collections)


def test_a_disk_that_is_not_mounted_costs_no_collection_even_if_a_build_runs_meanwhile(
    settings: LazySettings, tmp_path: Path
) -> None:
    make_dataset(files=1)
    ready = [make_ready(f"Ready {number}") for number in range(3)]
    queued = make_collection("", title="Queued")
    shutil.move(conf.ARCHIVE_ROOT, tmp_path / "disk")
    conf.ARCHIVE_ROOT.mkdir()
    build_collection(collection_id=queued.pk)
    settings.BUILD_LEASE_SECONDS = 0.001
    assert sweep_collections()["missing"] == 0

    shutil.rmtree(conf.ARCHIVE_ROOT)
    shutil.move(tmp_path / "disk", conf.ARCHIVE_ROOT)
    time.sleep(0.02)
    swept = sweep_collections()
    assert (swept["missing"], swept["files_removed"]) == (1, 0), "only the one built meanwhile"
    for collection in ready:
        collection.refresh_from_db()
        assert collection.status == "ready"


def test_an_error_in_one_step_does_not_stop_the_others(
    settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_dataset(files=1)
    collection = make_ready("Over")
    Collection.objects.update(expires_at=timezone.now() - timedelta(days=1))
    monkeypatch.setattr("collections_app.sweep._notify_again", lambda: 1 // 0)
    assert sweep_collections()["expired"] == 1
    collection.refresh_from_db()
    assert collection.status == "expired"


def test_the_sweep_needs_as_many_queries_for_many_archives_as_for_few() -> None:
    make_dataset(files=1)
    counts = []
    for number in (1, 4):
        for _ in range(number):
            make_ready("Ready")
        Build.objects.update(notified_at=timezone.now())
        with CaptureQueriesContext(connection) as queries:
            sweep_collections()
        counts.append(len(queries))
    assert counts[0] == counts[1]


def test_a_pending_collection_without_a_build_is_queued() -> None:
    make_dataset(files=1)
    collection = make_collection("")
    collection.builds.all().delete()
    assert sweep_collections()["added"] == 1
    build(collection)
    assert collection.status == "ready"


def make_ready(title: str) -> Collection:
    collection = make_collection("", title=title)
    build(collection)
    return collection


def test_archives_are_looked_up_by_the_index() -> None:
    """However many files lie there: the index has only the paths that are set."""
    paths = [f"{number}.zip" for number in range(300)]
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
    assert "an_archive_belongs_to_one" in Collection.objects.with_archives(paths).explain()
