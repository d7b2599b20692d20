"""Views of images: what is typed, what an import makes of words, and what a page shows."""

import html
import re

import pytest
from django.core.management import call_command
from django.test import Client

from catalog.importers.rows import ImageRow
from catalog.importers.store import store_images
from catalog.models import Image
from catalog.tests.factories import DatasetFactory, ImageFactory, make_searchable
from catalog.tests.search.selecting import select
from vocab.lookup import find_terms
from vocab.models import AnatomicalArea, Modality, ViewPosition

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("module_vocabularies")]


@pytest.fixture(scope="module")
def catalog(module_vocabularies: None) -> None:
    chest = AnatomicalArea.objects.get(code="chest")
    rays = DatasetFactory(slug="rays", area=chest)
    dx, ct = Modality.objects.get(code="dx"), Modality.objects.get(code="ct")
    for code in ("pa", "ap", "ap-supine", "lateral", "ll"):
        view = ViewPosition.objects.get(code=code)
        ImageFactory(dataset=rays, source_id=code, view=view, modality=dx)
    slices = DatasetFactory(slug="slices", description="Lateral scouts and axial slices.")
    ImageFactory(dataset=slices, source_id="ct", modality=ct,
                 metadata_json={"SeriesDescription": "AXIAL_3.0"})  # fmt: skip
    ImageFactory(dataset=slices, source_id="none", modality=ct)
    make_searchable()


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("q=PA+chest", "pa"),
        ("q=ap", "ap ap-supine"),
        ("q=AP+supine", "ap-supine"),
        ("q=lateral", "lateral ll"),
        ("q=frontal+view", "ap ap-supine pa"),
        ("q=lateral+chest+x-ray", "lateral ll"),
        ("q=PA+and+lateral+views", "lateral ll pa"),
        ("q=chest+not+lateral", "ap ap-supine pa"),
        ("view=frontal", "ap ap-supine pa"),
        ("view=ap~only", "ap"),
        # Words that mostly mean something else are looked for in texts.
        ("q=axial+ct", "ct"),
        ("q=axial", "ct"),
        ("q=oblique", ""),
        ("q=rl", ""),
        ("q=ml", ""),
        # A view that no image has is no filter.
        ("q=swimmer's+view", ""),
    ],
)
def test_what_is_typed_means_the_view(catalog: None, query: str, expected: str) -> None:
    assert select(query) == expected


@pytest.mark.parametrize(
    ("query", "chip"),
    [
        ("PA chest", "Posteroanterior"),
        ("lateral", "Lateral, with"),
        ("frontal view", "Frontal, with"),
    ],
)
def test_the_view_is_a_chip_and_a_facet(
    catalog: None, client: Client, query: str, chip: str
) -> None:
    page = html.unescape(client.get("/images/", {"q": query}).content.decode())
    assert re.search(rf"View:</span> {chip}", page)
    assert 'name="view"' in page


def test_an_image_says_its_view(catalog: None, client: Client) -> None:
    image = Image.objects.get(source_id="ll")
    page = client.get(image.get_absolute_url()).content.decode()
    assert "?view=ll" in page
    assert "Left lateral" in page


def test_a_dataset_that_tells_no_views_is_offered(catalog: None, client: Client) -> None:
    page = html.unescape(client.get("/images/", {"q": "lateral ct"}).content.decode())
    assert 'data-total="0"' in page
    assert "Slices’s description mentions “lateral”" in page
    Image.objects.filter(source_id="none").update(view=ViewPosition.objects.get(code="pa"))
    make_searchable()
    page = html.unescape(client.get("/images/", {"q": "lateral ct"}).content.decode())
    assert "mentions" not in page


@pytest.mark.parametrize(
    ("word", "code"),
    [
        ("PA", "pa"), ("POSTEROANTERIOR", "pa"), ("AP_horizontal", "ap-supine"),
        ("AP AXIAL", "ap-axial"), ("LATERAL", "lateral"), ("LL", "ll"), ("RL", "rl"),
        ("XTABLE LATERAL", "cross-table-lateral"), ("SWIMMERS", "swimmers"), ("AP LLD", "lld"),
        ("PA RLD", "rld"), ("LAO", "lao"), ("Frontal", "frontal"), ("CC", "cc"), ("MLO", "mlo"),
        ("LEFT_CC", "cc"), ("RMLO", "mlo"), ("XCCL", "xccl"), ("OBLIQUE", "oblique"),
        ("AXIAL", "axial"),
    ],
)  # fmt: skip
def test_what_published_tables_write_is_a_view(word: str, code: str) -> None:
    assert [term.code for term in find_terms("view", [word])[word]] == [code]


def test_a_single_letter_is_no_view_and_unknown_words_are_reported() -> None:
    rows = [ImageRow(source_id="1", view="L"), ImageRow(source_id="2", view="PA"),
            ImageRow(source_id="3", metadata={"ViewPosition": "RL"})]  # fmt: skip
    dataset = DatasetFactory()
    report = store_images(dataset=dataset, rows=rows)
    assert report.unknown_words == {("view", "L"): 1}
    views = dict(Image.objects.filter(dataset=dataset).values_list("source_id", "view__code"))
    assert views == {"1": None, "2": "pa", "3": "rl"}


def test_the_vocabulary_has_a_page_and_a_list(
    client: Client, capsys: pytest.CaptureFixture[str], admin_client: Client
) -> None:
    page = client.get("/vocabularies/view/").content.decode()
    assert "Posteroanterior" in page
    call_command("terms", "view")
    assert "Mediolateral oblique" in capsys.readouterr().out
    assert "Swimmer" in admin_client.get("/admin/vocab/viewposition/").content.decode()
