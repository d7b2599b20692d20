"""Broader and narrower terms on the pages: filters, chips, facets, the search box, suggestions."""

import re
from html import unescape
from urllib.parse import parse_qs

import pytest
from django.http import QueryDict
from django.test import Client

from catalog.search.filters import ImageFilterSet
from catalog.services import refresh_images
from catalog.tests.factories import DatasetFactory, ImageFactory, make_searchable
from vocab.models import AnatomicalArea, Modality
from vocab.signals import terms_changed
from vocab.tests.factories import AreaFactory, ModalityFactory, add_alias

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module", autouse=True)
def catalog(module_db: None) -> None:
    """Two images of the head, three of the brain, one of the knee; CR and DX, one plain X-ray."""
    head, knee = AreaFactory(code="head"), AreaFactory(code="knee")
    brain = AreaFactory(code="brain", broader=head)
    AreaFactory(code="skull", broader=head)
    xray = ModalityFactory(code="xray", name="X-ray")
    add_alias(xray, "plain film")
    cr, dx = (ModalityFactory(code=code, broader=xray) for code in ("cr", "dx"))
    ct = ModalityFactory(code="ct", name="Computed tomography")
    heads = DatasetFactory(slug="heads", area=head, terms__modalities=[ct])
    brains = DatasetFactory(slug="brains", area=brain, terms__modalities=[cr, dx])
    for number in range(2):
        ImageFactory(dataset=heads, source_id=f"h{number}", modality=ct)
    for number, modality in enumerate((cr, dx, ct)):
        ImageFactory(dataset=brains, source_id=f"b{number}", modality=modality)
    ImageFactory(dataset=heads, source_id="k0", modality=xray, area=knee)
    make_searchable()


def get(client: Client, path: str) -> str:
    response = client.get(path)
    assert response.status_code == 200
    return unescape(response.content.decode())


def total(page: str) -> int:
    return int(re.findall(r'id="results-title"[^>]*><span data-total="(\d+)"', page)[0])


def follow(client: Client, page: str, text: str) -> str:
    """The page behind the link with this text."""
    href = re.findall(rf'<a[^>]* href="([^"]*)"[^>]*>{re.escape(text)}</a>', page)[0]
    return get(client, href)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("area=head", 5),
        ("area=brain", 3),
        ("area=head~only", 2),
        ("area=HEAD~only", 2),
        ("area=brain~only", 3),
        ("area=head~only&area=brain", 5),
        ("area=skull", 0),
        ("modality=x-ray", 3),
        ("modality=plain+film", 3),
        ("modality=xray~only", 1),
        ("modality=cr", 1),
        ("q=head", 5),
        ("q=head+ct", 3),
        ("q=brain+ct", 1),
        ("q=x-ray+of+the+brain", 2),
        ("q=plain+film", 3),
    ],
)
def test_a_broader_term_includes_the_narrower_ones(
    client: Client, query: str, expected: int
) -> None:
    assert total(get(client, f"/images/?{query}")) == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("area=head", 2), ("area=head~only", 1), ("area=brain", 1), ("modality=xray", 1),
        ("modality=xray~only", 0), ("q=head", 2), ("q=head+ct", 2), ("q=plain+film", 1),
    ],
)  # fmt: skip
def test_datasets_are_found_by_broader_terms_too(client: Client, query: str, expected: int) -> None:
    # "head ct" also lists, as last, the one that lacks CT.
    assert total(get(client, f"/datasets/?{query}")) == expected


def test_words_of_broader_terms_find_datasets_after_the_broader_ones_own(client: Client) -> None:
    page = get(client, "/datasets/?q=head")
    assert page.index('href="/datasets/heads/"') < page.index('href="/datasets/brains/"')
    AnatomicalArea.objects.update(broader=None)
    terms_changed.send(sender=AnatomicalArea)
    assert total(get(client, "/datasets/?q=head")) == 1


@pytest.mark.parametrize("query", ["area=head~none", "area=~only", "label=mass~only"])
def test_only_is_understood_after_a_term_of_a_hierarchy_alone(client: Client, query: str) -> None:
    response = client.get(f"/images/?{query}")
    assert response.status_code == 400
    assert "There is no" in response.content.decode()


def test_the_chip_says_what_is_included_and_narrows_to_the_term_alone(client: Client) -> None:
    page = get(client, "/images/?area=head&sex=unknown")
    assert "Area:</span> Head, with Brain, Skull</span>" in page
    alone = follow(client, page, "Head only")
    assert total(alone) == 2
    assert "Area:</span> Head only</span>" in alone
    assert 'name="sex" value="unknown" id="sex-unknown" checked' in alone


def test_the_facet_says_what_is_included_and_counts_what_choosing_it_finds(
    client: Client,
) -> None:
    page = get(client, "/images/")
    assert re.findall(r'data-facet="area" data-value="(\w+)" data-count="(\d+)"', page) == [
        ("head", "5"), ("brain", "3"), ("knee", "1"),
    ]  # fmt: skip
    assert ">with Brain, Skull</span>" in page
    assert 'name="area" value="head~only"' in page
    assert 'name="area" value="brain~only"' not in page
    chosen = get(client, "/images/?area=head~only")
    assert 'data-value="head~only" data-count="2"' in chosen
    assert 'data-value="head" data-count="5"' in chosen


def test_a_dataset_with_several_kinds_counts_once(client: Client) -> None:
    page = get(client, "/datasets/")
    assert 'data-facet="modality" data-value="xray" data-count="1"' in page


def test_the_search_box_says_what_a_word_includes(client: Client) -> None:
    page = get(client, "/images/?q=head+ct")
    assert "Area:</span> Head, with Brain, Skull" in page


def test_the_home_page_counts_what_its_links_find(client: Client) -> None:
    page = get(client, "/")
    counts = re.findall(r'data-facet="(\w+)" data-value="(\w+)" data-count="(\d+)"', page)
    assert ("area", "head", "5") in counts
    assert ("modality", "xray", "3") in counts
    for name, code, count in counts:
        assert total(get(client, f"/images/?{name}={code}")) == int(count)
    assert "with Brain, Skull" in page


# --- Where nothing matches ---
@pytest.mark.parametrize(
    ("query", "text", "found", "leads_to"),
    [
        ("area=skull&modality=ct", "Head instead of Skull", 3,
         {"area": ["head"], "modality": ["ct"]}),
        ("area=skull&area=nose&modality=dx", "Head instead of Skull", 1,
         {"area": ["nose", "head"], "modality": ["dx"]}),
        ("area=head~only&modality=dx", "Head instead of Head only", 1,
         {"area": ["head"], "modality": ["dx"]}),
        ("modality=cr&area=knee", "X-ray instead of Cr", 1,
         {"modality": ["xray"], "area": ["knee"]}),
        ("q=skull+ct", "“Head” instead of “skull”", 3, {"q": ["Head ct"]}),
    ],
)  # fmt: skip
def test_a_broader_term_is_offered(
    client: Client, query: str, text: str, found: int, leads_to: dict[str, list[str]]
) -> None:
    AreaFactory(code="nose")
    page = get(client, f"/images/?{query}")
    assert total(page) == 0
    href, number = re.findall(
        rf'href="/images/\?([^"]*)"[^>]*>{text}</a>: <span[^>]*>(\d+) images?<', page
    )[0]
    assert (int(number), parse_qs(href)) == (found, leads_to)
    assert total(follow(client, page, text)) == found


def test_nothing_broader_is_offered_where_it_finds_nothing_either(client: Client) -> None:
    assert "instead of" not in get(client, "/images/?area=skull&sex=M&modality=ct")
    Modality.objects.update(broader=None)
    assert "instead of" not in get(client, "/images/?area=knee&modality=cr")


# --- Terms that are switched off ---
def test_images_of_a_hidden_narrower_term_are_not_counted_under_a_name_that_omits_it() -> None:
    AnatomicalArea.objects.filter(code="brain").update(is_active=False)
    filters = ImageFilterSet(QueryDict("area=head"))
    assert filters.total == 2
    (chip,) = filters.active_filters
    assert str(chip) == "Head, with Skull"


def test_an_edit_of_an_image_is_counted_under_the_broader_term_at_once() -> None:
    image = ImageFactory(dataset__slug="new", area=AnatomicalArea.objects.get(code="skull"))
    refresh_images(image_ids=[image.pk])
    assert ImageFilterSet(QueryDict("area=head")).total == 6


def test_a_term_of_the_search_box_can_be_narrowed(client: Client) -> None:
    page = get(client, "/images/?q=head+ct")
    assert total(page) == 3
    narrowed = follow(client, page, "Head only")
    assert total(narrowed) == 2
    assert ImageFilterSet(QueryDict("q=ct&area=head~only")).total == 2
    # Nothing is narrower than the brain, and one of two alternatives is not taken away.
    assert "Brain only" not in get(client, "/images/?q=brain")
    assert "Head only" not in get(client, "/images/?q=head+or+knee")
