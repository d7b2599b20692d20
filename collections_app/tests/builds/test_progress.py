"""The progress of a build on the collection's page."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.conf import LazySettings
from django.db.models import F
from django.test import Client
from django.utils import timezone

from collections_app.builds.progress import describe_progress, refresh_seconds
from collections_app.models import Collection
from collections_app.tests.factories import UserFactory, build, make_collection, make_dataset
from collections_app.tests.states import as_failed, as_ready, as_running, change, change_build

pytestmark = pytest.mark.django_db


@pytest.fixture
def owner(client: Client) -> Any:
    user = UserFactory(username="owner")
    client.force_login(user)
    make_dataset(files=4)
    return user


def status(client: Client, collection: Collection) -> str:
    response = client.get(f"/collections/{collection.uuid}/status/")
    assert response.status_code == 200
    return re.sub(r"\s+", " ", response.content.decode())


def test_progress_shows_images_bytes_and_time_left(client: Client, owner: Any) -> None:
    collection = as_running(make_collection("", user=owner), share=0.25, seconds=80)
    html = status(client, collection)
    assert "1 of 4 images" in html
    assert 'value="25" max="100"' in html
    assert f"{collection.num_bytes // 4} bytes of " in html
    assert "4 minutes left" in html


def test_time_left_does_not_count_what_was_before_the_writing(client: Client, owner: Any) -> None:
    collection = as_running(make_collection("", user=owner), share=0.25, seconds=80)
    change_build(collection, started_at=timezone.now() - timedelta(hours=1))
    assert "4 minutes left" in status(client, collection)
    built = build(make_collection("sex=F", user=owner)).builds.filter(
        started_at__lt=F("writing_at"), writing_at__lt=F("finished_at")
    )
    assert built.exists()


def test_files_that_grow_when_they_are_deidentified_are_not_done_before_their_time(
    client: Client, owner: Any, settings: LazySettings
) -> None:
    settings.DEIDENTIFY_ON_DELIVERY = True
    collection = as_running(make_collection("", user=owner), share=0.25)
    change_build(collection, progress_bytes=100 * collection.num_bytes)
    assert 'value="25"' in status(client, collection)


@pytest.mark.parametrize(("share", "seconds"), [(0.0, 100), (0.01, 100), (0.5, 1), (0.5, -3600)])
def test_time_left_is_not_estimated_too_early_or_after_the_clock_was_set(
    client: Client, owner: Any, share: float, seconds: float
) -> None:
    collection = as_running(make_collection("", user=owner), share=share, seconds=seconds)
    assert "left</span>" not in status(client, collection)


def test_progress_of_a_collection_without_files_counts_images(client: Client, owner: Any) -> None:
    collection = change(make_collection("", user=owner), num_bytes=0, num_files=0)
    as_running(collection, share=0.5, seconds=30)
    html = status(client, collection)
    assert 'value="50"' in html
    assert "less than a minute left" in html


def test_progress_never_exceeds_the_total(client: Client, owner: Any) -> None:
    collection = as_running(make_collection("", user=owner), share=1.5)
    html = status(client, collection)
    assert 'value="100"' in html
    assert "is being finished" in html
    assert "left</span>" not in html, "the tables may take longer than the images"


def test_place_in_the_queue_is_ordered_by_queued_at(client: Client, owner: Any) -> None:
    now = timezone.now()
    first, second, third = (
        change_build(make_collection("", user=owner), queued_at=now - timedelta(minutes=minutes))
        for minutes in (1, 3, 2)
    )
    others = make_collection("", user=UserFactory())
    assert "Next in the queue" in status(client, second)
    assert "Number 2 in the queue, after 1 other build." in status(client, third)
    assert "Number 3 in the queue, after 2 other builds." in status(client, first)
    change_build(others, queued_at=now - timedelta(hours=1))
    assert "Number 2 in the queue" in status(client, second), "everybody's builds count"


def test_builds_queued_at_the_same_time_have_different_places(client: Client, owner: Any) -> None:
    now = timezone.now()
    one, two = (change_build(make_collection("", user=owner), queued_at=now) for _ in range(2))
    assert "Next in the queue" in status(client, one)
    assert "Number 2 in the queue" in status(client, two)


def test_running_and_finished_builds_are_not_in_the_queue(client: Client, owner: Any) -> None:
    as_running(make_collection("", user=owner))
    as_ready(make_collection("", user=owner))
    as_failed(make_collection("", user=owner))
    assert "Next in the queue" in status(client, make_collection("", user=owner))


def test_progress_of_another_collections_build_is_not_shown(client: Client, owner: Any) -> None:
    as_running(make_collection("", user=UserFactory()), share=0.5)
    assert 'value="0"' in status(client, make_collection("", user=owner))


def test_a_build_whose_lease_has_lapsed_is_in_the_queue_again(client: Client, owner: Any) -> None:
    collection = as_running(make_collection("", user=owner), share=0.75)
    change_build(collection, lease_expires_at=timezone.now() - timedelta(seconds=1))
    progress = describe_progress(collection)
    assert progress is not None
    assert (progress.is_running, progress.place) == (False, 1)
    assert (progress.percent, progress.num_images, progress.num_bytes) == (0, 0, 0)
    page = status(client, collection)
    assert 'value="75"' not in page, "nothing is kept of what the worker had written"
    assert "was interrupted. It will start again" in page
    assert "was interrupted" not in status(client, make_collection("sex=F", user=owner))


def test_only_a_pending_collection_has_progress(client: Client, owner: Any) -> None:
    assert describe_progress(as_ready(make_collection("", user=owner))) is None
    assert "<progress" not in status(client, as_failed(make_collection("", user=owner)))


@pytest.mark.parametrize(
    ("age", "pause"), [(-3600, 1), (0, 1), (59, 1), (61, 2), (299, 2), (301, 5), (86_400, 5)]
)
def test_the_page_of_a_long_build_refreshes_less_often(
    client: Client, owner: Any, age: int, pause: int
) -> None:
    since = timezone.now() - timedelta(seconds=age)
    collection = change_build(make_collection("", user=owner), queued_at=since)
    assert f'hx-trigger="every {pause}s"' in status(client, collection)
    as_running(collection, seconds=age)
    assert refresh_seconds(collection) == pause
    unverified = as_ready(collection, verified_at=None, finished_at=since)
    assert refresh_seconds(unverified) == pause
    assert refresh_seconds(change(unverified, verified_at=since)) == 0
