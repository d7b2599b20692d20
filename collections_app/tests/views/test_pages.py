"""Pages of collections for their owner, a visitor and another user."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.conf import LazySettings, settings
from django.test import Client
from django.utils import timezone
from playwright.sync_api import Page, expect

from catalog.models import Dataset, Image
from catalog.tests.factories import dataset_folder, make_searchable
from collections_app.builds.build import build_collection
from collections_app.builds.lease import claim_build
from collections_app.builds.verification import verify_archive
from collections_app.models import Build, Collection
from collections_app.storage import archive_file
from collections_app.tests.factories import (
    UserFactory,
    make_collection,
    make_dataset,
    make_ready,
)
from collections_app.tests.states import as_failed, as_ready, as_running, change
from vocab.models import Label, License
from vocab.tests.factories import LicenseFactory

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("hooks_on_commit")]


@pytest.fixture
def owner(client: Client) -> Any:
    user = UserFactory(username="owner")
    client.force_login(user)
    return user


def get(client: Client, path: str, status: int = 200) -> str:
    response = client.get(path)
    assert response.status_code == status, response.content[:2000]
    return response.content.decode()


def status_of(html: str) -> str:
    (status,) = set(re.findall(r'data-status="(\w+)"', html))
    return status


def post_new(client: Client, query: str, **changed: Any) -> Any:
    """Send the form of /collections/new/ as it is on the page."""
    html = client.get(f"/collections/new/?{query}").content.decode()
    fields = dict(re.findall(r'<input[^>]*name="(\w+)"[^>]*value="([^"]*)"', html))
    fields = {name: value.replace("&amp;", "&") for name, value in fields.items()}
    wanted = {name: fields.get(name, "") for name in ("title", "expected_images", "filters")}
    return client.post("/collections/new/", {**wanted, **changed})


def test_the_form_says_how_many_images_have_the_same_bytes(client: Client, owner: Any) -> None:
    one, two = make_dataset("one", files=6), make_dataset("two", files=4)
    same = Image.objects.get(source_id="one-000")
    within = Image.objects.get(source_id="one-001")
    facts = {"sha256": same.sha256, "crc32": same.crc32, "size_bytes": same.size_bytes}
    Image.objects.filter(source_id__in=["one-002", "two-000"]).update(**facts)
    Image.objects.filter(source_id="one-003").update(sha256=within.sha256)
    make_searchable()

    html = " ".join(get(client, "/collections/new/").split())
    assert "5 of these images have the same bytes as another of them (3 with a copy in another" in (
        html
    )
    assert "If you split them into training and test, keep copies together" in html
    html = get(client, f"/collections/new/?dataset={one.slug}")
    assert "4 of these images have the same bytes as another of them. If you split" in html
    for query in (f"dataset={two.slug}", "dataset=one&sex=M&age_max=41"):
        assert "same bytes" not in get(client, f"/collections/new/?{query}")


def test_the_form_shows_what_will_be_frozen(client: Client, owner: Any) -> None:
    make_dataset(files=3, remote=1)
    html = get(client, "/collections/new/?sex=F")
    assert 'data-total="3"' in html
    for fact in ("Rays", "Nodule", "cc by 4.0", "Build collection"):
        assert fact.lower() in html.lower(), fact


def say(html: str) -> str:
    """The words of a page."""
    return " ".join(re.sub(r"<[^>]*>", " ", html).split())


def test_the_form_says_how_many_images_are_under_which_licence(client: Client, owner: Any) -> None:
    make_dataset(files=3)
    License.objects.update(allows_commercial_use=True)
    words = say(get(client, "/collections/new/"))
    assert "Every licence allows commercial use. Cc by 4.0: 3 images. Commercial use" in words

    Image.objects.filter(source_id="rays-000").update(license=LicenseFactory(code="cc-by-nc-4.0"))
    make_searchable()
    words = say(get(client, "/collections/new/"))
    assert "Only 2 of 3 images may be used commercially." in words
    assert "Cc by nc 4.0: 1 image. Commercial use is not allowed." in words
    words = say(get(client, "/collections/new/?license=cc-by-nc-4.0"))
    assert "No image is known to be allowed for commercial use." in words
    assert "Cc by 4.0" not in words

    unknown = LicenseFactory(code="not-stated", is_active=False)
    Image.objects.filter(source_id="rays-000").update(license=unknown)
    make_searchable()
    words = say(get(client, "/collections/new/"))
    assert "Only 2 of 3 images may be used commercially." in words
    assert "Not stated: 1 image. Their licence is not stated" in words


def test_the_form_counts_labels_that_wait_for_review(client: Client, owner: Any) -> None:
    make_dataset(files=1)
    Label.objects.update(is_active=False)
    words = say(get(client, "/collections/new/"))
    assert "1 more label waits for review by a curator." in words
    assert "None of these images has a label" not in words


def test_the_button_creates_the_collection_and_opens_its_page(client: Client, owner: Any) -> None:
    make_dataset()
    response = post_new(client, "sex=F&label=nodule", title="  Nodules   of women ")
    collection = Collection.objects.get()
    assert response.headers["Location"] == f"/collections/{collection.uuid}/"
    assert (collection.user, collection.title) == (owner, "Nodules of women")
    assert collection.slug == "nodules-of-women"
    html = get(client, response.headers["Location"])
    assert status_of(html) == "pending"
    assert "Nodule" in html


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"title": "  "}, "Give the collection a name"),
        ({"title": "x" * 121}, "at most 120"),
        ({"expected_images": "7"}, "The catalog has changed: 3 images match now, not 7"),
        ({"expected_images": "-1"}, "greater than or equal to 0"),
        ({"filters": "sex=nobody"}, "is not a sex"),
    ],
)
def test_an_invalid_form_is_explained_and_creates_nothing(
    client: Client, owner: Any, changed: dict[str, str], message: str
) -> None:
    make_dataset()
    response = post_new(client, "sex=F", **changed)
    assert message in response.content.decode()
    assert not Collection.objects.exists()


def test_a_title_in_any_script_gives_a_folder_name(client: Client, owner: Any) -> None:
    make_dataset()
    post_new(client, "", title="肺炎 / Lunge ../../x")
    assert Collection.objects.get().slug == "lunge-x"
    post_new(client, "", title="肺炎")
    assert Collection.objects.order_by("pk").last().slug == "collection"  # type: ignore[union-attr]


def test_a_title_with_signs_that_nobody_sees_is_refused(client: Client, owner: Any) -> None:
    make_dataset()
    response = post_new(client, "", title="My \u202e secret")
    assert "signs that nobody sees" in response.content.decode()
    assert not Collection.objects.exists()


def test_a_selection_over_the_limit_has_no_button(
    client: Client, owner: Any, settings: LazySettings
) -> None:
    settings.COLLECTION_MAX_IMAGES = 2
    make_dataset()
    html = get(client, "/collections/new/")
    assert "5 images match, and a collection holds at most 2." in html
    assert not re.search(r"<button(?![^>]*disabled)[^>]*>\s*Build collection", html)


def test_a_visitor_sees_the_selection_and_keeps_it_through_sign_up(client: Client) -> None:
    make_dataset()
    html = get(client, "/collections/new/?sex=F")
    (*_, link) = re.findall(r'href="(/accounts/signup/\?next=[^"]*collections[^"]*)"', html)
    response = client.post(
        link.replace("&amp;", "&"),
        {"username": "newcomer", "password1": "a-Long-pass-9", "password2": "a-Long-pass-9"},
    )
    assert response.headers["Location"] == "/collections/new/?sex=F"
    assert post_new(client, "sex=F").status_code == 302
    assert Collection.objects.get().user.username == "newcomer"


def test_a_visitor_who_presses_the_button_is_sent_to_sign_in_and_back(client: Client) -> None:
    make_dataset()
    response = client.post(
        "/collections/new/", {"title": "x", "expected_images": 3, "filters": "sex=F"}
    )
    assert response.headers["Location"] == "/accounts/login/?next=/collections/new/%3Fsex%3DF"


def test_the_list_shows_only_ones_own_collections(client: Client, owner: Any) -> None:
    make_dataset()
    make_collection("sex=F", user=owner, title="Mine")
    make_collection("sex=M", title="Not mine")
    html = get(client, "/collections/")
    assert "Mine" in html
    assert "Not mine" not in html
    assert 'data-total="1"' in html


def test_an_empty_list_explains_how_to_begin(client: Client, owner: Any) -> None:
    assert "/images/" in get(client, "/collections/")


def test_a_ready_page_offers_the_download_and_says_what_is_in_it(
    client: Client, owner: Any
) -> None:
    make_dataset()
    collection = make_ready("label=nodule", user=owner)
    html = get(client, f"/collections/{collection.uuid}/")
    assert status_of(html) == "ready"
    assert f"/collections/{collection.uuid}/download/" in html
    assert collection.fingerprint in html
    assert "being computed while every file is verified" in html
    assert 'hx-trigger="every 1s"' in html
    verify_archive(collection_id=collection.pk)
    collection.refresh_from_db()
    html = get(client, f"/collections/{collection.uuid}/")
    assert collection.archive_sha256 in html
    assert ">verified</span>" in html
    assert "being computed" not in html
    assert 'hx-trigger="every' not in html


def test_a_pending_page_refreshes_itself_and_shows_progress(client: Client, owner: Any) -> None:
    make_dataset()
    collection = make_collection("", user=owner)
    claim_build(collection_id=collection.pk)
    Build.objects.update(progress_bytes=collection.num_bytes // 2)
    html = get(client, f"/collections/{collection.uuid}/status/")
    assert status_of(html) == "pending"
    assert "data-progress" in html
    assert 'value="50"' in html
    assert f"/collections/{collection.uuid}/status/" in html


def test_a_failed_page_names_the_files_and_offers_retry_and_build_without(
    client: Client, owner: Any
) -> None:
    make_dataset(files=3)
    collection = make_collection("", user=owner)
    (dataset_folder(Dataset.objects.get()) / "deep/001.png").unlink()
    build_collection(collection_id=collection.pk)
    path = f"/collections/{collection.uuid}/"
    html = get(client, path)
    assert status_of(html) == "failed"
    assert "rays-001" in html
    assert "the file is missing" in html
    assert f"{path}retry/" in html
    assert f"{path}build-without/" in html
    assert "will have 2 of 3 images" in get(client, f"{path}build-without/")
    client.post(f"{path}build-without/", {"expected": "1"})
    build_collection(collection_id=collection.pk)
    html = get(client, path)
    assert status_of(html) == "ready"
    assert "missing.csv" in html
    assert "1 image is excluded" in html
    assert "rays-001" in get(client, f"{path}excluded/")


def test_an_expired_collection_can_be_built_again(client: Client, owner: Any) -> None:
    make_dataset()
    collection = make_ready(user=owner)
    Collection.objects.update(status="expired", archive_path="", archive_size=None)
    path = f"/collections/{collection.uuid}/"
    assert status_of(get(client, path)) == "expired"
    client.post(f"{path}retry/")
    assert status_of(get(client, path)) == "pending"


def test_deleting_asks_first_and_deletes_everything(client: Client, owner: Any) -> None:
    make_dataset()
    collection = make_ready(user=owner)
    path = f"/collections/{collection.uuid}/delete/"
    assert "<form" in get(client, path)
    assert Collection.objects.exists()
    assert client.post(path).headers["Location"] == "/collections/"
    assert not Collection.objects.exists()
    assert not archive_file(collection.archive_path).exists()
    assert Image.objects.count() == 5


def test_many_items_are_paged(client: Client, owner: Any) -> None:
    make_dataset(files=50)
    collection = make_collection("", user=owner)
    assert "rays-049" not in get(client, f"/collections/{collection.uuid}/")
    assert "rays-049" in get(client, f"/collections/{collection.uuid}/?page=2")


def test_a_collection_still_shows_datasets_that_were_hidden_since(
    client: Client, owner: Any
) -> None:
    make_dataset()
    collection = make_ready(user=owner)
    Dataset.objects.update(is_active=False)
    html = get(client, f"/collections/{collection.uuid}/")
    assert "rays-000" in html
    assert 'href="/datasets/rays/"' not in html, "that page is gone"
    image = Image.objects.get(source_id="rays-000")
    assert "no longer shows" in get(client, f"/images/{image.pk}/")
    assert client.get(f"/images/{image.pk}/file/").status_code == 200
    stranger = Client()
    stranger.force_login(UserFactory(username="stranger"))
    assert stranger.get(f"/images/{image.pk}/").status_code == 404
    assert client.get(f"/collections/{collection.uuid}/download/").status_code == 200


# --- Download links and outdated pages ---


def test_download_links_show_the_page_of_a_refusal(client: Client, owner: Any) -> None:
    """A browser shows a refusal, or the sign-in page, only for a link without ``download``."""
    make_dataset()
    is_ready = as_ready(make_collection("", user=owner))
    failed = as_failed(make_collection("", user=owner), num_bad=2)
    failed.items.filter(position=1).update(is_excluded=True)
    change(failed, provenance={**failed.provenance, "excluded": 1})
    pages = [
        is_ready.get_absolute_url(),
        *(f"{failed.get_absolute_url()}{tail}" for tail in ("", "problems/", "excluded/")),
        f"{failed.get_absolute_url()}build-without/",
    ]
    links = [link for path in pages for link in FILE_LINK.findall(get(client, path))]
    assert len(links) == 6
    assert not [link for link in links if re.search(r"\sdownload\b", link)]


FILE_LINK = re.compile(r'<a [^>]*href="[^"]*(?:\.csv|/download/)"[^>]*>')


@pytest.mark.parametrize("tail", ["retry/", "rebuild/", "extend/"])
def test_after_signing_in_again_the_user_returns_to_the_page_with_the_button(
    client: Client, owner: Any, tail: str
) -> None:
    make_dataset()
    collection = as_failed(make_collection("", user=owner))
    path = collection.get_absolute_url()
    visitor = Client()
    response = visitor.post(f"{path}{tail}")
    assert response.headers["Location"] == f"/accounts/login/?next={path}"
    owner.set_password("a-Long-pass-9")
    owner.save()
    response = visitor.post(
        response.headers["Location"],
        {"username": "owner", "password": "a-Long-pass-9"},
        follow=True,
    )
    assert response.redirect_chain == [(path, 302)]
    assert status_of(response.content.decode()) == "failed", "nothing is done behind their back"


@pytest.mark.browser
def test_the_message_of_a_queued_build_disappears_when_it_ends(
    page: Page, live_server: Any, client: Client, owner: Any
) -> None:
    make_dataset()
    collection = as_failed(make_collection("", user=owner))
    other = make_collection("", user=owner, title="Another")
    client.get(other.get_absolute_url())
    cookie = client.cookies[settings.SESSION_COOKIE_NAME].value
    page.context.add_cookies(
        [{"name": settings.SESSION_COOKIE_NAME, "value": cookie, "url": live_server.url}]
    )
    page.goto(f"{live_server.url}{collection.get_absolute_url()}")
    as_ready(other)
    page.get_by_role("button", name="Try again").click()
    messages = page.locator("#messages")
    expect(messages).to_contain_text("The archive is being built again.")
    as_running(collection)
    expect(page.locator("#status")).to_contain_text("is being written", timeout=10_000)
    expect(messages).to_contain_text("The archive is being built again.")
    as_failed(collection)
    expect(page.locator('[data-status="failed"]')).to_be_visible(timeout=10_000)
    expect(messages).not_to_contain_text("The archive is being built again.")
    expect(messages).to_contain_text("“Another” is ready.")


# --- The basket ---


def test_the_basket_is_kept_over_pages_and_sign_in(client: Client) -> None:
    make_dataset()
    one, two, three, *_ = Image.objects.order_by("pk").values_list("pk", flat=True)
    client.post(
        "/collections/basket/", {"shown": [one, two], "image": [one, two], "next": "/images/"}
    )
    client.post("/collections/basket/", {"shown": [three], "image": [three], "next": "/images/"})
    client.post("/collections/basket/", {"shown": [one, two], "image": [two], "next": "/images/"})
    client.force_login(UserFactory(username="owner"))
    html = get(client, "/images/")
    assert f"image={two},{three}" in html.replace("%2C", ",")
    response = post_new(client, f"image={two},{three}")
    collection = Collection.objects.get()
    assert response.headers["Location"] == f"/collections/{collection.uuid}/"
    assert sorted(collection.items.values_list("image", flat=True)) == [two, three]
    assert f"image={two}" not in get(client, "/images/"), "what was built is no longer picked"


def test_a_full_basket_refuses_more_and_keeps_its_images(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("collections_app.selection.basket.MAX_PICKED_IMAGES", 2)
    make_dataset()
    ids = list(Image.objects.order_by("pk").values_list("pk", flat=True))
    client.post("/collections/basket/", {"shown": ids[:2], "image": ids[:2]})
    response = client.post("/collections/basket/", {"shown": ids, "image": ids}, follow=True)
    assert "At most 2 images can be picked" in response.content.decode()
    assert f"image={ids[0]},{ids[1]}" in get(client, "/images/").replace("%2C", ",")


def test_unknown_and_malformed_ids_are_not_added_to_the_basket(client: Client) -> None:
    make_dataset(files=1)
    client.post("/collections/basket/", {"image": ["999999", "-1", "x", "²", "1" * 30]})
    assert "picked" not in get(client, "/images/")


def test_the_basket_redirects_only_to_pages_of_this_site(client: Client) -> None:
    response = client.post("/collections/basket/", {"next": "https://evil.example/"})
    assert response.headers["Location"] == "/images/"
    for odd in ("foo", "1", "%00"):
        assert client.post("/collections/basket/", {"next": odd}).status_code == 302


def test_an_archive_past_its_expiry_cannot_be_downloaded(client: Client, owner: Any) -> None:
    make_dataset()
    collection = make_ready(user=owner)
    Collection.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    html = get(client, f"/collections/{collection.uuid}/download/", status=409)
    assert "has expired" in html
