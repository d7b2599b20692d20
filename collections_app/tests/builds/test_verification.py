"""Verification of ready archives: right byte for byte, or removed."""

import errno
import hashlib
import logging
import os
import threading
import zipfile
import zlib
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from billiard.exceptions import SoftTimeLimitExceeded
from django.conf import LazySettings
from django.db import connection

from catalog.bulk.session_lock import CLAIM
from catalog.models import Dataset, Image
from catalog.tests.factories import dataset_folder
from collections_app.archive.reader import ArchiveReader, FileCheck
from collections_app.builds import verification
from collections_app.builds.build import build_collection
from collections_app.builds.problems import count_problems
from collections_app.builds.verification import (
    CHANGED,
    MISSING,
    NOT_ON_DISK,
    REPLACED,
    WRONG_CRC,
    verify_archive,
)
from collections_app.contents import texts
from collections_app.models import Collection
from collections_app.selection import fingerprint
from collections_app.services import (
    build_without_problems,
    delete_collection,
    expire_collection,
    retry_collection,
)
from collections_app.storage import archive_file
from collections_app.tests.factories import (
    build,
    files_in_archive_root,
    make_collection,
    make_dataset,
    read_archive,
)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("hooks_on_commit")]


def verify(collection: Collection) -> Collection:
    verify_archive(collection_id=collection.pk)
    collection.refresh_from_db()
    return collection


def make_ready(*, files: int = 5, remote: int = 0) -> Collection:
    make_dataset(files=files, remote=remote)
    return build(make_collection(""))


def image_file(number: int) -> Path:
    return dataset_folder(Dataset.objects.get()) / f"deep/{number:03}.png"


def replace_without_a_trace(file: Path) -> None:
    """Write other bytes of the same size and keep the mtime: a build cannot notice that."""
    before = file.stat()
    data = file.read_bytes()
    file.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = file.stat()
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)


def problems(collection: Collection) -> dict[int, str]:
    return dict(collection.items.exclude(problem="").values_list("position", "problem"))


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


# --- Good archives ---
def test_verification_of_a_good_archive_sets_its_sha256() -> None:
    collection = verify(make_ready(files=5, remote=2))
    content = archive_file(collection.archive_path).read_bytes()
    assert collection.archive_sha256 == hashlib.sha256(content).hexdigest()
    assert (collection.status, problems(collection)) == ("ready", {})


def test_verification_reads_items_in_several_batches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(verification, "BATCH", 3)
    assert verify(make_ready(files=10)).archive_sha256


def test_a_collection_without_files_is_verified() -> None:
    assert verify(make_ready(files=0, remote=2)).archive_sha256


def test_renamed_files_are_verified() -> None:
    make_dataset(files=3)
    Image.objects.filter(source_id="rays-001").update(file_path="Deep/000.PNG")
    (image_file(1).parent.parent / "Deep").mkdir()
    image_file(1).rename(image_file(1).parent.parent / "Deep/000.PNG")
    collection = build(make_collection(""))
    assert len({name.lower() for name in read_archive(collection)}) == 9
    assert verify(collection).archive_sha256


def test_excluded_items_are_not_verified_and_a_limit_is_not_asked_for_again(
    settings: LazySettings,
) -> None:
    collection = make_ready(files=4)
    replace_without_a_trace(image_file(2))
    expire_collection(collection=collection)
    retry_collection(collection=collection)
    verify(build(collection))
    assert count_problems(collection) == 1
    settings.COLLECTION_MAX_BYTES = 1
    build_without_problems(collection=collection, expected=1)
    collection = verify(build(Collection.objects.get(pk=collection.pk)))
    assert collection.archive_sha256
    assert "missing.csv" in read_archive(collection)


def test_verifying_twice_changes_nothing() -> None:
    collection = verify(make_ready(files=1))
    before = collection.updated_at
    assert verify(collection).updated_at == before


# --- Bad archives and files ---
def test_verification_names_a_file_replaced_with_the_same_size_and_mtime() -> None:
    """Size and mtime are the same, so only verification can notice it."""
    make_dataset(files=5)
    replace_without_a_trace(image_file(1))
    replace_without_a_trace(image_file(3))
    collection = build(make_collection(""))
    verify(collection)
    assert (collection.status, collection.archive_path) == ("failed", "")
    assert collection.error_message.startswith("2 files are not as the catalog says.")
    assert problems(collection) == {2: CHANGED, 4: CHANGED}
    assert files_in_archive_root() == []

    build_without_problems(collection=collection)
    collection = verify(build(Collection.objects.get(pk=collection.pk)))
    assert collection.archive_sha256
    content = read_archive(collection)
    assert CHANGED in content["missing.csv"].decode()
    assert sum(name.startswith("images/") for name in content) == 3


def test_verification_distinguishes_a_damaged_archive_from_changed_files() -> None:
    collection = make_ready(files=3)
    path = archive_file(collection.archive_path)
    flip(path, path.read_bytes().index(image_file(1).read_bytes()))
    verify(collection)
    assert (collection.status, collection.error_message) == ("failed", REPLACED)
    assert problems(collection) == {}, "the files themselves are as they should be"
    first = collection.fingerprint
    retry_collection(collection=collection)
    again = verify(build(collection))
    assert (bool(again.archive_sha256), again.fingerprint) == (True, first)


@pytest.mark.parametrize("place", ["README.md", "metadata.csv", "SHA256SUMS", "the directory"])
def test_verification_finds_damage_outside_the_images(place: str) -> None:
    collection = make_ready(files=3)
    path = archive_file(collection.archive_path)
    with zipfile.ZipFile(path) as archive:
        text = b"" if place == "the directory" else archive.read(f"{collection.slug}/{place}")
    at = path.read_bytes().index(text) + len(text) // 2 if text else path.stat().st_size - 200
    flip(path, at)
    verify(collection)
    assert (collection.status, collection.error_message) == ("failed", REPLACED)
    assert files_in_archive_root() == []


def test_a_wrong_crc_in_the_catalog_is_reported() -> None:
    make_dataset(files=3)
    Image.objects.filter(source_id="rays-001").update(crc32=zlib.crc32(b"something else"))
    collection = build(make_collection(""))
    verify(collection)
    assert (collection.status, problems(collection)) == ("failed", {2: WRONG_CRC})


def test_an_archive_with_other_file_names_fails_verification() -> None:
    """A valid archive of the same size with the file names of another collection."""
    make_dataset(files=3)
    make_dataset("dogs", files=3)
    mine, other = build(make_collection("dataset=rays")), build(make_collection("dataset=dogs"))
    content = archive_file(other.archive_path).read_bytes()
    archive_file(mine.archive_path).write_bytes(content)
    Collection.objects.filter(pk=mine.pk).update(archive_size=len(content))
    verify(mine)
    assert (mine.status, mine.error_message) == ("failed", REPLACED)


def test_an_archive_without_its_last_files_fails_verification() -> None:
    make_dataset(files=4)
    whole = build(make_collection(""))
    fewer = build(make_collection("age=40-49&sex=F&sex=M&label=nodule"))
    content = archive_file(fewer.archive_path).read_bytes()
    archive_file(whole.archive_path).write_bytes(content)
    Collection.objects.filter(pk=whole.pk).update(archive_size=len(content))
    assert fewer.num_files < whole.num_files
    assert verify(whole).error_message == REPLACED


def test_a_missing_archive_fails_verification() -> None:
    collection = make_ready(files=1)
    archive_file(collection.archive_path).unlink()
    verify(collection)
    assert (collection.status, collection.error_message) == ("failed", MISSING)


@pytest.mark.parametrize("change", ["truncated", "longer", "a link", "a folder"])
def test_an_archive_replaced_by_something_else_fails_verification(
    change: str, tmp_path: Path
) -> None:
    collection = make_ready(files=1)
    path = archive_file(collection.archive_path)
    match change:
        case "truncated":
            os.truncate(path, path.stat().st_size - 1)
        case "longer":
            path.write_bytes(path.read_bytes() + b"x")
        case "a link":
            path.rename(tmp_path / "elsewhere")
            path.symlink_to(tmp_path / "elsewhere")
        case "a folder":
            path.unlink()
            path.mkdir()
    verify(collection)
    if change == "a folder":
        path.rmdir()
    assert files_in_archive_root() == []
    assert (collection.status, collection.error_message) == ("failed", REPLACED)


def test_an_archive_that_cannot_be_synced_to_the_disk_is_removed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(fd: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    collection = make_ready(files=1)
    monkeypatch.setattr(os, "fsync", fail)
    verify(collection)
    assert (collection.status, collection.error_message) == ("failed", NOT_ON_DISK)
    assert files_in_archive_root() == []


# --- Changes during verification ---
class Interrupting(ArchiveReader):
    """Calls a function once while the archive is read."""

    action: Any = None

    def check_file(self, name: str, size: int) -> FileCheck:
        action, Interrupting.action = Interrupting.action, None
        if action:
            action()
        return super().check_file(name, size)


def verify_while(
    collection: Collection, action: Any, monkeypatch: pytest.MonkeyPatch
) -> Collection | None:
    Interrupting.action = action
    monkeypatch.setattr(verification, "ArchiveReader", Interrupting)
    verify_archive(collection_id=collection.pk)
    assert Interrupting.action is None, "it was done"
    return Collection.objects.filter(pk=collection.pk).first()


def test_a_collection_deleted_during_verification_is_no_error(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    collection = make_ready(files=3)
    assert verify_while(collection, lambda: delete_collection(collection=collection), monkeypatch) \
        is None  # fmt: skip
    assert files_in_archive_root() == []
    assert not [line for line in caplog.records if line.levelno >= logging.ERROR]


def test_a_collection_that_expires_during_verification_stays_expired(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    collection = make_ready(files=3)
    after = verify_while(collection, lambda: expire_collection(collection=collection), monkeypatch)
    assert after
    assert (after.status, after.archive_sha256) == ("expired", "")


def test_a_time_limit_during_verification_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def strike() -> None:
        raise SoftTimeLimitExceeded

    collection = make_ready(files=3)
    after = verify_while(collection, strike, monkeypatch)
    assert after
    assert (after.status, after.archive_sha256) == ("ready", "")
    assert verify(collection).archive_sha256


@pytest.mark.django_db(transaction=True)
def test_verification_keeps_no_transaction_open(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    others = """
        SELECT state FROM pg_stat_activity
         WHERE datname = current_database() AND pid = %s
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        pid = cursor.fetchone()[0]

    def look() -> None:
        with connection.cursor() as cursor:
            cursor.execute(others, [pid])
            seen.append(cursor.fetchone()[0])
        connection.close()

    def look_from_a_thread() -> None:
        thread = threading.Thread(target=look)
        thread.start()
        thread.join()

    verify_while(make_ready(files=3), look_from_a_thread, monkeypatch)
    assert seen == ["idle"]


@pytest.mark.parametrize("status", ["pending", "failed", "expired", "deleted"])
def test_only_ready_collections_are_verified(status: str) -> None:
    make_dataset(files=1)
    collection = make_collection("")
    if status == "expired":
        expire_collection(collection=build(collection))
    elif status == "failed":
        image_file(0).unlink()
        build_collection(collection_id=collection.pk)
    elif status == "deleted":
        delete_collection(collection=collection)
    verify_archive(collection_id=collection.pk)
    found = Collection.objects.filter(pk=collection.pk).first()
    assert (found.status if found else "deleted") == status


def test_an_archive_of_another_version_of_the_program_is_built_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its texts may be other ones, which is no damage."""
    collection = make_ready(files=2)
    monkeypatch.setattr(fingerprint, "CONTENTS_VERSION", "next")
    monkeypatch.setattr(texts, "CONTENTS_VERSION", "next")
    verify(collection)
    assert (collection.status, collection.error_message) == ("pending", "")
    assert files_in_archive_root() == []
    assert verify(build(collection)).verified_at


def test_an_archive_that_is_being_verified_is_not_read_a_second_time() -> None:
    collection = make_ready(files=2)
    url = connection.settings_dict
    elsewhere = psycopg2.connect(
        host=url["HOST"], port=url["PORT"], user=url["USER"], dbname=url["NAME"]
    )
    with closing(elsewhere), elsewhere.cursor() as cursor:
        cursor.execute(CLAIM, [f"archive {collection.archive_path}"])
        assert not verify(collection).verified_at
    assert verify(collection).verified_at


def test_an_archive_that_the_disk_cannot_read_is_withdrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise OSError(errno.EIO, "Input/output error")

    after = verify_while(make_ready(files=2), fail, monkeypatch)
    assert after
    assert (after.status, after.error_message) == ("failed", MISSING)
