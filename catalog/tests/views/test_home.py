"""The first page as a visitor gets it."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from catalog.models import Dataset, Image
from catalog.tests.factories import DatasetFactory, ImageFactory, add_file, make_searchable
from catalog.tests.views.pages import get, png
from catalog.views import home
from vocab.tests.factories import ModalityFactory

pytestmark = pytest.mark.django_db


def test_home_says_what_is_inside(client: Client, rays: Dataset) -> None:
    html = get(client, "/")
    assert "modality=dx" in html
    assert "area=chest" in html
    assert 'name="q"' in html


def test_home_shows_a_picture_of_each_modality_that_is_here(client: Client, rays: Dataset) -> None:
    large = ImageFactory(dataset=rays, modality=ModalityFactory(code="ct"), width=512, height=512)
    add_file(large, png(), "large.png")
    make_searchable()
    html = get(client, "/")
    assert f'href="/images/{large.pk}/"' in html
    small = Image.objects.get(source_id="r-1")
    assert f'href="/images/{small.pk}/"' not in html, "too small to show off"


def test_the_catalog_is_described_once_until_it_changes(
    client: Client, rays: Dataset, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    get(client, "/")
    with django_assert_num_queries(1):
        get(client, "/")
    Dataset.objects.filter(pk=rays.pk).update(is_active=False)
    assert "modality=dx" not in get(client, "/")


@pytest.mark.django_db(transaction=True)
def test_however_many_visitors_come_the_catalog_is_described_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    DatasetFactory(slug="rays")
    sampled: list[int] = []

    def sample() -> list[Image]:
        sampled.append(1)
        time.sleep(0.3)
        return []

    def visit() -> int:
        try:
            return Client().get("/").status_code
        finally:
            connection.close()

    monkeypatch.setattr(home, "_sample_images", sample)
    with ThreadPoolExecutor(8) as visitors:
        visits = [visitors.submit(visit) for _ in range(16)]
    assert {each.result() for each in visits} == {200}
    assert len(sampled) == 1
