"""What filters select, held against the images themselves and not against their profiles."""

from typing import Any

import pytest
from django.http import QueryDict

from catalog.models import Finding, Image, ImageLabel
from catalog.search.facets import count_image_facets
from catalog.search.filters import ImageFilterSet
from catalog.tests.factories import DatasetFactory, ImageFactory, add_file, make_searchable
from catalog.tests.search.selecting import select
from vocab.models import License
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
    """Two datasets, seven images, of which one has a file."""
    chest, brain = AreaFactory(code="chest"), AreaFactory(code="brain")
    cr, dx, mr = (ModalityFactory(code=code) for code in ("cr", "dx", "mr"))
    for term in (cr, dx):
        add_alias(term, "X-ray")
    add_alias(mr, "MRI")
    rays = DatasetFactory(
        slug="rays", title="Many Rays", area=chest, license=LicenseFactory(code="cc0-1.0"),
        terms__modalities=[cr, dx], terms__task_types=[TaskTypeFactory(code="classification")],
        terms__tags=[TagFactory(code="png"), TagFactory(code="screening")],
    )  # fmt: skip
    heads = DatasetFactory(slug="heads", title="Heads", area=brain, terms__modalities=[mr])
    ImageFactory(
        dataset=rays, source_id="a1", modality=cr, labels=["nodule"], sex="F", age_years=61
    )
    ImageFactory(
        dataset=rays,
        source_id="a2",
        modality=cr,
        labels=["nodule", "effusion"],
        sex="M",
        age_years=69.9,
    )
    ImageFactory(
        dataset=rays, source_id="a3", modality=dx, labels=["effusion"], sex="F", age_years=70
    )
    ImageFactory(dataset=rays, source_id="a4", modality=dx, labels=["normal"])
    here = ImageFactory(dataset=rays, source_id="a5", labels=["normal"], sex="O", age_years=0.5)
    ImageFactory(dataset=heads, source_id="b1", modality=mr, sex="F", age_years=34)
    ImageFactory(dataset=heads, source_id="b2", modality=mr, area=AreaFactory(code="spine"))
    add_file(here, b"pixels")
    doubtful = ImageFactory(dataset=heads, source_id="b3", modality=mr)
    ImageLabel.objects.create(
        image=doubtful, label=LabelFactory(code="nodule"), finding=Finding.UNCERTAIN
    )
    make_searchable()


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", "a1 a2 a3 a4 a5 b1 b2 b3"),
        ("modality=cr", "a1 a2"),
        ("modality=cr&modality=mr", "a1 a2 b1 b2 b3"),
        ("modality=x-ray", "a1 a2 a3 a4"),
        ("modality=MRI", "b1 b2 b3"),
        ("area=chest", "a1 a2 a3 a4 a5"),
        ("area=brain", "b1 b3"),
        ("area=spine", "b2"),
        ("dataset=heads", "b1 b2 b3"),
        ("task=classification", "a1 a2 a3 a4 a5"),
        ("tag=png&tag=screening", "a1 a2 a3 a4 a5"),
        ("license=cc0-1.0", "a1 a2 a3 a4 a5"),
        ("label=nodule", "a1 a2"),
        ("label=nodule&label=effusion", "a1 a2 a3"),
        ("label=nodule&label=effusion&label_mode=any", "a1 a2 a3"),
        ("label=nodule&label=effusion&label_mode=all", "a2"),
        ("label=nodule&not_label=effusion", "a1"),
        ("not_label=nodule&not_label=normal", "a3 b1 b2 b3"),
        ("sex=F", "a1 a3 b1"),
        ("sex=F&sex=unknown", "a1 a3 a4 b1 b2 b3"),
        ("age=60-69", "a1 a2"),
        ("age=0-9&age=70-79", "a3 a5"),
        ("age=unknown", "a4 b2 b3"),
        ("age_min=61", "a1 a2 a3"),
        ("age_min=62", "a2 a3"),
        ("age_max=34", "a5 b1"),
        ("age_min=34&age_max=61", "a1 b1"),
        ("age_min=69&age_max=69", "a2"),
        ("age_min=70.0", "a3"),
        ("age_min=0,5", "a1 a2 a3 a5 b1"),
        ("age_min=6m&age_max=6m", "a5"),
        ("age_min=7m", "a1 a2 a3 b1"),
        ("age_max=5+months", ""),
        ("age_max=0", "a5"),
        ("age=60-69&age_min=62", "a2"),
        ("age=unknown&age_min=62", ""),
        ("age_min=&age_max=", "a1 a2 a3 a4 a5 b1 b2 b3"),
        ("q=over+69", "a3"),
        ("q=69+and+older", "a2 a3"),
        ("q=aged+69", "a2"),
        ("q=women+over+61", "a3"),
        ("q=over+61+under+70", "a2"),
        ("q=over+69+or+under+1", "a3 a5"),
        ("q=over+69+or+age+unknown", "a3 a4 b2 b3"),
        ("q=over+61+rays", "a2 a3"),
        ("q=over+34+b2", ""),
        # A negated age is all other known ages.
        ("q=not+over+69", "a1 a2 a5 b1"),
        ("q=not+elderly", "a1 a5 b1"),
        ("q=no+infants+rays", "a1 a2 a3"),
        ("q=-adults", "a5"),
        ("q=not+60-69", "a3 a5 b1"),
        ("q=under+6+months", ""),
        ("q=6+months+old", "a5"),
        ("local=1", "a5"),
        ("local=0&area=chest", "a1 a2 a3 a4"),
        ("local=0&local=1", "a1 a2 a3 a4 a5 b1 b2 b3"),
        ("q=x-ray", "a1 a2 a3 a4"),
        ("q=chest+X-Ray+nodule", "a1 a2"),
        ("q=images+of+the+brain", "b1 b3"),
        ("q=rays", "a1 a2 a3 a4 a5"),
        ("q=rays+MRI", ""),
        ("q=b2", "b2"),
        ("q=a", "a1 a2 a3 a4 a5 b1 b2 b3"),
        ("q=nowhere", ""),
        ("sex=F&age=60-69&label=nodule&q=x-ray&dataset=rays", "a1"),
        ("utm_source=mail&page=x&sort=y&sex=", "a1 a2 a3 a4 a5 b1 b2 b3"),
    ],
)
def test_filters_select_exactly(query: str, expected: str) -> None:
    assert select(query) == expected


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("modality=ctt", "There is no modality “ctt” in the catalog"),
        ("label=nodule&label=nodulus", "“nodulus”"),
        ("dataset=nothing", "There is no dataset “nothing”"),
        ("sex=female", "“female” is not a sex. Use one of: F, M, O, unknown"),
        ("age=60-70", "“60-70” is not an age band"),
        ("age_min=old", "Age from: “old” is not an age. Give completed years from 0 to 129"),
        ("age_max=130", "Age to: “130” is not an age"),
        ("age_min=-1", "“-1” is not an age"),
        ("age_min=nan", "“nan” is not an age"),
        ("age_min=65.5", "“65.5” is finer than ages are counted"),
        ("age_min=0.1", "“0.1” is finer than ages are counted"),
        ("age_max=24m", "“24m” is finer than ages are counted"),
        ("age_min=1&age_min=2", "Give a single age"),
        ("age_min=70&age_max=60", "the first age is above the last one"),
        ("age_min=%00", "not an age"),
        ("local=yes", "“yes” is not a choice for files"),
        ("label_mode=none", "Use one of: any, all"),
        ("image=1,x", "“x” is not the number of an image"),
        ("image=²", "is not the number of an image"),
        ("modalty=ct", "There is no filter called “modalty”"),
        (f"q={'x' * 301}", "301 characters (limit: 300)"),
        ("q=%00", "cannot be searched"),
        ("q=%25", "contains no word and no number"),
        ("q=%F0%9F%AB%81", "contains no word and no number"),
        ("sex=F%00", "not allowed"),
    ],
)
def test_what_is_not_understood_is_said_and_selects_nothing(query: str, message: str) -> None:
    filters = ImageFilterSet(QueryDict(query))
    assert message in " ".join(filters.problems)
    assert filters.total == 0
    assert not filters.images().exists()


def test_an_image_is_found_by_its_own_licence_else_by_that_of_its_dataset() -> None:
    nc = LicenseFactory(code="cc-by-nc-4.0")
    License.objects.filter(code="cc0-1.0").update(allows_commercial_use=True)
    Image.objects.filter(source_id__in=["a1", "b1"]).update(license=nc)
    unknown = LicenseFactory(code="not-stated", is_active=False)
    Image.objects.filter(source_id="a2").update(license=unknown)
    make_searchable()
    assert select("license=cc-by-nc-4.0") == "a1 b1"
    assert select("license=cc0-1.0") == "a3 a4 a5"
    assert select("q=commercial+use+allowed") == "a3 a4 a5"
    (facet,) = (each for each in count_image_facets(ImageFilterSet(QueryDict("")))
                if each.name == "license")  # fmt: skip
    assert {value.code: value.count for value in facet.values} == {
        "cc0-1.0": 3, "cc-by-nc-4.0": 2,
    }  # fmt: skip


def test_inactive_datasets_and_terms_are_hidden() -> None:
    from_brain = ImageFilterSet(QueryDict("area=brain"))
    assert from_brain.total == 2
    DatasetFactory._meta.model.objects.filter(slug="heads").update(is_active=False)
    assert select("") == "a1 a2 a3 a4 a5"
    assert "no dataset" in ImageFilterSet(QueryDict("dataset=heads")).problems[0]
    LabelFactory._meta.model.objects.filter(code="nodule").update(is_active=False)
    assert "no label" in ImageFilterSet(QueryDict("label=nodule")).problems[0]
    assert "nodule" not in facet_counts("", "label")


def test_single_images_are_picked_by_id() -> None:
    every = ImageFilterSet(QueryDict("")).images()
    ids = dict(every.values_list("source_id", "pk"))
    assert select(f"image={ids['a1']},{ids['b1']}&image={ids['a5']}") == "a1 a5 b1"
    assert select(f"image={ids['a1']},{ids['b1']}&sex=F&area=chest") == "a1"
    assert select("image=999999") == ""


def facet_counts(query: str, name: str) -> dict[str, int]:
    facets = count_image_facets(ImageFilterSet(QueryDict(query)))
    facet = next(facet for facet in facets if facet.name == name)
    return {value.code: value.count for value in facet.values}


@pytest.mark.parametrize(
    ("query", "facet", "expected"),
    [
        ("", "modality", {"mr": 3, "cr": 2, "dx": 2}),
        ("", "area", {"chest": 5, "brain": 2, "spine": 1}),
        ("", "label", {"effusion": 2, "nodule": 2, "normal": 2}),
        ("", "sex", {"F": 3, "M": 1, "O": 1, "unknown": 3}),
        ("", "age", {"0-9": 1, "30-39": 1, "60-69": 2, "70-79": 1, "unknown": 3}),
        ("", "local", {"1": 1, "listed": 7}),
        ("", "dataset", {"rays": 5, "heads": 3}),
        ("", "task", {"classification": 5}),
        ("", "tag", {"png": 5, "screening": 5}),
        ("", "license", {"cc0-1.0": 5}),
        # A facet is counted without its own selection …
        ("sex=M", "sex", {"F": 3, "M": 1, "O": 1, "unknown": 3}),
        ("sex=M", "modality", {"cr": 1}),
        ("age_min=62&age_max=70", "age", {"60-69": 1, "70-79": 1}),
        ("age_min=62&age=70-79", "age", {"60-69": 1, "70-79": 1}),
        ("q=over+61", "sex", {"F": 1, "M": 1}),
        ("label=nodule", "label", {"effusion": 2, "nodule": 2, "normal": 2}),
        # … but where all labels must be there, with it.
        ("label=nodule&label_mode=all", "label", {"nodule": 2, "effusion": 1}),
        ("not_label=effusion", "label", {"normal": 2, "nodule": 1}),
        ("q=x-ray+nodule", "sex", {"F": 1, "M": 1}),
        ("q=rays", "sex", {"F": 2, "M": 1, "O": 1, "unknown": 1}),
        # A selected value that gives nothing stays, to be taken away.
        ("sex=M&modality=mr", "sex", {"F": 1, "unknown": 2, "M": 0}),
    ],
)
def test_facets_count_exactly(query: str, facet: str, expected: dict[str, Any]) -> None:
    assert facet_counts(query, facet) == expected


def test_alternative_ages_have_their_own_counts() -> None:
    counts = facet_counts("q=over+69+or+under+1", "age")
    assert (counts["70-"], counts["0-0"]) == (1, 1)
    assert facet_counts("q=over+61+under+70", "age")["62-"] == 1
