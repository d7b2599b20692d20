"""The pages of the vocabularies as a visitor gets them."""

import re

import pytest
from django.test import Client

from catalog.tests.factories import DatasetFactory, ImageFactory, make_searchable
from vocab.tests.factories import AreaFactory, LabelFactory, ModalityFactory, add_alias

pytestmark = pytest.mark.django_db


def page(client: Client, path: str) -> str:
    response = client.get(path)
    assert response.status_code == 200
    return re.sub(r"\s+", " ", response.content.decode())


def test_every_code_is_listed_with_its_spellings_and_what_it_finds(client: Client) -> None:
    dx = ModalityFactory(code="dx", name="Digital radiography")
    add_alias(dx, "digital X-ray")
    ModalityFactory(code="old", is_active=False)
    ImageFactory(dataset=DatasetFactory(slug="rays"), modality=dx)
    make_searchable()

    html = page(client, "/vocabularies/modality/")

    assert "<code>dx</code>" in html
    assert "digital X-ray" in html
    assert '<a href="/images/?modality=dx">1</a>' in html
    assert "<code>old</code>" not in html


@pytest.mark.parametrize("name", ["area", "label", "task", "license", "tag"])
def test_an_empty_vocabulary_says_how_it_is_filled(client: Client, name: str) -> None:
    assert "manage.py load_vocab" in page(client, f"/vocabularies/{name}/")


def test_terms_are_found_by_any_spelling(client: Client) -> None:
    add_alias(AreaFactory(code="chest", name="Chest"), "thorax")
    AreaFactory(code="head", name="Head")

    html = page(client, "/vocabularies/area/?q=THOR")
    assert "<code>chest</code>" in html
    assert "<code>head</code>" not in html
    assert "No term is spelt like “foot”" in page(client, "/vocabularies/area/?q=foot")
    page(client, "/vocabularies/area/?q=%00&page=x")


def test_long_vocabularies_have_pages(client: Client) -> None:
    for number in range(201):
        LabelFactory(code=f"label-{number:03}")
    assert "<code>label-200</code>" not in page(client, "/vocabularies/label/")
    assert "<code>label-200</code>" in page(client, "/vocabularies/label/?page=2")


def test_other_names_are_not_found_and_the_short_address_leads_to_the_first(client: Client) -> None:
    assert client.get("/vocabularies/nothing/").status_code == 404
    assert client.get("/vocabularies/").headers["Location"] == "/vocabularies/modality/"


def test_a_broader_term_counts_what_its_link_finds(client: Client) -> None:
    head = AreaFactory(code="head", name="Head")
    brain = AreaFactory(code="brain", name="Brain", broader=head)
    ImageFactory(dataset=DatasetFactory(slug="scans", area=brain))
    make_searchable()

    html = page(client, "/vocabularies/area/")

    assert '<a href="/images/?area=head">1</a>' in html
    assert '<a href="/datasets/?area=head">1</a>' in html
    assert 'data-total="1"' in page(client, "/images/?area=head")
