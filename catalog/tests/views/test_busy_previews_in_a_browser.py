"""A page whose previews are not drawn yet shows them as soon as they are."""

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from catalog.imaging.decoding.turns import Turns
from catalog.previews import local as previews
from catalog.tests.factories import ImageFactory, add_file, make_searchable
from catalog.tests.imaging.hostile_files import save

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_a_preview_comes_when_the_server_is_no_longer_busy(
    page: Page, live_server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(previews.Busy, "retry_seconds", 1)
    folder = tmp_path / "decoding"
    monkeypatch.setattr(previews, "_turns", Turns(folder, most_waiting=9, wait_seconds=0.5))
    image = ImageFactory()
    add_file(image, save("PNG", (300, 200)), "x.png")
    broken = ImageFactory(dataset=image.dataset)
    add_file(broken, b"not a picture", "broken.png")
    make_searchable()
    others = Turns(folder, most_waiting=9, wait_seconds=0)
    with others.take("a") as take_slot, others.take("b") as take_other:
        take_slot(), take_other()
        page.goto(f"{live_server.url}/images/{image.pk}/")
        expect(page.get_by_text("the server is busy")).to_be_visible(timeout=20_000)
    expect(page.get_by_text("A preview at reduced size")).to_be_visible(timeout=20_000)
    picture = page.locator(".image-figure .preview img")
    # Not wait_for_function: where the first look is too early, the page's policy forbids others.
    expect(picture).to_have_js_property("naturalWidth", 300, timeout=20_000)
    expect(picture).to_be_visible(timeout=20_000)
    page.goto(f"{live_server.url}/images/{broken.pk}/")
    expect(page.locator(".image-figure .preview-none")).to_have_text("No preview", timeout=20_000)
