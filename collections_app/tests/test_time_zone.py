"""Days and times are those of the site: here one whose day begins half a day before that of UTC."""

from datetime import UTC, datetime
from typing import Any

import pytest
from django.conf import LazySettings
from django.test import Client

from catalog.models import Dataset, Image
from collections_app.models import Build, Collection
from collections_app.notices.mail import _write_mail
from collections_app.selection.quotas import explain_quota
from collections_app.tests.factories import UserFactory, make_collection, make_dataset
from collections_app.tests.states import as_ready, change

pytestmark = pytest.mark.django_db

# In Auckland it is 1 January 2035, 09:30 (NZDT).
NEW_YEAR = datetime(2034, 12, 31, 20, 30, tzinfo=UTC)


@pytest.fixture
def ready(client: Client, settings: LazySettings) -> Collection:
    settings.TIME_ZONE = "Pacific/Auckland"
    owner = UserFactory(username="owner", email="a@example.org", is_staff=True, is_superuser=True)
    client.force_login(owner)
    make_dataset(files=2)
    Dataset.objects.update(created_at=NEW_YEAR, updated_at=NEW_YEAR)
    collection = as_ready(make_collection("", user=owner), expires_at=NEW_YEAR)
    Build.objects.update(queued_at=NEW_YEAR)
    return change(collection, created_at=NEW_YEAR)


def read(client: Client, path: str) -> str:
    html = client.get(path).content.decode()
    assert "2034" not in html, "a day of UTC"
    return html


def test_pages_show_days_of_the_site(client: Client, ready: Collection) -> None:
    html = read(client, f"/collections/{ready.uuid}/")
    assert "Frozen on 1 January 2035, 09:30 NZDT" in html
    assert "1 January 2035, 09:30 NZDT</dd>" in html.replace(' <span class="muted">', "</dd>")
    assert html.count("1 January 2035") == 2
    listed = read(client, "/collections/")
    assert listed.count("1 Jan 2035, 09:30") == 2
    assert "Kept until (Pacific/Auckland)" in listed
    assert read(client, "/datasets/rays/").count("1 January 2035") == 2


def test_an_image_that_was_removed_shows_the_day_of_the_site(
    client: Client, ready: Collection
) -> None:
    image = Image.objects.earliest("pk")
    Image.objects.filter(pk=image.pk).update(removed_at=NEW_YEAR, profile=None)
    assert "Since 1 January 2035" in read(client, f"/images/{image.pk}/")


def test_the_advice_for_a_full_quota_names_the_day_of_the_site(
    ready: Collection, settings: LazySettings
) -> None:
    settings.COLLECTION_MAX_KEPT_BYTES = 11
    (sentence,) = explain_quota(user=ready.user, num_bytes=5)
    assert sentence.endswith("the next archive expires on 1 January 2035.")


def test_mails_and_the_admin_name_the_time_of_the_site(client: Client, ready: Collection) -> None:
    assert "Kept until 1 January 2035, 09:30 NZDT" in _write_mail(ready).body
    assert str(ready.builds.get()).endswith("queued 2035-01-01 09:30")
    html = read(client, f"/admin/collections_app/collection/{ready.pk}/change/")
    assert 'value="2035-01-01"' in html
    listed: Any = client.get("/admin/collections_app/collection/?created_at__year=2035")
    assert ready.title in listed.content.decode()
    assert listed.context["cl"].result_count == 1
