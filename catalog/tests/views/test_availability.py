"""Here, elsewhere with an address, and listed only: on every page of the catalog."""

import html
import re

import pytest
from django.test import Client
from django.urls import reverse

from catalog.models import Dataset, Image
from catalog.search.availability import AvailabilityCounts, count_by_dataset
from catalog.search.snapshot import current_snapshot
from catalog.tests.factories import DatasetFactory, ImageFactory, add_file, make_searchable

pytestmark = pytest.mark.django_db
ALL = "1 on this server, 2 elsewhere with an address, 1 listed only"


@pytest.fixture
def mixed() -> Dataset:
    dataset = DatasetFactory(slug="mixed", title="Mixed", local_path="mixed")
    add_file(ImageFactory(dataset=dataset, source_id="here"), b"x")
    ImageFactory(dataset=dataset, source_id="bucket", remote_url="s3://idc-open-data/0-1/*")
    ImageFactory(dataset=dataset, source_id="web", remote_url="https://example.org/dicomweb/1")
    ImageFactory(dataset=dataset, source_id="listed")
    DatasetFactory(slug="described", title="Described", local_path="described")
    make_searchable()
    return dataset


def get(client: Client, path: str, status: int = 200) -> str:
    response = client.get(path)
    assert response.status_code == status, response.content[:2000]
    return response.content.decode()


def page_of(client: Client, source_id: str) -> str:
    return get(client, reverse("image-detail", args=[Image.objects.get(source_id=source_id).pk]))


def text_of(page: str) -> str:
    """What a reader sees, on one line."""
    words = html.unescape(re.sub(r"<[^>]+>", " ", page)).split()
    return " ".join(words).replace(" ,", ",")


def tiles(page: str) -> dict[str, str]:
    """The text of each tile without a preview, by the image's id."""
    found = re.findall(r'<li class="card".*?</li>', page, re.DOTALL)
    return {
        re.findall(r'class="card-id" title="([^"]*)"', tile)[0]: text_of(place[0])
        for tile in found
        if (place := re.findall(r'preview-none">(.*?)</span>', tile, re.DOTALL))
    }


def test_a_tile_without_a_file_says_in_words_where_it_is(client: Client, mixed: Dataset) -> None:
    assert tiles(get(client, "/images/")) == {
        "bucket": "– Elsewhere", "web": "– Elsewhere", "listed": "– Listed only"}  # fmt: skip


def test_the_dataset_says_how_many_are_where(client: Client, mixed: Dataset) -> None:
    page = get(client, "/datasets/mixed/")
    assert ALL in text_of(page)
    for link in re.findall(r'href="(/images/\?[^"]*local=[^"]*)"', page):
        count = re.findall(rf'href="{re.escape(link)}">(\d+)', page)[0]
        assert f'data-total="{count}"' in get(client, html.unescape(link))
    rows = get(client, "/datasets/?sort=title")
    marks = [text_of(marks) for marks in re.findall(r'dataset-marks">(.*?)</p>', rows, re.DOTALL)]
    assert marks[0].endswith("only described"), "a folder without images in the catalog is not here"
    assert marks[1].endswith("1 on this server 2 elsewhere with an address 1 listed only")


def test_numbers_that_are_zero_are_not_said(client: Client, mixed: Dataset) -> None:
    Image.objects.exclude(source_id="here").delete()
    make_searchable()
    page = text_of(get(client, "/datasets/mixed/"))
    assert "Files 1 on this server Size" in page
    assert "elsewhere" not in page
    assert "listed only" not in page


def test_home_says_how_many_are_where(client: Client, mixed: Dataset) -> None:
    page = get(client, "/")
    assert ALL in text_of(page)
    assert "local=1" in page


def test_counts_by_dataset_have_every_dataset(mixed: Dataset) -> None:
    ids = list(Dataset.objects.order_by("slug").values_list("pk", flat=True))
    found = count_by_dataset(current_snapshot(), ids)
    assert [found[pk] for pk in ids] == [AvailabilityCounts(), AvailabilityCounts(1, 2, 1)]


def test_an_address_of_a_bucket_is_no_link_but_a_command(client: Client, mixed: Dataset) -> None:
    page = page_of(client, "bucket")
    assert 'href="s3://' not in page
    command = "s5cmd --no-sign-request cp 's3://idc-open-data/0-1/*' ."
    assert f'id="fetch-command-1" class="break">{html.escape(command)}<' in page
    assert 'data-copy="fetch-command-1"' in page
    assert "idc download" not in page, "its id is no SeriesInstanceUID"
    assert "IDC viewer" not in page
    web = page_of(client, "web")
    assert 'href="https://example.org/dicomweb/1"' in web
    assert "fetch-command" not in web


def test_a_series_of_the_idc_has_its_viewer_and_its_tool(client: Client, mixed: Dataset) -> None:
    series = Image.objects.filter(source_id="bucket")
    series.update(source_id="1.2.3", metadata_json={"StudyInstanceUID": "1.2"})
    page = html.unescape(page_of(client, "1.2.3"))
    viewer = "https://viewer.imaging.datacommons.cancer.gov/v3/viewer/"
    address = f"{viewer}?StudyInstanceUIDs=1.2&SeriesInstanceUIDs=1.2.3"
    link = f'href="{address}" rel="noopener noreferrer external">Open in the IDC viewer<'
    assert link in page
    assert 'id="fetch-command-2" class="break">idc download 1.2.3<' in page
    series = Image.objects.filter(source_id="1.2.3")
    series.update(metadata_json={"StudyInstanceUID": "1.2&x=<b>"})
    assert "IDC viewer" not in page_of(client, "1.2.3")
    series.update(metadata_json={"StudyInstanceUID": "1.2"}, remote_url="s3://other/x/*")
    page = page_of(client, "1.2.3")
    assert "IDC viewer" not in page
    assert "idc download" not in page


def test_an_address_cannot_smuggle_in_a_command(client: Client, mixed: Dataset) -> None:
    Image.objects.filter(source_id="bucket").update(remote_url="s3://b/'; rm -rf ~ #")
    page = html.unescape(page_of(client, "bucket"))
    assert """s5cmd --no-sign-request cp 's3://b/'"'"'; rm -rf ~ #' .""" in page


def test_what_is_listed_only_promises_no_link(client: Client, mixed: Dataset) -> None:
    page = text_of(page_of(client, "listed"))
    assert "the catalog knows no address of it" in page
    assert "home" not in page, "the dataset has no address either"
    described = text_of(get(client, "/datasets/described/"))
    assert "The catalog knows no address of it." in described
    assert "See the source" not in described
    gone = get(client, f"/images/{Image.objects.get(source_id='listed').pk}/file/", status=404)
    assert "has no file of it on this server" in gone
    assert "missing or has changed" not in gone


@pytest.mark.parametrize("query", ["local=0", "q=not+local"])
def test_not_local_ticks_both_other_values(client: Client, mixed: Dataset, query: str) -> None:
    page = get(client, f"/images/?{query}")
    assert 'data-total="3"' in page
    ticked = re.findall(r'id="local-([^"]*)"[^>]*checked', page) + re.findall(
        r'aria-checked="true"[^>]*data-facet="local" data-value="([^"]*)"', page)  # fmt: skip
    assert sorted(ticked) == ["elsewhere", "listed"]
    assert 'data-value="0"' not in page
    assert "local=0" not in page.replace('name="next" value="/images/?local=0"', "")


def test_curators_filter_images_by_where_they_are(admin_client: Client, mixed: Dataset) -> None:
    page = get(admin_client, "/admin/catalog/image/?profile__availability__exact=elsewhere")
    assert "bucket" in page
    assert re.findall(r'field-files">([^<]*)<', page) == ["Elsewhere", "Elsewhere"]
