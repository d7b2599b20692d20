"""Builds that fetch from the storage of a dataset: a bucket of its own, or a web server."""

import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from django.conf import LazySettings
from django.test import Client

from catalog.imported_keys import IDENTIFYING
from catalog.models import Dataset, RemoteFile
from catalog.storage import retries
from catalog.storage.cache import FileCache, Room
from catalog.storage.disk import BLOCK, LOOK_BYTES
from catalog.tests.factories import DatasetFactory, ImageFactory, add_file, make_searchable
from catalog.tests.importers.folder_files import make_picture, make_scan
from collections_app.builds.build import build_collection
from collections_app.builds.verification import verify_archive
from collections_app.models import Collection
from collections_app.services import (
    build_without_problems,
    cancel_build,
    expire_collection,
    retry_collection,
)
from collections_app.tests.factories import (
    UserFactory,
    build,
    make_collection,
    read_archive,
)
from collections_app.tests.remote_series import make_fetching, rows
from medagg.testing.s3 import BUCKET, S3Server
from medagg.testing.web_files import HOST, WebFiles
from vocab.tests.factories import ModalityFactory

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("hooks_on_commit", "own_cache")]
PICTURE, SCAN = make_picture(8, 6, shade=9), make_scan(PatientIdentityRemoved="YES")


def make_rays(storage: str, **sizes: int) -> Dataset:
    """Two images in the storage: a picture and a DICOM file whose name has no ending."""
    unchecked = {IDENTIFYING: {"files": 0, "burned_in": 0, "unchecked": 1}}
    dataset = DatasetFactory(slug="rays", storage=storage, imported_json=unchecked)
    modality = ModalityFactory(code="dx")
    for source_id, path in (("ray/1", "a/1.png"), ("ray/2", "a/2")):
        ImageFactory(
            dataset=dataset, source_id=source_id, modality=modality,
            remote_url=f"{storage}/{path}", size_bytes=sizes.get(source_id),
        )  # fmt: skip
    make_searchable()
    return dataset


def verify(collection: Collection) -> Collection:
    verify_archive(collection_id=collection.pk)
    collection.refresh_from_db()
    assert collection.verified_at, collection.error_message
    return collection


def test_files_of_a_web_server_come_into_the_archive(
    web_files: WebFiles, settings: LazySettings, client: Client, tmp_path: Path
) -> None:
    make_rays(f"https://{HOST}/rays")
    web_files.files = {"/rays/a/1.png": PICTURE, "/rays/a/2": SCAN}
    client.force_login(UserFactory())
    page = re.sub(r"\s+", " ", client.get("/collections/new/").content.decode())
    assert '<dt>To fetch</dt><dd data-to-fetch="2">of unknown size<' in page
    assert "2 of them can be fetched from where they lie, of unknown size" in page
    assert "1 DICOM image was not checked for what tells who somebody is" in page

    collection = verify(build(make_fetching()))

    archive = read_archive(collection)
    assert archive["images/rays/DX_ray_1.png"] == PICTURE
    assert archive["images/rays/DX_ray_2.dcm"] == SCAN
    assert [row["size_bytes"] for row in rows(archive["metadata.csv"])] == [
        str(len(PICTURE)), str(len(SCAN)),
    ]  # fmt: skip
    assert [row["identifying"] for row in rows(archive["metadata.csv"])] == ["", "not checked"]
    assert b"1 DICOM image was not checked for such attributes" in archive["README.md"]
    assert RemoteFile.objects.count() == 2
    # Once frozen, its bytes are what every later build must meet.
    expire_collection(collection=collection)
    settings.REMOTE_CACHE_ROOT = tmp_path / "another"
    web_files.files["/rays/a/1.png"] = PICTURE[:-1] + b"!"
    retry_collection(collection=Collection.objects.get(pk=collection.pk))
    collection = build(collection)
    (bad,) = collection.items.with_problems()
    assert "no longer what was frozen" in bad.problem


@pytest.mark.parametrize("name", [f"{'a' * 300}.png", "a\0.png"])
def test_a_file_comes_whatever_its_source_calls_it_and_its_state(
    web_files: WebFiles, name: str
) -> None:
    dataset = make_rays(f"https://{HOST}/rays")
    dataset.images.filter(source_id="ray/1").update(remote_url=f"https://{HOST}/rays/{quote(name)}")
    web_files.files = {f"/rays/{name}": PICTURE, "/rays/a/2": SCAN}
    web_files.headers = {"ETag": '"a\0b"'}

    archive = read_archive(verify(build(make_fetching())))

    assert archive["images/rays/DX_ray_1.png"] == PICTURE
    assert archive["images/rays/DX_ray_2.dcm"] == SCAN


def test_files_of_a_bucket_with_keys_come_into_the_archive(
    s3: S3Server, settings: LazySettings
) -> None:
    bucket = "rays-with-keys"
    s3.client.create_bucket(Bucket=bucket)
    for key, body in (("a/1.png", PICTURE), ("a/2", SCAN)):
        s3.client.put_object(Bucket=bucket, Key=f"published/{key}", Body=body)
    make_rays(f"s3://{bucket}/published")
    settings.FETCH_BUCKETS = [bucket]
    settings.FETCH_ENDPOINTS = {bucket: s3.endpoint}
    settings.FETCH_KEYS = {bucket: "test:test"}

    archive = read_archive(verify(build(make_fetching())))

    assert archive["images/rays/DX_ray_1.png"] == PICTURE
    assert archive["images/rays/DX_ray_2.dcm"] == SCAN


def test_what_is_larger_than_the_limit_is_found_when_its_size_is_listed(
    web_files: WebFiles, settings: LazySettings
) -> None:
    make_rays(f"https://{HOST}/rays")
    web_files.files = {"/rays/a/1.png": PICTURE, "/rays/a/2": SCAN}
    settings.FETCH_MAX_BYTES = max(BLOCK, len(PICTURE), len(SCAN)) + 10

    collection = build(make_fetching())

    (bad,) = collection.items.with_problems()
    assert "would be fetched for this collection" in bad.problem
    assert len([each for each in web_files.requests if each.startswith("GET")]) == 1


def test_a_collection_holds_no_more_than_the_limit_where_sizes_are_learnt_late(
    web_files: WebFiles, settings: LazySettings
) -> None:
    make_rays(f"https://{HOST}/rays")
    web_files.files = {"/rays/a/1.png": PICTURE, "/rays/a/2": SCAN}
    add_file(ImageFactory(dataset=DatasetFactory(slug="here")), b"x" * 900, "a.png")
    make_searchable()
    settings.COLLECTION_MAX_BYTES = 900 + max(len(PICTURE), len(SCAN)) + 10

    collection = build(make_fetching())

    (bad,) = collection.items.with_problems()
    assert "this collection would hold more than" in bad.problem
    build_without_problems(collection=collection)
    assert build(collection).num_bytes <= settings.COLLECTION_MAX_BYTES
    verify(collection)
    # What is frozen already is built again also under a lower limit.
    settings.COLLECTION_MAX_BYTES = 10
    expire_collection(collection=collection)
    retry_collection(collection=collection)
    verify(build(collection))


def test_a_host_that_is_not_allowed_is_never_asked(
    web_files: WebFiles, settings: LazySettings
) -> None:
    make_rays(f"https://{HOST}/rays")
    settings.FETCH_HOSTS = ["other.example.org"]

    archive = read_archive(build(make_fetching()))

    assert [row["file_name"] for row in rows(archive["remote.csv"])] == [
        "images/rays/DX_ray_1.png", "images/rays/DX_ray_2",
    ]  # fmt: skip
    assert web_files.requests == []


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (b"<!DOCTYPE html><p>Sign in", "the source sends web pages instead of images"),
        (b"404: Not Found", "the source sends a text instead of the image"),
        (b'{"message": "Too many"}\n' * 90, "the source sends a text instead of the image"),
        (b"version https://git-lfs.github.com/spec/v1\n", "the source sends Git LFS pointers"),
        (b"", "the source sends empty files"),
    ],
)
def test_what_is_sent_in_place_of_an_image_is_a_problem(
    web_files: WebFiles, sent: bytes, said: str
) -> None:
    make_rays(f"https://{HOST}/rays")
    web_files.files = {"/rays/a/1.png": sent, "/rays/a/2": SCAN}
    (bad,) = build(make_fetching()).items.with_problems()
    assert bad.problem.startswith(said)


def test_a_source_that_does_not_answer_keeps_no_other_from_it(
    web_files: WebFiles, settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retries, "_PAUSES", ())
    settings.FETCH_HOSTS = [HOST, "down.example.org"]
    settings.FETCH_ENDPOINTS |= {"down.example.org": "http://127.0.0.1:9"}
    dataset = make_rays(f"https://{HOST}/rays")
    web_files.files = {"/rays/a/1.png": PICTURE, "/rays/a/2": SCAN}
    for number in range(12):
        url = f"https://down.example.org/{number}.png"
        ImageFactory(dataset=dataset, source_id=f"down/{number:02}", remote_url=url)
    make_searchable()
    collection = build(make_fetching())
    assert collection.items.with_problems().count() == 12
    build_without_problems(collection=collection)
    assert verify(build(collection)).num_images == 2


@pytest.mark.parametrize(
    "tag", [{"ETag": '"1"'}, {"Last-Modified": "Mon, 30 Nov 2026 00:00:00 GMT"}]
)
def test_a_source_may_tell_less_of_a_file_with_its_bytes(
    web_files: WebFiles, tag: dict[str, str]
) -> None:
    make_rays(f"https://{HOST}/rays")
    web_files.files = {"/rays/a/1.png": PICTURE, "/rays/a/2": SCAN}
    both = {"ETag": '"1"', "Last-Modified": "Mon, 30 Nov 2026 00:00:00 GMT"}
    web_files.headers, web_files.head_headers = both | tag, tag
    verify(build(make_fetching()))
    web_files.headers = tag
    web_files.head_headers = both
    verify(build(make_collection("", fetch=True, title="Second")))


@pytest.mark.parametrize(
    ("number", "size", "look_bytes"),
    [(1, 12_000_000, LOOK_BYTES), (12, 1_000_000, LOOK_BYTES), (12, 200, 10 * BLOCK)],
)
def test_transfers_end_where_the_reserve_of_the_disk_begins(
    web_files: WebFiles,
    settings: LazySettings,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    size: int,
    look_bytes: int,
) -> None:
    monkeypatch.setattr(retries, "_PAUSES", (0.01,))
    monkeypatch.setattr("catalog.storage.cache.LOOK_BYTES", look_bytes)
    dataset = DatasetFactory(slug="rays", storage=f"https://{HOST}/rays")
    for each in range(number):
        url = f"https://{HOST}/rays/{each}.png"
        ImageFactory(dataset=dataset, source_id=f"ray/{each}", remote_url=url)
        web_files.files[f"/rays/{each}.png"] = bytes(size)
    make_searchable()
    collection = make_fetching()
    promise = FileCache.reserve

    @contextmanager
    def promise_and_take(cache: FileCache, sizes: Any) -> Iterator[Room]:
        with promise(cache, sizes) as room:
            # Others write meanwhile.
            settings.ARCHIVE_RESERVE_BYTES = 1 << 60
            yield room
            settings.ARCHIVE_RESERVE_BYTES = 0

    settings.FETCH_PARALLEL = 1
    monkeypatch.setattr(FileCache, "reserve", promise_and_take)
    collection = build(collection)
    assert "the server's disk has no room for more" in collection.error_message
    assert collection.builds.get().bytes_fetched <= 12_000_000
    assert not list((settings.REMOTE_CACHE_ROOT / "partial").iterdir())


def test_what_is_replaced_under_the_same_date_is_fetched_anew(
    web_files: WebFiles, settings: LazySettings, tmp_path: Path
) -> None:
    dataset = make_rays(f"https://{HOST}/rays")
    dataset.images.filter(source_id="ray/2").delete()
    make_searchable()
    web_files.files = {"/rays/a/1.png": PICTURE}
    web_files.headers = {"Last-Modified": "Mon, 30 Nov 2026 00:00:00 GMT"}
    verify(build(make_fetching()))
    web_files.files["/rays/a/1.png"] = changed = PICTURE + b"!"
    for title in ("Second", "Third"):
        collection = verify(build(make_collection("", fetch=True, title=title)))
        assert read_archive(collection)["images/rays/DX_ray_1.png"] == changed
        settings.REMOTE_CACHE_ROOT = tmp_path / title


@pytest.mark.parametrize(("key", "address"), [("a.png", "a.png"), ("a/1", "a/*")])
def test_what_its_owner_has_replaced_is_fetched_anew_for_a_new_collection(
    s3: S3Server, settings: LazySettings, tmp_path: Path, key: str, address: str
) -> None:
    """The first one keeps what was frozen, also if another learns of it before it is verified."""
    bucket = f"rays-that-change-{len(key)}"
    s3.client.create_bucket(Bucket=bucket)
    settings.FETCH_BUCKETS, settings.FETCH_ENDPOINTS = [bucket], {bucket: s3.endpoint}
    settings.FETCH_KEYS = {bucket: "test:test"}
    put = partial(s3.client.put_object, Bucket=bucket, Key=key)
    dataset = DatasetFactory(slug="rays", storage=f"s3://{bucket}")
    ImageFactory(dataset=dataset, source_id="a", remote_url=f"s3://{bucket}/{address}")
    make_searchable()
    put(Body=b"\0old picture")
    first = build(make_fetching())
    put(Body=b"\0another picture")

    second = verify(build(make_collection("", fetch=True, title="Second")))

    assert b"\0another picture" in read_archive(second).values()
    assert b"\0old picture" in read_archive(verify(first)).values()
    # The source has not what was frozen: there is only the cache.
    expire_collection(collection=first)
    retry_collection(collection=Collection.objects.get(pk=first.pk))
    assert b"\0old picture" in read_archive(verify(build(first))).values()
    settings.REMOTE_CACHE_ROOT = tmp_path / "another"
    expire_collection(collection=first)
    retry_collection(collection=Collection.objects.get(pk=first.pk))
    first = build(first)
    assert first.status == "failed"
    (problem,) = first.items.with_problems().values_list("problem", flat=True)
    assert "no longer what was frozen" in problem or "lists other files than" in problem
    # It may come back, also for a new collection.
    put(Body=b"\0old picture")
    third = build(make_collection("", fetch=True, title="Third"))
    assert b"\0old picture" in read_archive(verify(third)).values()


def test_files_that_a_source_calls_otherwise_stay_one_series(
    s3: S3Server, settings: LazySettings
) -> None:
    """In archives they have had an ending all the time."""
    bucket = "rays-with-endings"
    s3.client.create_bucket(Bucket=bucket)
    settings.FETCH_BUCKETS, settings.FETCH_ENDPOINTS = [bucket], {bucket: s3.endpoint}
    settings.FETCH_KEYS = {bucket: "test:test"}
    dataset = DatasetFactory(slug="rays", storage=f"s3://{bucket}")
    ImageFactory(dataset=dataset, source_id="a", remote_url=f"s3://{bucket}/a/*")
    make_searchable()
    s3.client.put_object(Bucket=bucket, Key="a/1", Body=SCAN)
    first = build(make_fetching())
    s3.client.delete_object(Bucket=bucket, Key="a/1")
    s3.client.put_object(Bucket=bucket, Key="a/1.dcm", Body=SCAN)

    verify(build(make_collection("", fetch=True, title="Second")))

    verify(first)
    expire_collection(collection=first)
    retry_collection(collection=Collection.objects.get(pk=first.pk))
    verify(build(first))
    verify(build(make_collection("", fetch=True, title="Third")))
    s3.client.delete_object(Bucket=bucket, Key="a/1.dcm")
    s3.client.put_object(Bucket=bucket, Key="a/1", Body=SCAN)
    shutil.rmtree(settings.REMOTE_CACHE_ROOT)
    expire_collection(collection=first)
    retry_collection(collection=Collection.objects.get(pk=first.pk))
    verify(build(first))


@pytest.mark.parametrize("key", ["a/../b.png", "a//b.png", "a/*.png", "./a.png"])
def test_an_address_that_cannot_be_fetched_is_not_promised(
    s3: S3Server, settings: LazySettings, key: str
) -> None:
    settings.FETCH_BUCKETS = [BUCKET]
    dataset = DatasetFactory(slug="rays")
    ImageFactory(dataset=dataset, source_id="a", remote_url=f"s3://{BUCKET}/{key}")
    make_searchable()

    archive = read_archive(build(make_fetching()))

    assert f"s3://{BUCKET}/{key}" in archive["remote.csv"].decode()


def test_a_cancelled_build_does_not_wait_for_a_source_that_says_nothing(
    web_files: WebFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("collections_app.builds.lease.RENEW_SECONDS", 0.0)
    make_rays(f"https://{HOST}/rays")
    web_files.silent_seconds = 20.0
    collection = make_fetching()

    def cancel(done: int) -> None:
        if web_files.requests:
            cancel_build(collection=Collection.objects.get(pk=collection.pk))

    start = time.monotonic()
    build_collection(collection_id=collection.pk, on_progress=cancel)

    collection.refresh_from_db()
    assert collection.error_message == "You cancelled this build."
    assert time.monotonic() - start < 12
