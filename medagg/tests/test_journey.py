"""The main job, end to end, in a real browser with a real worker: find, build, unpack."""

import csv
import subprocess
from itertools import islice
from pathlib import Path

import pydicom
import pytest
from django.core.management import call_command
from playwright.sync_api import Page, expect

from catalog.demo import phantom_images
from catalog.demo.phantoms.chest import iter_phantoms
from collections_app.tests.conftest import clean_folders  # noqa: F401 - real files are written
from collections_app.tests.factories import make_dataset
from medagg.testing.programs import require_program
from medagg.testing.worker import WorkerProcess
from vocab.tests.shipped import save_shipped_vocabularies

pytestmark = [
    pytest.mark.long,
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
]


# Drawing all of them takes ten seconds, and test_load_demo does so.
PHANTOMS = 100


@pytest.fixture
def demo(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(phantom_images, "iter_phantoms", lambda: islice(iter_phantoms(), PHANTOMS))
    save_shipped_vocabularies()
    call_command("load_demo", verbosity=0)


def total(page: Page) -> int:
    return int(page.locator("[data-total]").first.get_attribute("data-total") or -1)


def tick(page: Page, facet: str, code: str) -> int:
    """Choose a facet's value and wait for its results; the count it had promised."""
    value = page.locator(f'[data-facet="{facet}"][data-value="{code}"]')
    promised = int(value.get_attribute("data-count") or -1)
    value.locator("input").check()
    expect(page.locator(f'[data-facet="{facet}"][data-value="{code}"] input')).to_be_checked()
    page.wait_for_url(lambda url: f"{facet}={code}" in url)
    return promised


def build_and_unpack(page: Page, folder: Path) -> Path:
    """From the images page to an unpacked, proven folder."""
    page.get_by_role("link", name="Build collection from all").click()
    shown = total(page)
    page.get_by_role("button", name="Build collection").click()
    expect(page.locator('[data-status="ready"]').first).to_be_visible(timeout=60_000)
    with page.expect_download() as download:
        page.get_by_role("link", name="Download ZIP").click()
    archive = folder / download.value.suggested_filename
    download.value.save_as(archive)
    unzip = require_program("unzip")
    subprocess.run([unzip, "-tq", archive], check=True, capture_output=True)
    subprocess.run([unzip, "-q", archive, "-d", folder], check=True)
    unpacked = folder / archive.stem
    subprocess.run(["sha256sum", "--quiet", "-c", "SHA256SUMS"], cwd=unpacked, check=True)
    with (unpacked / "metadata.csv").open(newline="") as table:
        rows = list(csv.DictReader(table))
    assert len(rows) == shown
    assert all((unpacked / row["file_name"]).is_file() for row in rows)
    return unpacked


def sign_up(page: Page) -> None:
    page.get_by_role("link", name="Sign up").first.click()
    page.get_by_label("User name").fill("newcomer")
    page.get_by_label("Password", exact=True).fill("a-Long-pass-9")
    page.get_by_label("Password confirmation").fill("a-Long-pass-9")
    page.get_by_role("button", name="Sign up").click()


def filters_are_added_one_by_one_and_words_removed(page: Page, live_server: object) -> None:
    page.goto(f"{live_server}/images/")
    for label in ("nodule", "pneumothorax"):
        before = total(page)
        page.locator(f'button[name="not_label"][value="{label}"]').click()
        expect(page.locator(f'input[name="not_label"][value="{label}"]')).to_be_checked()
        assert total(page) < before
    page.locator('button[name="all"]').first.click()
    expect(page.get_by_role("button", name="Fewer").first).to_be_visible()
    assert page.url.count("not_label=") == 2

    page.goto(f"{live_server}/images/?q=chest+radiografy")
    assert total(page) >= PHANTOMS
    page.get_by_label("Remove “chest” from the search").click()
    expect(page.get_by_role("searchbox")).to_have_value("radiografy")


def test_from_the_search_box_to_a_proven_folder(
    page: Page,
    live_server: object,
    demo: None,
    celery_worker_process: WorkerProcess,
    tmp_path: Path,
) -> None:
    """One long test, because the demo catalog takes seconds to load."""
    filters_are_added_one_by_one_and_words_removed(page, live_server)

    page.goto(str(live_server))
    sign_up(page)

    page.goto(str(live_server))
    page.get_by_role("searchbox").fill("chest x-ray")
    page.get_by_role("button", name="Search images").click()
    everything = total(page)
    assert everything >= PHANTOMS
    promised = tick(page, "label", "nodule")
    assert total(page) == promised < everything
    promised = tick(page, "sex", "F")
    assert total(page) == promised
    rays = build_and_unpack(page, tmp_path / "rays")
    with (rays / "metadata.csv").open(newline="") as table:
        for row in csv.DictReader(table):
            assert row["sex"] == "F"
            assert "nodule" in row["labels"].split("|")

    page.goto(f"{live_server}/images/?dataset=pydicom-samples&kind=any")
    samples = build_and_unpack(page, tmp_path / "samples")
    files = [path for path in (samples / "images").rglob("*") if path.is_file()]
    assert len(files) >= 100
    for path in files:
        assert pydicom.dcmread(path).SOPClassUID


def test_a_visitor_keeps_basket_images_through_sign_up(
    page: Page, live_server: object, celery_worker_process: WorkerProcess
) -> None:
    make_dataset()
    page.goto(f"{live_server}/images/?local=1")
    boxes = page.locator('input[name="image"]')
    for number in (0, 2):
        boxes.nth(number).check()
        expect(page.locator("#tray")).to_contain_text(f"{1 + number // 2} image")
    page.get_by_role("link", name="Review and build").click()
    assert total(page) == 2
    sign_up(page)
    assert total(page) == 2
    page.get_by_role("button", name="Build collection").click()
    expect(page.locator('[data-status="ready"]').first).to_be_visible(timeout=60_000)
    page.goto(f"{live_server}/images/")
    expect(page.locator("#tray")).not_to_contain_text("picked")


def test_the_whole_way_without_javascript(
    live_server: object, browser: object, celery_worker_process: WorkerProcess
) -> None:
    make_dataset()
    context = browser.new_context(java_script_enabled=False)  # type: ignore[attr-defined]
    page = context.new_page()
    page.goto(f"{live_server}/images/")
    page.locator('[data-facet="sex"][data-value="M"] input').check()
    page.get_by_role("button", name="Apply filters").click()
    assert "sex=M" in page.url
    found = total(page)
    page.get_by_role("link", name="Build collection from all").click()
    sign_up(page)
    assert total(page) == found
    page.get_by_role("button", name="Build collection").click()
    expect(page.locator('[data-status="ready"]').first).to_be_visible(timeout=60_000)
    context.close()
