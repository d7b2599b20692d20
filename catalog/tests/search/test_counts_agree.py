"""Counts, totals and pages held against plain SQL over the images, whatever is edited or asked."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection, transaction
from django.http import QueryDict
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from catalog.models import Dataset, Finding, Image, ImageLabel
from catalog.profiles.building import rebuild_profiles
from catalog.search.facets import IMAGE_FACETS, count_image_facets
from catalog.search.filters import ImageFilterSet
from catalog.search.paging import fetch_page, parse_cursor
from catalog.services import delete_images, refresh_images, set_datasets_active
from catalog.tests.factories import DatasetFactory, ImageFactory, make_searchable
from vocab.models import AnatomicalArea, Label, License, Modality, Tag
from vocab.services import set_terms_active
from vocab.tests.factories import (
    AreaFactory,
    LabelFactory,
    LicenseFactory,
    ModalityFactory,
    TagFactory,
    TaskTypeFactory,
)

pytestmark = pytest.mark.django_db

AREAS, MODALITIES, LABELS = ("chest", "brain", "knee"), ("ct", "mr"), ("nodule", "mass", "normal")
TAGS, TASKS, LICENSES = ("png", "dicom"), ("detection",), ("cc0-1.0", "custom")
SLUGS = ("first", "second", "third")
AGES = (None, 0.5, 9.99, 10.0, 64.0, 69.0, 129.0)
SEXES = ("", "F", "M", "O")

# What each filter asks of an image, in plain SQL; {} takes the list of values.
WHERE = {
    "dataset": "d.slug = ANY({})",
    "area": "coalesce(own.code, whole.code) = ANY({})",
    "modality": "m.code = ANY({})",
    "sex": "CASE i.sex WHEN '' THEN 'unknown' ELSE i.sex END = ANY({})",
    "age": "coalesce(floor(i.age_years / 10) * 10 || '-' || floor(i.age_years / 10) * 10 + 9,"
           " 'unknown') = ANY({})",
    "local": "CASE WHEN i.file_path = '' THEN '0' ELSE '1' END = ANY({})",
    "license": "l.code = ANY({})",
    "task": "EXISTS (SELECT FROM catalog_dataset_task_types x JOIN vocab_tasktype t"
            " ON t.id = x.tasktype_id WHERE x.dataset_id = d.id AND t.code = ANY({}))",
    "tag": "EXISTS (SELECT FROM catalog_dataset_tags x JOIN vocab_tag t"
           " ON t.id = x.tag_id WHERE x.dataset_id = d.id AND t.code = ANY({}))",
    "label": "EXISTS (SELECT FROM catalog_imagelabel x JOIN vocab_label t ON t.id = x.label_id"
             " WHERE x.image_id = i.id AND x.finding = 'positive' AND t.code = ANY({}))",
}  # fmt: skip
FROM = """
    SELECT i.id, i.profile_id FROM catalog_image i
      JOIN catalog_dataset d ON d.id = i.dataset_id AND d.is_active
      LEFT JOIN vocab_anatomicalarea own ON own.id = i.area_id
      LEFT JOIN vocab_anatomicalarea whole ON whole.id = d.area_id
      LEFT JOIN vocab_modality m ON m.id = i.modality_id
      LEFT JOIN vocab_license l ON l.id = coalesce(i.license_id, d.license_id)
     WHERE i.removed_at IS NULL
"""


def ask_plainly(query: dict[str, list[str]]) -> list[int]:
    """Ids in the order of pages, without profiles having a say in which ones."""
    must_have_all = query.get("label_mode") == ["all"]
    parts, params = [FROM], []
    for name, values in query.items():
        if name == "label_mode" or not values:
            continue
        if name == "not_label":
            parts.append(f"AND NOT {WHERE['label'].format('%s')}")
            params.append(values)
        elif name == "label" and must_have_all:
            for value in values:
                parts.append(f"AND {WHERE['label'].format('%s')}")
                params.append([value])
        else:
            parts.append(f"AND {WHERE[name].format('%s')}")
            params.append(values)
    with connection.cursor() as cursor:
        cursor.execute(" ".join([*parts, "ORDER BY i.profile_id, i.id"]), params)
        return [pk for pk, _ in cursor.fetchall()]


CHOICES: dict[str, tuple[str, ...]] = {
    "dataset": SLUGS, "area": AREAS, "modality": MODALITIES, "label": LABELS, "not_label": LABELS,
    "sex": ("F", "M", "O", "unknown"), "age": ("0-9", "10-19", "60-69", "120-129", "unknown"),
    "local": ("0", "1"), "task": TASKS, "tag": TAGS, "license": LICENSES,
}  # fmt: skip
queries = st.fixed_dictionaries(
    {},
    optional={
        name: st.lists(st.sampled_from(values), unique=True, max_size=2)
        for name, values in CHOICES.items()
    }
    | {"label_mode": st.sampled_from([["any"], ["all"]])},
)
edits = st.lists(
    st.tuples(
        st.sampled_from([
            "add", "delete", "sex", "age", "label", "finding", "unlabel", "area", "modality",
            "dataset area", "license", "dataset license", "hide", "show", "tag", "untag", "term",
            "rebuild",
        ]),
        st.integers(0, 10**6),
    ),
    max_size=6,
)  # fmt: skip


@pytest.fixture
def catalog() -> None:
    for codes, factory in (
        (AREAS, AreaFactory), (MODALITIES, ModalityFactory), (LABELS, LabelFactory),
        (TAGS, TagFactory), (TASKS, TaskTypeFactory), (LICENSES, LicenseFactory),
    ):  # fmt: skip
        for code in codes:
            factory(code=code)
    for number, slug in enumerate(SLUGS):
        dataset = DatasetFactory(slug=slug)
        for place in range(7):
            add_image(dataset, 7 * number + place)
    make_searchable()


def add_image(dataset: Dataset, n: int) -> Image:
    labels = [code for place, code in enumerate(LABELS) if n >> place & 1]
    modality = Modality.objects.get(code=MODALITIES[n % 2]) if n % 3 else None
    return ImageFactory(
        dataset=dataset, modality=modality, sex=SEXES[n % 4], age_years=AGES[n % 7], labels=labels
    )


def edit(what: str, n: int) -> None:
    """One edit as a curator makes it; ``n`` chooses what it is made to."""
    dataset = Dataset.objects.order_by("pk")[n % len(SLUGS)]
    image = Image.objects.filter(dataset=dataset).order_by("pk").first()
    label = Label.objects.get(code=LABELS[n % len(LABELS)])
    match what:
        case "add":
            refresh_images(image_ids=[add_image(dataset, n).pk])
        case "hide" | "show":
            same = Dataset.objects.filter(pk=dataset.pk)
            set_datasets_active(datasets=same, is_active=what == "show")
        case "dataset area":
            dataset.area = AnatomicalArea.objects.get(code=AREAS[n % 3])
            dataset.save()
            rebuild_profiles(dataset_ids=[dataset.pk])
        case "dataset license":
            dataset.license = License.objects.get(code=LICENSES[n % 2])
            dataset.save()
        case "tag":
            dataset.tags.add(Tag.objects.get(code=TAGS[n % 2]))
        case "untag":
            dataset.tags.clear()
        case "term":
            same_label = Label.objects.filter(pk=label.pk)
            set_terms_active(terms=same_label, is_active=not label.is_active)
        case "rebuild":
            rebuild_profiles(dataset_ids=[dataset.pk])
        case _ if image:
            edit_image(what, n, image, label)


def edit_image(what: str, n: int, image: Image, label: Label) -> None:
    match what:
        case "delete":
            delete_images(image_ids=[image.pk])
            return
        case "sex":
            image.sex = SEXES[n % 4]
        case "age":
            image.age_years = AGES[n % 7]
        case "area":
            image.area = AnatomicalArea.objects.get(code=AREAS[n % 3])
        case "modality":
            image.modality = Modality.objects.get(code=MODALITIES[n % 2])
        case "license":
            image.license = License.objects.get(code=LICENSES[n % 2]) if n % 3 else None
        case "label":
            ImageLabel.objects.get_or_create(image=image, label=label)
        case "finding":
            finding = list(Finding)[n % 3]
            ImageLabel.objects.filter(image=image).update(finding=finding)
        case "unlabel":
            ImageLabel.objects.filter(image=image).delete()
    image.save()
    refresh_images(image_ids=[image.pk])


def page_through(filters: ImageFilterSet, size: int, *, backwards: bool) -> Iterator[int]:
    """All ids in the order of pages, walked from one end to the other."""
    page = fetch_page(filters, None, size=size)
    while page.next and backwards:
        page = fetch_page(filters, parse_cursor(page.next), size=size)
    while page.images:
        ids = [image.pk for image in page.images]
        yield from reversed(ids) if backwards else ids
        cursor = page.previous if backwards else page.next
        if not cursor:
            return
        page = fetch_page(filters, parse_cursor(cursor), size=size)


def check(query: dict[str, list[str]]) -> None:
    params = QueryDict(mutable=True)
    for name, values in query.items():
        params.setlist(name, values)
    filters = ImageFilterSet(params)
    if filters.problems:  # a term that an edit has switched off
        assert not filters.images().exists()
        return
    expected = ask_plainly(query)
    assert filters.total == len(expected)
    assert sorted(filters.images().values_list("pk", flat=True)) == sorted(expected)
    assert list(page_through(filters, 4, backwards=False)) == expected
    assert list(page_through(filters, 5, backwards=True)) == expected[::-1]
    for facet in count_image_facets(filters):
        for value in facet.values:
            assert value.count == count_plainly(query, facet.name, value.code), (facet, value)


def count_plainly(query: dict[str, list[str]], name: str, code: str) -> int:
    if name == "label" and query.get("label_mode") == ["all"]:
        return len(ask_plainly(query | {"label": [*query.get("label", []), code]}))
    return len(ask_plainly(query | {name: [code]}))


@given(edits=edits, asked=st.lists(queries, min_size=1, max_size=3))
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_counts_totals_and_pages_are_those_of_plain_sql(
    catalog: None, edits: list[tuple[str, int]], asked: list[Any]
) -> None:
    with transaction.atomic():
        check(asked[0])
        for what, n in edits:
            edit(what, n)
            check(asked[0])
        for query in asked:
            check(query)
        transaction.set_rollback(True)


def test_every_facet_of_the_issue_is_compared(catalog: None) -> None:
    assert set(IMAGE_FACETS) <= CHOICES.keys()
