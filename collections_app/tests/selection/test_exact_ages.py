"""What is frozen by age is what was counted, and what plain SQL finds."""

import random

import pytest
from django.db import connection
from django.http import QueryDict

from catalog.models import Image
from catalog.search.filters import ImageFilterSet
from catalog.search.query_strings import params_from_json
from catalog.tests.factories import DatasetFactory, ImageFactory, add_file, make_searchable
from collections_app.selection.summary import summarize_selection
from collections_app.tests.factories import make_collection

pytestmark = pytest.mark.django_db

AGES = (None, 0.02, 0.25, 0.5, 1.5, 9.99, 18, 40, 50.5, 59, 60, 64.9, 65, 65.5, 66, 67, 69, 70, 88)
OTHERS = (
    ("", "true"),
    ("sex=F", "sex = 'F'"),
    ("sex=M&local=1", "sex = 'M' AND file_path <> ''"),
    ("label=mass", "EXISTS (SELECT FROM catalog_imagelabel x WHERE x.image_id = i.id)"),
)


@pytest.fixture
def catalog() -> None:
    for slug in ("first", "second"):
        dataset = DatasetFactory(slug=slug)
        for number, age in enumerate(AGES * 2):
            labels = ["mass"] if number % 3 else []
            image = ImageFactory(
                dataset=dataset, sex="FM"[number // len(AGES)], age_years=age, labels=labels
            )
            if number % 2:
                add_file(image, b"x" * (number + 1))
    make_searchable()


def draw_ages(rng: random.Random) -> tuple[str, str]:
    """A query string about ages, and the same in plain SQL."""
    low, high = sorted((rng.randrange(90), rng.randrange(90)))
    return rng.choice([
        (f"age_min={low}", f"age_years >= {low}"),
        (f"age_max={high}", f"age_years < {high + 1}"),
        (f"age_min={low}&age_max={high}", f"floor(age_years) BETWEEN {low} AND {high}"),
        (f"q=over+{high}", f"floor(age_years) > {high}"),
        (f"q=%3E%3D{high}", f"floor(age_years) >= {high}"),
        (f"q=under+{high + 1}", f"age_years < {high + 1}"),
        (f"q=between+{low}+and+{high}", f"floor(age_years) BETWEEN {low} AND {high}"),
        (f"q=over+{high}+or+age+unknown", f"(age_years >= {high + 1} OR age_years IS NULL)"),
        (f"q=over+{low}+first", f"age_years >= {low + 1} AND d.slug = 'first'"),
        (f"age=60-69&age_min={low}", f"age_years >= {max(low, 60)} AND age_years < 70"),
    ])  # fmt: skip


def test_frozen_images_are_those_of_plain_sql(catalog: None) -> None:
    rng = random.Random(65)
    for _ in range(40):
        (asked, condition), (more, also) = draw_ages(rng), rng.choice(OTHERS)
        check_frozen(f"{asked}&{more}".rstrip("&"), f"{condition} AND {also}")


def check_frozen(params: str, condition: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT i.id FROM catalog_image i"  # noqa: S608 - our own words
            " JOIN catalog_dataset d ON d.id = i.dataset_id"
            f" WHERE {condition} ORDER BY 1"
        )
        expected = [pk for (pk,) in cursor.fetchall()]
    filters = ImageFilterSet(QueryDict(params))
    summary = summarize_selection(filters)
    here = Image.objects.filter(pk__in=expected).exclude(file_path="")
    assert summary.num_images == len(expected)
    assert (summary.files.here, summary.num_bytes) == (
        len(here), sum(image.size_bytes or 0 for image in here),
    )  # fmt: skip
    if not expected:
        return
    collection = make_collection(params)
    assert sorted(collection.items.values_list("image", flat=True)) == expected
    again = ImageFilterSet(params_from_json(collection.filter_snapshot))
    assert sorted(again.images().values_list("pk", flat=True)) == expected


def test_a_collection_says_which_ages_were_meant(catalog: None) -> None:
    collection = make_collection("q=women+over+65&age_max=69&age_min=0.5")
    assert collection.filter_snapshot == {
        "q": "women over 65", "age_min": "6m", "age_max": "69", "kind": ["picture"],
    }  # fmt: skip
    assert collection.provenance["words"] == [
        {"filter": "Search", "value": "women over 65"},
        {"filter": "Sex (“women”)", "value": "Female"},
        {"filter": "Age (“over 65”)", "value": "66 years and older"},
        {"filter": "Age", "value": "6 months and older"},
        {"filter": "Age", "value": "under 70 years"},
        {"filter": "Kind", "value": "Pictures and series"},
    ]
    ages = [item.metadata_json["age_years"] for item in collection.items.all()]
    assert sorted(ages) == [66, 66, 67, 67, 69, 69]
