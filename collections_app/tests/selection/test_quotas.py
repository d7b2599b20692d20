"""Quotas: shown before the button, and enforced for two simultaneous requests."""

import re
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.conf import LazySettings
from django.db import connection, transaction
from django.http import QueryDict
from django.test import Client
from django.utils import timezone

from catalog.search.filters import ImageFilterSet
from collections_app import services
from collections_app.models import Collection
from collections_app.selection.quotas import describe_usage, explain_quota, lock_quota
from collections_app.selection.refusals import NotBuildable
from collections_app.tests.factories import UserFactory, make_collection, make_dataset
from collections_app.tests.states import as_failed, as_ready, as_running, change

pytestmark = pytest.mark.django_db

GB = 1_000_000_000


@pytest.fixture
def owner(client: Client) -> Any:
    user = UserFactory(username="owner")
    client.force_login(user)
    make_dataset(files=2)
    return user


def ready(owner: Any, gigabytes: float, title: str = "My rays", **values: Any) -> Collection:
    collection = make_collection("", user=owner, title=title)
    return as_ready(collection, archive_size=int(gigabytes * GB), **values)


def read(client: Client, path: str) -> str:
    response = client.get(path)
    assert response.status_code == 200
    return re.sub(r"\s+", " ", response.content.decode())


def test_usage_counts_ready_archives_and_pending_builds(owner: Any, settings: LazySettings) -> None:
    settings.COLLECTION_MAX_PENDING, settings.COLLECTION_MAX_KEPT_BYTES = 5, 100 * GB
    ready(owner, 12)
    change(make_collection("", user=owner), num_bytes=3 * GB)
    change(as_running(make_collection("", user=owner)), num_bytes=2 * GB)
    as_failed(make_collection("", user=owner))
    change(make_collection("", user=owner), status="expired")
    make_collection("", user=UserFactory())
    usage = describe_usage(owner)
    assert (usage.num_pending, usage.max_pending) == (2, 5)
    assert (usage.kept_bytes, usage.max_kept_bytes) == (17 * GB, 100 * GB)


def test_a_user_without_collections_has_no_usage(owner: Any) -> None:
    usage = describe_usage(owner)
    assert (usage.num_pending, usage.kept_bytes) == (0, 0)


def test_the_list_shows_how_much_is_used(
    client: Client, owner: Any, settings: LazySettings
) -> None:
    settings.COLLECTION_MAX_PENDING, settings.COLLECTION_MAX_KEPT_BYTES = 5, 100 * GB
    ready(owner, 12.3)
    change(make_collection("", user=owner), num_bytes=0)
    html = read(client, "/collections/")
    assert "1 of 5 builds queued or running" in html
    assert "12.3 GB of 100 GB kept" in html
    assert 'max="100000000000"' in html
    assert 'value="12300000000"' in html


def test_too_many_builds_are_refused_with_what_to_do(owner: Any, settings: LazySettings) -> None:
    settings.COLLECTION_MAX_PENDING = 2
    make_collection("", user=owner)
    assert explain_quota(user=owner, num_bytes=0) == []
    as_running(make_collection("", user=owner))
    (sentence,) = explain_quota(user=owner, num_bytes=0)
    assert "You have 2 builds queued or running (limit: 2)." in sentence
    assert "Wait until one is ready, or cancel one" in sentence
    with pytest.raises(NotBuildable, match="cancel one"):
        make_collection("", user=owner)
    assert Collection.objects.count() == 2


def test_the_archive_that_makes_room_is_named(owner: Any, settings: LazySettings) -> None:
    settings.COLLECTION_MAX_KEPT_BYTES = 20 * GB
    ready(owner, 9, "Large")
    ready(owner, 4, "Just right", expires_at=timezone.now() + timedelta(days=3))
    ready(owner, 1, "Small")
    assert explain_quota(user=owner, num_bytes=6 * GB) == []
    (sentence,) = explain_quota(user=owner, num_bytes=8 * GB)
    assert "take 14.0 GB (limit: 20.0 GB)" in sentence
    assert "needs about 8.0 GB more" in sentence
    assert "Remove the archive of “Just right” (4.0 GB), delete" in sentence
    assert f"{timezone.now() + timedelta(days=3):%-d %B %Y}" in sentence
    (sentence,) = explain_quota(user=owner, num_bytes=16 * GB)
    assert "Remove the archive of “Large” (9.0 GB) and others, delete" in sentence


def test_more_than_the_whole_quota_is_never_possible(owner: Any, settings: LazySettings) -> None:
    settings.COLLECTION_MAX_KEPT_BYTES = 20 * GB
    (sentence,) = explain_quota(user=owner, num_bytes=21 * GB)
    assert "This archive needs about 21.0 GB" in sentence
    assert "Add filters" in sentence


def test_if_only_builds_use_the_quota_cancelling_is_advised(
    owner: Any, settings: LazySettings
) -> None:
    settings.COLLECTION_MAX_KEPT_BYTES = 20 * GB
    change(make_collection("", user=owner), num_bytes=19 * GB)
    (sentence,) = explain_quota(user=owner, num_bytes=2 * GB)
    assert "Cancel a build" in sentence


def test_a_collections_own_archive_does_not_count_for_its_rebuild(
    owner: Any, settings: LazySettings
) -> None:
    settings.COLLECTION_MAX_KEPT_BYTES, settings.COLLECTION_MAX_PENDING = 20 * GB, 1
    collection = ready(owner, 15)
    assert explain_quota(user=owner, num_bytes=15 * GB)
    assert explain_quota(user=owner, num_bytes=15 * GB, without=collection) == []


def test_both_quotas_are_reported_together(owner: Any, settings: LazySettings) -> None:
    settings.COLLECTION_MAX_PENDING, settings.COLLECTION_MAX_KEPT_BYTES = 0, 1
    assert len(explain_quota(user=owner, num_bytes=2)) == 2


def test_the_button_is_disabled_if_a_quota_is_exceeded(
    client: Client, owner: Any, settings: LazySettings
) -> None:
    settings.COLLECTION_MAX_PENDING = 1
    open_button = re.compile(r"<button(?![^>]*disabled)[^>]*>Build collection")
    assert open_button.search(read(client, "/collections/new/"))
    make_collection("", user=owner)
    html = read(client, "/collections/new/")
    assert not open_button.search(html)
    assert 'aria-describedby=" quota"' in html
    assert "You have 1 build queued or running (limit: 1)." in html
    assert '<a href="/collections/">My collections</a>' in html
    assert open_button.search(Client().get("/collections/new/").content.decode()) is None
    assert "This cannot be built now" not in Client().get("/collections/new/").content.decode()


def test_staff_have_the_same_quota(client: Client, settings: LazySettings) -> None:
    settings.COLLECTION_MAX_PENDING = 0
    client.force_login(UserFactory(username="staff", is_staff=True, is_superuser=True))
    make_dataset(files=1)
    assert "This cannot be built now" in read(client, "/collections/new/")


def test_posting_the_form_over_quota_is_refused(
    client: Client, owner: Any, settings: LazySettings
) -> None:
    settings.COLLECTION_MAX_PENDING = 0
    response = client.post("/collections/new/", {"title": "x", "expected_images": 2, "filters": ""})
    assert "queued or running (limit: 0)" in response.content.decode()
    assert not Collection.objects.exists()


# --- Two requests at the same time ---
def at_once(work: Callable[[], None], times: int) -> None:
    barrier = threading.Barrier(times)

    def run() -> None:
        try:
            barrier.wait(10)
            work()
        finally:
            connection.close()

    threads = [threading.Thread(target=run) for _ in range(times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.mark.django_db(transaction=True)
def test_two_tabs_cannot_both_take_the_last_place(settings: LazySettings) -> None:
    settings.COLLECTION_MAX_PENDING = 2
    owner = UserFactory(username="owner")
    make_dataset(files=2)
    refused: list[str] = []

    def create() -> None:
        filters = ImageFilterSet(QueryDict(""))
        try:
            services.create_collection(
                user=owner, title="x", filters=filters, expected_images=filters.total
            )
        except NotBuildable as error:
            refused.append(str(error))

    at_once(create, 5)
    created = Collection.objects.pending().count()
    assert 1 <= created <= 2
    assert created + len(refused) == 5
    told = ("queued or running (limit: 2)", "Another request of yours")
    assert all(any(words in each for words in told) for each in refused), refused
    while Collection.objects.count() < 2:
        create()
    create()
    assert "limit: 2" in refused[-1]


@pytest.mark.django_db(transaction=True)
def test_locking_a_quota_blocks_no_other_user_and_no_foreign_key() -> None:
    owner, other = UserFactory(username="owner"), UserFactory(username="other")
    make_dataset(files=1)
    with transaction.atomic():
        lock_quota(owner)
        done: list[str] = []

        def work() -> None:
            with connection.cursor() as cursor:
                cursor.execute("SET lock_timeout = '3s'")
            with transaction.atomic():
                lock_quota(other)
            make_row = Collection(user=owner, title="x", slug="x")
            make_row.save()
            done.append("both")

        at_once(work, 1)
        assert done == ["both"]
