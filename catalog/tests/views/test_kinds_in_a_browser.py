"""The kinds of objects are ticked and unticked: no choice is a dead end, on any width."""

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from catalog.tests.factories import DatasetFactory, ImageFactory, make_searchable
from vocab.tests.factories import ModalityFactory

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def objects() -> None:
    """Three pictures, two segmentations and a report."""
    dataset = DatasetFactory(slug="rays")
    ct = ModalityFactory(code="ct")
    seg = ModalityFactory(code="seg", kind="segmentation")
    for modality in (ct, ct, ct, seg, seg, ModalityFactory(code="sr", kind="report")):
        ImageFactory(dataset=dataset, modality=modality)
    make_searchable()


def expect_found(page: Page, text: str) -> None:
    expect(page.locator("#results-title")).to_have_text(text)


def test_kinds_are_chosen_added_and_taken_back(page: Page, live_server: Any, objects: None) -> None:
    page.goto(f"{live_server.url}/images/")
    kinds = page.locator("#facet-kind")
    expect_found(page, "3 pictures and series")
    in_force = kinds.get_by_role("checkbox", name="Pictures and series")
    expect(in_force).to_have_attribute("aria-checked", "true")
    kinds.get_by_label("Segmentations").check()
    expect_found(page, "2 segmentations")
    kinds.get_by_label("Pictures and series").check()
    expect_found(page, "5 objects")
    kinds.get_by_label("Objects of any kind").check()
    expect_found(page, "6 objects")
    page.get_by_label("Remove Kind: Objects of any kind").click()
    expect_found(page, "5 objects")
    kinds.get_by_label("Segmentations").uncheck()
    expect_found(page, "3 pictures and series")
    kinds.get_by_label("Pictures and series").uncheck()
    expect(in_force).to_have_attribute("aria-checked", "true")
    in_force.press("Space")
    expect_found(page, "6 objects")
    kinds.get_by_label("Objects of any kind").uncheck()
    expect_found(page, "3 pictures and series")
    assert "kind" not in page.url
    page.locator("#facet-modality").get_by_label("Seg").check()
    expect_found(page, "2 segmentations")


@pytest.mark.parametrize("address", ["/", "/images/", "/datasets/", "/vocabularies/modality/"])
def test_the_words_fit_on_a_phone(
    page: Page, live_server: Any, objects: None, address: str
) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    page.goto(f"{live_server.url}{address}")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
