"""The licence filter of datasets: their own licence and those of their images, in plain SQL."""

import html
import itertools
import re

import pytest
from django.db import connection
from django.http import QueryDict
from django.test import Client

from catalog.models import Dataset, Image
from catalog.search.facets import count_dataset_facets
from catalog.search.filters import DatasetFilterSet
from catalog.services import delete_images
from catalog.tests.factories import DatasetFactory, ImageFactory, make_searchable
from vocab.models import License
from vocab.tests.factories import AreaFactory, LicenseFactory

pytestmark = pytest.mark.django_db

FREE, BY, NC, LONE = "cc0-1.0", "cc-by-4.0", "cc-by-nc-4.0", "custom"
# A dataset's own licence, and those of its images.
CATALOG: dict[str, tuple[str, list[str]]] = {
    "own": (FREE, ["", ""]),
    "mixed": (NC, ["", BY, BY, FREE]),
    "unstated": ("", ["", BY]),
    "same": (BY, [BY, ""]),
    "empty": (NC, []),
    "all-other": (NC, [BY]),
    "hidden": (BY, [FREE]),
}

PLAINLY = """
    SELECT d.slug FROM catalog_dataset d
     WHERE d.is_active AND (
           d.license_id IN (SELECT id FROM vocab_license WHERE code = ANY(%s))
           OR EXISTS (SELECT FROM catalog_image i JOIN vocab_license l ON l.id = i.license_id
                       WHERE i.dataset_id = d.id AND i.removed_at IS NULL AND l.code = ANY(%s)))
     ORDER BY d.slug
"""


@pytest.fixture(scope="module", autouse=True)
def catalog(module_db: None) -> None:
    licenses = {
        code: LicenseFactory(code=code, name=name, allows_commercial_use=code != NC)
        for code, name in ((FREE, "CC0"), (BY, "CC BY 4.0"), (NC, "CC BY-NC 4.0"), (LONE, "Own"))
    }
    chest = AreaFactory(code="chest", name="Chest")
    for slug, (own, of_images) in CATALOG.items():
        dataset = DatasetFactory(
            slug=slug, license=licenses.get(own), area=chest, is_active=slug != "hidden"
        )
        for code in of_images:
            ImageFactory(dataset=dataset, license=licenses.get(code))
    make_searchable()


def ask_plainly(*codes: str) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(PLAINLY, [list(codes)] * 2)
        return [slug for (slug,) in cursor.fetchall()]


def select(query: str) -> list[str]:
    filters = DatasetFilterSet(QueryDict(query))
    ids = filters.rows().ids().tolist()
    assert filters.total == len(ids)
    return sorted(Dataset.objects.filter(pk__in=ids).values_list("slug", flat=True))


def check() -> None:
    codes = (FREE, BY, NC, LONE)
    for chosen in [(code,) for code in codes] + list(itertools.combinations(codes, 2)):
        query = "&".join(f"license={code}" for code in chosen)
        assert select(query) == ask_plainly(*chosen), chosen
        (facet,) = [
            facet
            for facet in count_dataset_facets(DatasetFilterSet(QueryDict(f"{query}&area=chest")))
            if facet.name == "license"
        ]
        counts = {value.code: value.count for value in facet.values}
        assert counts == {
            code: len(ask_plainly(code)) for code in codes if ask_plainly(code) or code in chosen
        }


def test_a_licence_finds_the_datasets_whose_images_have_it_and_counts_agree() -> None:
    check()
    assert select(f"license={BY}") == ["all-other", "mixed", "same", "unstated"]


def test_it_stays_so_when_images_change() -> None:
    gone = Image.objects.filter(dataset__slug="mixed", license__code=BY)
    delete_images(image_ids=gone.values_list("pk", flat=True))
    image = Image.objects.filter(dataset__slug="own").earliest("pk")
    image.license = License.objects.get(code=LONE)
    image.save()
    make_searchable()
    check()
    assert select(f"license={LONE}") == ["own"]


def test_words_for_a_licence_find_the_same() -> None:
    filters = DatasetFilterSet(QueryDict("q=commercial+use"))
    ids = [pk for pk in filters.rows().ids().tolist() if not filters.missing_words(pk)]
    found = sorted(Dataset.objects.filter(pk__in=ids).values_list("slug", flat=True))
    assert found == ask_plainly(FREE, BY, LONE)


def marks(client: Client, query: str) -> dict[str, str]:
    """What the list says of the licences of images, by dataset."""
    page = html.unescape(client.get(f"/datasets/?{query}").content.decode())
    rows = re.findall(r'<li class="dataset-row.*?</dl>', page, re.DOTALL)
    said = {}
    for row in rows:
        (slug,) = re.findall(r'href="/datasets/([^/"]*)/"', row)
        said[slug] = " ".join(re.findall(r">([^<]*(?:other licences|of its images)[^<]*)<", row))
    return said


def test_the_list_says_which_licences_only_images_have(client: Client) -> None:
    assert marks(client, f"license={BY}") == {
        "mixed": "2 of its images: CC BY 4.0",
        "unstated": "1 of its images: CC BY 4.0",
        "same": "",
        "all-other": "1 of its images: CC BY 4.0",
    }
    assert marks(client, f"license={BY}&license={FREE}")["mixed"] == (
        "3 of its images: CC BY 4.0, CC0"
    )
    assert marks(client, f"license={NC}")["mixed"] == "some images have other licences"
    assert marks(client, "q=commercial+use")["mixed"] == "3 of its images: CC BY 4.0, CC0"
    assert marks(client, "") == {
        "own": "", "mixed": "some images have other licences", "same": "", "empty": "",
        "unstated": "some images have other licences",
        "all-other": "some images have other licences",
    }  # fmt: skip
