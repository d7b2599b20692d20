import pytest
from django.core.exceptions import ValidationError
from django.http import QueryDict
from django.test import Client

from catalog.models import Dataset, Image
from catalog.profiles.building import rebuild_profiles
from catalog.search.filters import ImageFilterSet
from catalog.search.paging import fetch_page, parse_cursor
from catalog.tests.factories import DatasetFactory, ImageFactory, make_searchable
from catalog.tests.search.plain_order import order_plainly
from vocab.tests.factories import ModalityFactory, TagFactory

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def images() -> None:
    """23 images in several profiles, created in an order that is not the profiles'."""
    datasets = [DatasetFactory(), DatasetFactory()]
    for number in range(23):
        ImageFactory(
            dataset=datasets[number % 2],
            sex="FM"[number % 3 % 2],
            age_years=number * 7 % 90,
            source_id=f"s{number}" if number % 4 else f"t{number}",
        )
    make_searchable()


@pytest.mark.parametrize("size", [1, 4, 22, 23, 50])
@pytest.mark.parametrize("query", ["", "sex=F", "q=t", "sex=M&q=s"])
def test_pages_show_every_image_once_there_and_back(query: str, size: int) -> None:
    filters = ImageFilterSet(QueryDict(query))
    expected = order_plainly(filters.images())
    pages = [fetch_page(filters, None, size=size)]
    while pages[-1].next:
        pages.append(fetch_page(filters, parse_cursor(pages[-1].next), size=size))
    assert [image.pk for page in pages for image in page.images] == expected
    assert all(len(page.images) == size for page in pages[:-1])

    back = [pages[-1]]
    while back[0].previous:
        back.insert(0, fetch_page(filters, parse_cursor(back[0].previous), size=size))
    assert [image.pk for page in back for image in page.images] == expected


A_FILE = {"file_path": "a.png", "sha256": "0" * 64, "crc32": 0, "mtime_ns": 0, "size_bytes": 9}


def show(query: str = "", **kwargs: int) -> list[str]:
    page = fetch_page(ImageFilterSet(QueryDict(query)), None, **kwargs)
    return [image.source_id for image in page.images]


def test_what_can_be_seen_comes_first_then_pictures_then_patients() -> None:
    seg = ModalityFactory(code="seg", kind="segmentation")
    tagged = DatasetFactory(slug="tests", terms__tags=[TagFactory(code="test-files")])
    made = DatasetFactory(slug="made", is_synthetic=True)
    ImageFactory(dataset=made, source_id="synthetic", **A_FILE)
    ImageFactory(dataset=tagged, source_id="test file", **A_FILE)
    ImageFactory(source_id="mask", modality=seg, **A_FILE)
    ImageFactory(source_id="patient", **A_FILE)
    make_searchable()
    assert show("kind=any", size=4)[0] == "patient"
    assert sorted(show("kind=any", size=3)[1:]) == ["synthetic", "test file"]
    assert show("kind=any", size=4)[3] == "mask"


def test_the_last_that_can_be_seen_comes_before_the_first_that_cannot(client: Client) -> None:
    seen, unseen = DatasetFactory(slug="seen"), DatasetFactory(slug="unseen")
    elsewhere = ImageFactory(dataset=unseen, remote_url="https://example.org/1")
    here = [ImageFactory(dataset=seen, **A_FILE) for _ in range(5)]
    make_searchable()
    page = client.get("/images/?dataset=seen&dataset=unseen")
    expected = [image.pk for image in (*here, elsewhere)]
    assert [card.pk for card in page.context["page"].images] == expected


def test_a_page_shows_many_datasets() -> None:
    """However many images and profiles one of them has."""
    large, *small = [DatasetFactory() for _ in range(4)]
    for number in range(60):
        ImageFactory(dataset=large, age_years=number, sex="F", **A_FILE)
        ImageFactory(dataset=large, age_years=number, sex="F", **A_FILE)
    for dataset in small:
        ImageFactory(dataset=dataset, sex="F", **A_FILE)
    make_searchable()
    page = fetch_page(ImageFilterSet(QueryDict("local=1&sex=F")), None, size=8)
    assert len({image.dataset for image in page.images}) == 4


def test_a_page_that_began_with_what_is_gone_says_so() -> None:
    filters = ImageFilterSet(QueryDict())
    cursor = parse_cursor(fetch_page(filters, None, size=5).next)
    Image.objects.all().delete()
    rebuild_profiles(dataset_ids=Dataset.objects.values_list("pk", flat=True))
    with pytest.raises(ValidationError, match="no longer matches"):
        fetch_page(ImageFilterSet(QueryDict()), cursor, size=5)


def test_an_image_more_meanwhile_does_not_shift_the_next_page() -> None:
    page = fetch_page(ImageFilterSet(QueryDict()), None, size=6)
    before = fetch_page(ImageFilterSet(QueryDict()), parse_cursor(page.next), size=6)
    shown = Image.objects.get(pk=page.images[-1].pk)
    ImageFactory(dataset=shown.dataset, sex=shown.sex, age_years=shown.age_years)
    make_searchable()
    after = fetch_page(ImageFilterSet(QueryDict()), parse_cursor(page.next), size=7)
    assert {image.pk for image in before.images} <= {image.pk for image in after.images}


def test_no_images_make_an_empty_page() -> None:
    page = fetch_page(ImageFilterSet(QueryDict("q=nowhere")), None)
    assert (page.images, page.previous, page.next) == ([], "", "")


@pytest.mark.parametrize(
    "text",
    [
        "2",
        "after-1-1",
        "after-first-1",
        "after-rest-1-x",
        "AFTER-rest-1-1",
        "after-rest-1-1 ",
        "after-rest--1-1",
        "after-last-1-1",
    ],
)
def test_an_invalid_page_number_is_refused(text: str) -> None:
    with pytest.raises(ValidationError, match="not valid"):
        parse_cursor(text)
