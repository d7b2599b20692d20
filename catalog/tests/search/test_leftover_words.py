"""Words that name no term on the images page: ids, names of datasets, and what is offered."""

import html
import re
from urllib.parse import parse_qs

import pytest
from django.db import connection
from django.http import QueryDict
from django.test import Client
from django.test.utils import CaptureQueriesContext

from catalog.models import Dataset, Image
from catalog.search.facets import count_image_facets
from catalog.search.filters import ImageFilterSet
from catalog.search.filters.fields import MAX_QUERY_WORDS
from catalog.search.offers import offer_datasets
from catalog.search.understanding import understood_words
from catalog.tests.factories import DatasetFactory, ImageFactory, make_searchable
from catalog.tests.search.selecting import select
from vocab.tests.factories import AreaFactory, LabelFactory, ModalityFactory, TagFactory, add_alias

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module", autouse=True)
def catalog(module_db: None) -> None:
    mr, ct = ModalityFactory(code="mr", name="MR"), ModalityFactory(code="ct", name="CT")
    add_alias(mr, "MRI")
    for code, name in (("pneumonia", "Pneumonia"), ("effusion", "Effusion")):
        LabelFactory(code=code, name=name)
    chexpert = DatasetFactory(
        slug="chexpert", title="CheXpert", area=AreaFactory(code="chest", name="Chest"),
        description="Frontal and lateral views.",
    )  # fmt: skip
    ImageFactory(dataset=chexpert, source_id="p/1.jpg", subject_id="patient14471",
                 labels=["pneumonia", "effusion"])  # fmt: skip
    ImageFactory(dataset=chexpert, source_id="p/2.jpg", subject_id="patient14471")
    ImageFactory(dataset=chexpert, source_id="p/3.jpg", subject_id="patient144710", modality=mr)
    lidc = DatasetFactory(slug="lidc_idri", title="LIDC-IDRI", description="Screening.")
    ImageFactory(dataset=lidc, source_id="1.2.3", subject_id="LIDC-IDRI-0001", modality=ct)
    nlst = DatasetFactory(slug="nlst", title="National Lung Screening Trial (NLST) CT")
    ImageFactory(dataset=nlst, source_id="n-1", subject_id="100002", modality=ct)
    ImageFactory(dataset=nlst, source_id="100002345", modality=ct)
    DatasetFactory(slug="brats-2021", title="BraTS 2021", description="Lateral ventricles.")
    make_searchable()


def get(client: Client, address: str) -> str:
    response = client.get(address)
    assert response.status_code == 200
    return html.unescape(response.content.decode())


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("q=patient14471", "p/1.jpg p/2.jpg"),
        ("q=Patient14471", "p/1.jpg p/2.jpg"),
        ("q=patient14471+pneumonia", "p/1.jpg"),
        ("q=lidc-idri-0001", "1.2.3"),
        # An equal id wins over those that only begin so.
        ("q=100002", "n-1"),
        ("q=1000023", "100002345"),
        ("q=patient14471+lateral", ""),
        ("q=patient14471+p/2.jpg", "p/2.jpg"),
        ('q="p/1.jpg"', "p/1.jpg"),
    ],
)
def test_ids_of_images_and_subjects_are_found(query: str, expected: str) -> None:
    assert select(query) == expected


def test_ids_are_found_by_indexes() -> None:
    dataset = Dataset.objects.get(slug="chexpert")
    Image.objects.bulk_create(
        Image(dataset=dataset, source_id=f"x/{n}", subject_id=f"s{n}") for n in range(5_000)
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE catalog_image")
    images = ImageFilterSet(QueryDict("q=patient14471")).image_condition
    plan = Image.objects.filter(images).order_by().explain()
    assert "image_by_subject" in plan
    assert "image_is_known_once" in plan
    assert "Seq Scan" not in plan


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("q=chexpert", "p/1.jpg p/2.jpg p/3.jpg"),
        ("q=CheXpert+MRI", "p/3.jpg"),
        ("q=lidc", "1.2.3"),
        ("q=LIDC-IDRI", "1.2.3"),
        ("q=chexpert+or+nlst+ct", "100002345 n-1"),
        ("q=-chexpert", "1.2.3 100002345 n-1"),
        ("q=brats", ""),
        ("q=brats+2021", ""),
        # In no dataset's name, so never all images of a dataset that mentions it.
        ("q=lateral", ""),
        ("q=screening+chest", ""),
    ],
)
def test_the_name_of_a_dataset_is_a_filter_and_a_mention_is_not(query: str, expected: str) -> None:
    assert select(query) == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        # Those that state no modality are not known to be MRI.
        ("q=chest+not+MRI", "p/1.jpg p/2.jpg"),
        ("q=-MRI", "1.2.3 100002345 n-1 p/1.jpg p/2.jpg"),
        ("q=-lateral", "1.2.3 100002345 n-1"),
    ],
)
def test_excluded_words_take_images_away(query: str, expected: str) -> None:
    assert select(query) == expected


def test_a_dataset_marked_as_synthetic_is_found_and_excluded_as_such(client: Client) -> None:
    TagFactory(code="synthetic", name="Synthetic")
    made = ImageFactory(dataset=DatasetFactory(slug="made", is_synthetic=True), source_id="made")
    make_searchable()
    page = client.get("/images/?q=synthetic")
    assert [card.pk for card in page.context["page"].images] == [made.pk]
    page = client.get("/images/?q=not+synthetic")
    assert made.pk not in [card.pk for card in page.context["page"].images]


def test_a_dataset_that_mentions_a_word_is_offered_and_not_shown(client: Client) -> None:
    page = get(client, "/images/?q=lateral+pneumonia&sex=unknown")
    assert 'data-total="0"' in page
    assert "CheXpert’s description mentions “lateral”" in page
    assert "“lateral…”, looked for in ids, subjects and the images’ own texts" in page
    links = [parse_qs(link) for link in re.findall(r'<a href="/images/\?([^"]*)"', page)]
    wanted = {"q": ["pneumonia"], "sex": ["unknown"], "dataset": ["chexpert"]}
    assert wanted in links
    assert select("q=pneumonia&sex=unknown&dataset=chexpert") == "p/1.jpg"
    assert 'BraTS 2021’s description mentions “lateral”: <a href="/datasets/brats-2021/"' in page


def test_a_name_with_a_typo_is_offered(client: Client) -> None:
    page = get(client, "/images/?q=chexprt")
    assert 'data-total="0"' in page
    assert "CheXpert resembles “chexprt”" in page


def test_a_named_dataset_is_a_chip_that_can_be_removed(client: Client) -> None:
    page = get(client, "/images/?q=chexpert+pneumonia")
    assert re.search(r"Dataset:</span> CheXpert", page)
    assert 'aria-label="Remove “chexpert” from the search"' in page


@pytest.mark.parametrize("query", ["q=brats", "dataset=brats-2021", "q=brats+pneumonia"])
def test_a_dataset_without_images_leads_to_its_page(client: Client, query: str) -> None:
    page = get(client, f"/images/?{query}")
    assert "This dataset lists no images here" in page
    assert '<a href="/datasets/brats-2021/">BraTS 2021</a>' in page


def test_facets_tick_what_the_sentence_means_and_untick_its_words(client: Client) -> None:
    facets = count_image_facets(ImageFilterSet(QueryDict("q=chexpert+pneumonia+effusion")))
    ticked = {
        (facet.name, value.code): parse_qs(value.undo)
        for facet in facets
        for value in facet.values
        if value.is_selected
    }
    assert ticked == {
        ("dataset", "chexpert"): {"q": ["pneumonia effusion"]},
        ("label", "pneumonia"): {"q": ["chexpert effusion"]},
        ("label", "effusion"): {"q": ["chexpert pneumonia"]},
    }
    page = get(client, "/images/?q=chexpert+pneumonia+effusion")
    assert "Your words ask for Pneumonia and Effusion" in page
    assert 'name="label" value="pneumonia"' not in page
    page = get(client, "/images/?q=pneumonia+or+effusion")
    assert "Your words ask for Pneumonia or Effusion" in page


def test_a_filter_that_the_sentence_repeats_stands_once(client: Client) -> None:
    page = get(client, "/images/?q=pneumonia&label=pneumonia")
    assert page.count("Label:</span> Pneumonia") == 1
    drop = re.findall(r'href="/images/\?([^"]*)"[^>]*Remove “pneumonia” from', page)
    assert drop == [""]


def test_what_a_query_was_understood_as_can_be_kept() -> None:
    filters = ImageFilterSet(QueryDict("q=pneumonnia+or+effusion+patient14471+-lateral"))
    assert understood_words(filters) == [
        {"words": "pneumonnia", "filter": "label", "codes": ["pneumonia"],
         "names": ["Pneumonia"], "group": 1, "corrected": "pneumonia"},
        {"words": "effusion", "filter": "label", "codes": ["effusion"],
         "names": ["Effusion"], "group": 1},
        {"words": "patient14471", "filter": "id", "codes": [], "names": [], "group": 2},
        {"words": "lateral", "filter": "excluded", "codes": [], "names": []},
    ]  # fmt: skip


def test_ages_that_a_query_means_are_counted_as_what_they_give() -> None:
    ImageFactory(dataset=Dataset.objects.get(slug="chexpert"), source_id="old", age_years=70)
    make_searchable()
    facets = count_image_facets(ImageFilterSet(QueryDict("q=over+65")))
    ages = next(facet for facet in facets if facet.name == "age")
    assert [(value.code, value.count) for value in ages.values if value.is_selected] == [("66-", 1)]


@pytest.mark.parametrize("sign", ["", "-"])
def test_a_search_of_many_words_asks_the_database_little(client: Client, sign: str) -> None:
    words = " ".join(f"{sign}x{number}" for number in range(MAX_QUERY_WORDS))
    with CaptureQueriesContext(connection) as asked:
        response = client.get("/images/", {"q": words, "label": "pneumonia", "sex": "M"})
    assert response.status_code == 200
    # Some for each word; where nothing is found, not for each word without each other one.
    assert len(asked) < 6 * MAX_QUERY_WORDS


@pytest.mark.parametrize("query", ["nothing found", "-nothing found", "siemens -philips 14471"])
def test_where_nothing_is_found_no_question_is_asked_twice(client: Client, query: str) -> None:
    client.get("/images/")  # a process reads the catalog once
    filters = {"label": ["pneumonia", "effusion"], "sex": "M", "dataset": "lidc_idri"}
    with CaptureQueriesContext(connection) as asked:
        response = client.get("/images/", {"q": query, **filters})
    assert response.context["total"] == 0
    statements = [each["sql"] for each in asked]
    assert sorted(statements) == sorted(set(statements))


def test_words_are_not_looked_for_where_other_filters_leave_nothing(client: Client) -> None:
    with CaptureQueriesContext(connection) as asked:
        response = client.get("/images/?q=mri+pneumonia&dataset=lidc_idri")
    assert response.context["total"] == 0
    assert not any("catalog_profiletext" in each["sql"] for each in asked)


@pytest.mark.parametrize("address", ["/images/", "/datasets/"])
def test_a_search_of_more_words_is_refused(client: Client, address: str) -> None:
    response = client.get(address, {"q": "a " * (MAX_QUERY_WORDS + 1)})
    assert response.status_code == 400
    assert "The search has 51 words (limit: 50). Shorten it." in response.content.decode()


@pytest.mark.parametrize("address", ["/images/", "/datasets/"])
@pytest.mark.parametrize("sign", ["\ufdfa", "\u3316"])  # of eighteen and of six letters in NFKC
def test_signs_that_stand_for_many_count_as_many(client: Client, address: str, sign: str) -> None:
    response = client.get(address, {"q": sign * 300})
    assert response.status_code == 400
    assert "(limit: 300). Shorten it." in response.content.decode()


def test_an_id_with_points_is_one_word(client: Client) -> None:
    ids = " ".join(f"1.3.6.1.4.1.14519.5.2.1.7009.2403.{number}" for number in range(7))
    assert client.get("/images/", {"q": ids}).status_code == 200


def test_a_dataset_that_is_not_in_the_snapshot_yet_is_not_offered() -> None:
    asked = QueryDict("q=zebras")
    before = ImageFilterSet(asked)
    DatasetFactory(slug="safari", title="Safari", description="Zebras and gnus.")
    assert offer_datasets(before) == []
    assert [offer.dataset.code for offer in offer_datasets(ImageFilterSet(asked))] == ["safari"]
