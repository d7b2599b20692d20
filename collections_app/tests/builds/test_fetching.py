"""Builds that fetch what lies elsewhere: from a real S3 server, over a network that fails."""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings, settings
from django.db import connection
from django.db.models import F
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from catalog.models import Dataset, Image, RemoteFile
from catalog.storage import retries
from catalog.storage.ahead import CLOSE_SECONDS
from catalog.storage.cache import CacheFull, FileCache
from catalog.storage.disk import BLOCK
from catalog.storage.download import FetchedFile
from catalog.storage.problems import ListedFile
from catalog.storage.sources import list_files
from catalog.tests.factories import DatasetFactory, ImageFactory, make_searchable
from catalog.tests.importers.series_files import make_slice
from collections_app.archive import Entry, writer
from collections_app.builds.build import build_collection
from collections_app.builds.fetch_journal import FetchJournal
from collections_app.builds.lease import Heartbeat, LeaseLost
from collections_app.builds.verification import verify_archive
from collections_app.models import Collection, CollectionItem, DeletedFetch, Reason
from collections_app.selection.fetch_quota import count_fetched_today
from collections_app.selection.refusals import NotBuildable
from collections_app.services import (
    build_without_problems,
    cancel_build,
    delete_collection,
    expire_collection,
    rebuild_collection,
    retry_collection,
)
from collections_app.sweep import sweep_collections
from collections_app.tests.factories import UserFactory, build, make_collection, read_archive
from collections_app.tests.remote_series import make_fetching, make_series, rows
from medagg.testing.s3 import BUCKET, S3Server, slice_of
from medagg.testing.small_disk import MountDisk

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("hooks_on_commit", "own_cache")]


def test_series_come_into_the_archive_as_folders(s3: S3Server) -> None:
    make_series(s3)

    collection = build(make_fetching())

    assert (collection.status, collection.error_message) == ("ready", "")
    files = read_archive(collection)
    name = "images/lung_ct/P1/1.9.1/CT_1.2.1/02.dcm"
    assert files[name] == slice_of(1, 2)
    assert sum(each.startswith("images/") for each in files) == 6
    first, _ = rows(files["metadata.csv"])
    assert first["file_name"] == "images/lung_ct/P0/1.9.0/CT_1.2.0"
    lines = "".join(f"{hashlib.sha256(slice_of(0, n)).hexdigest()}  {n:02}.dcm\n" for n in range(3))
    assert first["sha256"] == hashlib.sha256(lines.encode()).hexdigest()
    assert first["size_bytes"] == str(sum(len(slice_of(0, n)) for n in range(3)))
    assert f"{hashlib.sha256(slice_of(1, 2)).hexdigest()}  {name}\n".encode() in files["SHA256SUMS"]
    assert "remote.csv" not in files
    assert collection.num_bytes == sum(len(slice_of(s, n)) for s in range(2) for n in range(3))
    verify_archive(collection_id=collection.pk)
    collection.refresh_from_db()
    assert collection.verified_at


def test_all_come_of_more_series_than_are_begun_and_kept_at_a_time(
    s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("catalog.storage.ahead.AHEAD", 3)
    monkeypatch.setattr("collections_app.builds.fetching.BATCH", 2)
    make_series(s3, series=8, slices=1)

    collection = build(make_fetching())

    assert (collection.status, collection.error_message) == ("ready", "")
    files = read_archive(collection)
    for number in range(8):
        name = f"images/lung_ct/P{number}/1.9.{number}/CT_1.2.{number}/00.dcm"
        assert files[name] == slice_of(number, 0)
    assert RemoteFile.objects.count() == 8


def test_long_lists_of_files_wait_for_each_other(
    s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though each of them is longer than there is room for, all come."""
    monkeypatch.setattr("catalog.storage.buckets.MAX_PAGE_OBJECTS", 2)
    monkeypatch.setattr("catalog.storage.ahead.MAX_FILES", 4)
    monkeypatch.setattr("collections_app.builds.fetching.MAX_UNKEPT", 5)
    monkeypatch.setattr("collections_app.builds.lease.RENEW_SECONDS", 0.0)
    make_series(s3, series=6, slices=6)
    s3.faults.pause[".dcm"] = 0.05  # for each 100 bytes
    collection = make_fetching()
    pages_before_the_first_is_here = 0

    def look(done: int) -> None:
        nonlocal pages_before_the_first_is_here
        if not RemoteFile.objects.exists():
            pages_before_the_first_is_here = count_pages()

    def count_pages() -> int:
        return sum("list-type" in path for path in s3.requests)

    build_collection(collection_id=collection.pk, on_progress=look)

    collection.refresh_from_db()
    assert (collection.status, collection.error_message) == ("ready", "")
    assert RemoteFile.objects.count() == 36
    assert count_pages() == 18
    most = 3 + 4 // 2 + 5
    assert 0 < pages_before_the_first_is_here <= most, "all of the first, what has room, and a page"
    expired = Collection.objects.get(pk=collection.pk)
    expire_collection(collection=expired)
    retry_collection(collection=expired)
    assert build(Collection.objects.get(pk=collection.pk)).status == "ready"


def test_of_a_long_journal_the_newest_lines_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    files = [ListedFile(str(number), str(number), 4, "") for number in range(100)]
    journal = FetchJournal("long")
    for file in files:
        journal.add("s3://bucket/a/*", file, FetchedFile(file.name, 4, "ab" * 32, 7))
    journal.close(is_done=False)
    monkeypatch.setattr("collections_app.builds.fetch_journal._MAX_BYTES", 2_000)
    journal = FetchJournal("long")
    found = [bool(journal.find("s3://bucket/a/*", file)) for file in files]
    assert found == sorted(found)
    assert 5 < sum(found) < 50
    journal.close(is_done=True)


def test_a_line_of_a_journal_is_short_whatever_a_source_says(settings: LazySettings) -> None:
    key = "\u00e4" * 1000
    file = ListedFile(key, key, 1, "", tag=key)
    fetched = FetchedFile(key, 1, "ab" * 32, 7, ".dcm", tag=key)
    journal = FetchJournal("short")
    journal.add(f"s3://bucket/{key}/*", file, fetched)
    journal.close(is_done=False)
    assert (settings.REMOTE_CACHE_ROOT / "journals" / "short").stat().st_size < 200
    journal = FetchJournal("short")
    assert journal.find(f"s3://bucket/{key}/*", file) == fetched
    assert journal.find("s3://bucket/other/*", file) is None
    journal.close(is_done=True)


def test_an_emptied_cache_and_a_rebuild_give_the_same_bytes(
    s3: S3Server, settings: LazySettings, tmp_path: Path
) -> None:
    make_series(s3)
    collection = build(make_fetching())
    verify_archive(collection_id=collection.pk)
    collection.refresh_from_db()
    before = (collection.archive_sha256, collection.fingerprint)
    expire_collection(collection=collection)
    settings.REMOTE_CACHE_ROOT = tmp_path / "another"

    retry_collection(collection=Collection.objects.get(pk=collection.pk))
    collection = build(collection)
    verify_archive(collection_id=collection.pk)

    collection.refresh_from_db()
    assert (collection.archive_sha256, collection.fingerprint) == before


def test_what_is_in_the_cache_is_not_asked_for_again_and_counts(
    s3: S3Server, settings: LazySettings
) -> None:
    dataset = make_series(s3)
    dataset.images.update(size_bytes=None)
    build(make_fetching())
    s3.requests.clear()

    other = build(make_fetching("q=ct"))

    assert other.status == "ready"
    settings.COLLECTION_MAX_BYTES = other.num_bytes - 1
    (bad,) = build(make_fetching("q=ct")).items.with_problems()
    assert "this collection would hold more than" in bad.problem
    assert s3.requests == []


def test_a_connection_that_is_cut_is_tried_again(
    s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("catalog.storage.retries._PAUSES", (0.01, 0.01))
    make_series(s3)
    s3.faults.cut["uuid-0/01.dcm"] = 700
    s3.faults.times["uuid-0/01.dcm"] = 1

    collection = build(make_fetching())

    assert collection.status == "ready", collection.error_message
    assert read_archive(collection)["images/lung_ct/P0/1.9.0/CT_1.2.0/01.dcm"] == slice_of(0, 1)


def test_a_source_that_is_too_busy_to_list_is_asked_again(
    s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("catalog.storage.retries._PAUSES", (0.01, 0.01))
    make_series(s3)
    s3.faults.status[BUCKET] = 503
    s3.faults.times[BUCKET] = 1

    collection = build(make_fetching())

    assert collection.status == "ready", collection.error_message


@pytest.mark.parametrize(
    ("fault", "reason", "problem"),
    [
        ("gone", Reason.FILES_MISSING, "no files at its address any more"),
        ("forbidden", Reason.FILES_MISSING, "forbidden"),
        ("busy", Reason.SOURCE_UNREACHABLE, "busy"),
        ("cut", Reason.SOURCE_UNREACHABLE, "connection"),
        ("longer", Reason.FILES_CHANGED, "longer than"),
        ("slow", Reason.SOURCE_UNREACHABLE, "less than"),
        ("redirected", Reason.FILES_MISSING, "sends elsewhere, which is not followed"),
    ],
)
def test_what_cannot_be_had_is_named_and_can_be_excluded(
    s3: S3Server,
    settings: LazySettings,
    monkeypatch: pytest.MonkeyPatch,
    fault: str,
    reason: Reason,
    problem: str,
) -> None:
    monkeypatch.setattr("catalog.storage.retries._PAUSES", ())
    if fault == "slow":  # a busy machine may be silent as long
        settings.FETCH_STALL_SECONDS, settings.FETCH_MIN_RATE = 1, 10_000
    make_series(s3)
    key = "uuid-1/01.dcm"
    if fault == "longer":
        # The listing is of before, the object of after.
        s3.faults.shorter[key] = 100
    if fault == "gone":
        for number in range(3):
            s3.client.delete_object(Bucket=BUCKET, Key=f"uuid-1/{number:02}.dcm")
    s3.faults.status |= {"forbidden": {key: 403}, "busy": {key: 503}}.get(fault, {})
    s3.faults.cut |= {key: 100} if fault == "cut" else {}
    s3.faults.pause |= {key: 0.3} if fault == "slow" else {}
    elsewhere = s3.endpoint + s3.put("secret.dcm", slice_of(1, 1)).removeprefix("s3:/")
    s3.faults.redirect |= {key: elsewhere} if fault == "redirected" else {}

    collection = build(make_fetching())

    assert not any("secret" in path for path in s3.requests)
    assert collection.status == "failed"
    assert collection.error_message.startswith("1 item could not be fetched")
    assert collection.builds.get().reason == reason
    (bad,) = collection.items.with_problems()
    assert bad.image.source_id == "1.2.1"
    assert problem in bad.problem
    build_without_problems(collection=collection)
    without = build(Collection.objects.get(pk=collection.pk))
    assert without.status == "ready"
    assert [row["source_id"] for row in rows(read_archive(without)["missing.csv"])] == ["1.2.1"]


def test_a_rebuild_whose_source_does_not_answer_blames_no_file(
    s3: S3Server, settings: LazySettings, tmp_path: Path, client: Client,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("catalog.storage.retries._PAUSES", ())
    make_series(s3)
    collection = build(make_fetching())
    settings.REMOTE_CACHE_ROOT = tmp_path / "another"
    s3.faults.status["uuid-1/01.dcm"] = 503
    rebuild_collection(collection=collection)

    assert build(collection).status == "ready"
    client.force_login(collection.user)
    page = client.get(f"/collections/{collection.uuid}/").content.decode()
    assert "Reason: the source did not answer (<a" in page
    assert "not as" not in page


def test_what_the_idc_has_moved_is_told_with_the_release_of_its_frozen_address(
    s3: S3Server, client: Client
) -> None:
    dataset = make_series(s3)
    Dataset.objects.filter(pk=dataset.pk).update(imported_json={"idc_release": "24"})
    collection = make_fetching()
    # Imported again meanwhile: the frozen address is still of the release before.
    Dataset.objects.filter(pk=dataset.pk).update(imported_json={"idc_release": "25"})
    for number in range(3):
        s3.client.delete_object(Bucket=BUCKET, Key=f"uuid-1/{number:02}.dcm")

    collection = build(collection)

    assert collection.builds.get().reason == Reason.FILES_MISSING
    said = "it is no longer at its address of IDC release 24; import_idc with a newer index"
    (bad,) = collection.items.with_problems()
    assert said in bad.problem
    client.force_login(collection.user)
    page = client.get(collection.get_absolute_url()).content.decode()
    assert said in page
    assert f'data-head="File"><span class="break">s3://{BUCKET}/uuid-1/*<' in page
    long = f"s3://{BUCKET}/{'x' * 200}/uuid-1/*"
    CollectionItem.objects.filter(pk=bad.pk).update(metadata_json={"remote_url": long})
    page = client.get(collection.get_absolute_url()).content.decode()
    assert re.search(rf">s3://{BUCKET}/x+…x+/uuid-1/\*<", page)
    assert long not in page


def test_what_was_changed_at_its_source_is_not_taken_for_what_was_frozen(
    s3: S3Server, settings: LazySettings, tmp_path: Path
) -> None:
    make_series(s3)
    collection = build(make_fetching())
    expire_collection(collection=collection)
    settings.REMOTE_CACHE_ROOT = tmp_path / "another"
    s3.put("uuid-0/01.dcm", slice_of(0, 1).replace(b"slice", b"slide"))

    retry_collection(collection=Collection.objects.get(pk=collection.pk))
    collection = build(collection)

    assert collection.builds.first().reason == Reason.FILES_CHANGED  # type: ignore[union-attr]
    (bad,) = collection.items.with_problems()
    assert "SHA-256" in bad.problem
    assert RemoteFile.objects.count() == 6


def test_a_series_of_which_a_mirror_lacks_files_is_not_archived_and_nothing_is_kept_of_it(
    s3: S3Server,
) -> None:
    make_series(s3)
    content = slice_of(1, 2)
    s3.client.delete_object(Bucket=BUCKET, Key="uuid-1/02.dcm")

    collection = build(make_fetching())

    assert collection.builds.get().reason == Reason.FILES_CHANGED
    (bad,) = collection.items.with_problems()
    said = "the source lists 2 files, and the catalog knows 3: it is not complete, or has changed"
    assert bad.problem == said
    assert RemoteFile.objects.count() == 3
    s3.put("uuid-1/02.dcm", content)
    assert build(make_fetching()).status == "ready"


@pytest.mark.parametrize("key", ["03.dcm", "sub_$folder$", "sub/"])
def test_an_empty_file_is_no_slice_and_spoils_nothing_that_was_frozen_before(
    s3: S3Server, key: str
) -> None:
    make_series(s3)
    Image.objects.update(metadata_json={})
    before = build(make_fetching())
    sha256 = before.archive_sha256
    s3.put(f"uuid-1/{key}", b"")
    clear_cache()

    rebuild_collection(collection=before)
    assert build(before).archive_sha256 == sha256
    RemoteFile.objects.all().delete()
    clear_cache()
    new = build(make_fetching())
    assert new.status == ("failed" if key == "03.dcm" else "ready")
    problems = new.items.with_problems().values_list("problem", flat=True)
    assert list(problems) == ["the source lists '03.dcm' as an empty file"] * len(problems)


def clear_cache() -> None:
    shutil.rmtree(settings.REMOTE_CACHE_ROOT)
    Path(settings.REMOTE_CACHE_ROOT).mkdir()


def test_what_was_kept_of_a_series_that_was_not_complete_counts_no_more(s3: S3Server) -> None:
    dataset = make_series(s3, series=1)
    dataset.images.update(metadata_json={})  # as if nobody had known how many there are
    s3.client.delete_object(Bucket=BUCKET, Key="uuid-0/02.dcm")
    assert build(make_fetching()).num_bytes == 2 * len(slice_of(0, 0))
    s3.put_series(0, 3)
    dataset.images.update(metadata_json={"instances": 3})
    make_searchable()

    for _ in range(2):
        collection = build(make_fetching())
        assert (collection.status, collection.error_message) == ("ready", "")
        assert collection.num_bytes == 3 * len(slice_of(0, 0))


def test_without_fetching_the_archive_lists_addresses_and_asks_nobody(s3: S3Server) -> None:
    make_series(s3)

    collection = build(make_collection(""))

    files = read_archive(collection)
    assert [row["url"] for row in rows(files["remote.csv"])] == [
        f"s3://{BUCKET}/uuid-{n}/*" for n in range(2)
    ]
    assert s3.requests == []


def test_its_page_says_which_images_that_lie_elsewhere_are_in_the_zip(
    s3: S3Server, client: Client
) -> None:
    make_series(s3)
    counts = []
    for collection in (build(make_fetching()), build(make_collection(""))):
        client.force_login(collection.user)
        page = client.get(collection.get_absolute_url()).content.decode()
        counts.append(page.count(">in the ZIP<"))

    assert counts == [2, 0]


def test_a_bucket_that_is_not_allowed_is_never_asked(s3: S3Server, settings: LazySettings) -> None:
    settings.FETCH_BUCKETS = ["another"]
    make_series(s3)

    collection = build(make_fetching())

    assert len(rows(read_archive(collection)["remote.csv"])) == 2
    assert s3.requests == []


def test_an_archive_of_series_says_what_its_files_are(s3: S3Server) -> None:
    make_series(s3)

    files = read_archive(build(make_fetching()))

    table = rows(files["files.csv"])
    assert table[0]["path"] == "images/lung_ct/P0/1.9.0/CT_1.2.0/00.dcm"
    assert {row["file_name"] for row in table} == {
        row["file_name"] for row in rows(files["metadata.csv"])
    }
    assert [row["num_files"] for row in rows(files["metadata.csv"])] == ["3", "3"]
    assert "2 images in 6 files" in files["README.md"].decode()


def test_the_limits_of_fetching_are_told_before_and_kept_at_the_freeze(
    s3: S3Server, settings: LazySettings, client: Client
) -> None:
    make_series(s3)
    settings.FETCH_MAX_BYTES = 9_000
    client.force_login(UserFactory(username="reader"))

    page = client.get("/collections/new/").content.decode()
    assert "limit: 9.0 kB for a collection" in page

    form = {"title": "Too much", "expected_images": 2, "filters": "", "fetch": "on"}
    with CaptureQueriesContext(connection) as asked:
        response = client.post("/collections/new/", form)
    assert "limit: 9.0 kB for a collection" in response.content.decode()
    assert not any("collectionitem" in query["sql"] for query in asked), "no row is written"
    assert not Collection.objects.exists()
    assert client.post("/collections/new/", form | {"fetch": ""}).status_code == 302


def test_a_days_limit_counts_what_was_fetched(s3: S3Server, settings: LazySettings) -> None:
    make_series(s3)
    first = build(make_fetching())
    settings.FETCH_MAX_DAY_BYTES = first.num_bytes + 9_999

    with pytest.raises(NotBuildable, match="in the last 24 hours"):
        make_collection("q=ct", fetch=True, user=first.user)


def test_a_days_limit_counts_what_is_queued(s3: S3Server, settings: LazySettings) -> None:
    make_series(s3)
    first = make_fetching()
    settings.FETCH_MAX_DAY_BYTES = 15_000
    with pytest.raises(NotBuildable, match=r"10\.0 kB were fetched for you in the last 24 hours"):
        make_collection("q=ct", fetch=True, user=first.user)


@pytest.mark.parametrize("is_deleted", [False, True])
def test_a_days_limit_counts_what_was_fetched_today_by_a_build_that_was_queued_before(
    s3: S3Server, settings: LazySettings, is_deleted: bool
) -> None:
    make_series(s3)
    first = make_fetching()
    owner = first.user
    first.builds.update(queued_at=F("queued_at") - timedelta(days=2))
    assert count_fetched_today(owner) > 0, "what is still to be fetched"
    first = build(first)
    assert first.status == "ready"
    fetched = count_fetched_today(owner)
    assert fetched >= first.num_bytes
    if is_deleted:
        delete_collection(collection=first)
    assert count_fetched_today(owner) == fetched
    settings.FETCH_MAX_DAY_BYTES = fetched
    with pytest.raises(NotBuildable, match="in the last 24 hours"):
        make_collection("q=ct", fetch=True, user=owner)
    if not is_deleted:
        first.builds.update(finished_at=F("finished_at") - timedelta(days=1))
        assert count_fetched_today(owner) == 0


def test_a_days_limit_is_not_forgotten_with_a_collection_nor_at_a_rebuild(
    s3: S3Server, settings: LazySettings
) -> None:
    make_series(s3)
    first = build(make_fetching())
    owner = first.user
    settings.FETCH_MAX_DAY_BYTES = first.num_bytes
    with pytest.raises(NotBuildable, match=r"in the last 24 hours .*Build it again later"):
        rebuild_collection(collection=first)

    delete_collection(collection=first)
    with pytest.raises(NotBuildable, match="in the last 24 hours"):
        make_collection("q=ct", fetch=True, user=owner)
    DeletedFetch.objects.update(queued_at=F("queued_at") - timedelta(days=1))
    settings.FETCH_MAX_DAY_BYTES = 10_100  # what the catalog says of their sizes
    make_collection("q=ct", fetch=True, user=owner)
    assert sweep_collections()["fetches_forgotten"] == 1
    assert not DeletedFetch.objects.exists()


@pytest.mark.parametrize("end", [cancel_build, delete_collection])
def test_a_days_limit_counts_what_came_before_a_build_was_ended_by_its_owner(
    s3: S3Server, settings: LazySettings, monkeypatch: pytest.MonkeyPatch, end: Any
) -> None:
    """All that came since the last beat, too."""
    make_series(s3)
    monkeypatch.setattr("collections_app.builds.lease.RENEW_SECONDS", 60.0)
    collection = make_fetching()
    owner = collection.user
    beat = Heartbeat.fetched

    def end_first(heartbeat: Heartbeat, images: int, size: int, **of: int) -> None:
        beat(heartbeat, images, size, **of)
        if images and (found := Collection.objects.filter(user=owner).pending().first()):
            end(collection=found)

    monkeypatch.setattr(Heartbeat, "fetched", end_first)
    build_collection(collection_id=collection.pk)

    assert len([each for each in s3.requests if ".dcm" in each]) == 6
    assert count_fetched_today(owner) == 6 * 4096, "small files count as a block of the disk"
    settings.FETCH_MAX_DAY_BYTES = 10_100  # what the catalog says of their sizes
    with pytest.raises(NotBuildable, match="were fetched for you in the last 24 hours"):
        make_collection("q=ct", fetch=True, user=owner)


def test_a_days_limit_counts_the_part_of_a_file_that_came_before_a_cancel(
    s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_series(s3, series=1, slices=1)
    s3.faults.pause["uuid-0/00.dcm"] = 0.2
    collection = make_fetching()

    def cancel(heartbeat: Heartbeat, images: int, size: int, **of: int) -> None:
        if size:
            cancel_build(collection=collection)
            raise LeaseLost

    monkeypatch.setattr(Heartbeat, "fetched", cancel)
    build_collection(collection_id=collection.pk)

    assert 0 < count_fetched_today(collection.user) < len(slice_of(0, 0))


def test_a_days_limit_counts_what_came_in_vain(
    s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retries, "_PAUSES", (0.0, 0.0, 0.0))
    make_series(s3, series=1, slices=1)
    s3.faults.cut["uuid-0/00.dcm"] = 600
    collection = make_fetching()
    owner = collection.user
    for tries in (1, 2):
        collection = build(collection)
        assert collection.status == "failed"
        assert collection.builds.latest("pk").bytes_fetched == 0, "the page says what is here"
        num_gets = len([each for each in s3.requests if "00.dcm" in each])
        assert num_gets > tries
        assert count_fetched_today(owner) == num_gets * 600
        retry_collection(collection=collection)
    delete_collection(collection=collection)
    assert count_fetched_today(owner) == num_gets * 600


@pytest.mark.parametrize("end", [cancel_build, delete_collection])
def test_a_days_limit_counts_empty_files_of_what_is_gone(s3: S3Server, end: Any) -> None:
    make_series(s3, series=1, slices=1)
    collection = make_fetching()
    collection.builds.update(bytes_fetched=0, bytes_rounded_up=40_960)
    end(collection=collection)
    assert count_fetched_today(collection.user) == 40_960


def test_a_days_limit_counts_all_attempts_of_a_build(
    s3: S3Server, settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_series(s3)
    monkeypatch.setattr("collections_app.builds.lease.RENEW_SECONDS", 0.0)
    s3.faults.pause["uuid-1/02.dcm"] = 0.2
    collection = make_fetching()

    def die(done: int) -> None:
        if collection.builds.filter(bytes_fetched__gt=0):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_collection(collection_id=collection.pk, on_progress=die)
    first = collection.builds.get().bytes_fetched
    assert first
    collection.builds.update(lease_expires_at=timezone.now() - timedelta(hours=1))
    build(collection)

    second = collection.builds.get()
    assert (collection.status, second.attempts) == ("ready", 2)
    assert second.bytes_fetched <= collection.num_bytes - first, "the page shows this attempt's"
    assert count_fetched_today(collection.user) >= collection.num_bytes
    settings.FETCH_MAX_DAY_BYTES = collection.num_bytes
    with pytest.raises(NotBuildable, match="were fetched for you in the last 24 hours"):
        rebuild_collection(collection=collection)


def test_the_page_before_the_button_says_what_will_be_fetched(s3: S3Server, client: Client) -> None:
    make_series(s3)
    client.force_login(UserFactory(username="reader"))

    page = client.get("/collections/new/").content.decode()

    assert 'data-to-fetch="2">about 10.0 kB' in page
    assert "2 of them can be fetched" in page
    assert re.search(r'<input type="checkbox" name="fetch"[^>]* checked', page)


def test_a_build_that_fetches_can_be_watched_and_cancelled(
    s3: S3Server, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_series(s3, series=1, slices=2)
    monkeypatch.setattr("collections_app.builds.lease.RENEW_SECONDS", 0.0)
    s3.faults.pause["uuid-0/01.dcm"] = 0.2
    collection = make_fetching()
    client.force_login(collection.user)
    pages: list[str] = []

    def look(done: int) -> None:
        pages.append(client.get(f"/collections/{collection.uuid}/status/").content.decode())
        if "kB of about" in pages[-1] or len(pages) > 20:
            cancel_build(collection=Collection.objects.get(pk=collection.pk))

    build_collection(collection_id=collection.pk, on_progress=look)

    assert "Fetching from elsewhere: 0 of 1" in pages[-1]
    collection.refresh_from_db()
    assert collection.error_message == "You cancelled this build."
    assert FileCache().holders() == []


def test_what_is_cancelled_while_it_is_written_blames_no_image(
    s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_series(s3)
    collection = make_fetching()
    write = writer.write_archive

    def cancel_and_write(file: Any, entries: Iterable[Entry], **options: Any) -> Any:
        def cancel_meanwhile() -> Iterator[Entry]:
            for number, entry in enumerate(entries):
                if number == 3:
                    cancel_build(collection=Collection.objects.get())
                    sweep_collections()  # which lets go of what was fetched
                yield entry

        return write(file, cancel_meanwhile(), **options)

    monkeypatch.setattr("collections_app.builds.build.write_archive", cancel_and_write)
    collection = build(collection)
    assert collection.builds.get().reason == Reason.CANCELLED
    assert not collection.items.with_problems().exists()


@pytest.mark.parametrize(("series", "slices", "begun"), [(40, 1, "uuid-1/00.dcm"),
                                                         (1, 40, "uuid-0/01.dcm")])  # fmt: skip
def test_a_build_that_is_cancelled_waits_for_nothing_that_has_not_begun(
    s3: S3Server,
    settings: LazySettings,
    monkeypatch: pytest.MonkeyPatch,
    series: int,
    slices: int,
    begun: str,
) -> None:
    make_series(s3, series=series, slices=slices)
    monkeypatch.setattr("collections_app.builds.lease.RENEW_SECONDS", 0.0)
    settings.FETCH_PARALLEL = 8
    s3.faults.pause[".dcm"] = 0.05
    collection = make_fetching()
    stopped: list[float] = []

    def cancel(done: int) -> None:
        if begun in "".join(s3.requests) and not stopped:
            stopped.append(time.monotonic())
            cancel_build(collection=Collection.objects.get(pk=collection.pk))

    build_collection(collection_id=collection.pk, on_progress=cancel)

    assert time.monotonic() - stopped[0] < CLOSE_SECONDS - 1
    assert not list((settings.REMOTE_CACHE_ROOT / "promised").iterdir())
    collection.refresh_from_db()
    assert collection.error_message == "You cancelled this build."


def test_what_cannot_be_had_is_told_apart_while_the_rest_is_fetched(
    s3: S3Server, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("collections_app.builds.lease.RENEW_SECONDS", 0.0)
    make_series(s3, series=3, slices=1)
    s3.faults.status["uuid-0/00.dcm"] = 403
    s3.faults.pause["uuid-2/00.dcm"] = 0.1
    collection = make_fetching()
    client.force_login(collection.user)
    pages: list[str] = []

    def look(done: int) -> None:
        pages.append(client.get(f"/collections/{collection.uuid}/status/").content.decode())

    build_collection(collection_id=collection.pk, on_progress=look)

    assert "Fetching from elsewhere: 1 of 3 fetched, 1 cannot be had." in "".join(pages)
    collection.refresh_from_db()
    assert collection.error_message.startswith("1 item could not be fetched")


def test_a_full_cache_makes_room_but_not_of_what_is_in_use(
    s3: S3Server, settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("catalog.storage.cache._MOST_IN_MEMORY", 1)
    make_series(s3)
    sizes = [len(slice_of(0, number)) for number in range(3)]
    most = 3 * BLOCK + 10
    settings.REMOTE_CACHE_MAX_BYTES = 20_000
    assert build(make_fetching("q=P0")).status == "ready"
    cache = FileCache(max_bytes=most)

    with cache.reserve(sizes):
        pass
    assert sum(1 for _ in settings.REMOTE_CACHE_ROOT.glob("??/*")) < 3

    build(make_fetching("q=P1"))
    for path in settings.REMOTE_CACHE_ROOT.glob("??/*"):
        cache.use(path.name, "somebody")
    full = FileCache(max_bytes=most)
    with pytest.raises(CacheFull, match="other builds are using"), full.reserve(sizes):
        pass


def make_tiny_series(s3: S3Server) -> None:
    """Two series of ten files of four bytes."""
    dataset = DatasetFactory(slug="tiny")
    for which in range(2):
        for number in range(10):
            s3.put(f"tiny-{which}/{number}", b"%d/%02d" % (which, number))
        address = f"s3://{BUCKET}/tiny-{which}/*"
        ImageFactory(dataset=dataset, source_id=f"tiny{which}", remote_url=address, size_bytes=40)
    make_searchable()


def test_what_has_come_for_a_build_counts_once_and_stays_until_its_archive_is_written(
    s3: S3Server, settings: LazySettings
) -> None:
    settings.FETCH_PARALLEL, settings.REMOTE_CACHE_MAX_BYTES = 3, 200_000
    dataset = DatasetFactory(slug="slices")
    for which, num_files in enumerate([10, 2, 2, 2]):
        for number in range(num_files):
            s3.put(f"slices-{which}/{number}.dcm", os.urandom(12_000))
        address, size = f"s3://{BUCKET}/slices-{which}/*", num_files * 12_000
        ImageFactory(
            dataset=dataset, source_id=f"slices{which}", remote_url=address, size_bytes=size
        )
    make_searchable()
    s3.faults.pause["slices-0/9.dcm"] = 0.03

    assert build(make_fetching()).status == "ready", "192 kB in all"


def test_what_has_come_of_a_series_is_not_fetched_again_though_another_file_is_gone(
    s3: S3Server,
) -> None:
    for number in range(6):
        s3.put(f"slices/{number}.dcm", os.urandom(3_000))
    ImageFactory(source_id="slices", remote_url=f"s3://{BUCKET}/slices/*", size_bytes=18_000)
    make_searchable()
    s3.faults.status["slices/0.dcm"] = 404
    s3.faults.pause |= {f"slices/{number}.dcm": 0.02 for number in range(1, 6)}
    collection = build(make_fetching())
    assert collection.status == "failed"
    s3.faults.status.clear()
    # One that had not begun when the first was refused is not on its way.
    begun = {path for path in s3.requests if path.endswith(".dcm")}
    s3.requests.clear()

    retry_collection(collection=collection)
    assert build(collection).status == "ready"
    asked = [path.split("?")[0] for path in s3.requests if path in begun]
    assert [path[-6:] for path in asked] == ["/0.dcm"]


def test_many_small_files_count_for_the_limit_of_a_collection(
    s3: S3Server, settings: LazySettings
) -> None:
    make_tiny_series(s3)
    settings.FETCH_MAX_BYTES = 15 * BLOCK

    collection = build(make_fetching())

    assert collection.builds.get().reason == Reason.FILES_MISSING
    (bad,) = collection.items.with_problems()
    assert "in 10 files that count as at least 4,096 bytes each, more than 61.4 kB" in bad.problem
    settings.FETCH_MAX_BYTES = 20 * BLOCK
    retry_collection(collection=collection)
    collection = build(Collection.objects.get(pk=collection.pk))
    assert (collection.status, collection.num_bytes) == ("ready", 80)


@pytest.mark.parametrize(("gone", "num_bad"), [(0, 1), (7, 3)])
def test_of_a_series_that_fails_what_came_counts_for_the_limit_of_a_collection(
    s3: S3Server, settings: LazySettings, gone: int, num_bad: int
) -> None:
    settings.FETCH_MAX_BYTES, settings.FETCH_PARALLEL = 40_000, 1
    dataset = DatasetFactory(slug="slices")
    for which, num_files in enumerate([8, 4, 4]):
        for number in range(num_files):
            s3.put(f"slices-{which}/{number}.dcm", b"\0" + bytes([which, number]) * 2_000)
        address = f"s3://{BUCKET}/slices-{which}/*"
        ImageFactory(dataset=dataset, source_id=f"{which}", remote_url=address, size_bytes=1)
    make_searchable()
    s3.faults.status[f"slices-0/{gone}.dcm"] = 404

    assert build(make_fetching()).items.with_problems().count() == num_bad


def test_many_small_files_count_for_the_limit_of_a_day(
    s3: S3Server, settings: LazySettings
) -> None:
    make_tiny_series(s3)
    collection = build(make_fetching())
    done = collection.builds.get()
    assert (done.bytes_fetched, done.bytes_to_fetch) == (80, 80)
    owner = collection.user
    settings.FETCH_MAX_DAY_BYTES = 20 * BLOCK
    for is_deleted in (False, True):
        if is_deleted:
            delete_collection(collection=collection)
        with pytest.raises(NotBuildable, match=r"81\.9 kB were fetched for you"):
            make_collection("q=tiny0", fetch=True, user=owner)


def test_what_many_items_cannot_be_had_for_leaves_the_reserve_of_the_database_free(
    s3: S3Server, settings: LazySettings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("collections_app.builds.fetching.FEW_ROWS", 2)
    make_series(s3, series=5, slices=1)
    collection = make_fetching()
    settings.FETCH_BUCKETS = ["another"]
    settings.DATABASE_FOLDER, settings.DATABASE_RESERVE_BYTES = tmp_path, 1 << 60

    collection = build(collection)

    assert collection.builds.get().reason == Reason.DISK_FULL
    assert "database has no room" in collection.error_message
    assert collection.items.with_problems().count() == 2


@pytest.mark.parametrize(("few", "num_kept"), [(5, 0), (15, 10)])  # rows; 11 of a series
def test_what_is_learnt_of_many_files_leaves_the_reserve_of_the_database_free(
    s3: S3Server,
    settings: LazySettings,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    few: int,
    num_kept: int,
) -> None:
    monkeypatch.setattr("collections_app.builds.fetching.FEW_ROWS", few)
    monkeypatch.setattr("collections_app.builds.fetching.BATCH", 1)
    make_tiny_series(s3)
    collection = make_fetching()
    settings.DATABASE_FOLDER, settings.DATABASE_RESERVE_BYTES = tmp_path, 1 << 60

    collection = build(collection)

    assert collection.builds.get().reason == Reason.DISK_FULL
    assert "database has no room" in collection.error_message
    assert RemoteFile.objects.count() == num_kept
    settings.DATABASE_RESERVE_BYTES = 0
    retry_collection(collection=collection)
    assert build(Collection.objects.get(pk=collection.pk)).status == "ready"


def test_many_small_files_do_not_go_beyond_the_room_of_the_cache(
    s3: S3Server, settings: LazySettings
) -> None:
    make_tiny_series(s3)
    settings.REMOTE_CACHE_MAX_BYTES = 15 * BLOCK
    for query in ("q=tiny0", "q=tiny1"):
        assert build(make_fetching(query)).status == "ready"
    assert sum(1 for _ in settings.REMOTE_CACHE_ROOT.glob("??/*")) <= 15

    both = build(make_fetching("dataset=tiny"))

    assert both.builds.get().reason == Reason.DISK_FULL


def test_a_disk_that_takes_few_more_files_is_full(
    s3: S3Server,
    settings: LazySettings,
    mount_disk: MountDisk,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Though it has bytes left."""
    make_tiny_series(s3)
    settings.ARCHIVE_RESERVE_BYTES = 0
    mount_disk(settings.REMOTE_CACHE_ROOT, num_bytes=8 << 20, num_files=100)
    monkeypatch.setattr("catalog.storage.disk.RESERVED_FILES", 90)
    collection = build(make_fetching("q=tiny0"))
    assert collection.builds.get().reason == Reason.DISK_FULL

    monkeypatch.setattr("catalog.storage.disk.RESERVED_FILES", 60)
    retry_collection(collection=collection)
    assert build(Collection.objects.get(pk=collection.pk)).status == "ready"


def test_a_file_that_another_transfer_replaces_is_not_taken_for_removed(
    settings: LazySettings, tmp_path: Path
) -> None:
    cache, sha256 = FileCache(), "ab" * 32
    target = settings.REMOTE_CACHE_ROOT / "ab" / sha256
    target.parent.mkdir(parents=True)
    target.touch()
    is_over = threading.Event()

    def replace() -> None:
        while not is_over.is_set():
            (tmp_path / "same").touch()
            (tmp_path / "same").replace(target)

    thread = threading.Thread(target=replace)
    thread.start()
    try:
        for number in range(3000):
            cache.use(sha256, f"build-{number}")
    finally:
        is_over.set()
        thread.join()
    assert len(cache.holders()) == 3000
    target.unlink()
    with pytest.raises(FileNotFoundError):
        cache.use(sha256, "build-late")


def test_a_build_that_starts_removes_what_a_killed_one_left_and_nothing_that_is_being_fetched(
    s3: S3Server, settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_series(s3, series=1)
    replace = Path.replace

    def remove_partials_and_replace(path: Path, target: Path) -> Path:
        FileCache().remove_partials()
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", remove_partials_and_replace)
    collection = build(make_fetching())
    assert (collection.status, collection.error_message) == ("ready", "")

    left = settings.REMOTE_CACHE_ROOT / "partial/left"
    left.write_bytes(b"by a killed worker")
    now = left.with_name("now")
    later = time.time() + 100
    monkeypatch.setattr("catalog.storage.cache.time.time", lambda: later)
    with now.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        FileCache().remove_partials()
    assert not left.exists()
    assert now.exists()


def test_a_file_that_has_come_is_promised_no_more(s3: S3Server) -> None:
    address = s3.put("one.dcm", slice_of(0, 0))
    (file,) = list_files(address)
    cache, other = (FileCache(max_bytes=3 * BLOCK) for _ in range(2))
    with cache.reserve([file.size]) as room:
        cache.use(cache.fetch(address, file, room=room).sha256, "one")
        with other.reserve([2 * BLOCK]):
            pass


def test_a_full_cache_is_not_counted_for_as_long_as_files_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = FileCache(tmp_path, max_bytes=6 * BLOCK), FileCache(tmp_path)
    count, counted, shelf = FileCache._count, 0, tmp_path / "ab"
    shelf.mkdir()

    def count_while_a_file_comes(cache: FileCache) -> Any:
        nonlocal counted
        if cache is ours:  # the other one counts again by the clock
            counted += 1
            (shelf / f"{counted}").write_bytes(bytes(BLOCK))
            (tmp_path / f"{time.monotonic_ns()}-in-use").hardlink_to(shelf / f"{counted}")
            room.take(BLOCK)
        return count(cache)

    with theirs.reserve(8 * [BLOCK]) as room:
        monkeypatch.setattr(FileCache, "_count", count_while_a_file_comes)
        with pytest.raises(CacheFull), ours.reserve([BLOCK]):
            pass
        assert counted == 1, "it does not fit, whatever has come"
    with theirs.reserve(4 * [BLOCK]) as room:
        for file in shelf.iterdir():
            file.unlink()
        counted = 0
        with pytest.raises(CacheFull), ours.reserve([BLOCK, BLOCK]):
            pass
        assert counted == 2, "it may have been counted twice"


def test_two_builds_that_fetch_the_same_at_once_have_one_copy(
    s3: S3Server, settings: LazySettings
) -> None:
    address = s3.put("same.dcm", slice_of(0, 0))
    (file,) = list_files(address)
    for holder in ("one", "other"):
        cache = FileCache()
        cache.use(cache.fetch(address, file).sha256, holder)
    paths = [path for path in settings.REMOTE_CACHE_ROOT.rglob("*") if path.is_file()]
    assert len(paths) == 3
    assert len({path.stat().st_ino for path in paths}) == 1


def test_room_that_was_promised_to_a_killed_process_is_free_again(
    tmp_path: Path, settings: LazySettings
) -> None:
    cache = FileCache(tmp_path, max_bytes=100_000)
    program = (
        "import django, pathlib, sys; django.setup()\n"
        "from catalog.storage.cache import FileCache\n"
        "with FileCache(pathlib.Path(sys.argv[1]), 100_000).reserve([80_000]):\n"
        "    print('promised', flush=True); sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, tmp_path],
        cwd=settings.BASE_DIR,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "medagg.settings"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdout
        assert other.stdout.readline() == b"promised\n"
        with pytest.raises(CacheFull), cache.reserve([50_000]):
            pass
        other.kill()
    with cache.reserve([50_000]):
        assert len(list((tmp_path / "promised").iterdir())) == 1


def test_what_other_builds_have_brought_counts_soon(tmp_path: Path) -> None:
    ours, theirs = (FileCache(tmp_path, max_bytes=100_000) for _ in range(2))
    with ours.reserve([50_000]):
        pass
    sha256 = "ab" * 32
    (tmp_path / "ab").mkdir()
    (tmp_path / "ab" / sha256).write_bytes(bytes(80_000))
    theirs.use(sha256, "theirs")
    time.sleep(1.5)
    with pytest.raises(CacheFull), ours.reserve([50_000]):
        pass


def test_fetched_files_are_deidentified_and_proven_and_rebuilt_alike(
    s3: S3Server, settings: LazySettings, tmp_path: Path
) -> None:
    settings.DEIDENTIFY_ON_DELIVERY = True
    dataset = DatasetFactory(slug="scans")
    jane = make_slice(0.0, PatientIdentityRemoved="NO", PatientName="Doe^Jane")
    for number in range(2):
        s3.put(f"uuid-7/{number}.dcm", make_slice(float(number), PatientName="Doe^Jane"))
    s3.put("uuid-7/2.dcm", jane)
    for source_id, address in (
        ("1.2.7", f"s3://{BUCKET}/uuid-7/*"),
        ("alone", s3.put("alone.dcm", jane)),
    ):
        ImageFactory(dataset=dataset, source_id=source_id, remote_url=address, size_bytes=9000)
    make_searchable()

    collection = build(make_fetching())
    assert (collection.status, collection.error_message) == ("ready", "")
    files = read_archive(collection)
    images = [content for name, content in files.items() if name.startswith("images/")]
    assert len(images) == 4
    assert sum(b"Doe^Jane" in content for content in images) == 2, "those that say it was removed"
    sums = [line.split("  ") for line in files["SHA256SUMS"].decode().splitlines()]
    assert all(hashlib.sha256(files[name]).hexdigest() == sha256 for sha256, name in sums)
    verify_archive(collection_id=collection.pk)
    collection.refresh_from_db()
    assert collection.verified_at, collection.error_message
    before = (collection.archive_sha256, collection.fingerprint)

    expire_collection(collection=collection)
    settings.REMOTE_CACHE_ROOT = tmp_path / "another"
    retry_collection(collection=Collection.objects.get(pk=collection.pk))
    collection = build(collection)
    verify_archive(collection_id=collection.pk)
    collection.refresh_from_db()
    assert (collection.archive_sha256, collection.fingerprint) == before
