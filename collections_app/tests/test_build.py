"""Building: a complete archive, or a collection that says what is wrong."""

import csv
import hashlib
import io
import json
import os
import resource
import subprocess
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from django.conf import LazySettings
from django.conf import settings as conf
from django.utils import timezone

from catalog.models import Dataset, Image
from catalog.tests.factories import dataset_folder
from collections_app.archive_files import archive_file
from collections_app.build import (
    build_claimed,
    build_collection,
    claim_collection,
)
from collections_app.models import Collection
from collections_app.proof import prove_archive
from collections_app.services import (
    NotPossibleNow,
    build_without_problems,
    delete_account,
    delete_collection,
    expire_collection,
    rebuild_collection,
    retry_collection,
)
from collections_app.sharing import LeaseLost
from collections_app.sweep import sweep_collections
from collections_app.tests.factories import (
    files_in_archive_root,
    image_file,
    make_collection,
    make_dataset,
    read_archive,
)
from medagg.testing.programs import require_program
from vocab.models import Label

# Threads of a build have connections of their own, and see only what is committed.
pytestmark = pytest.mark.django_db(transaction=True)


def build(collection: Collection) -> Collection:
    build_collection(collection_id=collection.pk)
    collection.refresh_from_db()
    return collection


def rows(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode())))


def test_an_archive_holds_every_file_and_says_where_it_is_from() -> None:
    make_dataset(files=5, remote=2)
    collection = build(make_collection("q=rays"))
    assert (collection.status, collection.error_message) == ("ready", "")
    content = read_archive(collection)
    assert list(content) == [
        "README.md", "collection.json", "licenses.csv",
        *(f"images/rays/deep/{number:03}.png" for number in range(5)),
        "metadata.csv", "remote.csv", "SHA256SUMS",
    ]  # fmt: skip
    for row in rows(content["metadata.csv"]):
        assert hashlib.sha256(content[row["file_name"]]).hexdigest() == row["sha256"]
    assert next(csv.reader(io.StringIO(content["metadata.csv"].decode())))[0] == "file_name"
    assert [row["url"] for row in rows(content["remote.csv"])] == [
        "s3://bucket/rays/0",
        "s3://bucket/rays/1",
    ]
    assert rows(content["licenses.csv"])[0]["license"] == "cc-by-4.0"
    record = json.loads(content["collection.json"])
    assert (record["query"], record["fingerprint"]) == ("rays", collection.fingerprint)
    assert "Ray et al." in content["README.md"].decode()


def test_sha256sum_proves_the_unpacked_folder(tmp_path: Path) -> None:
    make_dataset(files=3)
    collection = build(make_collection(""))
    unzip = require_program("unzip", package="unzip")
    subprocess.run([unzip, "-q", archive_file(collection.archive_path)], cwd=tmp_path, check=True)
    check = subprocess.run(
        ["sha256sum", "--strict", "-c", "SHA256SUMS"],
        cwd=tmp_path / collection.slug, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert check.returncode == 0, check.stdout + check.stderr
    assert check.stdout.count(": OK") == 7


def test_building_again_gives_the_same_bytes_whatever_has_changed_in_the_catalog() -> None:
    dataset = make_dataset(files=4, remote=1)
    collection = build(make_collection("q=rays"))
    first = archive_file(collection.archive_path).read_bytes()
    expire_collection(collection=collection)
    Label.objects.update(name="Renamed")
    Dataset.objects.filter(pk=dataset.pk).update(title="Renamed", license=None, is_active=False)
    Image.objects.update(sex="O", age_years=1)
    os.utime(image_file(2), ns=(0, 10**18))
    retry_collection(collection=collection)
    build(collection)
    assert archive_file(collection.archive_path).read_bytes() == first


def test_two_collections_of_different_images_have_different_fingerprints() -> None:
    make_dataset()
    prints = {build(make_collection(q)).fingerprint for q in ("sex=F", "sex=M", "", "label=nodule")}
    assert len(prints) == 4


def damage(kind: str) -> None:
    file = image_file(1)
    original = file.read_bytes()
    match kind:
        case "removed":
            file.unlink()
        case "truncated":
            file.write_bytes(original[:-1])
        case "emptied":
            file.write_bytes(b"")
        case "same size":
            file.write_bytes(original[:-1] + b"!")
        case "a link out of the folder":
            outside = conf.ARCHIVE_ROOT / "outside.png"
            outside.write_bytes(original)
            file.unlink()
            file.symlink_to(outside)
        case "a folder":
            file.unlink()
            file.mkdir()
        case "the dataset's folder is gone":
            dataset_folder(Dataset.objects.get()).rename(conf.ARCHIVE_ROOT / "moved")
        case "the catalog has another file":
            Image.objects.filter(source_id="rays-001").update(sha256="0" * 64)


@pytest.mark.parametrize(
    "kind",
    [
        "removed", "truncated", "emptied", "same size", "a link out of the folder", "a folder",
        "the dataset's folder is gone", "the catalog has another file",
    ],
)  # fmt: skip
def test_a_bad_file_fails_the_collection_and_is_named(kind: str) -> None:
    make_dataset(files=3)
    collection = make_collection("")
    damage(kind)
    build(collection)
    assert collection.status == "failed"
    assert "not as the catalog says" in collection.error_message
    bad = [item.metadata_json["source_id"] for item in collection.items.with_problems()]
    assert "rays-001" in bad
    assert all(item.problem for item in collection.items.with_problems())
    assert not [name for name in files_in_archive_root() if name.endswith((".zip", ".part"))]


def test_all_bad_files_are_named_at_once() -> None:
    make_dataset(files=6)
    collection = make_collection("")
    for number in (0, 2, 5):
        image_file(number).unlink()
    build(collection)
    assert collection.error_message.startswith("3 files are not as the catalog says")
    assert [item.position for item in collection.items.with_problems()] == [1, 3, 6]


def test_a_repaired_file_lets_the_next_try_succeed() -> None:
    make_dataset(files=3)
    collection = make_collection("")
    content = image_file(1).read_bytes()
    image_file(1).unlink()
    build(collection)
    image_file(1).write_bytes(content)
    retry_collection(collection=collection)
    build(collection)
    assert collection.status == "ready"
    assert not collection.items.with_problems().exists()
    assert "images/rays/deep/001.png" in read_archive(collection)


def test_building_without_the_bad_files_lists_them() -> None:
    make_dataset(files=4)
    whole = build(make_collection(""))
    expire_collection(collection=whole)
    collection = make_collection("")
    image_file(1).unlink()
    build(collection)
    assert build_without_problems(collection=collection) == 1
    build(collection)
    content = read_archive(collection)
    assert (collection.status, collection.num_images, collection.num_files) == ("ready", 3, 3)
    assert "images/rays/deep/001.png" not in content
    assert len(rows(content["metadata.csv"])) == 3
    (missing,) = rows(content["missing.csv"])
    assert (missing["source_id"], missing["reason"]) == ("rays-001", "the file is not there")
    assert collection.fingerprint != whole.fingerprint
    assert "1 image left out" in content["README.md"].decode()


def test_one_worker_claims_and_the_other_goes_away() -> None:
    make_dataset(files=1)
    collection = make_collection("")
    first = claim_collection(collection_id=collection.pk)
    assert first is not None
    assert claim_collection(collection_id=collection.pk) is None
    build(collection)
    assert collection.status == "pending", "the other worker still holds it"


def test_a_worker_whose_lease_lapsed_loses_and_leaves_no_file() -> None:
    make_dataset(files=2)
    collection = make_collection("")
    slow = claim_collection(collection_id=collection.pk)
    assert slow is not None
    past = timezone.now() - timedelta(seconds=1)
    Collection.objects.filter(pk=collection.pk).update(lease_expires_at=past)
    build(collection)
    assert collection.status == "ready"
    winner = collection.archive_path
    with pytest.raises(LeaseLost):
        build_claimed(slow)
    collection.refresh_from_db()
    assert collection.archive_path == winner
    assert files_in_archive_root() == [winner]


def test_a_task_delivered_twice_builds_once() -> None:
    make_dataset(files=2)
    collection = build(make_collection(""))
    path = collection.archive_path
    build(collection)
    assert collection.archive_path == path
    build_collection(collection_id=10**9)


def test_a_collection_deleted_while_it_is_built_leaves_nothing() -> None:
    make_dataset(files=2)
    collection = make_collection("")
    claim = claim_collection(collection_id=collection.pk)
    assert claim is not None
    delete_collection(collection=collection)
    with pytest.raises(LeaseLost):
        build_claimed(claim)
    assert files_in_archive_root() == []


def test_states_allow_only_what_makes_sense() -> None:
    make_dataset(files=1)
    collection = make_collection("")
    for action in (retry_collection, rebuild_collection, expire_collection, build_without_problems):
        with pytest.raises(NotPossibleNow):
            action(collection=collection)
    build(collection)
    for action in (retry_collection, build_without_problems):
        with pytest.raises(NotPossibleNow, match="ready"):
            action(collection=collection)


def test_rebuilding_a_ready_collection_replaces_its_file() -> None:
    make_dataset(files=1)
    collection = build(make_collection(""))
    old = collection.archive_path
    rebuild_collection(collection=collection)
    build(collection)
    assert files_in_archive_root() == [collection.archive_path]
    assert collection.archive_path != old


def test_a_rebuild_that_could_not_succeed_keeps_the_archive_that_is_there() -> None:
    make_dataset(files=2)
    collection = build(make_collection(""))
    image_file(1).unlink()
    with pytest.raises(NotPossibleNow, match="is kept"):
        rebuild_collection(collection=collection)
    collection.refresh_from_db()
    assert collection.status == "ready"
    assert files_in_archive_root() == [collection.archive_path]


def test_deleting_an_account_takes_its_archives_along() -> None:
    make_dataset(files=1)
    collection = build(make_collection(""))
    delete_account(user=collection.user)
    assert not Collection.objects.exists()
    assert files_in_archive_root() == []


def test_the_checksum_is_that_of_the_file() -> None:
    make_dataset(files=2)
    collection = build(make_collection(""))
    prove_archive(collection_id=collection.pk)
    collection.refresh_from_db()
    content = archive_file(collection.archive_path).read_bytes()
    assert collection.archive_sha256 == hashlib.sha256(content).hexdigest()
    assert collection.archive_size == len(content)


def test_the_sweep_expires_what_is_past_its_time(settings: LazySettings) -> None:
    make_dataset(files=1)
    old, new = build(make_collection("")), build(make_collection(""))
    past = timezone.now() - timedelta(seconds=1)
    Collection.objects.filter(pk=old.pk).update(expires_at=past)
    assert sweep_collections()["expired"] == 1
    old.refresh_from_db()
    assert (old.status, old.archive_path) == ("expired", "")
    assert old.items.count() == 1
    assert files_in_archive_root() == [new.archive_path]


def test_the_sweep_queues_again_what_was_forgotten_and_gives_up_in_the_end() -> None:
    make_dataset(files=1)
    collection = make_collection("")
    assert sweep_collections()["queued"] == 0, "it has only just been queued"
    long_ago = timezone.now() - timedelta(hours=1)
    Collection.objects.filter(pk=collection.pk).update(queued_at=long_ago)
    assert sweep_collections()["queued"] == 1
    for _ in range(3):
        assert claim_collection(collection_id=collection.pk)
        Collection.objects.filter(pk=collection.pk).update(lease_expires_at=long_ago)
    assert claim_collection(collection_id=collection.pk) is None
    assert sweep_collections()["failed"] == 1
    collection.refresh_from_db()
    assert collection.status == "failed"
    assert "interrupted 3 times" in collection.error_message


def test_the_sweep_removes_files_that_belong_to_nobody(settings: LazySettings) -> None:
    make_dataset(files=1)
    collection = build(make_collection(""))
    for name in (f"{'0' * 64}.{uuid4()}.zip", f"{uuid4()}.{uuid4()}.part"):
        (conf.ARCHIVE_ROOT / name).write_bytes(b"stray")
    settings.BUILD_LEASE_SECONDS = 0.02
    time.sleep(0.3)
    young = conf.ARCHIVE_ROOT / f"{uuid4()}.{uuid4()}.part"
    young.write_bytes(b"still being written")
    assert sweep_collections()["files_removed"] == 2
    assert files_in_archive_root() == sorted([collection.archive_path, young.name])


@pytest.mark.parametrize(
    ("text", "cell"),
    [("=1+1", "'=1+1"), ("@cmd", "'@cmd"), ("+49", "'+49"), ('a"b,c', 'a"b,c'), ("ü\n", "ü\n")],
)
def test_cells_are_not_run_as_formulas(text: str, cell: str) -> None:
    make_dataset(files=1)
    Image.objects.update(subject_id=text)
    content = read_archive(build(make_collection("")))
    assert rows(content["metadata.csv"])[0]["subject_id"] == cell


@pytest.fixture
def full_disk() -> Iterator[None]:
    """No file can grow beyond 2,000 bytes: the system's own limit, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_that_fills_up_fails_the_collection_and_leaves_no_file(full_disk: None) -> None:
    make_dataset(files=5)
    collection = build(make_collection(""))
    assert collection.status == "failed"
    assert "disk is full" in collection.error_message
    assert files_in_archive_root() == []
