"""The catalog's pages as a visitor gets them."""

import io
import re

import pytest
from django.test import Client
from PIL import Image as Picture

from catalog.models import Dataset, Image, ImageLabel
from catalog.tests.factories import (
    DatasetFactory,
    ImageFactory,
    add_file,
    dataset_folder,
    make_searchable,
)
from vocab.models import Label, Modality
from vocab.tests.factories import (
    AreaFactory,
    LabelFactory,
    LicenseFactory,
    ModalityFactory,
    TagFactory,
)

pytestmark = pytest.mark.django_db


def png(shade: int = 128) -> bytes:
    out = io.BytesIO()
    Picture.new("L", (40, 20), shade).save(out, "PNG")
    return out.getvalue()


@pytest.fixture
def rays() -> Dataset:
    """A dataset of three images, one of them with a file here."""
    dataset = DatasetFactory(
        slug="rays", title="Rays & <Co>", area=AreaFactory(code="chest"), doi="10.1234/rays",
        license=LicenseFactory(code="cc-by-nc-4.0", name="CC BY-NC 4.0"), size_mb=1500,
        source_url="https://example.org/rays", citation="Ray, A. (2020). Rays.", num_images=3,
        terms__modalities=[ModalityFactory(code="dx")], terms__tags=[TagFactory(code="png")],
    )  # fmt: skip
    dx = ModalityFactory(code="dx")
    here = ImageFactory(
        dataset=dataset,
        source_id="r-1",
        modality=dx,
        sex="F",
        age_years=61,
        labels=["nodule"],
        metadata_json={"KVP": 120, "note": "<script>"},
    )
    add_file(here, png(), "a/r-1.png")
    ImageFactory(dataset=dataset, source_id="r-2", modality=dx, sex="M", labels=["normal"])
    ImageFactory(dataset=dataset, source_id="r-3", modality=dx, remote_url="s3://b/r-3")
    make_searchable()
    return dataset


def get(client: Client, path: str, status: int = 200) -> str:
    response = client.get(path)
    assert response.status_code == status, response.content[:2000]
    return response.content.decode()


def facet_values(html: str) -> dict[tuple[str, str], int]:
    """(facet, code) → count, from the marks that scripts may rely on."""
    found = {}
    for tag in re.findall(r"<[a-z]+[^>]*\bdata-facet=[^>]*>", html):
        marks = dict(re.findall(r'data-(facet|value|count)="([^"]*)"', tag))
        found[marks["facet"], marks["value"]] = int(marks["count"])
    return found


def total(html: str) -> int:
    (mark,) = set(re.findall(r'data-total="(\d+)"', html))
    return int(mark)


def test_home_says_what_is_inside(client: Client, rays: Dataset) -> None:
    html = get(client, "/")
    assert "modality=dx" in html
    assert "area=chest" in html
    assert 'name="q"' in html


def test_home_shows_a_picture_of_each_modality_that_is_here(client: Client, rays: Dataset) -> None:
    large = ImageFactory(dataset=rays, modality=ModalityFactory(code="ct"), width=512, height=512)
    add_file(large, png(), "large.png")
    make_searchable()
    html = get(client, "/")
    assert f'href="/images/{large.pk}/"' in html
    small = Image.objects.get(source_id="r-1")
    assert f'href="/images/{small.pk}/"' not in html, "too small to show off"


def test_picked_images_are_one_filter_that_is_taken_away_at_once(
    client: Client, rays: Dataset
) -> None:
    ids = list(Image.objects.order_by("pk").values_list("pk", flat=True))
    html = get(client, f"/images/?image={ids[0]}&image={ids[1]}")
    assert total(html) == 2
    assert html.count('class="chip-text"') == 1
    assert "Remove Picked images: 2" in html
    assert f"image={ids[0]}%2C{ids[1]}" in html, "links keep them, in a short form"


def test_an_empty_catalog_has_pages_too(client: Client) -> None:
    for path in ("/", "/datasets/", "/images/", "/datasets/?q=x", "/images/?q=x"):
        get(client, path)


def test_the_dataset_list_counts_and_marks(client: Client, rays: Dataset) -> None:
    DatasetFactory(slug="other", title="Other")
    html = get(client, "/datasets/?modality=dx")
    assert total(html) == 1
    assert facet_values(html)["modality", "dx"] == 1
    assert "Rays &amp; &lt;Co&gt;" in html
    assert "Other" not in html


def test_dataset_lists_are_sorted_and_paged(client: Client) -> None:
    for number in range(25):
        DatasetFactory(slug=f"d-{number:02}", title=f"D {number:02}", num_images=100 - number)
    first = get(client, "/datasets/")
    assert total(first) == 25
    assert "D 00" in first
    assert "D 24" not in first
    assert "D 24" in get(client, "/datasets/?page=2")
    assert "D 24" in get(client, "/datasets/?page=999"), "a page beyond the end is the last one"
    by_size = get(client, "/datasets/?sort=images")
    assert by_size.index("D 00") < by_size.index("D 19")
    assert "cannot be sorted" in get(client, "/datasets/?sort=rank", status=400)
    assert total(get(client, "/datasets/?sort=relevance")) == 25, "its query was taken away"


@pytest.mark.parametrize("path", ["/datasets/?area=chst", "/images/?sex=female", "/images/?foo=1"])
def test_a_filter_that_is_not_understood_shows_an_error_and_nothing_else(
    client: Client, rays: Dataset, path: str
) -> None:
    html = get(client, path, status=400)
    assert total(html) == 0
    assert "Rays" not in html


def test_the_dataset_page_shows_all_that_is_known(client: Client, rays: Dataset) -> None:
    html = get(client, "/datasets/rays/")
    for fact in (
        "Rays &amp; &lt;Co&gt;", "https://example.org/rays", "Ray, A. (2020). Rays.",
        "10.1234/rays", "CC BY-NC 4.0", "1.0 MB", "Nodule", "r-1",
    ):  # fmt: skip
        assert fact in html, fact


def test_inactive_datasets_are_hidden_everywhere(client: Client, rays: Dataset) -> None:
    image = Image.objects.get(source_id="r-1")
    Dataset.objects.update(is_active=False)
    assert total(get(client, "/datasets/")) == 0
    assert total(get(client, "/images/")) == 0
    for path in ("", "preview/", "file/"):
        get(client, f"/images/{image.pk}/{path}", status=404)
    get(client, "/datasets/rays/", status=404)


def test_labels_that_wait_for_review_are_counted_and_not_named(
    client: Client, rays: Dataset
) -> None:
    image = Image.objects.get(source_id="r-1")
    Label.objects.filter(code="nodule").update(is_active=False, name="Secret finding")
    html = get(client, f"/images/{image.pk}/")
    assert "1 finding waits for review by a curator" in html
    assert "The source gives this image no labels" not in html
    assert "1 label waits for review by a curator" in get(client, "/datasets/rays/")


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


def test_inactive_terms_are_hidden_everywhere(client: Client, rays: Dataset) -> None:
    Label.objects.filter(code="nodule").update(is_active=False, name="Secret finding")
    Modality.objects.filter(code="dx").update(is_active=False, name="Secret modality")
    image = Image.objects.get(source_id="r-1")
    for path in ("/", "/datasets/", "/datasets/rays/", "/images/", f"/images/{image.pk}/"):
        assert "Secret" not in get(client, path), path


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


def test_the_file_comes_byte_for_byte_and_never_as_a_page(client: Client) -> None:
    image = ImageFactory(source_id="evil")
    add_file(image, b"<script>alert(1)</script>", "evil.html")
    make_searchable()
    response = client.get(f"/images/{image.pk}/file/")
    assert b"".join(response.streaming_content) == b"<script>alert(1)</script>"  # type: ignore[attr-defined]
    assert response["Content-Type"] == "application/octet-stream"
    assert response["Content-Disposition"] == 'attachment; filename="evil.html"'
    assert response["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("path", ["../secret", "/etc/passwd", "link/secret"])
def test_a_stored_path_that_leads_out_is_not_followed(client: Client, path: str) -> None:
    image = ImageFactory()
    file = add_file(image, b"fine", "fine.bin")
    (file.parent.parent / "secret").write_text("secret")
    (file.parent / "link").symlink_to(file.parent.parent)
    # As if it had come past the door: the database refuses the first two itself.
    if path == "link/secret":
        Image.objects.filter(pk=image.pk).update(file_path=path)
        get(client, f"/images/{image.pk}/file/", status=404)
        get(client, f"/images/{image.pk}/preview/", status=404)
    else:
        image.file_path = path
        with pytest.raises(Exception, match=r"(?i)path"):
            image.full_clean()


def test_a_dataset_folder_outside_the_roots_is_not_read(client: Client, tmp_path: object) -> None:
    image = ImageFactory()
    add_file(image, b"x")
    Dataset.objects.update(local_path="/etc")
    Image.objects.update(file_path="hostname")
    get(client, f"/images/{image.pk}/file/", status=404)


def test_pages_allow_no_foreign_content(client: Client, rays: Dataset) -> None:
    for path in ("/", "/datasets/", "/images/", "/datasets/rays/"):
        response = client.get(path)
        assert "default-src 'self'" in response["Content-Security-Policy"]
        html = response.content.decode()
        assert not re.findall(r'<(?:script|img|link|iframe)[^>]*(?:src|href)="(?:https?:)?//', html)


@pytest.mark.parametrize("path", ["/datasets/nothing/", "/images/999999/", "/nowhere/"])
def test_what_is_not_there_is_a_404_in_the_sites_dress(client: Client, path: str) -> None:
    assert "medagg" in get(client, path, status=404)


@pytest.mark.parametrize("path", ["/", "/images/", "/datasets/"])
def test_reading_pages_refuse_to_be_posted_to(client: Client, path: str) -> None:
    assert client.post(path).status_code == 405
