"""A build takes only what is left of its owner's quota, whatever the catalog says of sizes."""

from random import Random
from typing import Any, NoReturn

import pytest
from django.conf import LazySettings
from django.contrib.auth.models import User
from django.test import Client

from catalog.models import Image
from catalog.tests.factories import dataset_folder, make_searchable
from catalog.wording.formats import file_size
from collections_app.builds import lease
from collections_app.builds.checking import fail_for_entry
from collections_app.builds.outcome import NO_CLAIM, give_up_replaced
from collections_app.builds.verification import verify_archive
from collections_app.models import Collection, Reason
from collections_app.selection.item_texts import FEW
from collections_app.selection.quotas import describe_usage
from collections_app.selection.refusals import OverQuota
from collections_app.services import rebuild_collection, retry_collection
from collections_app.tests.factories import (
    UserFactory,
    build,
    files_in_archive_root,
    image_file,
    make_collection,
    make_dataset,
    read_archive,
)
from collections_app.tests.remote_series import make_series
from collections_app.tests.states import as_running, change, change_build
from medagg.testing.s3 import S3Server

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("hooks_on_commit", "own_cache")]

TAKE = "Your archives and builds take"


@pytest.fixture
def owner(client: Client) -> User:
    user: User = UserFactory()
    client.force_login(user)
    return user


def make_talkative_dataset() -> None:
    """Small files, of which the source says 100 kB each."""
    make_dataset(files=2)
    random = Random(0)
    source = {f"feature_{n:03}": str(random.getrandbits(3200)) for n in range(100)}
    Image.objects.update(metadata_json=source)


def assert_over_quota(collection: Collection, said: str) -> None:
    assert collection.status == "failed"
    assert collection.builds.latest("pk").reason == Reason.OVER_QUOTA
    assert said in collection.error_message
    assert not collection.items.with_problems().exists(), "nothing is wrong with them"
    assert f"{collection.uuid}" not in " ".join(files_in_archive_root())


def test_builds_of_unknown_size_take_no_more_together_than_the_quota(
    s3: S3Server, settings: LazySettings, owner: User
) -> None:
    make_series(s3, series=3, slices=3)
    Image.objects.update(size_bytes=None)
    make_searchable()
    first, second, third = (
        make_collection(f"q=P{number}", fetch=True, user=owner) for number in range(3)
    )
    size = build(first).archive_size
    assert size
    settings.COLLECTION_MAX_KEPT_BYTES = size * 5 // 2

    assert build(second).status == "ready"
    assert_over_quota(build(third), TAKE)

    settings.COLLECTION_MAX_KEPT_BYTES = size * 4
    retry_collection(collection=third)
    assert build(third).status == "ready"


def test_fetching_ends_where_the_quota_does(
    s3: S3Server, settings: LazySettings, owner: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "RENEW_SECONDS", 0)
    make_series(s3, series=6, slices=1)
    for number in range(6):
        s3.put(f"uuid-{number}/00.dcm", bytes([number]) * (1 << 20))
    settings.FETCH_PARALLEL, settings.COLLECTION_MAX_KEPT_BYTES = 1, 2 << 20

    collection = build(make_collection("q=ct", fetch=True, user=owner))

    assert_over_quota(collection, "and all your archives together may take 2.1 MB")
    assert collection.builds.get().bytes_fetched <= 4 << 20


def test_tables_count(settings: LazySettings, owner: User, client: Client) -> None:
    make_talkative_dataset()
    collection = make_collection("", user=owner)
    settings.COLLECTION_MAX_KEPT_BYTES = 100_000

    assert_over_quota(build(collection), "This archive needs at least 2")
    assert (
        "Add filters to make it smaller"
        in client.get(collection.get_absolute_url()).content.decode()
    )


def test_another_build_counts_as_large_as_it_has_become(
    settings: LazySettings, owner: User
) -> None:
    make_talkative_dataset()
    collection, other = (make_collection("", user=owner) for _ in range(2))
    change_build(as_running(other), progress_bytes=400_000)
    settings.COLLECTION_MAX_KEPT_BYTES = 500_000

    assert_over_quota(build(collection), f"{TAKE} 400 kB (limit: 500 kB); this one needs at")
    change_build(other, progress_bytes=500_000)
    with pytest.raises(OverQuota, match=f"{TAKE} 500 kB"):
        make_collection("", user=owner)

    change_build(other, progress_bytes=0)
    retry_collection(collection=collection)
    assert build(collection).status == "ready"


def test_what_a_build_gave_up_for_a_bad_file_counts_no_more(
    owner: User, settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail_later(*args: Any) -> NoReturn:
        settings.COLLECTION_MAX_KEPT_BYTES = 100  # as if others had grown
        fail_for_entry(*args)

    monkeypatch.setattr(lease, "RENEW_SECONDS", 0.0)
    monkeypatch.setattr("collections_app.builds.build.fail_for_entry", fail_later)
    make_dataset(files=6)
    collection = make_collection("", user=owner)
    image_file(5).unlink()
    build(collection)
    assert collection.builds.get().reason == Reason.FILES_MISSING
    assert collection.items.with_problems().count() == 1


def test_a_rebuild_beyond_the_quota_keeps_the_archive_and_says_why(
    settings: LazySettings, owner: User, client: Client
) -> None:
    make_talkative_dataset()
    collection = build(make_collection("", user=owner))
    before = read_archive(collection)
    settings.COLLECTION_MAX_KEPT_BYTES = 100_000
    rebuild_collection(collection=collection)

    collection = build(Collection.objects.get(pk=collection.pk))

    assert read_archive(collection) == before
    page = client.get(collection.get_absolute_url()).content.decode()
    assert "Reason: the owner&#x27;s quota of archives is used up" in page


@pytest.mark.parametrize("is_kept", [True, False], ids=["queued", "being written"])
def test_an_archive_counts_while_its_rebuild_is(
    settings: LazySettings, owner: User, is_kept: bool
) -> None:
    make_talkative_dataset()
    before = build(make_collection("", user=owner))
    size = before.archive_size or 0
    settings.COLLECTION_MAX_KEPT_BYTES = size + 100_000
    rebuild_collection(collection=before)
    if not is_kept:
        token = as_running(before, share=0).builds.get(finished_at=None).attempt_token
        assert token
        assert give_up_replaced(collection=before, token=token)

    other = build(make_collection("", user=owner))

    assert_over_quota(other, f"{TAKE} {file_size(size)}")
    if not is_kept:
        change_build(before, **NO_CLAIM)
    assert build(before).archive_size == size


def test_an_archive_of_another_version_counts_while_it_is_built_again(owner: User) -> None:
    make_talkative_dataset()
    collection = change(build(make_collection("", user=owner)), fingerprint="0" * 64)
    verify_archive(collection_id=collection.pk)
    assert describe_usage(owner).kept_bytes == collection.archive_size
    assert build(collection).status == "ready"


def test_a_build_that_finds_much_to_write_leaves_the_database_its_reserve(
    settings: LazySettings, owner: User
) -> None:
    folder = dataset_folder(make_dataset(files=FEW + 10))
    collection = make_collection("", user=owner)
    folder.rename(folder.with_name("away"))
    settings.DATABASE_MAX_BYTES = 1

    failed = build(collection)

    assert (failed.status, failed.builds.latest("pk").reason) == ("failed", Reason.DISK_FULL)
    assert "The server's database has no room for what this build writes" in failed.error_message
    assert not failed.items.with_problems().exists()
    settings.DATABASE_MAX_BYTES = 0
    retry_collection(collection=failed)
    assert build(failed).items.with_problems().count() == FEW + 10
