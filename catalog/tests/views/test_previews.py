"""Previews; the page of an image says which frame is shown, and what in it is a guess."""

import gzip
import io

import numpy as np
import pytest
from django.test import Client
from PIL import Image as Picture

from catalog.models import Dataset, Image
from catalog.tests.factories import ImageFactory, add_file, dataset_folder, make_searchable
from catalog.tests.imaging.dicom_files import make_dicom
from catalog.tests.views.pages import get

pytestmark = pytest.mark.django_db

FRAMES = np.zeros((7, 40, 60), np.uint16)
FRAMES[3] = np.arange(60)


@pytest.fixture
def cine() -> Image:
    """An image of seven frames, as an import describes it."""
    image = ImageFactory(source_id="cine", metadata_json={"NumberOfFrames": 7})
    add_file(image, make_dicom(FRAMES), "cine.dcm")
    make_searchable()
    return image


def test_the_page_says_which_frame_is_shown(client: Client, cine: Image) -> None:
    first = get(client, f"/images/{cine.pk}/")
    assert "It shows one of 7 frames." in first
    assert f'hx-get="/images/{cine.pk}/preview/notes/"' in first
    assert "Frame 4 of 7 is shown." in get(client, f"/images/{cine.pk}/preview/notes/")
    again = get(client, f"/images/{cine.pk}/")
    assert "Frame 4 of 7 is shown." in again
    assert "preview/notes" not in again


def test_what_is_said_is_kept_with_the_picture(client: Client, cine: Image) -> None:
    client.get(f"/images/{cine.pk}/preview/?size=large")
    (dataset_folder(cine.dataset) / "cine.dcm").unlink()
    assert "Frame 4 of 7 is shown." in get(client, f"/images/{cine.pk}/")
    assert "Frame 4 of 7 is shown." in get(client, f"/images/{cine.pk}/preview/notes/")


def test_a_picture_without_anything_to_say_has_no_notes(client: Client) -> None:
    image = ImageFactory()
    add_file(image, make_dicom(FRAMES[3]), "plain.dcm")
    make_searchable()
    plain = "more grey levels, frames or pixels.\n</span>"
    assert get(client, f"/images/{image.pk}/preview/notes/").strip().endswith(plain)
    assert plain in get(client, f"/images/{image.pk}/")


def test_the_page_says_why_there_is_no_preview(client: Client) -> None:
    image = ImageFactory()
    add_file(image, gzip.compress(b"something else"), "x<b>.nii.gz")
    make_searchable()
    html = get(client, f"/images/{image.pk}/preview/notes/")
    assert "No preview: This is not a NIfTI file" in html
    assert "reduced size" not in html


def test_notes_of_an_image_that_is_not_visible_are_not_there(client: Client, cine: Image) -> None:
    cine.dataset.is_active = False
    cine.dataset.save()
    visible = client.get(f"/images/{cine.pk}/").status_code
    assert client.get(f"/images/{cine.pk}/preview/notes/").status_code == visible


def test_a_term_of_the_file_is_text_on_the_page(client: Client) -> None:
    image = ImageFactory()
    add_file(image, make_dicom(FRAMES[3], PhotometricInterpretation="<B>GREY</B>"), "x.dcm")
    make_searchable()
    html = get(client, f"/images/{image.pk}/preview/notes/")
    assert "&lt;B&gt;GREY" in html
    assert "<B>" not in html


def test_a_preview_is_a_small_picture_and_is_kept(client: Client, rays: Dataset) -> None:
    image = Image.objects.get(source_id="r-1")
    response = client.get(f"/images/{image.pk}/preview/")
    assert response["Content-Type"] == "image/webp"
    assert Picture.open(io.BytesIO(response.content)).size == (40, 20)
    (dataset_folder(rays) / "a/r-1.png").unlink()
    again = client.get(f"/images/{image.pk}/preview/")
    assert again.content == response.content
    unchanged = client.get(
        f"/images/{image.pk}/preview/", headers={"If-None-Match": response["ETag"]}
    )
    assert unchanged.status_code == 304


def test_a_file_that_is_no_picture_has_no_preview_and_says_so(client: Client) -> None:
    image = ImageFactory()
    add_file(image, b"not a picture", "x.png")
    make_searchable()
    assert "No preview" in get(client, f"/images/{image.pk}/preview/", status=404)
