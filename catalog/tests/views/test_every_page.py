"""What holds for every page of the catalog."""

import re

import pytest
from django.test import Client

from catalog.models import Dataset, Image
from catalog.tests.views.pages import get, total
from vocab.models import Label, Modality

pytestmark = pytest.mark.django_db


def test_an_empty_catalog_has_pages_too(client: Client) -> None:
    for path in ("/", "/datasets/", "/images/", "/datasets/?q=x", "/images/?q=x"):
        get(client, path)


@pytest.mark.parametrize("path", ["/datasets/?area=chst", "/images/?sex=female", "/images/?foo=1"])
def test_a_filter_that_is_not_understood_shows_an_error_and_nothing_else(
    client: Client, rays: Dataset, path: str
) -> None:
    html = get(client, path, status=400)
    assert total(html) == 0
    assert "Rays" not in html


def test_inactive_datasets_are_hidden_everywhere(client: Client, rays: Dataset) -> None:
    image = Image.objects.get(source_id="r-1")
    Dataset.objects.update(is_active=False)
    assert total(get(client, "/datasets/")) == 0
    assert total(get(client, "/images/")) == 0
    for path in ("", "preview/", "file/"):
        get(client, f"/images/{image.pk}/{path}", status=404)
    get(client, "/datasets/rays/", status=404)


def test_labels_that_wait_for_review_are_counted_and_not_named(
    client: Client, rays: Dataset
) -> None:
    image = Image.objects.get(source_id="r-1")
    Label.objects.filter(code="nodule").update(is_active=False, name="Secret finding")
    html = get(client, f"/images/{image.pk}/")
    assert "1 finding waits for review by a curator" in html
    assert "The source gives this image no labels" not in html
    assert "1 label waits for review by a curator" in get(client, "/datasets/rays/")


def test_inactive_terms_are_hidden_everywhere(client: Client, rays: Dataset) -> None:
    Label.objects.filter(code="nodule").update(is_active=False, name="Secret finding")
    Modality.objects.filter(code="dx").update(is_active=False, name="Secret modality")
    image = Image.objects.get(source_id="r-1")
    for path in ("/", "/datasets/", "/datasets/rays/", "/images/", f"/images/{image.pk}/"):
        assert "Secret" not in get(client, path), path


def test_pages_allow_no_foreign_content(client: Client, rays: Dataset) -> None:
    for path in ("/", "/datasets/", "/images/", "/datasets/rays/"):
        response = client.get(path)
        assert "default-src 'self'" in response["Content-Security-Policy"]
        html = response.content.decode()
        assert not re.findall(r'<(?:script|img|link|iframe)[^>]*(?:src|href)="(?:https?:)?//', html)


@pytest.mark.parametrize("path", ["/datasets/nothing/", "/images/999999/", "/nowhere/"])
def test_what_is_not_there_is_a_404_in_the_sites_dress(client: Client, path: str) -> None:
    assert "medagg" in get(client, path, status=404)


@pytest.mark.parametrize("path", ["/", "/images/", "/datasets/"])
def test_reading_pages_refuse_to_be_posted_to(client: Client, path: str) -> None:
    assert client.post(path).status_code == 405
