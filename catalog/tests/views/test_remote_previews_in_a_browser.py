"""A series elsewhere has a row of facts, until a real worker has made its picture."""

from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings
from playwright.sync_api import Locator, Page, expect

from catalog.tests.views.test_remote_previews import make_series
from medagg.testing.s3 import S3Server
from medagg.testing.worker import WorkerProcess

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def height_of(part: Locator) -> float:
    box = part.bounding_box()
    return box["height"] if box else 0


def test_a_picture_comes_when_a_worker_has_made_it(
    page: Page,
    live_server: Any,
    settings: LazySettings,
    celery_worker_module: WorkerProcess,
    s3: S3Server,
) -> None:
    settings.PREVIEW_ROOT = Path(settings.VAR_DIR) / "previews"  # the worker's
    image = make_series(s3)
    gone = make_series(s3, 1, slices=0)
    page.goto(f"{live_server.url}/images/")
    tile = page.locator(f'.card[data-image="{image.pk}"]')
    expect(tile.locator(".preview-none")).to_have_text("CT Elsewhere · 12.3 MB")
    assert height_of(tile.locator(".preview")) < 60
    celery_worker_module.start(IDC_S3_ENDPOINT=s3.endpoint)
    expect(tile.locator(".preview:not(.preview-later) img")).to_be_visible(timeout=30_000)
    assert height_of(tile.locator(".preview")) > 100
    other = page.locator(f'.card[data-image="{gone.pk}"]')
    expect(other.locator("img")).to_have_count(0, timeout=30_000)
    expect(other.locator(".preview-none")).to_be_visible()
    page.goto(f"{live_server.url}/images/{image.pk}/")
    expect(page.get_by_text("File 3 of 5 of the series is shown.")).to_be_visible()
    expect(page.locator(".image-figure .preview img")).to_be_visible()
