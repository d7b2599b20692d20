"""Archives in object storage: built, downloaded, verified, swept, on a real S3 server."""

import contextlib
import hashlib
import io
import time
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.conf import LazySettings
from django.utils import timezone

from catalog.models import Image
from catalog.tests.factories import ImageFactory, add_file, make_searchable
from collections_app.builds.build import build_collection
from collections_app.builds.lease import claim_build
from collections_app.builds.verification import MISSING, REPLACED, verify_archive
from collections_app.models import Build, Collection
from collections_app.services import (
    delete_collection,
    expire_collection,
    rebuild_collection,
    retry_collection,
)
from collections_app.storage import StorageTrouble, client, patience
from collections_app.sweep import sweep_collections
from collections_app.tests.factories import (
    build,
    files_in_archive_root,
    make_collection,
    make_dataset,
    make_ready,
    read_archive,
)
from collections_app.tests.faults.tools import assert_page_says
from collections_app.tests.storage.conftest import ArchiveBucket
from medagg.management.commands.restore import Command
from medagg.observing.metrics import render_figures
from medagg.tests.mailbox import silent_server

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("hooks_on_commit")]


def make_large_dataset(size: int) -> None:
    """A dataset with one file that is more than a part, which builds have to read and hash."""
    dataset = make_dataset(files=3)
    image = ImageFactory(dataset=dataset, source_id="large", labels=["nodule"])
    add_file(image, hashlib.shake_128(b"large").digest(size), "deep/large.png")
    Image.objects.filter(pk=image.pk).update(mtime_ns=1)
    make_searchable()


def verify(collection: Collection) -> Collection:
    verify_archive(collection_id=collection.pk)
    collection.refresh_from_db()
    return collection


def test_the_bytes_are_those_of_a_disk_and_nothing_is_on_it(
    bucket: ArchiveBucket, settings: LazySettings
) -> None:
    make_large_dataset(12_000_000)
    collection = verify(make_ready())
    assert collection.verified_at
    assert bucket.names() == [collection.archive_path]
    content = bucket.read(collection.archive_path)
    assert hashlib.sha256(content).hexdigest() == collection.archive_sha256
    assert (bucket.uploads(), files_in_archive_root()) == ([], [])
    assert any("partNumber=3" in each for each in bucket.server.requests)

    expire_collection(collection=collection)
    assert bucket.names() == []
    settings.ARCHIVE_STORAGE = ""
    retry_collection(collection=collection)
    again = verify(build(collection))
    assert again.archive_sha256 == hashlib.sha256(content).hexdigest()
    assert len(read_archive(again)) == 10


# --- Verification ---
def test_verification_reads_on_where_a_connection_was_cut(bucket: ArchiveBucket) -> None:
    make_large_dataset(6_000_000)
    collection = make_ready()
    before = bucket.etag(collection.archive_path)
    bucket.server.faults.cut[".zip"] = 3_000_000
    bucket.server.faults.times[".zip"] = 2
    assert verify(collection).verified_at

    rebuild_collection(collection=collection)
    after = bucket.etag(build(collection).archive_path)
    assert before == after, "an interrupted download goes on after a rebuild"
    assert bucket.names() == [collection.archive_path]


def test_nothing_is_judged_by_a_proxy_that_sends_all_of_an_archive_again(
    bucket: ArchiveBucket,
) -> None:
    make_dataset(files=1)
    collection = make_ready()
    bucket.server.faults.cut[".zip"] = 1_500
    bucket.server.faults.times[".zip"] = 1
    bucket.server.faults.no_ranges = True
    verify(collection)
    bucket.server.faults.no_ranges = False
    assert verify(collection).verified_at


def test_verification_withdraws_what_was_replaced_or_removed(bucket: ArchiveBucket) -> None:
    make_dataset()
    collection = make_ready()
    content = bytearray(bucket.read(collection.archive_path))
    content[len(content) // 2] ^= 1
    bucket.write(collection.archive_path, bytes(content))
    assert verify(collection).error_message == REPLACED
    assert bucket.names() == []

    retry_collection(collection=collection)
    build(collection)
    bucket.client.delete_object(Bucket="archives", Key=f"kept/here/{collection.archive_path}")
    assert verify(collection).error_message == MISSING


def test_a_storage_that_does_not_answer_costs_no_archive(
    bucket: ArchiveBucket, caplog: pytest.LogCaptureFixture
) -> None:
    make_dataset(files=1)
    collection = make_ready()
    bucket.server.faults.status |= {".zip": 503, "archives": 503}
    assert verify(collection).status == "ready"
    assert sweep_collections()["missing"] == 0
    assert "waits for the object storage" in caplog.text
    rebuild_collection(collection=collection)
    collection.refresh_from_db()
    assert build(collection).status == "ready", "a rebuild gives the present archive back"
    bucket.server.faults.status.clear()
    assert verify(collection).verified_at


# --- The sweep ---
def test_a_storage_that_is_silent_takes_the_time_of_one_request_of_a_sweep(
    bucket: ArchiveBucket, settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mails wait for the same worker."""
    make_dataset(files=1)
    for number in range(3):
        make_ready(title=f"T{number}")
    Collection.objects.update(expires_at=timezone.now() - timedelta(hours=1))
    monkeypatch.setattr(patience, "BRIEF_SECONDS", 1)
    with silent_server() as silent:
        settings.ARCHIVE_S3_ENDPOINT = f"http://127.0.0.1:{silent.getsockname()[1]}"
        begin = time.monotonic()
        assert sweep_collections()["expired"] == 3
    assert time.monotonic() - begin < 5


def test_the_sweep_removes_strays_and_nothing_of_others(
    bucket: ArchiveBucket, settings: LazySettings
) -> None:
    make_dataset(files=1)
    ready = verify(make_ready())
    running = claim_build(collection_id=make_collection("", title="Runs").pk)
    assert running
    mine = f"{running.collection.uuid}.{running.token}.zip"
    for name in (f"{uuid4()}.{uuid4()}.zip", f"{'0' * 64}.{uuid4()}.zip", "readme.txt"):
        bucket.write(name, b"stray")
    for name in (f"{uuid4()}.{uuid4()}.zip", mine, "others.zip"):
        bucket.begin_upload(name)
    time.sleep(1.1)  # S3 tells times in seconds
    settings.BUILD_LEASE_SECONDS = 0.01
    assert sweep_collections()["files_removed"] == 3
    assert sorted(bucket.names()) == sorted([ready.archive_path, "readme.txt"])
    assert sorted(bucket.uploads()) == sorted([mine, "others.zip"])


def test_a_stray_whose_deletion_gets_no_answer_keeps_no_other_for_ever(
    bucket: ArchiveBucket, settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_dataset(files=1)
    make_ready()
    names = sorted(f"{uuid4()}.{uuid4()}.zip" for _ in range(4))
    for name in names:
        bucket.write(name, b"stray")
    time.sleep(1.1)  # S3 tells times in seconds
    settings.BUILD_LEASE_SECONDS = 0.01
    monkeypatch.setattr(patience, "BRIEF_SECONDS", 0.5)
    bucket.server.faults.stall.add(names[0])
    for _ in range(25):
        client.turns.forget()  # as half a minute later
        begin = time.monotonic()
        sweep_collections()
        assert time.monotonic() - begin < 5
        if len(bucket.names()) == 2:
            break
    assert names[0] in bucket.names()
    assert len(bucket.names()) == 2, "the ready one, and the stray that is not answered for"


def test_the_sweep_finds_what_is_missing_and_what_was_replaced(bucket: ArchiveBucket) -> None:
    make_dataset(files=1)
    lost, replaced = verify(make_ready(title="Lost")), verify(make_ready(title="Replaced"))
    bucket.client.delete_object(Bucket="archives", Key=f"kept/here/{lost.archive_path}")
    content = bucket.read(replaced.archive_path)
    later = timezone.now() - timedelta(hours=1)
    Collection.objects.filter(pk=replaced.pk).update(verified_at=later)
    bucket.write(replaced.archive_path, content[:-1] + b"!")
    done = sweep_collections()
    assert (done["missing"], done["modified"]) == (1, 1)
    lost.refresh_from_db()
    assert (lost.status, lost.error_message) == ("failed", MISSING)
    assert verify(replaced).error_message == REPLACED


@pytest.mark.parametrize("page_type", ["text/html", "Text/HTML", "application/json", "text/plain",
                                       "application/octet-stream"])  # fmt: skip
@pytest.mark.parametrize("place", ["HEAD", "GET", "list-type", "uploads", "archives"])
def test_a_page_of_a_proxy_is_no_answer_and_nothing_is_judged_by_it(
    bucket: ArchiveBucket, place: str, page_type: str
) -> None:
    make_dataset(files=1)
    collection = verify(make_ready())
    bucket.server.faults.page_type = page_type
    bucket.server.faults.pages.add(place)
    Collection.objects.filter(pk=collection.pk).update(verified_at=None)
    sweep_collections()
    with contextlib.suppress(StorageTrouble):
        verify_archive(collection_id=collection.pk)
    bucket.server.faults.pages.clear()
    assert verify(Collection.objects.get()).verified_at


@pytest.mark.parametrize("place", ["POST", "PUT", "uploadId"])
def test_a_build_that_gets_a_page_of_a_proxy_says_so(bucket: ArchiveBucket, place: str) -> None:
    make_dataset(files=1)
    collection = make_collection("")
    bucket.server.faults.pages.add(place)
    collection = build(collection)
    assert (collection.status, "does not do what" in collection.error_message) == ("failed", True)


def test_another_bucket_fails_no_collection(
    bucket: ArchiveBucket, settings: LazySettings, caplog: pytest.LogCaptureFixture
) -> None:
    make_dataset(files=1)
    for number in range(3):
        make_ready(title=f"T{number}")
    settings.ARCHIVE_STORAGE = "s3://archives/elsewhere"
    assert sweep_collections()["missing"] == 0
    assert "3 archives are missing: is ARCHIVE_STORAGE the bucket" in caplog.text
    settings.ARCHIVE_STORAGE = "s3://no-such-bucket"
    assert sweep_collections()["missing"] == 0
    assert "the bucket of archives does not exist" in caplog.text
    assert Collection.objects.filter(status="ready").count() == 3


def test_a_deleted_collection_leaves_nothing(bucket: ArchiveBucket) -> None:
    make_dataset(files=1)
    delete_collection(collection=make_ready())
    assert bucket.names() == []


def test_a_restore_tells_of_archives_that_are_missing_and_may_give_them_up(
    bucket: ArchiveBucket,
) -> None:
    make_dataset(files=1)
    collection = make_ready()
    bucket.client.delete_object(Bucket="archives", Key=f"kept/here/{collection.archive_path}")
    said = io.StringIO()
    Command(stdout=said)._say_what_is_missing()
    assert "Archives that are missing: 1." in said.getvalue()
    assert "restore with --without-archives if they do not come" in said.getvalue()
    bucket.server.faults.status["archives"] = 503
    Command(stdout=said)._say_what_is_missing()
    assert "not known: the object storage is too busy" in said.getvalue()
    del bucket.server.faults.status["archives"]
    Command(stdout=said)._say_what_is_missing(without_archives=True)
    collection.refresh_from_db()
    assert (collection.status, collection.error_message) == ("failed", MISSING)


def test_figures_say_nothing_of_a_disk_that_holds_no_archives(bucket: ArchiveBucket) -> None:
    assert b'place="archives"' not in render_figures()


# --- Builds that do not end well ---
@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ("gone", "the bucket of archives does not exist; tell the operator"),
        ("gone meanwhile", "the bucket of archives does not exist; tell the operator"),
        ("busy", "the object storage is too busy; try again later"),
        ("cut", "the object storage does not answer; try again later"),
        ("refused", "the object storage refuses medagg's keys; tell the operator"),
    ],
)
def test_a_fault_of_the_storage_fails_the_build_and_leaves_nothing(
    bucket: ArchiveBucket,
    fault: str,
    sentence: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    make_large_dataset(12_000_000)
    collection = make_collection("")
    # The first request begins the upload; a part of it is refused.
    statuses = {"busy": 503, "cut": 0, "refused": 403}
    if fault == "gone":
        bucket.remove()
    elif fault == "gone meanwhile":
        monkeypatch.setattr("collections_app.builds.lease.RENEW_SECONDS", 0)
        monkeypatch.setattr(
            "collections_app.builds.lease.Heartbeat.beat", lambda *_: bucket.remove()
        )
    else:
        bucket.server.faults.refuse["partNumber=2"] = statuses[fault]

    build(collection)

    assert collection.error_message == f"The archive could not be written: {sentence}."
    assert collection.builds.latest("pk").reason == "write_error"
    assert "an archive could not be written" in caplog.text
    assert_page_says(collection, "Try again")
    bucket.server.faults.refuse.clear()
    monkeypatch.undo()
    if fault.startswith("gone"):
        bucket.client.create_bucket(Bucket="archives")
    assert (bucket.names(), bucket.uploads(), files_in_archive_root()) == ([], [], [])
    retry_collection(collection=collection)
    assert build(collection).status == "ready"


def test_a_build_without_keys_says_so(
    bucket: ArchiveBucket, settings: LazySettings, caplog: pytest.LogCaptureFixture
) -> None:
    make_dataset(files=1)
    settings.ARCHIVE_S3_ACCESS_KEY_ID = ""
    collection = build(make_collection(""))
    assert "the object storage is not set up; tell the operator" in collection.error_message
    assert "ARCHIVE_S3_ACCESS_KEY_ID is not set" in caplog.text


def test_a_build_that_is_cancelled_leaves_no_parts(
    bucket: ArchiveBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_large_dataset(12_000_000)
    collection = make_collection("")
    seen: list[str] = []

    def cancel(done: int) -> None:
        if done and not seen:
            seen.extend(bucket.uploads())
            Build.objects.update(attempt_token=uuid4())  # as another worker's claim

    monkeypatch.setattr("collections_app.builds.lease.RENEW_SECONDS", 0)
    build_collection(collection_id=collection.pk, on_progress=cancel)
    assert len(seen) == 1
    assert (bucket.names(), bucket.uploads()) == ([], [])


def test_an_upload_whose_last_answer_was_lost_is_complete(
    bucket: ArchiveBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_dataset(files=1)
    collection = make_collection("")
    monkeypatch.setattr(client, "ATTEMPTS", 2)
    bucket.server.faults.lose.add("uploadId=")
    assert build(collection).status == "ready"
    assert not bucket.server.faults.lose


@pytest.mark.parametrize("request_", ["?uploads", "partNumber=1"])
def test_a_build_keeps_its_lease_while_the_storage_says_nothing(
    bucket: ArchiveBucket, monkeypatch: pytest.MonkeyPatch, request_: str
) -> None:
    make_large_dataset(12_000_000)
    collection = make_collection("")
    bucket.server.faults.stall.add(request_)
    leases: list[Any] = []

    def look(done: int) -> None:
        leases.append(Build.objects.values_list("lease_expires_at", flat=True).get())
        if leases[-1] - leases[0] > timedelta(seconds=1):
            bucket.server.faults.stall.clear()

    monkeypatch.setattr("collections_app.builds.lease.RENEW_SECONDS", 0)
    build_collection(collection_id=collection.pk, on_progress=look)
    collection.refresh_from_db()
    assert (collection.status, bucket.server.faults.stall) == ("ready", set())


def test_a_build_that_fails_does_not_wait_long_for_a_storage_to_forget_its_parts(
    bucket: ArchiveBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its lease would end meanwhile."""
    make_dataset(files=1)
    collection = make_collection("")
    monkeypatch.setattr(patience, "BRIEF_SECONDS", 0.5)
    bucket.server.faults.refuse["partNumber=1"] = 503
    bucket.server.faults.stall.add("uploadId=")
    begin = time.monotonic()
    assert build(collection).status == "failed"
    assert time.monotonic() - begin < client.STALL_SECONDS / 2
    assert "the object storage is too busy" in collection.error_message


def test_an_upload_that_is_completed_too_late_leaves_no_object(
    bucket: ArchiveBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_dataset(files=1)
    collection = make_collection("")
    bucket.server.faults.stall.add(".zip?uploadId=")

    def lose_the_lease(done: int) -> None:
        if any(".zip?uploadId=" in each for each in bucket.server.requests):
            Build.objects.update(attempt_token=uuid4())
            bucket.server.faults.stall.clear()

    monkeypatch.setattr("collections_app.builds.lease.RENEW_SECONDS", 0)
    build_collection(collection_id=collection.pk, on_progress=lose_the_lease)
    assert not bucket.server.faults.stall
    assert (bucket.names(), bucket.uploads()) == ([], [])


def test_a_claim_ends_the_uploads_of_a_worker_that_died(bucket: ArchiveBucket) -> None:
    make_dataset(files=1)
    collection, other = make_collection(""), f"{uuid4()}.{uuid4()}.zip"
    bucket.begin_upload(f"{collection.uuid}.{uuid4()}.zip")
    bucket.begin_upload(other)
    assert build(collection).status == "ready"
    assert bucket.uploads() == [other]
