"""The list of datasets and their pages as a visitor gets them."""

import pytest
from django.test import Client

from catalog.models import Dataset
from catalog.tests.factories import DatasetFactory
from catalog.tests.views.pages import facet_values, get, total

pytestmark = pytest.mark.django_db


def test_the_dataset_list_counts_and_marks(client: Client, rays: Dataset) -> None:
    DatasetFactory(slug="other", title="Other")
    html = get(client, "/datasets/?modality=dx")
    assert total(html) == 1
    assert facet_values(html)["modality", "dx"] == 1
    assert "Rays &amp; &lt;Co&gt;" in html
    assert "Other" not in html


def test_dataset_lists_are_sorted_and_paged(client: Client) -> None:
    for number in range(25):
        DatasetFactory(slug=f"d-{number:02}", title=f"D {number:02}", num_images=100 - number)
    first = get(client, "/datasets/")
    assert total(first) == 25
    assert "D 00" in first
    assert "D 24" not in first
    assert "D 24" in get(client, "/datasets/?page=2")
    assert "D 24" in get(client, "/datasets/?page=999"), "a page beyond the end is the last one"
    by_size = get(client, "/datasets/?sort=images")
    assert by_size.index("D 00") < by_size.index("D 19")
    assert "cannot be sorted" in get(client, "/datasets/?sort=rank", status=400)
    assert total(get(client, "/datasets/?sort=relevance")) == 25, "its query was taken away"


def test_the_dataset_page_shows_all_that_is_known(client: Client, rays: Dataset) -> None:
    html = get(client, "/datasets/rays/")
    for fact in (
        "Rays &amp; &lt;Co&gt;", "https://example.org/rays", "Ray, A. (2020). Rays.",
        "10.1234/rays", "CC BY-NC 4.0", "under 2 MB", "Nodule", "r-1",
    ):  # fmt: skip
        assert fact in html, fact
