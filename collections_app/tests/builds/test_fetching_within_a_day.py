"""A build takes only what is left of its owner's day, whatever the catalog says of sizes."""

import re
from datetime import timedelta

import pytest
from django.conf import LazySettings
from django.contrib.auth.models import User
from django.db.models import F
from django.test import Client

from catalog.models import Image
from catalog.storage.disk import BLOCK
from catalog.tests.factories import make_searchable
from collections_app.models import Build, Collection, DeletedFetch, Reason
from collections_app.selection.fetch_quota import count_fetched_today
from collections_app.selection.refusals import NotBuildable
from collections_app.services import (
    build_without_problems,
    cancel_build,
    rebuild_collection,
    retry_collection,
)
from collections_app.tests.factories import UserFactory, build, make_collection, read_archive
from collections_app.tests.remote_series import make_series
from medagg.testing.s3 import S3Server

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("hooks_on_commit", "own_cache")]

FULL = "were fetched for you in the last 24 hours"


@pytest.fixture
def owner() -> User:
    user: User = UserFactory()
    return user


def make_series_of_unknown_size(s3: S3Server, *, series: int, slices: int) -> None:
    make_series(s3, series=series, slices=slices)
    Image.objects.update(size_bytes=None)
    make_searchable()


def queue(owner: User, series: int) -> Collection:
    return make_collection(f"q=P{series}", fetch=True, user=owner)


def end_the_day() -> None:
    Build.objects.update(finished_at=F("finished_at") - timedelta(days=1))
    DeletedFetch.objects.update(queued_at=F("queued_at") - timedelta(days=1))


def take_requests(s3: S3Server) -> list[str]:
    """The files that were asked for since the last call."""
    found = sorted(re.findall(r"uuid-[0-9]/[0-9]+[.]dcm", " ".join(s3.requests)))
    s3.requests.clear()
    return found


def test_builds_of_unknown_size_take_no_more_together_than_a_day_has(
    s3: S3Server, settings: LazySettings, owner: User
) -> None:
    make_series_of_unknown_size(s3, series=3, slices=3)
    settings.FETCH_PARALLEL, settings.FETCH_MAX_DAY_BYTES = 1, 5 * BLOCK
    collections = [queue(owner, number) for number in range(3)]

    first, second, third = map(build, collections)

    assert first.status == "ready"
    for each in (second, third):
        said = f"20.5 kB {FULL} (limit: 20.5 kB). Build it again later."
        assert (each.status, each.error_message) == ("failed", said)
        assert each.builds.get().reason == Reason.DAY_IS_FULL
        assert not each.items.with_problems().exists(), "nothing is wrong with them"
        with pytest.raises(NotBuildable, match=FULL):
            retry_collection(collection=each)
    assert len(take_requests(s3)) == 5
    assert count_fetched_today(owner) == 5 * BLOCK

    end_the_day()
    retry_collection(collection=second)
    assert build(second).status == "ready"
    assert take_requests(s3) == ["uuid-1/02.dcm"], "the others are in the cache"


def test_a_build_that_the_catalog_said_too_little_of_stops_within_a_file(
    s3: S3Server, settings: LazySettings, owner: User
) -> None:
    make_series(s3, series=1, slices=1)
    key = "uuid-0/00.dcm"
    s3.put(key, b"x" * (4 << 20))
    settings.FETCH_MAX_DAY_BYTES = 2 << 20

    collection = build(queue(owner, 0))

    assert (collection.status, collection.builds.get().reason) == ("failed", Reason.DAY_IS_FULL)
    assert take_requests(s3) == [], "a file that is listed as too long is not begun"
    settings.FETCH_MAX_DAY_BYTES = 5 << 20
    s3.faults.cut[key] = 3 << 20
    s3.faults.times[key] = 1
    retry_collection(collection=collection)
    collection = build(collection)
    assert collection.error_message.endswith("(limit: 5.2 MB). Build it again later.")
    assert count_fetched_today(owner) <= 6 << 20, "what came in vain counts"


def test_a_day_that_is_used_up_stops_no_build_whose_files_are_in_the_cache(
    s3: S3Server, settings: LazySettings, owner: User
) -> None:
    make_series_of_unknown_size(s3, series=1, slices=3)
    build(queue(UserFactory(), 0))
    waiting = queue(owner, 0)
    settings.FETCH_MAX_DAY_BYTES = 0

    assert build(waiting).status == "ready"


def test_a_rebuild_beyond_a_day_keeps_the_archive_and_says_why(
    s3: S3Server, settings: LazySettings, owner: User, client: Client
) -> None:
    make_series(s3, series=2, slices=3)
    collection = build(queue(owner, 0))
    before = read_archive(collection)
    settings.FETCH_PARALLEL, settings.FETCH_MAX_DAY_BYTES = 1, 4 * BLOCK
    rebuild_collection(collection=collection)
    settings.REMOTE_CACHE_ROOT = settings.REMOTE_CACHE_ROOT / "emptied"

    collection = build(Collection.objects.get(pk=collection.pk))

    assert read_archive(collection) == before
    client.force_login(owner)
    page = client.get(collection.get_absolute_url()).content.decode()
    assert "Reason: the day&#x27;s limit of fetching is used up" in page


def test_another_try_asks_for_what_is_still_to_be_fetched(
    s3: S3Server, settings: LazySettings, owner: User
) -> None:
    make_series(s3, series=4, slices=2)  # of 5,000 bytes each, as the catalog says
    collections = [queue(owner, number) for number in range(4)]
    for each in collections:
        cancel_build(collection=each)
    settings.FETCH_MAX_DAY_BYTES = 3 * BLOCK

    for each in collections[:2]:
        retry_collection(collection=each)
    with pytest.raises(
        NotBuildable,
        match=rf"About 5\.0 kB would have to be fetched, and 10\.0 kB {FULL} .*again later",
    ):
        retry_collection(collection=collections[2])


def test_another_try_does_not_ask_for_what_has_come_or_is_excluded(
    s3: S3Server, settings: LazySettings, owner: User
) -> None:
    make_series(s3, series=3, slices=2)
    s3.faults.status["uuid-2/00.dcm"] = 403
    collection = build(make_collection("q=ct", fetch=True, user=owner))
    assert collection.status == "failed"
    settings.FETCH_MAX_DAY_BYTES = count_fetched_today(owner) + 1

    with pytest.raises(NotBuildable, match=r"About 5\.0 kB would have to be fetched"):
        retry_collection(collection=collection)
    build_without_problems(collection=collection)

    assert build(Collection.objects.get(pk=collection.pk)).status == "ready"
