import html
import re
from typing import Any
from urllib.parse import urlencode

import pytest
from django.db import connection
from django.http import QueryDict
from django.test import Client
from django.test.utils import CaptureQueriesContext

from catalog.models import Dataset
from catalog.search.dataset_paging import fetch_datasets, sort_datasets
from catalog.search.facets import count_dataset_facets
from catalog.search.filters import DatasetFilterSet
from catalog.tests.factories import DatasetFactory, ImageFactory, add_file, make_searchable
from vocab.models import License, Modality
from vocab.services import set_terms_active
from vocab.signals import terms_changed
from vocab.tests.factories import (
    AreaFactory,
    LabelFactory,
    LicenseFactory,
    ModalityFactory,
    TagFactory,
    TaskTypeFactory,
    add_alias,
)

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module", autouse=True)
def catalog(module_db: None) -> None:
    ct, dx = ModalityFactory(code="ct"), ModalityFactory(code="dx", name="Digital radiography")
    add_alias(dx, "X-ray")
    chest = AreaFactory(code="chest", name="Chest")
    free, other = LicenseFactory(code="cc0-1.0"), LicenseFactory(code="custom")
    LabelFactory(code="liver", name="Liver")
    DatasetFactory(
        slug="chestx-ray14", title="NIH ChestX-ray14", area=chest, license=free, size_mb=45_000,
        description="Frontal views with fourteen findings. <b>Mined</b> from reports.",
        terms__modalities=[dx], terms__task_types=[TaskTypeFactory(code="classification")],
    )  # fmt: skip
    lung_ct = DatasetFactory(
        slug="lung-ct", title="Lung nodules", area=chest, license=other, size_mb=125_000,
        description="Thoracic scans.", terms__modalities=[ct],
        terms__tags=[TagFactory(code="screening", name="Screening")],
    )  # fmt: skip
    DatasetFactory(slug="both", title="Both worlds", terms__modalities=[ct, dx], size_mb=900)
    DatasetFactory(slug="hidden", title="Hidden CT", is_active=False, terms__modalities=[ct])
    add_file(ImageFactory(dataset=lung_ct, source_id="here", modality=ct), b"x")
    ImageFactory(dataset=lung_ct, source_id="there", modality=ct, remote_url="s3://b/there")
    make_searchable()
    # The size of its publisher instead of that of its file here.
    Dataset.objects.filter(slug="lung-ct").update(size_mb=125_000)


def select(query: str) -> str:
    """The slugs in their order, those that lack words with them: ``both[chest]``."""
    filters = DatasetFilterSet(QueryDict(query))
    assert not filters.problems, filters.problems
    ids = sort_datasets(filters, "relevance" if "q" in filters.as_json() else "title")
    found = [(d.slug, filters.missing_words(d.pk)) for d in fetch_datasets(filters, ids)]
    assert filters.total == len(found)
    assert filters.num_partial == sum(bool(missing) for _, missing in found)
    return " ".join(
        slug + (f"[{', '.join(missing)}]" if missing else "") for slug, missing in found
    )


def select_whole(text: str) -> str:
    """The slugs of the datasets that meet a whole query, by their names."""
    found = select(urlencode({"q": text}))
    return " ".join(sorted(re.sub(r"\S+\[[^]]*\]", "", found).split()))


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", "both lung-ct chestx-ray14"),
        ("modality=ct", "both lung-ct"),
        ("modality=ct&modality=dx", "both lung-ct chestx-ray14"),
        ("modality=X-ray", "both chestx-ray14"),
        ("area=chest&license=cc0-1.0", "chestx-ray14"),
        ("task=classification", "chestx-ray14"),
        ("tag=screening", "lung-ct"),
        ("size=lt1", "both"),
        ("size=10-100&size=gt100", "lung-ct chestx-ray14"),
        ("local=1", "lung-ct"),
        ("local=elsewhere", "lung-ct"),
        ("local=listed", "both chestx-ray14"),
        ("local=0", "both lung-ct chestx-ray14"),
        ("q=with+an+address", "lung-ct"),
        ("q=not+local", "lung-ct both chestx-ray14"),
        ("q=chest+x-ray", "chestx-ray14 lung-ct[x-ray] both[chest]"),
        ("q=ChestX-ray14", "chestx-ray14"),
        ("q=nodule", "lung-ct"),
        ("q=findings", "chestx-ray14"),
        ("q=screening", "lung-ct"),
        ("q=x-ray+-chest", "both"),
        ("q=chestxray14", "chestx-ray14"),
        ("q=nodulse", "lung-ct"),
        ("q=%27%3B+drop+table", ""),
    ],
)
def test_datasets_are_found(query: str, expected: str) -> None:
    assert select(query) == expected


def test_another_filter_does_not_switch_to_similar_titles() -> None:
    DatasetFactory(slug="noduli", title="Lung nodulse", area=AreaFactory(code="brain"))
    assert select("q=nodules") == "lung-ct"
    assert select("q=nodules&area=brain") == ""
    assert select("q=nodules&area=brain&area=chest") == "lung-ct"


def test_licences_are_found_by_their_other_names_unless_inactive() -> None:
    add_alias(License.objects.get(code="cc0-1.0"), "Zero")
    terms_changed.send(sender=License)
    assert select("q=zero") == "chestx-ray14"
    set_terms_active(terms=License.objects.filter(code="cc0-1.0"), is_active=False)
    assert select("q=zero") == ""


def test_sexes_that_are_not_asked_for_join_no_terms(client: Client) -> None:
    for code in ("mass", "nodule"):
        DatasetFactory(slug=code, title="With", terms__labels=[LabelFactory(code=code)])
    make_searchable()
    page = client.get("/datasets/", {"q": "mass in women or nodule"})
    assert [chip.before for chip in page.context["understood"]] == ["", "and"]
    assert page.context["total_full"] == 0
    assert page.context["broken_ors"] == ["women or nodule"]


@pytest.mark.parametrize("query", ["-cancer", "no cancer", "without evidence of cancer"])
def test_an_excluded_label_is_looked_for_as_it_was_typed(query: str) -> None:
    add_alias(LabelFactory(code="malignant", name="Malignant"), "Cancer")
    DatasetFactory(slug="grades", title="Grades of cancer")
    DatasetFactory(slug="other", title="Other grades")
    make_searchable()
    assert select(f"q=grades+{query.replace(' ', '+')}") == "other"


def test_words_of_an_alias_that_no_page_shows_find_nothing() -> None:
    add_alias(Modality.objects.get(code="ct"), "computed axial tomography")
    terms_changed.send(sender=Modality)
    assert select("q=axial") == ""
    assert select("q=chest+not+axial") == "lung-ct chestx-ray14"
    # Nor does a term stand for all that an alias of it is.
    DatasetFactory(slug="rays", title="Axial tomography of rays", description="Computed.")
    make_searchable()
    assert select("q=ct") == "lung-ct both"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("q=radiografy", "both chestx-ray14"),
        ("q=CT+of+the+chest,+commercial+use",
         "lung-ct[commercial use] chestx-ray14[CT]"),
        ("q=x-ray+of+the+chest,+commercial+use",
         "chestx-ray14 lung-ct[x-ray, commercial use] both[chest, commercial use]"),
        ("q=x-ray+of+the+chest,+commercial+use&modality=ct",
         "lung-ct[x-ray, commercial use] both[chest, commercial use]"),
        ("q=radiografy+nowhere", "both[nowhere] chestx-ray14[nowhere]"),
        ("q=nowhere+nohow", ""),
        ("q=chest+-nodules+nowhere", "chestx-ray14[nowhere]"),
    ],
)  # fmt: skip
def test_datasets_that_lack_words_follow_and_say_which(query: str, expected: str) -> None:
    License.objects.filter(code="cc0-1.0").update(allows_commercial_use=True)
    Modality.objects.filter(code="dx").update(name="Radiography")
    assert select(query) == expected


def test_a_hit_in_the_title_comes_first() -> None:
    DatasetFactory(slug="a-passing-word", title="A passing word", description="like nodules do")
    assert select("q=nodules") == "lung-ct a-passing-word"


def test_a_new_alias_is_found_and_a_deactivated_term_is_not() -> None:
    add_alias(Modality.objects.get(code="ct"), "Tomogram")
    terms_changed.send(sender=Modality)
    assert select("q=tomogram") in {"both lung-ct", "lung-ct both"}
    set_terms_active(terms=Modality.objects.filter(code="ct"), is_active=False)
    assert select("q=tomogram") == ""


def test_snippets_mark_the_hit_and_stay_text() -> None:
    filters = DatasetFilterSet(QueryDict("q=mined"))
    row: Any = fetch_datasets(filters, sort_datasets(filters, "relevance"))[0]
    assert "\x02Mined\x03" in row.snippet


def test_snippets_say_where_they_are_cut_and_mark_no_year(client: Client) -> None:
    text = "Scans of 2020 first. " + "Many words follow here that nobody asks for. " * 6
    Dataset.objects.filter(slug="lung-ct").update(
        description=f"{text}Then come the lungs at last. {text}", year=2021
    )
    make_searchable()
    page = client.get("/datasets/", {"q": "lungs after 2020"}).content.decode()
    shown = page.partition('<p class="dataset-snippet">')[2].partition("</p>")[0]
    assert shown.startswith("… ")
    assert shown.endswith(" …")
    assert "<mark>lungs</mark>" in shown
    assert "<mark>2020</mark>" not in page


@pytest.mark.parametrize(
    ("query", "facet", "expected"),
    [
        ("", "modality", {"ct": 2, "dx": 2}),
        ("modality=ct", "modality", {"ct": 2, "dx": 2}),
        ("modality=ct", "area", {"chest": 1}),
        ("", "area", {"chest": 2}),
        ("", "license", {"cc0-1.0": 1, "custom": 1}),
        ("", "size", {"lt1": 1, "10-100": 1, "gt100": 1}),
        ("", "local", {"1": 1, "elsewhere": 1, "listed": 2}),
        ("q=chest", "modality", {"ct": 1, "dx": 1}),
        # What lacks words is listed and therefore counted.
        ("q=chest+x-ray", "modality", {"ct": 2, "dx": 2}),
    ],
)
def test_dataset_facets_count_exactly(query: str, facet: str, expected: dict[str, int]) -> None:
    facets = count_dataset_facets(DatasetFilterSet(QueryDict(query)))
    counted = next(f for f in facets if f.name == facet)
    assert {value.code: value.count for value in counted.values} == expected


def test_datasets_that_lack_words_do_not_follow_where_many_lack_nothing() -> None:
    dx = Modality.objects.get(code="dx")
    for number in range(10):
        DatasetFactory(slug=f"wrist-{number}", title="Wrists", terms__modalities=[dx])
    assert "[" not in select("q=wrists+x-ray")


def test_those_that_lack_words_are_last_in_every_order() -> None:
    filters = DatasetFilterSet(QueryDict("q=chest+x-ray"))
    found = [bool(filters.missing_words(pk)) for pk in sort_datasets(filters, "title")]
    assert found == [False, True, True]


def test_labels_of_its_images_belong_to_a_dataset() -> None:
    ImageFactory(dataset=DatasetFactory(slug="labelled", title="Labelled"), labels=["mass"])
    make_searchable()
    assert select("q=mass") == "labelled"


def test_the_number_of_matching_images_decides_among_equals() -> None:
    ct = Modality.objects.get(code="ct")
    for slug, number in (("few", 1), ("many", 3)):
        dataset = DatasetFactory(slug=slug, title=slug.title(), terms__modalities=[ct])
        for _ in range(number):
            ImageFactory(dataset=dataset, modality=ct)
    make_searchable()
    assert select("q=ct").split()[:2] == ["lung-ct", "many"]


@pytest.mark.parametrize("text", ["tumour", "tumor", "Tumours", "haematoma", "hematoma"])
def test_words_are_found_in_the_other_spelling(text: str) -> None:
    DatasetFactory(slug="here", title="Here", description="A tumor. A hematoma.")
    DatasetFactory(slug="there", title="There", description="A tumour. A haematoma.")
    assert set(select(f"q={text}").split()) == {"here", "there"}


@pytest.mark.parametrize(("text", "told"), [("brazil", "Brazilian"), ("vietnamese", "Vietnam")])
def test_a_noun_finds_its_adjective(text: str, told: str) -> None:
    DatasetFactory(slug="there", title="There", description=f"From {told} hospitals.")
    assert select(f"q={text}") == "there"


def test_the_page_counts_full_and_partial_matches_separately(client: Client) -> None:
    page = html.unescape(client.get("/datasets/?q=chest+x-ray").content.decode())
    assert '<span data-total="3">3</span> datasets' in page
    assert "1 with all of these words, then 2 without some of them" in page
    assert "without: “chest”" in page
    page = html.unescape(client.get("/datasets/?q=chest+x-ray&modality=ct").content.decode())
    assert "No dataset has all of these words" in page


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("commercial use", "chestx-ray14"),
        ("on this server", "lung-ct"),
        ("with a link", "lung-ct"),
        ("over 65", "both"),
        ("cc by", "chestx-ray14"),
    ],
)
def test_no_text_gives_a_dataset_a_licence_files_or_ages(
    client: Client, query: str, expected: str
) -> None:
    License.objects.filter(code="cc0-1.0").update(
        allows_commercial_use=True, name="Creative Commons Attribution"
    )
    add_alias(License.objects.get(code="cc0-1.0"), "CC BY")
    DatasetFactory(
        slug="forbidden", title="Local with a link", license=LicenseFactory(name="CC BY NC"),
        description="No commercial use; CC BY NC. On this server, with a link. Over 65 thousand.",
    )  # fmt: skip
    ImageFactory(dataset=Dataset.objects.get(slug="both"), age_years=70)
    make_searchable()
    page = client.get("/datasets/", {"q": query})
    assert [row.dataset.slug for row in page.context["rows"]] == expected.split()


def test_a_licence_that_no_dataset_has_finds_none() -> None:
    LicenseFactory(code="lonely", name="Lonely licence")
    DatasetFactory(slug="talks", description="Not under the lonely licence.")
    make_searchable()
    assert select("q=lonely+licence") == ""


def test_an_excluded_licence_takes_its_datasets_away(client: Client) -> None:
    License.objects.filter(code="cc0-1.0").update(allows_commercial_use=True)
    make_searchable()
    assert select("q=chest") == "lung-ct chestx-ray14"
    assert select("q=chest+not+for+commercial+use") == "lung-ct"
    add_alias(License.objects.get(code="cc0-1.0"), "CC BY")
    assert client.get("/datasets/?q=not+CC+BY").context["common_words"] == []


@pytest.mark.parametrize("negation", ["-", "not ", "no ", "except ", "excluding "])
def test_a_negated_word_never_finds_what_mentions_it(client: Client, negation: str) -> None:
    DatasetFactory(slug="mentions", description="With zymurgy.")
    make_searchable()
    page = client.get("/datasets/", {"q": f"{negation}zymurgy"})
    assert sorted(row.dataset.slug for row in page.context["rows"]) == [
        "both", "chestx-ray14", "lung-ct",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("female screening", "Datasets as a whole do not have “female”: search the images"),
        ("over 65 screening", "Datasets as a whole do not have “over 65”: search the images"),
        ("screening older than 50 but younger than 70", "“older than 50”, “younger than 70”"),
        ("chest or ct", "Both, not either: “chest or ct”"),
        ("ct or thoracic", "Both, not either: “ct or thoracic”"),
        ("chest/ct", "Both, not either: “chest or ct”"),
        ("no chest or ct", "Both, not either: “no chest or ct”"),
        ("ct without thoracic", "Not: “without thoracic” excludes nothing"),
        ("ct no 12", "Words: “no”, “12”, looked for"),
        ("ct not xyzzy", "Found nowhere, so nothing is excluded by “xyzzy”"),
        (
            "excluding patients younger than 18",
            "Of their images: “excluding patients younger than 18”",
        ),
        ("ct with or without a chest", "“with or without a chest” asks for nothing"),
        ("all ct but thoracic", "“but” excludes nothing: put a minus directly before"),
        ("more than 500 images ct", "Not: “more than 500 images” compares no numbers"),
        (">10,000 scans", "Not: “>10,000 scans” compares no numbers"),
        ("over 2,000 chest x-rays", "Not: “over 2,000 chest x-rays” compares no numbers"),
        ("between 100 and 500 patients", "compares no numbers"),
        ("100-500 images", "Not: “100-500 images” compares no numbers"),
        ("100 to 500 images", "Not: “100 to 500 images” compares no numbers"),
        ("minimum 200 cases", "compares no numbers"),
        ("max 50 gb", "compares no numbers"),
        ("over 100 000 images", "Not: “over 100 000 images” compares no numbers"),
        ("100+ patients", "Not: “100+ patients” compares no numbers"),
        ("thoracic", "Words: “thoracic”, looked for in the datasets’ texts"),
        ("nodules not seen", "excludes the word “seen” only, and “nodules” is asked for"),
        ("ct is not available", "“not available” excludes the word “available” only, and “ct”"),
        ("frontal not 3", "“not 3” excludes nothing"),
        (
            "he thoracic",
            "Words: “he”, “thoracic”, looked for in the datasets’ texts, where they are “thorac…”",
        ),
        ("no later than 2020 frontal", "Words: “frontal”, looked for"),
        ("thoracic not 3 frontal", "Words: “thoracic”, “not”, “3”, “frontal”, looked for"),
        ("he", "Too common to be looked for in texts: “he”"),
        ("not from lung-ct and from both", "and “both” is asked for"),
        ("no thoracic, screening", "and “screening” is asked for"),
        ("except lung-ct, both", "“except lung-ct” excludes that only, and “both” is asked for"),
        ("nodulus", "In no text, so titles that resemble it are listed: “nodulus”"),
        ("not based on ct", "“not based” excludes that only, and “ct” is asked for"),
        ("not suggestive of a nodule", "excludes that only, and “nodule” is asked for"),
        ("datasets older than 10 years", "Of their images: “older than 10 years”: ages and"),
        ("modality != ct", "“!= ct” excludes nothing"),
        ("ct or a thoracic", "Both, not either: “ct or thoracic”"),
        ("not lung-ct, elsewhere", "“not lung-ct” excludes that only, and “elsewhere” is asked"),
        ("ct w/o thoracic", "Not: “without thoracic” excludes nothing"),
        ("ct not lung-ct and chestx-ray14", "and “chestx-ray14” is asked for"),
        (
            "classification in women or screening",
            "Task: Classification as words × and Tag: Screening",
        ),
        ("ct not under 18", "Datasets as a whole do not have “not under 18”"),
        ('"no contrast"', "Too common to be looked for in texts: “no”"),
        ('ct -"no contrast"', "Too common to be looked for in texts: “no”"),
        (
            "digital radiography",
            "Terms: looked for in the datasets’ texts, too: “digit… radiographi…”",
        ),
        ("thoracic", "“thorac…”, “thoracic…”"),
        ("segment", "where they are “segment…”"),
        ("severe", "“severe”, looked for in the datasets’ texts, where they are “sever…”"),
        ("ct not severe", "or in the datasets’ texts, where they are “sever…”"),
        ("no thoracic, mined", "“no thoracic” excludes that only, and “mined” is asked for"),
        ("not ct, mined", "“not ct” excludes that only, and “mined” is asked for"),
        ("ct no_chest", "Not: “-chest” (area: Chest), as a term or in"),
        ("ct during surgery", "Too common to be looked for in texts: “during”"),
        ("ct no other", "Too common to be looked for in texts: “other”"),
        ("stage i or ii", "Too common to be looked for in texts: “i”"),
        ('"both eyes"', "Too common to be looked for in texts: “both”"),
        ('"her2-"', "“her2-”: its sign is not looked for"),
        ("p16+, ct", "“p16+”: its sign is not looked for"),
        ("ki-67+ ct", "“ki-67+”: its sign is not looked for"),
        ("t2* ct", "“t2*”: its sign is not looked for"),
        ("kras (-) ct", "“kras (-)”: its sign is not looked for"),
        ("ct minus", "Not: “minus” excludes nothing"),
        ('"effusion (+)"', "its sign is not looked for"),
        ("not specific to chest", "“not specific” excludes that only, and “chest” is asked for"),
        ("thoracic, frontal or mined", "“thoracic” or “frontal” or “mined”, looked for"),
        ("thoracic view frontal or mined", "“thoracic”, (“frontal” or “mined”), looked for"),
        ("women only", "“only” leaves nothing out"),
        ("chest not ct", "Not: “-ct” (modality: Ct), as a term or in the datasets’ texts"),
        ("ct only", "“only” leaves nothing out"),
        ("ct images only", "“only” leaves nothing out"),
        ("only ct in chestx-ray14", "“only” leaves nothing out"),
        ("patients > 60 years, nodules > 6 mm", "“> 6” compares nothing"),
        ("only a nodule", "“only” leaves nothing out"),
        ("nodule -modality:ct", "“-modality:ct” excludes nothing"),
        ("nodule -images with ct", "“-images with ct” excludes nothing"),
        ("chest > 3T", "“> 3T” compares nothing"),
        ("nodules >= 6 mm", "“>= 6” compares nothing"),
        ("not made from ct", "“not made” excludes that only, and “ct” is asked for"),
        ("not seen on ct", "“not seen” excludes that only, and “ct” is asked for"),
        ("either thoracic or frontal", "Words: “thoracic” or “frontal”, looked for"),
        ("nodulus or thoracicum", "titles that resemble it are listed: “nodulus”"),
        ("ct nodule=no", "“nodule=no” excludes nothing"),
        ("nodule: none", "“nodule: none” excludes nothing"),
        ("nodule = 0, ct", "“nodule = 0” excludes nothing"),
        ("chest NOT:ct", "“NOT:ct” excludes nothing"),
        ("chest ! ct", "“! ct” excludes nothing"),
        ("thoracic | frontal", "Words: “thoracic” or “frontal”, looked for"),
        ("without liver, chest or ct", "“without liver” excludes that only, and “chest” is asked"),
        ("AML or ALL", "“ALL” is read as a common word, and not looked for: write it out"),
    ],
)
def test_the_page_says_what_a_query_does_not_ask_for(client: Client, query: str, said: str) -> None:
    page = html.unescape(client.get("/datasets/", {"q": query}).content.decode())
    assert said in " ".join(re.sub("<[^>]*>", "", page).split())


def test_stems_are_asked_for_once(client: Client) -> None:
    with CaptureQueriesContext(connection) as asked:
        client.get("/datasets/", {"q": 'ct severe "both eyes" not thoracic'})
    assert sum("ts_debug" in query["sql"] for query in asked) == 1


def test_an_excluded_word_excludes_its_spelling_of_the_other_side_of_the_atlantic(
    client: Client,
) -> None:
    DatasetFactory(slug="british", description="Of the gynaecology ward.")
    make_searchable()
    page = client.get("/datasets/", {"q": "not gynecology"})
    assert "british" not in [row.dataset.slug for row in page.context["rows"]]
    assert page.context["idle_words"] == []


@pytest.mark.parametrize("query", ["no tumor", "tumor-free ct", "no zebras", "other zebra"])
def test_a_label_that_says_no_or_other_is_not_looked_for_without_it_in_texts(query: str) -> None:
    ct = Modality.objects.get(code="ct")
    healthy = LabelFactory(code="no-tumor", name="No tumor")
    add_alias(healthy, "tumor-free")
    LabelFactory(code="no-zebras", name="No zebras")
    LabelFactory(code="other-zebra", name="Other zebra")
    DatasetFactory(slug="tumors", description="Tumor of zebras.", terms__modalities=[ct])
    DatasetFactory(slug="healthy", terms__modalities=[ct], terms__labels=[healthy])
    make_searchable()
    found = select_whole(query).split()
    assert "tumors" not in found
    assert ("healthy" in found) == ("tumor" in query)


def test_an_excluded_access_excludes_what_has_it_and_nothing_that_mentions_it(
    client: Client,
) -> None:
    DatasetFactory(slug="open", access="open")
    DatasetFactory(slug="closed", access="application", description="Open access to the code.")
    make_searchable()
    found = select_whole("not open access").split()
    assert "closed" in found
    assert "open" not in found
    page = client.get("/datasets/?q=not+open+access").context
    assert [terms.partition(":")[0] for _, terms in page["excluded_words"]] == ["access"]
    assert page["excluded_stems"] == []


def test_an_excluded_label_that_says_no_excludes_by_the_label(client: Client) -> None:
    healthy = LabelFactory(code="no-tumor", name="No tumor")
    DatasetFactory(slug="tumors", description="Tumor.")
    DatasetFactory(slug="healthy", terms__labels=[healthy])
    make_searchable()
    page = client.get("/datasets/", {"q": "excluding tumor-free"})
    assert page.status_code == 200


def test_a_word_for_an_age_beside_others_asks_for_its_tag() -> None:
    child = TagFactory(code="pediatric", name="Pediatric")
    add_alias(child, "children")
    ct = Modality.objects.get(code="ct")
    DatasetFactory(slug="small", title="Small", terms__modalities=[ct], terms__tags=[child])
    make_searchable()

    assert select("q=children+ct") == "small lung-ct[children] both[children]"


@pytest.mark.parametrize("words", ["thoracic or frontal", 'frontal/"thoracic scans"'])
def test_words_are_alternatives(words: str) -> None:
    assert set(select(f"q={words}").split()) == {"chestx-ray14", "lung-ct"}


@pytest.mark.parametrize(
    "query",
    ["not a ct or an mri", "not from thoracic or from both", "not from thoracic", "not with ct",
     "no datasets containing ct", 'not in "thoracic scans"', "neither ct nor mri", "no x-ray or ct",
     "no patients with ct"],
)  # fmt: skip
def test_what_is_negated_need_not_stand_beside_the_negation(query: str) -> None:
    assert "lung-ct" not in select(f"q={query}")


@pytest.mark.parametrize(
    "query",
    ["without tumour, bleeding or break", "neither tumour nor bleeding", "no tumour or bleeding",
     "no break, bleeding and tumour"],
)  # fmt: skip
def test_a_text_with_one_of_excluded_labels_is_left_out(query: str) -> None:
    for code, name, alias in (
        ("mass", "Neoplasm", "tumour"), ("blood", "Hemorrhage", "bleeding"),
        ("fx", "Fracture", "break"),
    ):  # fmt: skip
        add_alias(LabelFactory(code=code, name=name), alias)
    DatasetFactory(slug="one", title="Scans", description="Patients with a tumour.")
    make_searchable()

    assert "one" not in select(f"q={query}").split()


@pytest.mark.parametrize(
    ("query", "years"),
    [
        (">2019", "2020 2021"), ("> 2019", "2020 2021"), (">= 2020", "2020 2021"),
        ("≥2020", "2020 2021"), ("2020+", "2020 2021"), ("year>2019", "2020 2021"),
        ("year >= 2020", "2020 2021"), ("year 2020 or later", "2020 2021"),
        ("from 2020+", "2020 2021"), ("2020 through 2021", "2020 2021"),
        ("2019 to 2020", "2019 2020"), ("not in 2020", "2019 2021"),
        ("not 2019 and 2020", "2021"), ("not 2019, 2020", "2021"), ("except 2019 or 2020", "2021"),
        ("all but 2019 and 2020", "2021"), ("not 2019 & 2020", "2021"), ("not 2019 + 2020", "2021"),
        ("not before 2020 or after 2020", "2020"), ("not after 2020 or before 2020", "2020"),
        ("not in 2019 and not before 2020", "2020 2021"),
        ("not 2020", "2019 2021"), ("-after 2020", "2019 2020"), ("-2020", "2019 2021"),
        ("other than 2020", "2019 2021"),
        ("not published in 2020", "2019 2021"), ("not older than 2020", "2020 2021"),
        ("not newer than 2020", "2019 2020"), ("no datasets before 2020", "2020 2021"),
        ("excluding before 2020", "2020 2021"), ("not between 2020 and 2021", "2019"),
        ("<2020", "2019"), ("year < 2021", "2019 2020"),
        ("<=2020", "2019 2020"), ("year 2020", "2020"), ("year: 2020", "2020"),
    ],
)  # fmt: skip
def test_years_are_compared_by_signs(query: str, years: str) -> None:
    for year in (2019, 2020, 2021):
        DatasetFactory(slug=str(year), title="Years", year=year)
    make_searchable()

    assert select_whole(query) == years


@pytest.mark.parametrize(
    ("query", "years"),
    [
        ("no earlier than 2020 and no later than 2020", "2020"), ("not 2021, since 2020", "2020"),
        ("not older than 2020, before 2021", "2020"), ("not 2020, 2020+", "2021"),
        ("not 2021 and from 2020 to 2021", "2020"),
    ],
)  # fmt: skip
def test_what_follows_a_negated_year_is_asked_for_unless_it_is_a_list(
    query: str, years: str
) -> None:
    for year in (2019, 2020, 2021):
        DatasetFactory(slug=str(year), title="Years", year=year)
    make_searchable()

    assert select_whole(query) == years


def test_years_with_a_gap_are_named_as_they_are(client: Client) -> None:
    page = html.unescape(client.get("/datasets/?q=ct+not+in+2020").content.decode())
    assert "</span> 2019 and earlier or 2021 and later" in page


def test_what_resembles_a_negated_word_is_not_found() -> None:
    DatasetFactory(slug="reg", title="Rigid registration")
    make_searchable()

    assert select("q=non-rigid") == select("q=rigid-free") == select("q=rigidless") == ""
