"""The list of images and their pages as a visitor gets them."""

import re

import pytest
from django.test import Client

from catalog.models import Dataset, Image, ImageLabel
from catalog.tests.factories import DatasetFactory, ImageFactory, make_searchable
from catalog.tests.views.pages import facet_values, get, total
from catalog.views import images
from vocab.models import Label
from vocab.tests.factories import LabelFactory, LicenseFactory

pytestmark = pytest.mark.django_db


def test_picked_images_are_one_filter_that_is_taken_away_at_once(
    client: Client, rays: Dataset
) -> None:
    ids = list(Image.objects.order_by("pk").values_list("pk", flat=True))
    html = get(client, f"/images/?image={ids[0]}&image={ids[1]}")
    assert total(html) == 2
    assert html.count('class="chip-text"') == 1
    assert "Remove Picked images: 2" in html
    assert f"image={ids[0]}%2C{ids[1]}" in html, "links keep them, in a short form"


def test_the_images_page_counts_every_facet(client: Client, rays: Dataset) -> None:
    html = get(client, "/images/?sex=F&sex=M")
    assert total(html) == 2
    values = facet_values(html)
    assert values["sex", "F"] == values["sex", "M"] == values["sex", "unknown"] == 1
    assert values["label", "nodule"] == 1
    assert values["local", "1"] == 1
    assert values["license", "cc-by-nc-4.0"] == 2


def test_htmx_gets_only_what_a_filter_changes(client: Client, rays: Dataset) -> None:
    response = client.get("/images/?sex=F", headers={"HX-Request": "true"})
    html = response.content.decode()
    assert "<html" not in html
    assert total(html) == 1
    assert "HX-Request" in response["Vary"]


def test_paging_leads_through_all_images(client: Client) -> None:
    dataset = DatasetFactory()
    for number in range(52):
        ImageFactory(dataset=dataset, source_id=f"p-{number:02}")
    make_searchable()
    first = get(client, "/images/")
    (link,) = set(re.findall(r'href="([^"]*page=after[^"]*)"', first))
    link = link.replace("&amp;", "&")
    second = get(client, link if link.startswith("/") else f"/images/{link}")
    assert set(re.findall(r"p-\d\d", second)) == {"p-50", "p-51"}
    get(client, "/images/?page=77", status=400)


def test_an_image_page_shows_its_own_licence_and_the_sources_words(
    client: Client, rays: Dataset
) -> None:
    image = Image.objects.get(source_id="r-1")
    image.license = LicenseFactory(code="cc0-1.0")
    image.save()
    image.image_labels.update(metadata_json={"word": "Nodule??"})
    make_searchable()
    html = get(client, f"/images/{image.pk}/")
    assert "Cc0 1.0" in html
    assert "“Nodule??” in the source" in html
    assert "Cc0 1.0" in get(client, "/datasets/rays/")
    # What a curator wrote is any JSON.
    image.image_labels.update(metadata_json={"words": 5})
    assert "“5” in the source" in get(client, f"/images/{image.pk}/")


def test_the_image_page_shows_metadata_as_text(client: Client, rays: Dataset) -> None:
    image = Image.objects.get(source_id="r-1")
    ImageLabel.objects.create(
        image=image, label=LabelFactory(code="mass"), finding="uncertain", confidence=0.25
    )
    html = get(client, f"/images/{image.pk}/")
    for fact in ("r-1", "Nodule", "Mass", "Uncertain", "KVP", "120", "&lt;script&gt;", "61"):
        assert fact in html, fact
    assert f"/images/{image.pk}/file/" in html
    assert "<script>" not in html.replace('<script src="', "")


def test_an_image_that_lies_elsewhere_says_where(client: Client, rays: Dataset) -> None:
    image = Image.objects.get(source_id="r-3")
    html = get(client, f"/images/{image.pk}/")
    assert "s3://b/r-3" in html
    assert f"/images/{image.pk}/file/" not in html
    get(client, f"/images/{image.pk}/preview/", status=404)
    assert "not there" in get(client, f"/images/{image.pk}/file/", status=404)


def test_very_many_filters_do_not_make_a_very_long_page(client: Client, rays: Dataset) -> None:
    codes = [f"finding-of-a-long-name-{number}" for number in range(200)]
    Label.objects.bulk_create([Label(code=code, name=code) for code in codes])
    make_searchable()
    few, many = ("&".join(f"not_label={code}" for code in codes[:n]) for n in (50, 200))
    html = get(client, f"/images/?{many}")
    assert "and 150 more" in html
    assert total(html) == total(get(client, f"/images/?{few}")) > 0
    assert len(html) < 1_000_000


def test_an_image_page_counts_some_thousand_images_of_its_subject(
    client: Client, rays: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        image = ImageFactory(dataset=rays, subject_id="ANONYMOUS", source_id=f"a-{number}")
    assert "(one of 3 images)" in get(client, image.get_absolute_url())
    monkeypatch.setattr(images, "MAX_OF_SUBJECT", 2)
    assert "(one of more than 2)" in get(client, image.get_absolute_url())
