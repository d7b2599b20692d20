"""Collections in the admin: lists and actions."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from collections_app.models import Collection
from collections_app.tests.factories import UserFactory, make_collection, make_dataset
from collections_app.tests.states import SHA256, as_failed, as_ready, as_running

pytestmark = pytest.mark.django_db

LIST = "/admin/collections_app/collection/"


@pytest.fixture
def operator(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("operator"))
    make_dataset(files=2)
    return client


def act(client: Client, action: str, *collections: Collection) -> str:
    chosen = {"action": action, "_selected_action": [each.pk for each in collections]}
    response = client.post(LIST, chosen, follow=True)
    assert response.status_code == 200
    for each in collections:
        each.refresh_from_db()
    text: str = response.content.decode()
    return text


def column(html: str, name: str) -> list[str]:
    return re.findall(rf'field-{name}">(.*?)</td>', html)


def test_collections_are_found_by_their_fingerprint(operator: Client) -> None:
    as_ready(make_collection("", user=UserFactory()), fingerprint=SHA256)
    as_ready(make_collection("", user=UserFactory()))
    found = operator.get(f"{LIST}?q={SHA256}").content.decode()
    assert column(found, "short_fingerprint") == [SHA256[:12]]


def test_the_list_needs_the_same_queries_for_any_number(operator: Client) -> None:
    counts = []
    for _ in range(2):
        for _ in range(5):
            as_ready(make_collection("", user=UserFactory()))
        with CaptureQueriesContext(connection) as queries:
            assert operator.get(LIST).status_code == 200
        counts.append(len(queries))
        totals = [q["sql"] for q in queries if q["sql"].startswith("SELECT COUNT(")]
        assert not [sql for sql in totals if "fingerprint" in sql], "counting needs no subquery"
    assert counts[0] == counts[1]


def test_cancelling_in_the_admin_names_those_that_cannot_be_cancelled(operator: Client) -> None:
    waiting = make_collection("", title="Waits")
    running = as_running(make_collection("", title="Runs"))
    ready = as_ready(make_collection("", title="Done"))
    html = act(operator, "cancel", waiting, running, ready)
    assert [waiting.status, running.status, ready.status] == ["failed", "failed", "ready"]
    assert "2 cancelled." in html
    assert "Done: " in html


def test_admin_actions_extend_rebuild_and_expire(operator: Client) -> None:
    collection = as_ready(make_collection(""), expires_at=timezone.now() + timedelta(days=1))
    assert "1 extended." in act(operator, "extend", collection)
    assert collection.expires_at
    assert collection.expires_at > timezone.now() + timedelta(days=13)
    assert "1 expired." in act(operator, "expire", collection)
    assert collection.status == "expired"
    assert "1 queued." in act(operator, "rebuild", collection)
    assert collection.status == "pending"
    assert "0 extended." in act(operator, "extend", collection)


@pytest.mark.parametrize(("year", "is_taken"), [("2100", True), ("9999", False)])
def test_an_expiry_is_within_a_hundred_years(operator: Client, year: str, is_taken: bool) -> None:
    collection = as_ready(make_collection(""))
    path = f"/admin/collections_app/collection/{collection.pk}/change/"
    operator.post(path, {"expires_at_0": f"{year}-12-31", "expires_at_1": "23:00:00"})
    collection.refresh_from_db()
    assert collection.expires_at
    assert (str(collection.expires_at.year) == year) is is_taken


def test_admin_actions_respect_the_owners_quota(operator: Client, settings: Any) -> None:
    owner = UserFactory()
    collection = as_failed(make_collection("", user=owner))
    settings.COLLECTION_MAX_PENDING = 0
    html = act(operator, "rebuild", collection)
    assert "0 queued." in html
    assert "queued or running (limit: " in html


def test_staff_with_view_permission_only_have_no_actions(client: Client) -> None:
    make_dataset(files=2)
    reader = User.objects.create_user("reader", is_staff=True)
    reader.user_permissions.add(Permission.objects.get(codename="view_collection"))
    client.force_login(reader)
    collection = as_running(make_collection(""))
    html = client.get(LIST).content.decode()
    assert "Cancel the build" not in html
    act(client, "cancel", collection)
    assert collection.status == "pending"
