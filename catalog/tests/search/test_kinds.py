"""Pictures and other objects: what the pages show, say and count, and how to get to the rest."""

import html
import re
from collections.abc import Iterator

import pytest
from django.http import QueryDict
from django.test import Client

from catalog.models import Dataset
from catalog.search.facets import FacetValue, count_image_facets
from catalog.search.filters import ImageFilterSet
from catalog.search.query_strings import params_from_frozen
from catalog.search.suggestions import suggest_changes
from catalog.tests.factories import DatasetFactory, ImageFactory, make_searchable
from catalog.tests.search.test_search_page import follow, total
from vocab.lookup import current_vocabularies
from vocab.models import Modality
from vocab.tests.factories import AreaFactory, ModalityFactory, add_alias

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module", autouse=True)
def catalog(module_db: None) -> None:
    """Four CTs and one image of no modality, three segmentations and two reports; masks alone."""
    ct = ModalityFactory(code="ct", name="Computed tomography")
    seg = ModalityFactory(code="seg", name="Segmentation object", kind="segmentation")
    report = ModalityFactory(code="sr", name="Structured report", kind="report")
    add_alias(report, "DICOM SR")
    chest = AreaFactory(code="chest", name="Chest")
    lungs = DatasetFactory(slug="lungs", title="Lungs of many", area=chest)
    for number, modality in enumerate([ct, ct, ct, ct, None, seg, seg, seg, report, report]):
        ImageFactory(
            dataset=lungs, modality=modality, source_id=f"x-{number}", subject_id="P1",
            sex="M" if number == 5 else "F", labels=["nodule"] if number in (0, 5) else [],
        )  # fmt: skip
    masks = DatasetFactory(
        slug="masks", title="Masks only", description="Made for quibble.", terms__modalities=[seg]
    )
    ImageFactory(dataset=masks, modality=seg, source_id="m-1")
    make_searchable()


def get(client: Client, address: str, status: int = 200) -> str:
    response = client.get(address)
    assert response.status_code == status, response.content
    return html.unescape(response.content.decode())


def say(page: str) -> str:
    """The words of a page."""
    return " ".join(re.sub(r"<[^>]*>", " ", page).split()).replace(" .", ".")


def ask(query: str) -> ImageFilterSet:
    return ImageFilterSet(QueryDict(query))


def kind_values(query: str) -> dict[str, FacetValue]:
    facets = {facet.name: facet for facet in count_image_facets(ask(query))}
    return {value.code: value for value in facets["kind"].values} if "kind" in facets else {}


def test_the_page_says_what_it_shows_and_leads_to_the_rest(client: Client) -> None:
    page = get(client, "/images/")
    assert total(page) == 5
    assert "5 pictures and series" in say(page)
    assert "Pictures and series only. 6 other objects match as well: show them" in say(page)
    assert "Build collection from all 5 pictures and series" in say(page)
    whole = follow(client, page, "show them")
    assert total(whole) == 11
    assert "11 objects" in say(whole)
    assert "5 pictures and series; 6 other objects." in say(whole)
    assert "Pictures and series only" not in whole


def test_numbers_of_pictures_alone_stay_simple(client: Client) -> None:
    page = get(client, "/images/?modality=ct")
    assert "4 images" in say(page)
    assert "pictures and series" not in say(page)


@pytest.mark.parametrize(
    ("query", "number", "words"),
    [
        ("modality=seg", 4, "4 segmentations"),
        ("q=seg", 4, "4 segmentations"),
        ("q=seg+chest", 3, "3 segmentations"),
        ("q=structured+report", 2, "2 reports"),
        ("q=DICOM+SR+chest", 2, "2 reports"),
        ("modality=ct&modality=seg", 8, "4 pictures and series; 4 segmentations"),
        ("q=ct+or+seg", 8, "4 pictures and series; 4 segmentations"),
        ("kind=segmentation&kind=report", 6, "6 other objects"),
        ("kind=picture&kind=report", 7, "5 pictures and series; 2 reports"),
    ],
)
def test_whoever_asks_for_other_objects_sees_them(
    client: Client, query: str, number: int, words: str
) -> None:
    page = get(client, f"/images/?{query}")
    assert total(page) == number
    assert words in say(page)
    assert "Pictures and series only" not in page


def test_a_broader_modality_with_other_objects_below_it_shows_them() -> None:
    therapy = ModalityFactory(code="rt", name="Radiotherapy")
    Modality.objects.filter(code__in=["ct", "seg"]).update(broader=therapy)
    make_searchable()
    assert ask("modality=rt").total == ask("modality=ct&modality=seg").total == 8
    counts = {f.name: {v.code: v.count for v in f.values} for f in count_image_facets(ask(""))}
    assert counts["modality"]["rt"] == 8


def test_a_modality_of_another_kind_can_be_ticked_without_further_ado(client: Client) -> None:
    page = get(client, "/images/")
    assert 'data-facet="modality" data-value="seg" data-count="4"' in page
    assert 'data-facet="modality" data-value="ct" data-count="4"' in page


# --- The facet ---
def test_what_is_in_force_is_shown_as_such(client: Client) -> None:
    values = kind_values("")
    assert [(v.code, v.count, v.is_selected) for v in values.values()] == [
        ("any", 11, False), ("picture", 5, True), ("segmentation", 4, False), ("report", 2, False)
    ]  # fmt: skip
    assert values["picture"].undo == "kind=any"
    page = get(client, "/images/")
    tick = re.findall(r'<a class="facet-value"[^>]*id="kind-picture"[^>]*>', page)
    assert len(tick) == 1
    assert 'aria-checked="true"' in tick[0]
    assert 'name="kind" value="picture"' not in page, "a form would send it with every filter"


@pytest.mark.parametrize(
    ("query", "selected", "number"),
    [
        ("kind=segmentation", ["segmentation"], 4),
        ("kind=segmentation&kind=picture", ["picture", "segmentation"], 9),
        ("kind=any", ["any"], 11),
        ("kind=any&kind=segmentation", ["any", "segmentation"], 11),
        ("kind=picture", ["picture"], 5),
        ("modality=seg", [], 4),
        ("modality=ct&kind=report", ["report"], 0),
        ("sex=M", ["picture"], 0),
    ],
)
def test_a_choice_can_be_made_seen_and_taken_back(
    client: Client, query: str, selected: list[str], number: int
) -> None:
    assert ask(query).total == number
    values = kind_values(query)
    assert [code for code, value in values.items() if value.is_selected] == selected
    page = get(client, f"/images/?{query}")
    chosen = QueryDict(query).getlist("kind")
    for code in chosen:
        assert f'name="kind" value="{code}" id="kind-{code}" checked' in page
        less = QueryDict(query, mutable=True)
        less.setlist("kind", [other for other in chosen if other != code])
        assert get(client, f"/images/?{less.urlencode()}")
    if not chosen and selected:
        assert ask(values["picture"].undo).kinds == ["any"]


def test_without_a_choice_there_is_no_facet() -> None:
    assert kind_values("modality=ct") == {}
    assert set(kind_values("modality=ct&kind=picture")) == {"picture"}
    assert set(kind_values("modality=ct&kind=any")) == {"any", "picture"}


def test_an_unknown_kind_is_refused(client: Client) -> None:
    page = get(client, "/images/?kind=pictures", status=400)
    assert "“pictures” is not a kind of objects" in page


# --- Nothing found ---
def test_objects_of_other_kinds_are_suggested_first(client: Client) -> None:
    page = get(client, "/images/?sex=M")
    assert total(page) == 0
    assert "No pictures or series match all of this But 1 segmentation matches." in say(page)
    first = suggest_changes(ask("sex=M"))[0]
    assert (first.text, first.total, first.found) == ("objects of any kind", 1, "1 segmentation")
    assert first.query_string == "sex=M&kind=any"
    assert total(follow(client, page, "objects of any kind")) == 1


def test_any_kind_is_suggested_also_instead_of_chosen_kinds() -> None:
    first = suggest_changes(ask("modality=seg&kind=picture"))[0]
    assert (first.text, first.found) == ("objects of any kind", "4 segmentations")
    assert "objects of any kind" not in {s.text for s in suggest_changes(ask("kind=any&age=0-9"))}


def test_the_images_of_an_offered_dataset_are_what_it_has(client: Client) -> None:
    page = get(client, "/images/?q=quibble")
    assert total(page) == 0
    assert "show its segmentation" in say(page)
    assert total(follow(client, page, "show its segmentation")) == 1


# --- Other pages ---
def test_home_counts_pictures_and_other_objects(client: Client) -> None:
    page = get(client, "/")
    assert 'data-total="5"' in page
    assert "Search 5 pictures and series from 2 open datasets" in say(page)
    assert "There are also 6 other objects." in say(page)
    assert total(follow(client, page, "6 other objects")) == 6


def links(page: str) -> Iterator[tuple[int, str]]:
    """The numbers of a page that link to images, with their addresses."""
    for href, number in re.findall(r'href="(/images/\?[^"]*)"[^>]*>([0-9,]+)</a>', page):
        yield int(number.replace(",", "")), href


@pytest.mark.parametrize(
    "address",
    [
        "/",
        "/vocabularies/modality/",
        "/vocabularies/area/",
        "/vocabularies/label/",
        "/datasets/lungs/",
    ],
)
def test_every_number_is_what_its_link_shows(client: Client, address: str) -> None:
    found = list(links(get(client, address)))
    if address != "/datasets/lungs/":
        assert found
    for number, href in found:
        assert total(get(client, href)) == number, href


def test_a_dataset_says_what_it_has_and_leads_there(client: Client) -> None:
    page = get(client, "/datasets/lungs/")
    assert "In this catalog 5 pictures and series; 5 other objects" in say(page)
    assert "10 listed only" in say(page)
    assert total(follow(client, page, "Browse 5 pictures and series")) == 5
    assert total(follow(client, page, "Browse 5 other objects")) == 5
    assert total(follow(client, page, "Nodule")) == 2
    alone = get(client, "/datasets/masks/")
    assert "Browse 1 segmentation" in say(alone)
    assert 'href="/images/?dataset=masks&kind=any"' in alone
    assert total(follow(client, alone, "Browse 1 segmentation")) == 1
    assert 'href="/collections/new/?dataset=masks&kind=any"' in alone


def test_the_list_of_datasets_says_what_each_counts(client: Client) -> None:
    DatasetFactory(slug="hearts", num_images=150, sample_unit="patient")
    DatasetFactory(slug="vague", num_images=1234)
    words = say(get(client, "/datasets/"))
    assert "5 pictures and series; 5 other objects" in words
    assert "1 segmentation" in words
    assert "150 patients (published)" in words
    assert "1,234 images or studies (published)" in words
    assert "150 patients (published)" in say(get(client, "/datasets/hearts/"))


def test_the_list_of_datasets_offers_other_objects_where_no_picture_matches(
    client: Client,
) -> None:
    page = get(client, "/datasets/?q=x-5")
    assert total(page) == 0
    assert total(follow(client, page, "1 segmentation matches these words")) == 1


def test_a_subject_says_what_it_counts(client: Client) -> None:
    image = Dataset.objects.get(slug="lungs").images.get(source_id="x-0")
    words = say(get(client, image.get_absolute_url()))
    assert "(in all 5 pictures and series; 5 other objects)" in words


# --- Frozen filters ---
@pytest.mark.parametrize(
    ("query", "kinds"),
    [
        ("", ["picture"]), ("modality=ct", ["picture"]), ("modality=seg", ["any"]),
        ("kind=report", ["report"]), ("kind=any&kind=report", ["any"]), ("image=1", ["any"]),
    ],
)  # fmt: skip
def test_frozen_filters_always_name_the_kinds(query: str, kinds: list[str]) -> None:
    filters = ask(query)
    frozen = filters.as_frozen_json()
    assert frozen["kind"] == kinds
    again = params_from_frozen(frozen, current_vocabularies())
    assert ImageFilterSet(again).total == filters.total


def test_filters_frozen_before_there_were_kinds_mean_any() -> None:
    again = params_from_frozen({"area": ["chest"]}, current_vocabularies())
    assert again.urlencode() == "area=chest&kind=any"
    assert ImageFilterSet(again).total == 10
