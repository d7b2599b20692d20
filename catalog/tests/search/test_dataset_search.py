from typing import Any

import pytest
from django.http import QueryDict

from catalog.search.dataset_paging import fetch_datasets, sort_datasets
from catalog.search.facets import count_dataset_facets
from catalog.search.filters import DatasetFilterSet
from catalog.tests.factories import DatasetFactory
from vocab.models import License, Modality
from vocab.services import set_terms_active
from vocab.signals import terms_changed
from vocab.tests.factories import (
    AreaFactory,
    LicenseFactory,
    ModalityFactory,
    TagFactory,
    TaskTypeFactory,
    add_alias,
)

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def catalog() -> None:
    ct, dx = ModalityFactory(code="ct"), ModalityFactory(code="dx", name="Digital radiography")
    add_alias(dx, "X-ray")
    chest = AreaFactory(code="chest", name="Chest")
    free, other = LicenseFactory(code="cc0-1.0"), LicenseFactory(code="custom")
    DatasetFactory(
        slug="chestx-ray14", title="NIH ChestX-ray14", area=chest, license=free, size_mb=45_000,
        description="Frontal views with fourteen findings. <b>Mined</b> from reports.",
        terms__modalities=[dx], terms__task_types=[TaskTypeFactory(code="classification")],
    )  # fmt: skip
    DatasetFactory(
        slug="lung-ct", title="Lung nodules", area=chest, license=other, size_mb=125_000,
        description="Thoracic scans.", terms__modalities=[ct], local_path="lung-ct",
        terms__tags=[TagFactory(code="screening", name="Screening")],
    )  # fmt: skip
    DatasetFactory(slug="both", title="Both worlds", terms__modalities=[ct, dx], size_mb=900)
    DatasetFactory(slug="hidden", title="Hidden CT", is_active=False, terms__modalities=[ct])


def select(query: str) -> str:
    filters = DatasetFilterSet(QueryDict(query))
    assert not filters.problems, filters.problems
    ids = sort_datasets(filters, "relevance" if "q" in filters.as_json() else "title")
    return " ".join(dataset.slug for dataset in fetch_datasets(filters, ids))


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
        ("q=chest+x-ray", "chestx-ray14"),
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
    DatasetFactory(slug="noduli", title="Lung noduless", area=AreaFactory(code="brain"))
    assert select("q=nodules") == "lung-ct"
    assert select("q=nodules&area=brain") == ""
    assert select("q=nodules&area=brain&area=chest") == "lung-ct"


def test_licences_are_found_by_their_other_names_unless_inactive() -> None:
    add_alias(License.objects.get(code="cc0-1.0"), "Zero")
    terms_changed.send(sender=License)
    assert select("q=zero") == "chestx-ray14"
    set_terms_active(terms=License.objects.filter(code="cc0-1.0"), is_active=False)
    assert select("q=zero") == ""


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("q=radiografy", "both chestx-ray14"),
        ("q=CT+of+the+chest,+commercial+use", ""),
        ("q=x-ray+of+the+chest,+commercial+use", "chestx-ray14"),
        ("q=radiografy+nowhere", ""),
    ],
)
def test_where_no_dataset_has_the_words_the_terms_that_they_name_are_searched_for(
    query: str, expected: str
) -> None:
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


@pytest.mark.parametrize(
    ("query", "facet", "expected"),
    [
        ("", "modality", {"ct": 2, "dx": 2}),
        ("modality=ct", "modality", {"ct": 2, "dx": 2}),
        ("modality=ct", "area", {"chest": 1}),
        ("", "area", {"chest": 2}),
        ("", "license", {"cc0-1.0": 1, "custom": 1}),
        ("", "size", {"lt1": 1, "10-100": 1, "gt100": 1}),
        ("", "local", {"1": 1, "0": 2}),
        ("q=chest", "modality", {"ct": 1, "dx": 1}),
    ],
)
def test_dataset_facets_count_exactly(query: str, facet: str, expected: dict[str, int]) -> None:
    facets = count_dataset_facets(DatasetFilterSet(QueryDict(query)))
    counted = next(f for f in facets if f.name == facet)
    assert {value.code: value.count for value in counted.values} == expected
