"""Notices of ready and failed collections on the owner's next page, each once."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from collections_app import services
from collections_app.models import Collection
from collections_app.notices.page import SINCE_KEY
from collections_app.tests.factories import UserFactory, make_collection, make_dataset
from collections_app.tests.states import as_failed, as_ready

pytestmark = pytest.mark.django_db


@pytest.fixture
def owner(client: Client) -> Any:
    user = UserFactory(username="owner")
    client.force_login(user)
    make_dataset(files=2)
    return user


def build(client: Client, title: str = "My rays") -> Collection:
    """Create a collection through the form, as its owner does."""
    data = {"title": title, "expected_images": 2, "filters": ""}
    assert client.post("/collections/new/", data).status_code == 302
    return Collection.objects.latest("pk")


def notices_on(client: Client, path: str = "/datasets/") -> list[str]:
    """The notices on the page at ``path``."""
    html = client.get(path).content.decode()
    block = html.split('id="messages"')[1].split("</div>")[0]
    texts = re.findall(r'<p class="notice[^>]*>(.*?)</p>', block, re.DOTALL)
    return [re.sub(r"<[^>]*>", "", text) for text in texts]


def test_a_ready_collection_is_notified_once_on_the_next_page(client: Client, owner: Any) -> None:
    collection = build(client)
    assert notices_on(client) == []
    as_ready(collection)
    html = client.get("/datasets/").content.decode()
    assert "“My rays” is ready." in html
    assert f'href="/collections/{collection.uuid}/"' in html
    assert notices_on(client) == []


def test_a_failed_collection_is_notified_with_a_link(client: Client, owner: Any) -> None:
    as_failed(build(client, title="<b>Bones</b>"))
    (text,) = notices_on(client)
    assert text == "“&lt;b&gt;Bones&lt;/b&gt;” could not be built. See why, and what you can do"


def test_several_notices_are_shown_together(client: Client, owner: Any) -> None:
    made = [build(client, title=f"Number {number}") for number in range(5)]
    now = timezone.now()
    for number, collection in enumerate(made):
        as_ready(collection, finished_at=now + timedelta(seconds=number))
    *shown, more = notices_on(client)
    assert [text[:10] for text in shown] == ["“Number 4”", "“Number 3”", "“Number 2”"]
    assert more == "And 2 more: My collections"
    assert notices_on(client) == []


def test_a_build_that_the_owner_watched_gives_no_notice(client: Client, owner: Any) -> None:
    watched, early, late = (build(client, title=title) for title in ("Watched", "Early", "Late"))
    now = timezone.now()
    as_ready(early, finished_at=now)
    as_ready(watched, finished_at=now + timedelta(seconds=1))
    as_ready(late, finished_at=now + timedelta(seconds=2))
    client.get(f"/collections/{watched.uuid}/status/", headers={"HX-Request": "true"})
    shown = notices_on(client)
    assert [text.split("”")[0] for text in shown] == ["“Late", "“Early"]


def test_the_collections_own_page_shows_no_notice_of_itself(client: Client, owner: Any) -> None:
    collection = as_ready(build(client))
    assert notices_on(client, f"/collections/{collection.uuid}/") == []
    assert notices_on(client) == []


def test_a_page_fragment_shows_and_uses_up_no_notice(client: Client, owner: Any) -> None:
    one, two = build(client), build(client)
    as_ready(one)
    part = client.get(f"/collections/{two.uuid}/status/")
    assert "is ready." not in part.content.decode()
    assert len(notices_on(client)) == 1


def test_a_rebuild_gives_a_new_notice(client: Client, owner: Any) -> None:
    collection = as_failed(build(client))
    assert len(notices_on(client)) == 1
    client.post(f"/collections/{collection.uuid}/retry/")
    assert notices_on(client) == ["The archive is being built again."]
    as_ready(collection, error_message="")
    (text,) = notices_on(client)
    assert "is ready" in text


@pytest.mark.parametrize("tail", ["retry/", "rebuild/", "build-without/"])
def test_every_action_that_builds_expects_notices(client: Client, owner: Any, tail: str) -> None:
    collection = as_failed(make_collection("", user=owner), num_bad=1)
    client.post(f"/collections/{collection.uuid}/{tail}", {"expected": "1"}, follow=True)
    as_ready(collection, error_message="")
    assert len(notices_on(client)) == 1


def test_a_build_cancelled_by_its_owner_gives_no_notice(client: Client, owner: Any) -> None:
    collection = build(client)
    client.post(f"/collections/{collection.uuid}/cancel/", follow=True)
    assert notices_on(client) == []
    assert Collection.objects.get().error_message == services.CANCELLED


def test_a_build_cancelled_by_the_operator_gives_a_notice(client: Client, owner: Any) -> None:
    collection = build(client)
    services.cancel_build(collection=collection, by_owner=False)
    (text,) = notices_on(client)
    assert "“My rays” could not be built." in text


def test_a_failed_verification_gives_a_notice_after_ready(client: Client, owner: Any) -> None:
    collection = as_ready(build(client), verified_at=None)
    assert len(notices_on(client)) == 1
    as_failed(
        collection, archive_path="", archive_size=None, archive_sha256="", verified_at=None,
        finished_at=timezone.now() + timedelta(seconds=1),
    )  # fmt: skip
    (text,) = notices_on(client)
    assert "could not be built" in text


UNSEEN: dict[str, tuple[str, str, dict[str, str]]] = {
    "an icon that is not there": ("GET", "/favicon.ico", {}),
    "an icon, as browsers ask": ("GET", "/apple-touch-icon.png", {"Sec-Fetch-Dest": "image"}),
    "a page behind an image": ("GET", "/datasets/", {"Sec-Fetch-Dest": "image"}),
    "a script": ("GET", "/datasets/", {"Sec-Fetch-Dest": "empty"}),
    "a page fetched in advance": ("GET", "/datasets/", {"Sec-Purpose": "prefetch;prerender"}),
    "the head of a page": ("HEAD", "/datasets/", {}),
    "the head of nothing": ("HEAD", "/nothing-here/", {}),
    "an address that is mistyped": ("GET", "/collections/nothing-here/", {}),
}


@pytest.mark.parametrize("name", UNSEEN)
def test_requests_that_nobody_sees_use_up_no_notice(client: Client, owner: Any, name: str) -> None:
    method, path, headers = UNSEEN[name]
    as_ready(build(client))
    response = client.generic(method, path, headers=headers)
    assert response.status_code in {200, 404}
    assert "is ready." not in response.content.decode()
    assert len(notices_on(client)) == 1


def test_a_refused_download_uses_up_no_notice(client: Client, owner: Any) -> None:
    one, two = build(client), build(client)
    as_ready(one)
    response = client.get(f"/collections/{two.uuid}/download/")
    assert response.status_code == 409
    assert "is ready." not in response.content.decode()
    assert len(notices_on(client)) == 1


def test_a_refused_form_uses_up_no_notice(owner: Any) -> None:
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(owner)
    collection = make_collection("", user=owner)
    browser.get(collection.get_absolute_url())
    as_ready(collection)
    assert browser.post("/datasets/").status_code in {403, 405}
    assert browser.post(f"{collection.get_absolute_url()}retry/").status_code == 403
    assert len(notices_on(browser)) == 1


def test_a_navigation_request_shows_notices(client: Client, owner: Any) -> None:
    as_ready(build(client))
    html = client.get("/datasets/", headers={"Sec-Fetch-Dest": "document"}).content.decode()
    assert "“My rays” is ready." in html


@pytest.mark.parametrize("end", [as_ready, as_failed])
def test_another_session_that_opened_the_pending_page_gets_the_notice_too(
    client: Client, owner: Any, end: Any
) -> None:
    collection = build(client)
    telephone, tablet = Client(), Client()
    for other in (telephone, tablet):
        other.force_login(owner)
    html = telephone.get(collection.get_absolute_url()).content.decode()
    assert "the next page you open here will show a notice" in html
    telephone.get(collection.get_absolute_url())
    end(collection)
    assert len(notices_on(telephone)) == 1
    assert notices_on(telephone) == []
    assert len(notices_on(client)) == 1, "each session has its own notices"
    assert notices_on(tablet) == [], "nothing was promised there"


def test_opening_a_finished_collection_expects_no_notice(client: Client, owner: Any) -> None:
    collection = as_ready(make_collection("", user=owner))
    client.get(collection.get_absolute_url())
    assert SINCE_KEY not in client.session


def test_notices_are_for_the_owner_only(client: Client, owner: Any) -> None:
    build(client)
    as_ready(make_collection("", user=UserFactory(), title="Secret"))
    assert notices_on(client) == []


def test_builds_that_ended_before_give_no_notice(client: Client, owner: Any) -> None:
    as_ready(make_collection("", user=owner, title="Old"))
    build(client)
    assert notices_on(client) == []


def questions(client: Client) -> list[str]:
    with CaptureQueriesContext(connection) as queries:
        assert client.get("/datasets/").status_code == 200
    return [q["sql"] for q in queries if "collections_app_collection" in q["sql"]]


def test_without_expected_notices_no_page_needs_a_query(client: Client, owner: Any) -> None:
    assert questions(Client()) == []
    assert questions(client) == []
    collection = build(client)
    assert len(questions(client)) == 1
    as_ready(collection)
    assert len(questions(client)) == 1
    assert questions(client) == [], "nothing is to come any more"


def test_signing_out_ends_notices(client: Client, owner: Any) -> None:
    collection = build(client)
    client.post("/accounts/logout/")
    as_ready(collection)
    assert notices_on(client) == []
