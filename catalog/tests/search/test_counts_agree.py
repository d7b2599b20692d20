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
from catalog.search.filter_choices import AGE_BANDS
from catalog.search.filters import ImageFilterSet
from catalog.search.paging import fetch_page, parse_cursor
from catalog.services import delete_images, refresh_images, set_datasets_active
from catalog.tests.factories import DatasetFactory, ImageFactory, make_searchable
from catalog.tests.search.plain_order import order_plainly
from vocab.models import AnatomicalArea, Label, License, Modality, Tag, ViewPosition
from vocab.services import set_terms_active
from vocab.tests.factories import (
    AreaFactory,
    LabelFactory,
    LicenseFactory,
    ModalityFactory,
    TagFactory,
    TaskTypeFactory,
    ViewFactory,
)

pytestmark = [pytest.mark.django_db, pytest.mark.long]

AREAS, LABELS = ("chest", "brain", "knee"), ("nodule", "mass", "normal")
MODALITIES, VIEWS = ("ct", "mr", "seg"), ("pa", "lateral")
TAGS, TASKS, LICENSES = ("png", "dicom"), ("detection",), ("cc0-1.0", "custom")
SLUGS = ("first", "second", "third")
# Days, months as sources round them, the last day of an age, whole and broken years.
AGES = (
    None, 0.05, 0.0833, 0.17, 0.5, 0.99, 1.0, 1.9999, 2.0, 9.99, 10.0, 64.0, 65.0, 65.5, 65.9999,
    66.0, 69.0, 129.0,
)  # fmt: skip
SEXES = ("", "F", "M", "O")

COMPLETED = (
    "CASE WHEN i.age_years >= 2 THEN floor(i.age_years) * 12 ELSE floor(i.age_years) * 12"
    " + least(11, floor((i.age_years - floor(i.age_years)) * 12 + 0.0601)) END"
)
# What each filter asks of an image, in plain SQL; {} takes the list of values.
WHERE = {
    "dataset": "d.slug = ANY({})",
    "area": "coalesce(own.code, whole.code) = ANY({})",
    "modality": "m.code = ANY({})",
    "sex": "CASE i.sex WHEN '' THEN 'unknown' ELSE i.sex END = ANY({})",
    "age": "coalesce(floor(i.age_years / 10) * 10 || '-' || floor(i.age_years / 10) * 10 + 9,"
           " 'unknown') = ANY({})",
    # Completed ages in months; a month is up to a two-hundredth of a year short by rounding.
    "age_min": f"{COMPLETED} >= {{}}",
    "age_max": f"{COMPLETED} <= {{}}",
    "local": "CASE WHEN i.file_path <> '' THEN '1' WHEN i.remote_url <> '' THEN 'elsewhere'"
             " ELSE 'listed' END = ANY({})",
    "view": "v.code = ANY({})",
    "kind": "coalesce(m.kind, 'picture') = ANY({})",
    "license": "l.code = ANY({})",
    "task": "EXISTS (SELECT FROM catalog_dataset_task_types x JOIN vocab_tasktype t"
            " ON t.id = x.tasktype_id WHERE x.dataset_id = d.id AND t.code = ANY({}))",
    "tag": "EXISTS (SELECT FROM catalog_dataset_tags x JOIN vocab_tag t"
           " ON t.id = x.tag_id WHERE x.dataset_id = d.id AND t.code = ANY({}))",
    "label": "EXISTS (SELECT FROM catalog_imagelabel x JOIN vocab_label t ON t.id = x.label_id"
             " WHERE x.image_id = i.id AND x.finding = 'positive' AND t.code = ANY({}))",
}  # fmt: skip
FROM = """
    SELECT i.id FROM catalog_image i
      JOIN catalog_dataset d ON d.id = i.dataset_id AND d.is_active
      LEFT JOIN vocab_anatomicalarea own ON own.id = i.area_id
      LEFT JOIN vocab_anatomicalarea whole ON whole.id = d.area_id
      LEFT JOIN vocab_modality m ON m.id = i.modality_id
      LEFT JOIN vocab_viewposition v ON v.id = i.view_id
      LEFT JOIN vocab_license l ON l.id = coalesce(i.license_id, d.license_id)
     WHERE i.removed_at IS NULL
"""


def ask_plainly(query: dict[str, list[str]]) -> list[int]:
    """Ids, ascending, without profiles having a say in which ones."""
    must_have_all = query.get("label_mode") == ["all"]
    parts: list[str] = [FROM]
    params: list[Any] = []
    asked = {*query.get("modality", ()), *" ".join(query.get("q", ())).split()}
    if not query.get("kind") and "seg" not in asked:
        query = query | {"kind": ["picture"]}  # unless something else is asked for
    for name, values in query.items():
        if name == "label_mode" or not values or "any" in values:
            continue
        if name == "local" and "0" in values:
            values = [*values, "elsewhere", "listed"]
        if name in ("age_min", "age_max"):
            parts.append(f"AND {WHERE[name].format('%s')}")
            params.append(count_months(values[0], is_last=name == "age_max"))
        elif name == "q":
            parts.append(f"AND {SENTENCES[values[0]]}")
        elif name == "not_label":
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
        cursor.execute(" ".join([*parts, "ORDER BY i.id"]), params)
        return [pk for (pk,) in cursor.fetchall()]


def count_months(limit: str, *, is_last: bool) -> int:
    """The last or the first month of an age of a filter."""
    if limit.endswith("m"):
        return int(limit[:-1])
    years = float(limit)
    return int(years * 12) + (11 if is_last and years.is_integer() else 0)


# What is typed, in plain SQL.
SENTENCES = {
    "over 65": "i.age_years >= 66",
    "65 and older": "i.age_years >= 65",
    "under 66": "i.age_years < 66",
    "aged 65": "floor(i.age_years) = 65",
    "between 9 and 64": "i.age_years >= 9 AND i.age_years < 65",
    "60-69 years": "i.age_years >= 60 AND i.age_years < 70",
    "over 60": "i.age_years >= 61",
    "over 60 or under 10": "(i.age_years >= 61 OR i.age_years < 10)",
    "over 65 or age unknown": "(i.age_years >= 66 OR i.age_years IS NULL)",
    "age unknown": "i.age_years IS NULL",
    "under 6 months": f"{COMPLETED} < 6",
    "1-12 months": f"{COMPLETED} BETWEEN 1 AND 12",
    "infants": "i.age_years < 2",
    "adults": "i.age_years >= 19",
    "women over 65": "i.age_years >= 66 AND i.sex = 'F'",
    "first elderly": "i.age_years >= 65 AND d.slug = 'first'",
    "seg": "m.code = 'seg'",
    "seg chest": "m.code = 'seg' AND coalesce(own.code, whole.code) = 'chest'",
    "ct or seg": "m.code IN ('ct', 'seg')",
    "ct -seg": "m.code = 'ct'",
    "women seg": "m.code = 'seg' AND i.sex = 'F'",
    "PA": "v.code = 'pa'",
    "lateral or pa": "v.code IN ('pa', 'lateral')",
    "lateral ct": "v.code = 'lateral' AND m.code = 'ct'",
    "siemens": "i.metadata_json ->> 'Manufacturer' ILIKE 'siemens%%'",
    "siemens t2 ct": "i.metadata_json ->> 'Manufacturer' ILIKE 'siemens%%' AND m.code = 'ct'"
                     " AND i.metadata_json ->> 'SeriesDescription' = 'T2_tse'",
    "tse over 65": "i.metadata_json ->> 'SeriesDescription' = 'T2_tse' AND i.age_years >= 66",
    "pa philips": "i.metadata_json ->> 'Manufacturer' = 'Philips' AND v.code = 'pa'",
}  # fmt: skip
TEXTS: tuple[dict[str, Any], ...] = (
    {}, {"Manufacturer": "SIEMENS", "SeriesDescription": "T2_tse"}, {"Manufacturer": "Philips"},
    {"Manufacturer": "SiemensHealthineers"}, {"SeriesDescription": "T2_tse", "KVP": 1},
)  # fmt: skip

LIMITS = ("0", "1", "2", "9", "10", "60", "64", "65", "66", "69", "70", "129", "0.5", "1m", "12m",
          "23m")  # fmt: skip

CHOICES: dict[str, tuple[str, ...]] = {
    "dataset": SLUGS, "area": AREAS, "modality": MODALITIES, "label": LABELS, "not_label": LABELS,
    "sex": ("F", "M", "O", "unknown"), "age": ("0-9", "10-19", "60-69", "120-129", "unknown"),
    "local": ("0", "1", "elsewhere", "listed"), "task": TASKS, "tag": TAGS, "license": LICENSES,
    "view": VIEWS, "kind": ("picture", "segmentation", "any"),
}  # fmt: skip
queries = st.fixed_dictionaries(
    {},
    optional={
        name: st.lists(st.sampled_from(values), unique=True, max_size=2)
        for name, values in CHOICES.items()
    }
    | {"label_mode": st.sampled_from([["any"], ["all"]])}
    | {name: st.sampled_from(LIMITS).map(lambda limit: [limit]) for name in ("age_min", "age_max")}
    | {"q": st.sampled_from(sorted(SENTENCES)).map(lambda words: [words])},
)
edits = st.lists(
    st.tuples(
        st.sampled_from([
            "add", "delete", "sex", "age", "label", "finding", "unlabel", "area", "modality",
            "dataset area", "license", "view", "text", "address", "kind", "dataset license", "hide",
            "show", "tag", "untag", "term", "rebuild",
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
        (VIEWS, ViewFactory),
    ):  # fmt: skip
        for code in codes:
            factory(code=code)
    Modality.objects.filter(code="seg").update(kind="segmentation")
    for number, slug in enumerate(SLUGS):
        dataset = DatasetFactory(slug=slug)
        for place in range(7):
            add_image(dataset, 7 * number + place)
        for age in AGES[5 * number :]:  # alike but for their ages, so that they share profiles
            ImageFactory(dataset=dataset, sex="F", age_years=age, **a_file(number))
    make_searchable()


def a_file(n: int) -> dict[str, Any]:
    """Every second image has a file here, and every one a size."""
    facts = {"file_path": f"{n}.png", "sha256": "0" * 64, "crc32": 0, "mtime_ns": 0}
    address = {"remote_url": f"https://example.org/{n}"} if n % 4 else {}
    return {"size_bytes": n} | (facts if n % 2 else address)


def add_image(dataset: Dataset, n: int) -> Image:
    labels = [code for place, code in enumerate(LABELS) if n >> place & 1]
    modality = Modality.objects.get(code=MODALITIES[n % 3]) if n % 4 else None
    return ImageFactory(
        dataset=dataset,
        modality=modality,
        view=ViewPosition.objects.get(code=VIEWS[n % 2]) if n % 5 else None,
        sex=SEXES[n % 4],
        age_years=AGES[n % len(AGES)],
        metadata_json=TEXTS[n % len(TEXTS)],
        labels=labels,
        **a_file(n),
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
        case "kind":
            kind = ("picture", "segmentation", "report")[n % 3]
            Modality.objects.filter(code="seg").update(kind=kind)
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
            image.age_years = AGES[n % len(AGES)]
        case "area":
            image.area = AnatomicalArea.objects.get(code=AREAS[n % 3])
        case "modality":
            image.modality = Modality.objects.get(code=MODALITIES[n % 3])
        case "view":
            image.view = ViewPosition.objects.get(code=VIEWS[n % 2]) if n % 3 else None
        case "text":
            image.metadata_json = TEXTS[n % len(TEXTS)]
        case "address":
            image.remote_url = "https://example.org/edited" if n % 2 else ""
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
    if filters.problems:  # a term that an edit has switched off, or ages from 70 to 60
        assert not filters.images().exists()
        return
    expected = ask_plainly(query)
    assert filters.total == len(expected)
    assert sorted(filters.images().values_list("pk", flat=True)) == expected
    here = Image.objects.filter(pk__in=expected).exclude(file_path="")
    num_bytes = sum(image.size_bytes or 0 for image in here)
    assert filters.count_files() == (here.count(), num_bytes)
    assert filters.may_exceed(num_bytes - 1)
    assert not filters.may_exceed(num_bytes)
    in_order = order_plainly(Image.objects.filter(pk__in=expected))
    assert list(page_through(filters, 9, backwards=False)) == in_order
    assert list(page_through(filters, 11, backwards=True)) == in_order[::-1]
    for facet in count_image_facets(filters):
        for value in facet.values:
            if facet.name == "age" and value.words and value.code not in AGE_BANDS:
                # Ages in words, such as "over 65", give what they are part of, and alternatives
                # what matches without the others.
                words = query["q"][0]
                alone = [value.words] if " or " in words else [words]
                assert value.count == len(ask_plainly(query | {"q": alone})), (facet, value)
                continue
            assert value.count == count_plainly(query, facet.name, value.code), (facet, value)


def count_plainly(query: dict[str, list[str]], name: str, code: str) -> int:
    if name == "label" and query.get("label_mode") == ["all"]:
        return len(ask_plainly(query | {"label": [*query.get("label", []), code]}))
    return len(ask_plainly(query | {name: [code]}))


@given(edits=edits, asked=st.lists(queries, min_size=1, max_size=3))
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_counts_totals_and_pages_are_those_of_plain_sql(
    catalog: None, edits: list[tuple[str, int]], asked: list[Any]
) -> None:
    with transaction.atomic():
        check(asked[0])
        for what, n in edits:
            edit(what, n)
            check(asked[0])
        for query in asked[1:]:
            check(query)
        transaction.set_rollback(True)


def test_every_facet_of_the_issue_is_compared(catalog: None) -> None:
    assert set(IMAGE_FACETS) <= CHOICES.keys()
