"""The page of an image says which frame its preview shows, and what in it is a guess."""

import gzip

import numpy as np
import pytest
from django.test import Client

from catalog.models import Image
from catalog.tests.factories import ImageFactory, add_file, dataset_folder, make_searchable
from catalog.tests.imaging.dicom_files import make_dicom

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


def get(client: Client, path: str) -> str:
    response = client.get(path)
    assert response.status_code == 200, path
    return response.content.decode()


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
