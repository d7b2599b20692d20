"""Building: a complete archive, or a failed collection with the reason."""

import csv
import hashlib
import io
import json
import logging
import os
import resource
import shutil
import subprocess
import tracemalloc
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from random import Random
from uuid import uuid4

import pytest
from django.conf import LazySettings
from django.conf import settings as conf
from django.utils import timezone

from catalog.models import Dataset, Image
from catalog.tests.factories import dataset_folder, make_searchable
from collections_app.archive import writer
from collections_app.builds import lease
from collections_app.builds.build import build_claimed, build_collection, build_or_fail
from collections_app.builds.failure import BuildFailed
from collections_app.builds.lease import RENEW_SECONDS, Claim, LeaseLost, claim_build
from collections_app.builds.problems import count_problems
from collections_app.builds.verification import verify_archive
from collections_app.models import Build, Collection, Reason
from collections_app.services import (
    NotPossibleNow,
    build_without_problems,
    cancel_build,
    delete_account,
    delete_collection,
    expire_collection,
    rebuild_collection,
    retry_collection,
)
from collections_app.storage import archive_file, archive_store
from collections_app.tasks import build_collection_task, verify_archive_task
from collections_app.tests.factories import (
    UserFactory,
    build,
    files_in_archive_root,
    image_file,
    make_collection,
    make_dataset,
    read_archive,
)
from medagg.testing.programs import require_program
from vocab.models import Label, License
from vocab.tests.factories import LabelFactory, LicenseFactory

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("hooks_on_commit")]


def rows(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode())))


def test_an_archive_has_every_file_and_its_sources() -> None:
    make_dataset(files=5, remote=2)
    collection = build(make_collection("q=rays"))
    assert (collection.status, collection.error_message) == ("ready", "")
    content = read_archive(collection)
    assert list(content) == [
        "README.md", "collection.json", "licenses.csv", "terms.csv",
        *(f"images/rays/deep/{number:03}.png" for number in range(5)),
        "metadata.csv", "remote.csv", "fetch.sh", "fetch.py", "SHA256SUMS",
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


def test_an_archive_says_the_licence_and_the_words_of_each_image() -> None:
    make_dataset(files=3)
    License.objects.update(allows_commercial_use=True)
    first, second, third = Image.objects.order_by("source_id")
    nc = LicenseFactory(code="cc-by-nc-4.0", url="https://example.org/nc")
    unknown = LicenseFactory(code="not-stated", is_active=False)
    Image.objects.filter(pk=first.pk).update(license=nc)
    Image.objects.filter(pk=second.pk).update(license=unknown)
    first.image_labels.update(finding="uncertain", metadata_json={"word": "normal?"})
    hidden = LabelFactory(code="her2-plus", name="HER2+", is_active=False)
    second.image_labels.create(label=hidden)
    third.image_labels.create(label=hidden, finding="negative", metadata_json={"word": "her2 (+)"})
    make_searchable()
    content = read_archive(build(make_collection("")))

    table = rows(content["metadata.csv"])
    assert [row["license"] for row in table] == ["cc-by-nc-4.0", "", "cc-by-4.0"]
    assert [row["labels"] for row in table] == ["", "nodule", "nodule"]
    assert [row["uncertain_labels"] for row in table] == ["normal", "", ""]
    assert [row["labels_unreviewed"] for row in table] == ["", "her2-plus", "her2-plus=negative"]
    assert [json.loads(row["label_words"]) for row in table] == [
        {"normal": "normal?"}, {"her2-plus": "HER2+"}, {"her2-plus": "her2 (+)"},
    ]  # fmt: skip
    licenses = {row["license"]: row for row in rows(content["licenses.csv"])}
    assert {code: (row["num_images"], row["allows_commercial_use"], row["license_url"])
            for code, row in licenses.items()} == {
        "cc-by-4.0": ("1", "yes", ""), "": ("1", "not stated", ""),
        "cc-by-nc-4.0": ("1", "no", "https://example.org/nc"),
    }  # fmt: skip
    (dataset,) = json.loads(content["collection.json"])["provenance"]["datasets"]
    assert dataset["allows_commercial_use"] is False
    card = content["README.md"].decode()
    assert "- Licence: Cc by nc 4.0 <https://example.org/nc> (1 image)" in card
    assert "- Commercial use of these images is not permitted." in card


def test_collections_of_an_earlier_version_do_not_say_what_they_did_not_freeze() -> None:
    make_dataset(files=1)
    collection = make_collection("")
    del collection.provenance["datasets"][0]["licenses"]
    collection.save()
    content = read_archive(build(collection))
    assert "license" not in rows(content["metadata.csv"])[0]
    assert rows(content["licenses.csv"])[0]["license"] == "cc-by-4.0"


def test_sha256sum_checks_the_unpacked_folder(tmp_path: Path) -> None:
    make_dataset(files=3)
    collection = build(make_collection(""))
    unzip = require_program("unzip")
    subprocess.run([unzip, "-q", archive_file(collection.archive_path)], cwd=tmp_path, check=True)
    check = subprocess.run(
        ["sha256sum", "--strict", "-c", "SHA256SUMS"],
        cwd=tmp_path / collection.slug, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert check.returncode == 0, check.stdout + check.stderr
    assert check.stdout.count(": OK") == 8


def test_a_rebuild_gives_the_same_bytes_after_changes_in_the_catalog() -> None:
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
        case "the dataset's folder is missing":
            dataset_folder(Dataset.objects.get()).rename(conf.ARCHIVE_ROOT / "moved")
        case "the catalog has another file":
            Image.objects.filter(source_id="rays-001").update(sha256="0" * 64)


@pytest.mark.parametrize(
    "kind",
    [
        "removed", "truncated", "emptied", "same size", "a link out of the folder", "a folder",
        "the dataset's folder is missing", "the catalog has another file",
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
    assert (missing["source_id"], missing["reason"]) == ("rays-001", "the file is missing")
    assert collection.fingerprint != whole.fingerprint
    assert "1 image excluded" in content["README.md"].decode()


def test_only_one_worker_can_claim_a_build() -> None:
    make_dataset(files=1)
    collection = make_collection("")
    first = claim_build(collection_id=collection.pk)
    assert first is not None
    assert claim_build(collection_id=collection.pk) is None
    build(collection)
    assert collection.status == "pending", "the other worker still holds it"


def claim_with_lapsed_lease(collection: Collection) -> Claim:
    """The claim of a worker that is slower than its lease."""
    claim = claim_build(collection_id=collection.pk)
    assert claim is not None
    past = timezone.now() - timedelta(seconds=1)
    Build.objects.filter(collection=collection).update(lease_expires_at=past)
    return claim


def test_a_worker_with_a_lapsed_lease_deletes_its_file() -> None:
    make_dataset(files=2)
    collection = make_collection("")
    slow = claim_with_lapsed_lease(collection)
    build(collection)
    assert collection.status == "ready"
    winner = collection.archive_path
    with pytest.raises(LeaseLost):
        build_claimed(slow)
    collection.refresh_from_db()
    assert collection.archive_path == winner
    assert files_in_archive_root() == [winner]


def test_a_worker_with_a_lapsed_lease_forgets_no_problem_that_another_has_found() -> None:
    make_dataset(files=2)
    collection = make_collection("")
    slow = claim_with_lapsed_lease(collection)
    image_file(0).unlink()
    build(collection)
    assert collection.status == "failed"
    build_or_fail(slow)
    collection.refresh_from_db()
    assert collection.items.with_problems().count() == 1
    assert count_problems(collection) == 1


def test_a_task_delivered_twice_builds_once() -> None:
    make_dataset(files=2)
    collection = build(make_collection(""))
    path = collection.archive_path
    build(collection)
    assert collection.archive_path == path
    build_collection(collection_id=10**9)


def test_a_collection_deleted_during_its_build_leaves_no_file() -> None:
    make_dataset(files=2)
    collection = make_collection("")
    claim = claim_build(collection_id=collection.pk)
    assert claim is not None
    delete_collection(collection=collection)
    with pytest.raises(LeaseLost):
        build_claimed(claim)
    assert files_in_archive_root() == []


def test_services_refuse_what_the_state_does_not_allow() -> None:
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


def test_a_cancelled_build_says_who_cancelled_it() -> None:
    make_dataset(files=1)
    mine, theirs = make_collection("", wants_mail=True), make_collection("", wants_mail=True)
    cancel_build(collection=mine)
    cancel_build(collection=theirs, by_owner=False)
    assert (mine.status, mine.error_message) == ("failed", "You cancelled this build.")
    assert not mine.mail_is_due
    assert "operator cancelled" in theirs.error_message
    assert theirs.mail_is_due
    assert build(mine).status == "failed", "nobody builds what was cancelled"
    with pytest.raises(NotPossibleNow, match="nothing to cancel"):
        cancel_build(collection=mine)


def test_a_build_that_is_cancelled_while_it_writes_logs_one_line(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    make_dataset(files=5)
    collection = make_collection("")
    monkeypatch.setattr(lease, "RENEW_SECONDS", 0.0)

    def cancel(done: int) -> None:
        """At the second beat of the writing, which is the last."""
        if not files_in_archive_root():
            return
        if lease.RENEW_SECONDS:
            cancel_build(collection=collection)
            archive_store().remove_partials(collection.uuid)
        monkeypatch.setattr(lease, "RENEW_SECONDS", 60.0)

    caplog.set_level(logging.INFO)
    build_collection(collection_id=collection.pk, on_progress=cancel)
    collection.refresh_from_db()
    assert collection.error_message == "You cancelled this build."
    lines = [line for line in caplog.records if line.name.startswith("collections_app.builds")]
    assert [line.getMessage() for line in lines] == [
        f"collection {collection.uuid}: this worker has lost its lease"
    ]
    assert not any(line.exc_info for line in lines)


def test_a_build_that_does_not_fit_on_the_disk_fails_at_once(settings: LazySettings) -> None:
    make_dataset(files=2)
    settings.ARCHIVE_RESERVE_BYTES = 10**18
    collection = build(make_collection(""))
    assert collection.status == "failed"
    assert "has no room for this archive: it needs about" in collection.error_message
    assert "0 bytes are free" in collection.error_message
    settings.ARCHIVE_RESERVE_BYTES = 0
    retry_collection(collection=collection)
    assert build(collection).status == "ready"


def test_space_for_running_builds_counts_as_used(settings: LazySettings) -> None:
    make_dataset(files=2)
    large, small = make_collection("", title="Large"), make_collection("")
    assert claim_build(collection_id=large.pk)
    Collection.objects.filter(pk=large.pk).update(num_bytes=10**18)
    assert "has no room" in build(small).error_message
    Build.objects.filter(collection=large).update(progress_bytes=10**18)
    retry_collection(collection=small)
    assert build(small).status == "ready"


def test_a_text_that_a_zip_cannot_hold_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("collections_app.archive.records.MAX_32", 1000)
    make_dataset(files=1)
    collection = build(make_collection(""))
    assert (collection.status, files_in_archive_root()) == ("failed", [])
    assert "a text of 4 GiB or more cannot be written" in collection.error_message


def test_time_limits_are_consistent() -> None:
    broker = conf.CELERY_BROKER_TRANSPORT_OPTIONS["visibility_timeout"]
    assert conf.BUILD_SOFT_LIMIT < conf.BUILD_HARD_LIMIT < conf.BUILD_LAST_LEASE < broker
    assert conf.BUILD_LEASE_SECONDS > 10 * RENEW_SECONDS
    for task in (build_collection_task, verify_archive_task):
        assert (task.soft_time_limit, task.time_limit) == (
            conf.BUILD_SOFT_LIMIT,
            conf.BUILD_HARD_LIMIT,
        )


def test_deleting_an_account_holds_what_one_collection_says_in_memory_at_a_time() -> None:
    make_dataset(files=1)
    user = UserFactory()
    one = make_collection("", user=user)
    one.provenance = {"datasets": ["x" * 500] * 1_000}
    for _ in range(40):
        one.pk, one.uuid = None, uuid4()
        one._state.adding = True
        one.save()
    tracemalloc.start()
    delete_account(user=user)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8_000_000, "of 20 MB in all"
    assert not Collection.objects.exists()


def test_deleting_an_account_deletes_its_archives() -> None:
    make_dataset(files=1)
    collection = build(make_collection(""))
    delete_account(user=collection.user)
    assert not Collection.objects.exists()
    assert files_in_archive_root() == []


def test_archive_sha256_is_that_of_the_file() -> None:
    make_dataset(files=2)
    collection = build(make_collection(""))
    verify_archive(collection_id=collection.pk)
    collection.refresh_from_db()
    content = archive_file(collection.archive_path).read_bytes()
    assert collection.archive_sha256 == hashlib.sha256(content).hexdigest()
    assert collection.archive_size == len(content)


@pytest.mark.parametrize(
    ("text", "cell"),
    [("=1+1", "'=1+1"), ("@cmd", "'@cmd"), ("+49", "'+49"), ('a"b,c', 'a"b,c'), ("ü\n", "ü\n")],
)
def test_cells_cannot_be_run_as_formulas(text: str, cell: str) -> None:
    make_dataset(files=1)
    Image.objects.update(subject_id=text)
    content = read_archive(build(make_collection("")))
    assert rows(content["metadata.csv"])[0]["subject_id"] == cell


@pytest.fixture
def full_disk() -> Iterator[None]:
    """The system limits files to 2,000 bytes, as on a full disk."""
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


@pytest.mark.parametrize("where", ["files", "tables"])
def test_a_build_stops_where_the_reserve_begins(
    where: str, settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others fill the disk meanwhile, or the archive becomes larger than was thought."""
    make_dataset(files=5)
    collection = make_collection("")
    monkeypatch.setattr(lease, "RENEW_SECONDS", 0)
    monkeypatch.setattr(writer, "_PROGRESS_SECONDS", 0)

    def fill(done: int) -> None:
        if done >= (collection.num_bytes if where == "tables" else 1):
            settings.ARCHIVE_RESERVE_BYTES = 1 << 60

    build_collection(collection_id=collection.pk, on_progress=fill)
    collection.refresh_from_db()
    assert (collection.status, collection.builds.get().reason) == ("failed", Reason.DISK_FULL)
    assert "disk is full" in collection.error_message
    assert files_in_archive_root() == []


def test_what_sources_say_of_images_counts_for_the_size_of_an_archive(
    settings: LazySettings,
) -> None:
    make_dataset(files=5)
    random = Random(0)
    source = {f"feature_{n:03}": str(random.getrandbits(3200)) for n in range(100)}
    Image.objects.update(metadata_json=source)
    settings.ARCHIVE_RESERVE_BYTES = 1 << 60
    assert "it needs about 1.8 MB" in build(make_collection("")).error_message


def test_of_two_builds_with_room_for_one_the_first_succeeds(settings: LazySettings) -> None:
    settings.ARCHIVE_RESERVE_BYTES = 0
    make_dataset(files=2)
    first, second = make_collection("", title="First"), make_collection("", title="Second")
    Collection.objects.update(num_bytes=shutil.disk_usage(conf.ARCHIVE_ROOT).free * 6 // 10)
    claims = [claim_build(collection_id=each.pk) for each in (first, second)]
    assert claims[0]
    assert claims[1]
    with pytest.raises(BuildFailed, match="no room"):
        build_claimed(claims[1])
    build_claimed(claims[0])
    first.refresh_from_db()
    assert first.status == "ready"


def test_a_rebuild_from_a_page_that_is_out_of_date_is_refused() -> None:
    """Another tab has built it meanwhile; its archive must not be given up unchecked."""
    make_dataset(files=1)
    collection = build(make_collection(""))
    expire_collection(collection=collection)
    collection.refresh_from_db()
    stale = Collection.objects.get(pk=collection.pk)
    retry_collection(collection=collection)
    build(collection)
    with pytest.raises(NotPossibleNow, match="ready"):
        rebuild_collection(collection=stale)
    assert files_in_archive_root() == [collection.archive_path]
