"""Collections with the same fingerprint: one build, one file, however many have it."""

from datetime import timedelta

import pytest
from django.utils import timezone

from collections_app.archive_files import archive_file
from collections_app.build import build_claimed, build_collection
from collections_app.claims import claim_collection
from collections_app.models import Collection
from collections_app.proof import prove_archive
from collections_app.services import (
    build_without_problems,
    cancel_build,
    delete_collection,
    expire_collection,
    rebuild_collection,
    retry_collection,
)
from collections_app.sharing import LeaseLost
from collections_app.sweep import sweep_collections
from collections_app.tests.factories import (
    UserFactory,
    files_in_archive_root,
    image_file,
    make_collection,
    make_dataset,
)

pytestmark = pytest.mark.django_db(transaction=True)


def build(collection: Collection) -> Collection:
    build_collection(collection_id=collection.pk)
    collection.refresh_from_db()
    return collection


def reload(*collections: Collection) -> list[str]:
    for collection in collections:
        collection.refresh_from_db()
    return [collection.status for collection in collections]


def test_the_same_choice_of_two_users_is_built_once() -> None:
    make_dataset()
    first = build(make_collection("sex=F", user=UserFactory(username="ada")))
    written = archive_file(first.archive_path).stat()
    second = build(make_collection("sex=F", user=UserFactory(username="ben")))
    assert (second.status, second.fingerprint) == ("ready", first.fingerprint)
    assert (second.archive_path, second.archive_size) == (first.archive_path, first.archive_size)
    assert archive_file(first.archive_path).stat().st_ctime_ns == written.st_ctime_ns
    assert files_in_archive_root() == [first.archive_path]
    assert (second.progress_images, second.attempts) == (3, 1)


@pytest.mark.parametrize(
    ("query", "title"), [("sex=M", "My rays"), ("sex=F", "Her rays"), ("sex=F&q=rays", "My rays")]
)
def test_what_differs_in_choice_or_name_has_bytes_of_its_own(query: str, title: str) -> None:
    make_dataset()
    first = build(make_collection("sex=F"))
    second = build(make_collection(query, title=title))
    assert second.fingerprint != first.fingerprint
    assert files_in_archive_root() == sorted([first.archive_path, second.archive_path])


def test_the_file_stays_until_the_last_one_gives_it_up() -> None:
    make_dataset()
    one, two, three = (build(make_collection("")) for _ in range(3))
    delete_collection(collection=one)
    expire_collection(collection=two)
    assert files_in_archive_root() == [three.archive_path]
    Collection.objects.filter(pk=three.pk).update(expires_at=timezone.now() - timedelta(1))
    assert sweep_collections()["expired"] == 1
    assert files_in_archive_root() == []


def test_what_expired_comes_back_without_a_build_while_another_has_it() -> None:
    make_dataset()
    one, two = build(make_collection("")), build(make_collection(""))
    prove_archive(collection_id=two.pk)
    expire_collection(collection=one)
    image_file(1).unlink()
    retry_collection(collection=one)
    build(one)
    assert reload(one, two) == ["ready", "ready"]
    assert one.archive_path == two.archive_path
    assert one.archive_sha256 == two.archive_sha256 != ""


def test_the_second_waits_while_the_first_is_built_and_becomes_ready_with_it() -> None:
    make_dataset()
    first, second = make_collection(""), make_collection("")
    claim = claim_collection(collection_id=first.pk)
    assert claim is not None
    reserve(claim.collection)
    build(second)
    assert (second.status, second.attempt_token, second.attempts) == ("pending", None, 0)
    assert claim_collection(collection_id=second.pk) is None, "there is nothing to be done for it"
    assert sweep_collections()["queued"] == 0
    build_claimed(claim)
    assert reload(first, second) == ["ready", "ready"]
    assert first.archive_path == second.archive_path
    assert files_in_archive_root() == [first.archive_path]


def reserve(collection: Collection) -> None:
    """As if its worker had got so far."""
    from_another = build(make_collection(""))
    fingerprint = from_another.fingerprint
    delete_collection(collection=from_another)
    Collection.objects.filter(pk=collection.pk).update(fingerprint=fingerprint)


@pytest.mark.parametrize("end", [cancel_build, delete_collection])
def test_the_second_builds_when_the_first_is_given_up(end: object) -> None:
    make_dataset()
    first, second = make_collection(""), make_collection("")
    claim = claim_collection(collection_id=first.pk)
    assert claim is not None
    reserve(claim.collection)
    build(second)
    end(collection=first)  # type: ignore[operator]
    with pytest.raises(LeaseLost):
        build_claimed(claim)
    assert build(second).status == "ready"
    assert files_in_archive_root() == [second.archive_path]


def test_the_second_builds_when_the_worker_of_the_first_has_died() -> None:
    make_dataset()
    first, second = make_collection(""), make_collection("")
    dead = claim_collection(collection_id=first.pk)
    assert dead is not None
    reserve(dead.collection)
    Collection.objects.filter(pk=first.pk).update(
        lease_expires_at=timezone.now() - timedelta(seconds=1)
    )
    build(second)
    assert reload(first, second) == ["ready", "ready"], "the first one has waited for it"
    with pytest.raises(LeaseLost):
        build_claimed(dead)
    assert files_in_archive_root() == [second.archive_path]


def test_each_of_two_with_bad_files_says_so() -> None:
    make_dataset()
    first, second = make_collection(""), make_collection("")
    image_file(1).unlink()
    build(first)
    build(second)
    assert reload(first, second) == ["failed", "failed"]
    assert [c.items.with_problems().count() for c in (first, second)] == [1, 1]
    for collection in (first, second):
        build_without_problems(collection=collection)
        build(collection)
    assert first.archive_path == second.archive_path
    assert files_in_archive_root() == [first.archive_path]


def test_a_file_that_vanished_is_not_taken_over() -> None:
    make_dataset()
    first = build(make_collection(""))
    archive_file(first.archive_path).unlink()
    second = build(make_collection(""))
    assert second.status == "ready"
    assert second.archive_path != first.archive_path
    assert sweep_collections()["vanished"] == 1
    assert reload(first, second) == ["failed", "ready"]
    assert "has vanished" in first.error_message
    retry_collection(collection=first)
    assert build(first).archive_path == second.archive_path


def test_a_rebuild_of_a_shared_archive_has_it_proven_again() -> None:
    make_dataset()
    first, second = build(make_collection("")), build(make_collection(""))
    prove_archive(collection_id=first.pk)
    path = archive_file(first.archive_path)
    content = path.read_bytes()
    path.write_bytes(content[:-100] + bytes(100))
    rebuild_collection(collection=second)
    build(second)
    prove_archive(collection_id=second.pk)
    assert reload(first, second) == ["failed", "failed"]
    retry_collection(collection=second)
    assert archive_file(build(second).archive_path).read_bytes() == content


def test_what_was_wrong_once_is_forgotten_with_a_shared_archive() -> None:
    make_dataset()
    first, second = make_collection(""), make_collection("")
    content = image_file(1).read_bytes()
    image_file(1).unlink()
    assert build(first).status == "failed"
    image_file(1).write_bytes(content)
    assert build(second).status == "ready"
    retry_collection(collection=first)
    assert build(first).archive_path == second.archive_path
    assert not first.items.with_problems().exists()
