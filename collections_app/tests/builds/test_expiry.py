"""Expiry of archives: shown, warned of, extended, and archives removed early."""

from datetime import timedelta
from typing import Any

import pytest
from django.conf import LazySettings
from django.test import Client
from django.utils import timezone

from collections_app.builds.expiry import describe_expiry
from collections_app.models import Collection
from collections_app.tests.factories import UserFactory, make_collection, make_dataset
from collections_app.tests.states import as_ready

pytestmark = pytest.mark.django_db


@pytest.fixture
def owner(client: Client) -> Any:
    user = UserFactory(username="owner")
    client.force_login(user)
    make_dataset(files=1)
    return user


def ready_for(owner: Any, **left: float) -> Collection:
    return as_ready(
        make_collection("", user=owner), expires_at=timezone.now() + timedelta(seconds=5, **left)
    )


def page(client: Client, collection: Collection) -> str:
    return client.get(f"/collections/{collection.uuid}/").content.decode()


def test_the_page_shows_expiry_date_time_zone_and_time_left(client: Client, owner: Any) -> None:
    collection = ready_for(owner, days=14)
    assert collection.expires_at
    html = page(client, collection)
    assert f"{collection.expires_at:%-d %B %Y, %H:%M} UTC" in html
    assert "(in 14 days)" in html
    assert "will be removed" not in html
    assert "Keep for" not in html, "it could not be kept for longer than it is"


def test_expiry_is_shown_in_the_time_zone_of_the_site(
    client: Client, owner: Any, settings: LazySettings
) -> None:
    collection = ready_for(owner, days=14)
    settings.TIME_ZONE = "Asia/Tokyo"
    assert " JST " in page(client, collection)


def test_page_and_list_warn_three_days_before_expiry(client: Client, owner: Any) -> None:
    soon = ready_for(owner, hours=40)
    assert "will be removed in 2 days" in page(client, soon)
    assert "in 2 days</span>" in client.get("/collections/").content.decode()
    later = ready_for(owner, days=4)
    assert "will be removed" not in page(client, later)


def test_the_owner_can_extend_an_archive(client: Client, owner: Any) -> None:
    collection = ready_for(owner, days=2)
    assert "Keep for 14 days from now" in page(client, collection)
    response = client.post(f"/collections/{collection.uuid}/extend/", follow=True)
    html = response.content.decode()
    assert "is kept for longer" in html
    assert "(in 14 days)" in html
    collection.refresh_from_db()
    assert collection.expires_at
    left = collection.expires_at - timezone.now()
    assert timedelta(days=13.9) < left <= timedelta(days=14)


def test_the_owner_can_remove_the_archive_after_confirming(client: Client, owner: Any) -> None:
    collection = ready_for(owner, days=2)
    path = f"/collections/{collection.uuid}/expire/"
    html = client.get(path).content.decode()
    assert "gives the same bytes" in html
    collection.refresh_from_db()
    assert collection.status == "ready", "a question changes nothing"
    html = client.post(path, follow=True).content.decode()
    assert "The archive is removed. The collection stays." in html
    assert 'data-status="expired"' in html
    assert "Rebuild the archive" in html


def test_an_archive_past_its_expiry_can_only_be_extended(client: Client, owner: Any) -> None:
    collection = ready_for(owner, minutes=-1)
    html = page(client, collection)
    assert 'id="download"' not in html
    assert "will be removed in a moment" in html
    assert "Keep for 14 days from now" in html
    assert ">over</span>" in client.get("/collections/").content.decode()
    client.post(f"/collections/{collection.uuid}/extend/")
    assert 'id="download"' in page(client, collection)


def test_extending_never_shortens_the_time(client: Client, owner: Any) -> None:
    assert "Keep for" not in page(client, ready_for(owner, days=100))


def test_a_short_lifetime_does_not_warn_at_once(owner: Any, settings: LazySettings) -> None:
    settings.COLLECTION_LIFETIME_DAYS = 1 / 24
    fresh = describe_expiry(ready_for(owner, minutes=59))
    assert fresh
    assert (fresh.lifetime, fresh.is_soon) == ("60 minutes", False)
    late = describe_expiry(ready_for(owner, minutes=20))
    assert late
    assert late.is_soon
