"""Actions of an owner: confirmed first, refused in other states, not for other users."""

from typing import Any

import pytest
from django.conf import LazySettings
from django.test import Client

from collections_app import services
from collections_app.models import Collection
from collections_app.tests.factories import UserFactory, make_collection, make_dataset
from collections_app.tests.states import as_expired, as_failed, as_ready, as_running

pytestmark = pytest.mark.django_db

POST_ONLY = ("retry/", "rebuild/", "extend/")
ASK_FIRST = ("build-without/", "cancel/", "expire/", "delete/")
READ_ONLY = (
    "", "status/", "download/", "problems/", "problems.csv", "excluded/", "excluded.csv",
)  # fmt: skip
STATES: dict[str, Any] = {
    "pending": lambda collection: collection,
    "running": as_running,
    "ready": as_ready,
    "failed": lambda collection: as_failed(collection, num_bad=2),
    "cancelled": lambda collection: as_failed(collection, error_message=services.CANCELLED),
    "expired": as_expired,
}


@pytest.fixture
def owner(client: Client) -> Any:
    user = UserFactory(username="owner")
    client.force_login(user)
    make_dataset(files=4)
    return user


def read(response: Any, status: int = 200) -> str:
    assert response.status_code == status
    text: str = response.content.decode()
    return text


def snapshot(collection: Collection) -> dict[str, Any]:
    return dict(Collection.objects.values().get(pk=collection.pk))


# --- Permissions and methods ---
@pytest.mark.parametrize("action", ["retry", "rebuild", "build-without"])
def test_a_collection_that_another_tab_deletes_meanwhile_is_not_found(
    client: Client, owner: Any, action: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection = STATES["failed"](make_collection("", user=owner))

    def delete_in_another_tab(session: Any) -> None:
        services.delete_collection(collection=collection)

    monkeypatch.setattr("collections_app.views.actions.expect_notices", delete_in_another_tab)
    path = f"/collections/{collection.uuid}/{action}/"
    assert client.post(path, {"expected": "2"}).status_code == 404


@pytest.mark.parametrize("state", ["running", "ready", "failed"])
def test_another_users_collection_gives_404(client: Client, owner: Any, state: str) -> None:
    collection = STATES[state](make_collection("", user=UserFactory(username="somebody-else")))
    staff, visitor = Client(), Client()
    staff.force_login(UserFactory(username="staff", is_staff=True, is_superuser=True))
    before = snapshot(collection)
    for tail in (*READ_ONLY, *ASK_FIRST, *POST_ONLY):
        path = f"/collections/{collection.uuid}/{tail}"
        assert client.get(path).status_code == (405 if tail in POST_ONLY else 404), tail
        assert client.post(path).status_code == (405 if tail in READ_ONLY else 404), tail
        assert staff.post(path).status_code in {404, 405}, f"staff have the admin for {tail}"
        for response in (visitor.get(path), visitor.post(path)):
            is_sent = response.headers.get("Location", "").startswith("/accounts/login/")
            assert is_sent or response.status_code == 405, tail
        assert snapshot(collection) == before, tail


@pytest.mark.parametrize("tail", POST_ONLY)
def test_actions_without_a_question_refuse_get(client: Client, owner: Any, tail: str) -> None:
    collection = make_collection("", user=owner)
    assert client.get(f"/collections/{collection.uuid}/{tail}").status_code == 405


@pytest.mark.parametrize("tail", [*ASK_FIRST, *POST_ONLY])
def test_forms_of_another_site_are_refused(owner: Any, tail: str) -> None:
    collection = as_ready(make_collection("", user=owner))
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(owner)
    before = snapshot(collection)
    assert browser.post(f"/collections/{collection.uuid}/{tail}").status_code == 403
    assert snapshot(collection) == before


@pytest.mark.parametrize("state", STATES)
def test_a_confirmation_page_changes_nothing(client: Client, owner: Any, state: str) -> None:
    collection = STATES[state](make_collection("", user=owner))
    before = snapshot(collection)
    for tail in ASK_FIRST:
        client.get(f"/collections/{collection.uuid}/{tail}")
        client.head(f"/collections/{collection.uuid}/{tail}")
        assert snapshot(collection) == before, tail


@pytest.mark.parametrize(
    ("tail", "states"),
    [
        ("retry/", "pending running ready"),
        ("rebuild/", "pending running"),
        ("extend/", "pending running failed expired cancelled"),
        ("expire/", "pending running failed expired cancelled"),
        ("cancel/", "ready failed expired cancelled"),
        ("build-without/", "pending running ready expired cancelled"),
    ],
)
def test_an_action_that_the_state_no_longer_allows_says_so(
    client: Client, owner: Any, tail: str, states: str
) -> None:
    for state in states.split():
        collection = STATES[state](make_collection("", user=owner))
        before = snapshot(collection)
        response = client.post(f"/collections/{collection.uuid}/{tail}", follow=True)
        assert "notice-error" in read(response), state
        assert snapshot(collection) == before, state
        if tail in ASK_FIRST:
            response = client.get(f"/collections/{collection.uuid}/{tail}", follow=True)
            assert "notice-error" in read(response), state
        collection.delete()


def test_a_collection_deleted_in_another_tab_gives_404(client: Client, owner: Any) -> None:
    collection = make_collection("", user=owner)
    services.delete_collection(collection=collection)
    for tail in (*ASK_FIRST, *POST_ONLY):
        assert client.post(f"/collections/{collection.uuid}/{tail}").status_code == 404


# --- Cancel ---
def test_a_build_is_cancelled_after_confirming_and_can_be_built_later(
    client: Client, owner: Any
) -> None:
    collection = as_running(make_collection("", user=owner), share=0.5, seconds=600)
    path = f"/collections/{collection.uuid}/"
    assert f"{path}cancel/" in read(client.get(path))
    question = read(client.get(f"{path}cancel/"))
    assert "50 % done, with 10 minutes left" in question
    assert "The collection is kept. You can build it later" in question
    html = read(client.post(f"{path}cancel/", follow=True))
    assert "The build is cancelled." in html
    assert "You cancelled this build." in html
    assert "Build it" in html
    assert "Try again" not in html
    assert "could not" not in html
    assert "Cancelled" in read(client.get("/collections/"))
    html = read(client.post(f"{path}retry/", follow=True))
    assert 'data-status="pending"' in html


def test_a_queued_build_can_be_cancelled(client: Client, owner: Any) -> None:
    collection = make_collection("", user=owner)
    path = f"/collections/{collection.uuid}/cancel/"
    assert "will lose its place in the queue" in read(client.get(path))
    client.post(path)
    collection.refresh_from_db()
    assert (collection.status, collection.error_message) == ("failed", services.CANCELLED)


# --- Build without ---
def test_excluding_files_explains_itself_first(client: Client, owner: Any) -> None:
    collection = as_failed(make_collection("", user=owner), num_bad=1)
    path = f"/collections/{collection.uuid}/build-without/"
    assert path in read(client.get(collection.get_absolute_url()))
    question = read(client.get(path))
    for fact in (
        "will have 3 of 4 images",
        "missing.csv",
        "part of the fingerprint",
        "cannot be undone",
    ):
        assert fact in question, fact
    client.post(path, {"expected": "1"})
    collection.refresh_from_db()
    assert (collection.status, collection.num_images, collection.num_excluded) == ("pending", 3, 1)


@pytest.mark.parametrize(
    "sent", [{}, {"expected": "1"}, {"expected": "x"}, {"expected": "2", "build": "0"}]
)
def test_only_the_files_that_were_shown_are_excluded(
    client: Client, owner: Any, sent: dict[str, str]
) -> None:
    collection = as_failed(make_collection("", user=owner), num_bad=2)
    response = client.post(f"/collections/{collection.uuid}/build-without/", sent, follow=True)
    assert "The list has changed: 2 files have a problem now." in read(response)
    collection.refresh_from_db()
    assert (collection.status, collection.num_excluded) == ("failed", 0)


def test_what_a_worker_found_after_its_build_was_cancelled_is_not_excluded_unseen(
    client: Client, owner: Any
) -> None:
    collection = as_failed(make_collection("", user=owner), num_bad=1)
    collection.items.filter(position=2).update(problem="the file is missing")
    path = f"/collections/{collection.uuid}/build-without/"
    sent = {"expected": "1"}
    assert "2 files have a problem now" in read(client.post(path, sent, follow=True))
    collection.refresh_from_db()
    assert (collection.status, collection.num_excluded) == ("failed", 0)
    assert "Build without these 2" in read(client.get(collection.get_absolute_url()))


def test_an_archive_without_any_image_is_not_built(client: Client, owner: Any) -> None:
    collection = as_failed(make_collection("", user=owner), num_bad=4)
    path = f"/collections/{collection.uuid}/build-without/"
    question = read(client.get(path))
    assert "no image would be left" in question
    assert "<button class" not in question.split("<main")[1].split("</main")[0]
    assert "No image would be left" in read(client.post(path, {"expected": "4"}, follow=True))
    collection.refresh_from_db()
    assert collection.status == "failed"


# --- Delete ---
@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("running", "It is being built, 50 % done"),
        ("pending", "It is being built:"),
        ("ready", "Its archive is ready and would be kept for another 14 days"),
        ("failed", "the same archive cannot be built again"),
        ("expired", "the same archive cannot be built again"),
    ],
)
def test_deleting_says_what_is_lost(client: Client, owner: Any, state: str, words: str) -> None:
    collection = STATES[state](make_collection("", user=owner))
    path = f"/collections/{collection.uuid}/delete/"
    assert words in read(client.get(path))
    assert "is deleted" in read(client.post(path, follow=True))
    assert not Collection.objects.exists()


# --- Quotas ---
@pytest.mark.parametrize(
    ("tail", "state"),
    [("retry/", "failed"), ("rebuild/", "expired"), ("build-without/", "failed")],
)
def test_every_action_that_builds_reports_a_used_up_quota(
    client: Client, owner: Any, settings: LazySettings, tail: str, state: str
) -> None:
    collection = STATES[state](make_collection("", user=owner))
    make_collection("", user=owner)
    settings.COLLECTION_MAX_PENDING = 1
    before = snapshot(collection)
    response = client.post(f"/collections/{collection.uuid}/{tail}", {"expected": "2"}, follow=True)
    assert "Wait until one is ready, or cancel one." in read(response)
    assert snapshot(collection) == before
