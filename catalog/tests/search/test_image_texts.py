"""Words of the images' own texts, and subjects, at the images page."""

import html
import re

import pytest
from django.http import QueryDict
from django.test import Client

from catalog.importers.options import ImportLimits
from catalog.importers.rows import ImageRow
from catalog.importers.store import store_images
from catalog.models import Dataset, Image, ProfileText
from catalog.search.filters import ImageFilterSet
from catalog.search.understanding import understood_words
from catalog.services import delete_dataset, refresh_images
from catalog.tests.factories import DatasetFactory, ImageFactory, make_searchable
from catalog.tests.search.selecting import select
from vocab.tests.factories import AreaFactory, LabelFactory, ModalityFactory, TagFactory

pytestmark = pytest.mark.django_db

SIEMENS = {"Manufacturer": "SIEMENS", "ManufacturerModelName": "TrioTim",
           "SeriesDescription": "t1_mprage_sag 1.0mm", "BodyPartExamined": "BRAIN"}  # fmt: skip
PHILIPS = {"Manufacturer": "PhilipsMedicalSystems", "view": "COSTAL", "StudyDate": "siemens"}


@pytest.fixture(scope="module")
def dataset_of_module(module_db: None) -> int:
    dataset: Dataset = DatasetFactory(slug="texts", area=AreaFactory(code="chest", name="Chest"))
    ct = ModalityFactory(code="ct", name="CT")
    LabelFactory(code="nodule", name="Nodule")
    rows = [
        ("patient14471", SIEMENS), ("LIDC-IDRI-0001", SIEMENS), ("100002", PHILIPS),
        ("100003", {"StudyDescription": "CT chest with contrast, 100002"}), ("", {}),
    ]  # fmt: skip
    for number, (subject, metadata) in enumerate(rows):
        ImageFactory(
            dataset=dataset, source_id=f"i{number}", subject_id=subject, metadata_json=metadata,
            modality=ct if number % 2 else None, age_years=60 + 5 * number,
            labels=["nodule"] if number < 3 else [],
        )  # fmt: skip
    make_searchable()
    return dataset.pk


@pytest.fixture
def dataset(dataset_of_module: int) -> Dataset:
    return Dataset.objects.get(pk=dataset_of_module)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("q=siemens", "i0 i1"),
        ("q=Siemens+chest+ct", "i1"),
        ("q=siemens+triotim", "i0 i1"),
        ("q=philips", "i2"),
        ("q=siemens+philips", ""),
        ("q=siemens+or+philips", "i0 i1 i2"),
        ("q=siemens/philips", "i0 i1 i2"),
        ("q=siemens+or+philips+ct", "i1"),
        ("q=mprage+siemens+or+philips", "i0 i1"),
        ("q=patient14471+or+100003", "i0 i3"),
        ("q=patient14471+or+LIDC-IDRI-0001+nodule", "i0 i1"),
        # An id and a word, a filter and a word, and two filters are looked for together.
        ("q=patient14471+or+philips", ""),
        ("q=ct+or+philips", ""),
        ("q=mprage", "i0 i1"),
        ("q=t1_mprage", "i0 i1"),
        ("q=t1", "i0 i1"),
        # Fewer than four letters are no beginning of a word.
        ("q=mpr", ""),
        ("q=costal", "i2"),
        ('q="with+contrast"', "i3"),
        ('q="contrast+with"', ""),
        ("q=siemens+over+62", "i1"),
        ("q=siemens&age_max=62", "i0"),
        ("q=siemens+patient14471", "i0"),
        ("q=siemens+nodule+ct", "i1"),
        # Excluded words are those that would be found, and images without texts have none.
        ("q=-siemens", "i2 i3 i4"),
        ("q=-siemens+-philips", "i3 i4"),
        ("q=-siemens+ct", "i3"),
        ("q=ct+not+siemens", "i3"),
        ("q=not+patient14471+except+siemens", "i2 i3 i4"),
        ("q=-siemens+under+75", "i2"),
        ("q=siemens+-patient14471", "i1"),
        ("q=-patient14471", "i1 i2 i3 i4"),
        ("q=-%22ct+chest%22+-100002", "i0 i1 i4"),
        ("q=chest+-siemens+philips", "i2"),
        ("q=siemens+-mprage", ""),
        # Names of terms are the terms; other values of the metadata are not searched.
        ("q=nodule", "i0 i1 i2"),
        ("q=studydate", ""),
    ],
)
def test_a_word_is_looked_for_in_the_own_texts(dataset: Dataset, query: str, expected: str) -> None:
    assert select(query) == expected


@pytest.mark.parametrize("subject", ["patient14471", "LIDC-IDRI-0001", "100002"])
@pytest.mark.parametrize("change", [str, str.lower, str.upper])
@pytest.mark.parametrize("more", ["", " chest", " nodule"])
def test_a_subject_finds_its_images(
    dataset: Dataset, client: Client, subject: str, change: type[str], more: str
) -> None:
    page = client.get("/images/", {"q": change(subject) + more})
    assert 'data-total="1"' in page.content.decode()
    (image,) = page.context["page"].images
    assert image.pk == Image.objects.get(subject_id=subject).pk
    assert "<b>Ids:</b>" in page.content.decode()


def test_the_page_says_where_words_are_looked_for(dataset: Dataset, client: Client) -> None:
    page = html.unescape(client.get("/images/?q=patient14471+siemens").content.decode())
    assert "“patient14471”, of images and subjects" in page
    assert "“siemens…”, looked for in ids, subjects and the images’ own texts" in page
    filters = ImageFilterSet(QueryDict("q=patient14471+siemens"))
    assert [part["filter"] for part in understood_words(filters)] == ["id", "text"]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("siemens or philips", "“siemens…” or “philips…”, looked for"),
        ("siemens philips", "“siemens…”, “philips…”, looked for"),
        ("patient14471 or 100002", "“patient14471” or “100002”, of images"),
        ("patient14471 100002", "“patient14471”, “100002”, of images"),
        ("ct or siemens", "Both, not either: “ct or siemens”."),
        ("patient14471 or siemens", "Both, not either: “patient14471 or siemens”."),
        ("ct or nodule", "Both, not either: “ct or nodule”."),
        ("siemens or -patient14471", "Both, not either: “siemens or -patient14471”."),
    ],
)
def test_the_page_says_what_or_means(
    dataset: Dataset, client: Client, query: str, said: str
) -> None:
    page = client.get("/images/", {"q": query}).content.decode()
    assert said in html.unescape(re.sub(r"<[^>]+>", "", page))


@pytest.mark.parametrize("query", ["siemens or philips", "ct or mr", "nodule or mass", "or ct"])
def test_an_or_that_holds_is_not_called_both(dataset: Dataset, client: Client, query: str) -> None:
    ModalityFactory(code="mr", name="MR")
    LabelFactory(code="mass", name="Mass")
    make_searchable()
    assert "Both, not either" not in client.get("/images/", {"q": query}).content.decode()


@pytest.mark.parametrize(
    ("query", "total"),
    [
        ("q=siemens", 2),
        ("q=%22siemens+triotim%22", 2),
        ("q=philips", 1),
        ("q=siemens+over+62", 1),
        ("q=siemens&age_max=62", 1),
        ("q=siemens+nodule+ct", 1),
        ("q=-siemens", 3),
        ("q=-siemens+not+over+70", 1),
        ("q=-patient14471", 4),
        ("q=contrast+-siemens", 1),
    ],
)
def test_the_page_shows_what_has_the_words(
    dataset: Dataset, client: Client, query: str, total: int
) -> None:
    page = client.get(f"/images/?{query}")
    assert f'data-total="{total}"' in page.content.decode()
    assert len(page.context["page"].images) == total


@pytest.mark.parametrize("word", ["perfusion", "bilateral", "gradient", "standing", "arterial"])
def test_a_word_of_radiology_is_no_typo_of_another(client: Client, word: str) -> None:
    for term in ("Effusion", "Lateral", "Grading", "Staging", "Arteries"):
        LabelFactory(name=term)
    ImageFactory(labels=["effusion", "lateral", "grading", "staging", "arteries"])
    image = ImageFactory(metadata_json={"SeriesDescription": f"CT {word} 5mm"})
    make_searchable()
    page = client.get("/images/", {"q": word})
    assert [each.pk for each in page.context["page"].images] == [image.pk]


def test_a_local_recurrence_is_no_local_file(client: Client) -> None:
    image = ImageFactory(metadata_json={"StudyDescription": "Local recurrence"})
    make_searchable()
    page = client.get("/images/?q=local+recurrence")
    assert [each.pk for each in page.context["page"].images] == [image.pk]


def test_words_that_mean_nothing_here_are_suggested_as_words(client: Client) -> None:
    TagFactory(code="reports", name="Report")
    ImageFactory(metadata_json={"SeriesDescription": "Report of a scan"})
    make_searchable()
    page = html.unescape(client.get("/images/?q=report").content.decode())
    assert 'data-total="0"' in page
    assert re.search(r'q=%22report%22"[^>]*>“report” as words</a>: <span[^>]*>1 image<', page)


def test_the_page_says_which_excluded_word_excludes_nothing(
    dataset: Dataset, client: Client
) -> None:
    page = html.unescape(client.get("/images/?q=ct+not+siemens+not+xyzzy").content.decode())
    assert 'data-total="1"' in page
    assert "Found nowhere, so nothing is excluded by “xyzzy”<" in page
    dataset.is_active = False
    dataset.save()
    make_searchable()
    page = html.unescape(client.get("/images/?q=not+siemens").content.decode())
    assert "Found nowhere, so nothing is excluded by “siemens”<" in page, "it is hidden"


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("without pneumonia and effusion", "“without pneumonia” excludes that only, and"),
        ("no pneumonia, effusion", "and “effusion” is asked for"),
        ("no pneumonia; effusion", "and “effusion” is asked for"),
        ("without pneumonia + effusion", "and “effusion” is asked for"),
        ("not siemens and ct", "and “ct” is asked for"),
        ("neither pneumonia nor effusion", ""), ("pneumonia - effusion", ""),
        ("excluding children and adolescents", "and “adolescents” is asked for"),
        ("ct not siemens, philips", "and “philips” is asked for"),
        ("no tumor or pneumonia", "“no tumor” excludes that only, and “pneumonia” is asked for"),
        ("no xyzzy pneumonia ct", "and “pneumonia” is asked for"),
        ("no pneumonia effusion", "and “effusion” is asked for"),
        ('-"low dose" ct', ""), ("no siemens pneumonia", "and “pneumonia” is asked for"),
        ("no pneumonia xyzzy ct", "and “xyzzy” is asked for"),
        ("no women over 60 ct", "“over 60” is asked for"),
        ("ct no adults over 65", "“over 65” is asked for"),
        ("no brain ct", "“no brain” excludes that only, and “ct” is asked for"),
        ("-women over 60 ct", ""), ("no pneumonia women ct", ""),
        ("ct neither siemens nor ge", ""),
        ("without pneumonia and siemens", "“siemens” is asked for"),
        ("ct without contrast", "“without contrast” excludes nothing"),
        ("ct patient no 5", ""),
        ("ct '-pneumonia'", "excludes nothing"), ("ct &-pneumonia", "excludes nothing"),
        ("pneumonia -effusion !ct", ""), ("ct 5 –3", "“–3” excludes nothing"), ("covid-19 ct", ""),
        ("--pneumonia ct", "“--pneumonia” excludes nothing: put one minus directly before each"),
        ("!!pneumonia ct", "excludes nothing"), ("!=pneumonia ct", "excludes nothing"),
        ("ct -'pneumonia'", "excludes nothing"), ("ct -[pneumonia]", "excludes nothing"),
        ("ct - (pneumonia)", "excludes nothing"), ("ct/-pneumonia", "excludes nothing"),
        ("[-pneumonia] ct", "excludes nothing"), ("ct −‘pneumonia’", "excludes nothing"),
        ("without pneumonia or effusion", ""), ("-pneumonia, effusion", ""),
        ("effusion without pneumonia", ""), ("without pneumonia and ct", ""),
        ("ct -(pneumonia effusion)", "excludes nothing"),
        ("ct –(pneumonia effusion)", "excludes nothing"),
        ("ct (-pneumonia)", ""), ("ct-(pneumonia)", ""),
        ("ct without women and children", "“without women” excludes that only, and “children”"),
        ("pneumonia vs no pneumonia", "“pneumonia” is asked for and “no pneumonia” excludes it"),
        ("effusion and non-effusion ct", ""),
        ("ct siemens not siemens", "“siemens” is asked for and “not siemens” excludes it"),
    ],
)  # fmt: skip
def test_the_page_says_what_a_negation_does_not_reach(
    dataset: Dataset, client: Client, query: str, said: str
) -> None:
    LabelFactory(name="Pneumonia")
    LabelFactory(name="Effusion")
    page = html.unescape(client.get("/images/", {"q": query}).content.decode())
    assert "Understood as" in page
    assert said in page
    assert ("is asked for" in page or "excludes nothing" in page) == bool(said)


def test_texts_follow_every_change(dataset: Dataset) -> None:
    image = Image.objects.get(source_id="i0")
    image.metadata_json = PHILIPS
    image.save()
    refresh_images(image_ids=[image.pk])
    assert select("q=siemens") == "i1"
    assert select("q=philips") == "i0 i2"
    rows = [ImageRow(source_id="i0", metadata={"Manufacturer": "Canon"}),
            ImageRow(source_id="new", metadata=SIEMENS)]  # fmt: skip
    store_images(dataset=dataset, rows=rows, limits=ImportLimits(allow_removal=True))
    assert select("q=canon") == "i0"
    assert select("q=siemens") == "new"
    assert select("q=philips") == ""
    delete_dataset(dataset=dataset)
    assert not ProfileText.objects.exists()
