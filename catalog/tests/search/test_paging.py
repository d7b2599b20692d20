import pytest
from django.core.exceptions import ValidationError
from django.http import QueryDict

from catalog.search.filters import ImageFilterSet
from catalog.search.paging import fetch_page, parse_cursor
from catalog.tests.factories import DatasetFactory, ImageFactory, make_searchable

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
    expected = list(filters.images().order_by("profile_id", "id").values_list("pk", flat=True))
    pages = [fetch_page(filters, None, size=size)]
    while pages[-1].next:
        pages.append(fetch_page(filters, parse_cursor(pages[-1].next), size=size))
    assert [image.pk for page in pages for image in page.images] == expected
    assert all(len(page.images) == size for page in pages[:-1])

    back = [pages[-1]]
    while back[0].previous:
        back.insert(0, fetch_page(filters, parse_cursor(back[0].previous), size=size))
    assert [image.pk for page in back for image in page.images] == expected


def test_no_images_make_an_empty_page() -> None:
    page = fetch_page(ImageFilterSet(QueryDict("q=nowhere")), None)
    assert (page.images, page.previous, page.next) == ([], "", "")


@pytest.mark.parametrize(
    "text", ["2", "after-1", "after-1-x", "AFTER-1-1", "after-1-1 ", "after--1-1"]
)
def test_an_invalid_page_number_is_refused(text: str) -> None:
    with pytest.raises(ValidationError, match="not valid"):
        parse_cursor(text)
