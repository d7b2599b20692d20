"""Tests in a browser: pages that update themselves and fit a phone's screen."""

from typing import Any

import pytest
from django.conf import LazySettings, settings
from django.test import Client
from playwright.sync_api import Page, expect

from collections_app.models import Collection
from collections_app.tests.factories import UserFactory, make_collection, make_dataset
from collections_app.tests.states import as_failed, as_ready, as_running, change_build

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def owner() -> Any:
    make_dataset(files=3)
    return UserFactory(username="owner")


@pytest.fixture
def at(page: Page, live_server: Any, owner: Any) -> Any:
    """Open a path of the site in the owner's browser."""
    client = Client()
    client.force_login(owner)
    name = settings.SESSION_COOKIE_NAME
    cookie = {"name": name, "value": client.cookies[name].value, "url": live_server.url}
    page.context.add_cookies([cookie])  # type: ignore[list-item]
    return lambda path: page.goto(f"{live_server.url}{path}")


def test_the_page_follows_the_build_and_keeps_the_focus(page: Page, at: Any, owner: Any) -> None:
    collection = as_running(make_collection("", user=owner), share=0.3, seconds=60)
    at(collection.get_absolute_url())
    bar = page.get_by_label("Progress of the build")
    expect(bar).to_have_attribute("value", "30")
    page.get_by_role("link", name="Cancel the build").focus()
    change_build(collection, progress_bytes=int(0.9 * collection.num_bytes), progress_images=2)
    expect(page.locator("#status")).to_contain_text("2 of 3 images", timeout=10_000)
    expect(page.get_by_role("link", name="Cancel the build")).to_be_focused()
    as_ready(collection)
    expect(page.get_by_role("link", name="Download ZIP")).to_be_visible(timeout=10_000)
    expect(page.locator("#announcer")).to_have_text("The collection is ready.")


def test_a_build_is_cancelled_and_built_by_clicks(page: Page, at: Any, owner: Any) -> None:
    at("/collections/new/?sex=F")
    page.get_by_role("button", name="Build collection").click()
    page.get_by_role("link", name="Cancel the build").click()
    page.get_by_role("link", name="Keep building").click()
    page.get_by_role("link", name="Cancel the build").click()
    page.get_by_role("button", name="Cancel the build").click()
    expect(page.locator("#status")).to_contain_text("You cancelled this build.")
    page.get_by_role("button", name="Build it").click()
    expect(page.locator('[data-status="pending"]')).to_be_visible()
    as_ready(Collection.objects.get())
    page.goto(page.url.split("/collections/")[0] + "/datasets/")
    expect(page.locator("#messages")).to_contain_text("is ready.")
    page.get_by_role("link", name="Open it to download").click()
    expect(page.get_by_role("link", name="Download ZIP")).to_be_visible()
    expect(page.locator("#messages")).not_to_contain_text("is ready.")


def test_no_page_is_wider_than_the_screen(page: Page, at: Any, owner: Any) -> None:
    title = "Averyveryverylongtitlewithoutanyspace" * 3
    failed = as_failed(make_collection("", user=owner, title=title), num_bad=2)
    failed.items.update(problem="/a/very/long/path/without/any/space/" * 6)
    running = as_running(make_collection("", user=owner, title=title))
    ready = as_ready(make_collection("", user=owner, title=title))
    paths = [
        "/collections/", "/collections/new/",
        *(f"/collections/{failed.uuid}/{tail}" for tail in ("", "problems/", "build-without/")),
        *(f"/collections/{running.uuid}/{tail}" for tail in ("", "cancel/", "delete/")),
        *(f"/collections/{ready.uuid}/{tail}" for tail in ("", "expire/", "delete/")),
    ]  # fmt: skip
    for path in paths:
        at(path)
        for width in (1440, 390, 320):
            page.set_viewport_size({"width": width, "height": 800})
            assert page.evaluate("innerWidth") == width
            assert page.evaluate("document.documentElement.scrollWidth") <= width, path


def test_narrow_the_search_opens_the_filters_on_a_phone(
    page: Page, at: Any, settings: LazySettings
) -> None:
    settings.COLLECTION_MAX_IMAGES = 2
    page.set_viewport_size({"width": 390, "height": 800})
    at("/images/")
    page.get_by_role("link", name="Narrow the search").click()
    expect(page.locator("#filters-panel")).to_have_attribute("open", "")
