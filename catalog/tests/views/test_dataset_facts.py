"""What the list and the pages of datasets say of published facts, and the list for programs."""

import csv
import io
from typing import Any

import pytest
from django.test import Client

from catalog.models import Dataset, DatasetRelation
from catalog.tests.factories import DatasetFactory, ImageFactory, make_searchable
from catalog.views.dataset_exports import COLUMNS
from vocab.models import AnatomicalArea, Label, Modality, Tag
from vocab.tests.factories import LabelFactory

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module", autouse=True)
def datasets(module_vocabularies: None) -> None:
    def area(code: str) -> AnatomicalArea:
        return AnatomicalArea.objects.get(code=code)

    def make(slug: str, modality: str, **fields: Any) -> Dataset:
        modalities = [Modality.objects.get(code=modality)]
        made: Dataset = DatasetFactory(slug=slug, terms__modalities=modalities, **fields)
        return made

    luna = make(
        "luna", "ct", area=area("lung"), year=2016, access="registration", dimensions=["3d"],
        source_url="https://luna16.grand-challenge.org/", num_images=888, sample_unit="volume",
    )  # fmt: skip
    lidc = make(
        "lidc", "ct", area=area("lung"), year=2011, access="open", dimensions=["2d", "3d"],
        source_url="https://www.cancerimagingarchive.net/collection/lidc-idri/",
        survey="imaging-x", num_images=2700, is_num_rounded=True,
    )  # fmt: skip
    both = make("both", "mr", area=area("brain"), year=1999, parts=["Task 1", "Task 2"])
    both.other_areas.add(area("liver"))
    both.labels.add(Label.objects.get(code="glioma"))
    ImageFactory(dataset=lidc, labels=["nodule"])
    DatasetRelation.objects.create(
        dataset=luna, kind="takes_images_from", other=lidc, source="https://example.org/paper"
    )
    make_searchable()


def found(query: str) -> set[str]:
    """The slugs of the datasets that a query string finds, by the list for programs."""
    response = Client().get(f"/datasets.json?{query}")
    assert response.status_code == 200, response.content
    return {each["slug"] for each in response.json()["datasets"]}


@pytest.mark.parametrize(
    ("query", "slugs"),
    [
        ("year=2016", {"luna"}),
        ("year=before-2010", {"both"}),
        ("year=2016&year=2011", {"luna", "lidc"}),
        ("host=grand-challenge", {"luna"}),
        ("host=tcia", {"lidc"}),
        ("host=unknown", {"both"}),
        ("access=open&access=registration", {"luna", "lidc"}),
        ("access=unknown", {"both"}),
        ("dimension=2d", {"lidc"}),
        ("dimension=unknown", {"both"}),
        ("images=listed", {"lidc"}),
        ("images=none", {"luna", "both"}),
        ("label=glioma", {"both"}),
        ("label=nodule", {"lidc"}),
        ("area=liver", {"both"}),
        ("area=head", {"both"}),
        ("q=liver", {"both"}),
        ("q=glioma+mri", {"both"}),
        ("q=task+2", {"both"}),
    ],
)
def test_facts_can_be_filtered_and_searched(query: str, slugs: set[str]) -> None:
    assert found(query) == slugs


@pytest.mark.parametrize("query", ["year=1850", "host=me", "access=maybe", "dimension=5d"])
def test_a_value_that_is_no_choice_is_said(query: str) -> None:
    page = Client().get(f"/datasets/?{query}")
    assert page.status_code == 400
    assert Client().get(f"/datasets.json?{query}").status_code == 400
    assert Client().get(f"/datasets.csv?{query}").status_code == 400


def test_the_list_can_be_sorted_by_year() -> None:
    page = Client().get("/datasets/?sort=year").content.decode()
    places = [page.index(f'href="/datasets/{slug}/"') for slug in ("luna", "lidc", "both")]
    assert places == sorted(places)


def test_what_is_only_described_says_how_to_get_it() -> None:
    page = Client().get("/datasets/").content.decode()
    assert "Go to its page at Grand Challenge" in page
    assert "Its files need a registration." in page
    assert "The catalog knows no address of it." in page
    assert page.count("is-described-only") == 2


def test_the_page_of_a_dataset_says_facts_and_relations_on_both_sides() -> None:
    luna = Client().get("/datasets/luna/").content.decode()
    assert 'Takes images from <a href="/datasets/lidc/">' in luna
    assert "https://example.org/paper" in luna
    assert "After registration" in luna
    assert "hosted by Grand Challenge" in luna
    lidc = Client().get("/datasets/lidc/").content.decode()
    assert 'Its images are also in <a href="/datasets/luna/">' in lidc
    assert "Project Imaging-X" in lidc
    assert "Project Imaging-X" not in luna
    both = Client().get("/datasets/both/").content.decode()
    assert "Task 2" in both
    assert "Liver" in both
    assert "Access</dt><dd>not stated" in both


def test_a_hidden_dataset_is_in_no_relation() -> None:
    Dataset.objects.filter(slug="lidc").update(is_active=False)
    assert "lidc" not in Client().get("/datasets/luna/").content.decode()
    (luna,) = (each for each in Client().get("/datasets.json").json()["datasets"]
               if each["slug"] == "luna")  # fmt: skip
    assert luna["relations"] == []


def test_a_rounded_number_is_said_to_be_about_that() -> None:
    Dataset.objects.filter(slug="luna").update(is_num_rounded=True)
    assert "about 888" in Client().get("/datasets/luna/").content.decode()


def test_relations_with_one_source_are_one_line() -> None:
    luna, both = Dataset.objects.get(slug="luna"), Dataset.objects.get(slug="both")
    source = "https://example.org/paper"
    DatasetRelation.objects.create(
        dataset=luna, kind="takes_images_from", other=both, source=source
    )
    page = Client().get("/datasets/luna/").content.decode()
    assert page.count("Takes images from") == 1
    assert page.count(f">{source}</a>") == 1


def test_tags_that_say_facts_are_of_all_that_have_them() -> None:
    for code in ("open-access", "3d"):
        Tag.objects.get_or_create(code=code, defaults={"name": code})
    assert found("tag=3d") == found("dimension=3d") == {"luna", "lidc"}
    assert found("tag=open-access") == found("access=open") == {"lidc"}


def test_years_and_access_are_understood_and_can_be_undone() -> None:
    for query, slugs, chip in (
        ("after 2012", {"luna"}, "Year: 2013 and later"),
        ("since 2011", {"luna", "lidc"}, "Year: 2011 and later"),
        ("before 2012", {"lidc", "both"}, "Year: 2011 and earlier"),
        ("from 2011 to 2015", {"lidc"}, "Year: 2011 to 2015"),
        ("without application", {"luna", "lidc"}, "Access: Open or After registration"),
        ("no registration", {"lidc"}, "Access: Open"),
        ("open access", {"lidc"}, "Access: Open"),
        ("CT since 2012, registration required", {"luna"}, "Access: After registration"),
    ):
        response = Client().get("/datasets/", {"q": query})
        rows = response.context["rows"]
        assert {row.dataset.slug for row in rows if not row.missing} == slugs, query
        chips = {f"{each.title}: {each.text}": each for each in response.context["understood"]}
        assert chips[chip].words in query
        title, _, text = chip.partition(": ")
        assert text in response.content.decode()
        facet = next(each for each in response.context["facets"] if each.title == title)
        assert facet.has_selection
        assert len(facet.values) <= 4, "Years to come are no choice."
        # The same words are no filter of images, and no error.
        for words in (query, f"-{query}", f'-"{query}"'):
            assert Client().get("/images/", {"q": words}).status_code == 200


def test_a_wrong_year_is_told_the_first_and_the_last() -> None:
    (problem,) = Client().get("/datasets.json?year=20").json()["problems"]
    assert problem.endswith("Use one of: 2010 to 2060, before-2010, unknown.")


# --- Areas by modalities ---
def test_the_table_counts_what_the_filters_find() -> None:
    plain = Client().get("/datasets/")
    assert plain.context["cross_table"] is None, "It is made when it is asked for."
    assert 'href="/datasets/?table=1"' in plain.content.decode()
    table = Client().get("/datasets/?table=1").context["cross_table"]
    codes = [modality.code for modality in table.modalities]
    counts = {area.code: {code: cell.total for code, cell in zip(codes, cells, strict=True)}
              for area, cells in table.rows}  # fmt: skip
    assert counts["lung"] == {"ct": 2, "mr": 0}
    assert counts["chest"] == {"ct": 2, "mr": 0}, "the broader area, too"
    assert counts["brain"] == {"ct": 0, "mr": 1}
    assert counts["liver"] == {"ct": 0, "mr": 1}
    for area, cells in table.rows:
        for code, cell in zip(codes, cells, strict=True):
            assert len(found(cell.query_string)) == cell.total, (area.code, code)


def test_the_table_follows_the_other_filters() -> None:
    table = Client().get("/datasets/?year=2016&area=brain&table=1").context["cross_table"]
    assert [(area.code, [cell.total for cell in cells]) for area, cells in table.rows] == [
        ("chest", [1]),
        ("lung", [1]),
    ]
    assert Client().get("/datasets/?q=nosuchword&table=1").context["cross_table"].rows == []


# --- For programs ---
def test_programs_get_all_that_pages_say() -> None:
    listed = {each["slug"]: each for each in Client().get("/datasets.json").json()["datasets"]}
    luna = listed["luna"]
    assert luna["relations"] == [
        {"kind": "takes_images_from", "dataset": "lidc", "source": "https://example.org/paper"}
    ]
    assert (luna["access"], luna["year"], luna["num_samples"]) == ("registration", 2016, 888)
    assert (luna["license"], luna["has_labels"], luna["size_mb"]) == (None, None, None)
    assert listed["lidc"]["num_listed"] == 1
    assert listed["both"]["other_areas"] == ["liver"]

    rows = list(csv.DictReader(io.StringIO(Client().get("/datasets.csv").content.decode())))
    assert [row["slug"] for row in rows] == ["both", "lidc", "luna"], "by title"
    assert rows[0]["labels"] == "glioma"
    assert rows[2]["relations"] == "takes_images_from lidc"
    assert rows[2]["has_labels"] == ""


def test_programs_are_told_which_words_a_dataset_lacks() -> None:
    found = Client().get("/datasets.json?q=ct+glioma").json()["datasets"]
    assert {each["slug"]: each["missing"] for each in found} == {
        row.dataset.slug: list(row.missing)
        for row in Client().get("/datasets/?q=ct+glioma").context["rows"]
    }
    assert any(each["missing"] for each in found)


def test_a_cell_is_no_formula() -> None:
    Dataset.objects.filter(slug="both").update(title="=1+1", description="@SUM(A1)")
    text = Client().get("/datasets.csv").content.decode()
    assert "'=1+1" in text
    assert "'@SUM" in text


def test_an_empty_list_is_a_table_with_names_of_columns() -> None:
    text = Client().get("/datasets.csv?q=nosuchword").content.decode()
    assert list(csv.reader(io.StringIO(text))) == [list(COLUMNS)]
    assert list(Client().get("/datasets.json").json()["datasets"][0]) == list(COLUMNS)
    assert Client().get("/datasets.json?q=nosuchword").json() == {"datasets": []}


def test_labels_of_datasets_do_not_need_images() -> None:
    LabelFactory(code="unused-finding")
    page = Client().get("/datasets/").content.decode()
    assert 'id="label-glioma"' in page
    assert "unused-finding" not in page
    assert "not_label" not in page, "Datasets cannot be asked for what they have not."
