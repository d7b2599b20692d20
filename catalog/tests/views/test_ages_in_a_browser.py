"""Exact ages typed into the filters, with JavaScript and without, on a phone."""

from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from catalog.tests.factories import DatasetFactory, ImageFactory, make_searchable

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def images() -> None:
    dataset = DatasetFactory(slug="rays")
    for age in (0.5, 39, 40, 50, 50.9, 51, None):
        ImageFactory(dataset=dataset, age_years=age)
    make_searchable()


def test_typed_ages_filter_at_once_and_become_chips(
    page: Page, live_server: Any, images: None
) -> None:
    page.goto(f"{live_server.url}/images/?q=under+60")
    page.get_by_role("textbox", name="Age from").fill("40")
    page.get_by_role("textbox", name="Age from").press("Tab")
    expect(page.locator("#results-title")).to_have_text("4 images")
    page.get_by_role("textbox", name="Age to").fill("50")
    page.get_by_role("textbox", name="Age to").press("Enter")
    expect(page.locator("#results-title")).to_have_text("3 images")
    chips = page.get_by_role("list", name="Active filters")
    expect(chips).to_contain_text("40 years and older")
    expect(chips).to_contain_text("under 51 years")
    understood = page.get_by_role("list", name="What the search was understood as")
    expect(understood).to_contain_text("under 60 years")
    page.get_by_label("Remove Age: 40 years and older").click()
    expect(page.locator("#results-title")).to_have_text("5 images")


def test_ages_are_typed_on_a_phone_without_javascript(
    browser: Browser, live_server: Any, images: None
) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.set_viewport_size({"width": 390, "height": 800})
    page.goto(f"{live_server.url}/images/")
    page.locator("#filters-panel > summary").click()
    page.get_by_role("textbox", name="Age from").fill("0.5")
    page.get_by_role("textbox", name="Age to").fill("39")
    for width in (390, 320):
        page.set_viewport_size({"width": width, "height": 800})
        box = page.get_by_role("textbox", name="Age to").bounding_box()
        assert box
        assert box["x"] + box["width"] <= width
    page.get_by_role("button", name="Apply filters").click()
    expect(page.locator("#results-title")).to_have_text("2 images")
    page.locator("#filters-panel > summary").click()
    expect(page.get_by_role("textbox", name="Age from")).to_have_value("6m")
    context.close()
