"""Collections with DICOM files that tell who somebody is: every page and text says so."""

import csv
import io
from typing import Any

import pytest
from django.test import Client

from catalog.imported_keys import IDENTIFYING
from catalog.models import Dataset, Image
from catalog.tests.factories import DatasetFactory, ImageFactory, add_file, make_searchable
from catalog.tests.importers.folder_files import make_scan
from collections_app.services import build_without_problems
from collections_app.tests.factories import build, make_collection, make_dataset, read_archive

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("hooks_on_commit")]


COUNTS = {"files": 2, "burned_in": 1, "unchecked": 1, "attributes": {}}


def add_scan(dataset: Dataset, name: str, identifying: list[str] | None, **source: Any) -> Image:
    image: Image = ImageFactory(
        dataset=dataset,
        source_id=name,
        identifying=identifying,
        metadata_json={"TransferSyntaxUID": "Explicit VR Little Endian", **source},
    )
    add_file(image, make_scan(ImageComments=f"scan {name}"), f"{name}.dcm")
    return image


@pytest.fixture
def scans() -> Dataset:
    dataset = DatasetFactory(slug="scans", imported_json={IDENTIFYING: COUNTS})
    add_scan(dataset, "a", ["PatientBirthDate", "PatientName"], BurnedInAnnotation="YES")
    add_scan(dataset, "b", ["PatientName"])
    add_scan(dataset, "c", [])
    add_scan(dataset, "d", None)
    make_searchable()
    return dataset


def test_the_build_page_says_it_before_the_button(scans: Dataset, client: Client) -> None:
    page = client.get("/collections/new/?dataset=scans").content.decode()
    notice = page.index("2 DICOM images may tell who somebody is")
    assert notice < page.index('id="build"')
    assert "1 image says that text is burnt into the pixels" in page
    assert "1 DICOM image was not checked" in page
    make_dataset(files=1)
    assert "who somebody is" not in client.get("/collections/new/?dataset=rays").content.decode()


def test_the_archive_and_the_collections_page_say_it(scans: Dataset, client: Client) -> None:
    collection = make_collection()
    build(collection)
    assert collection.provenance["identifying"] == {
        "files": 2, "burned_in": 1, "unchecked": 1,
        "attributes": {"PatientName": 2, "PatientBirthDate": 1},
    }  # fmt: skip
    texts = read_archive(collection)
    table = csv.DictReader(io.StringIO(texts["metadata.csv"].decode()))
    assert {row["source_id"]: row["identifying"] for row in table} == {
        "a": "PatientBirthDate|PatientName", "b": "PatientName", "c": "", "d": "not checked",
    }  # fmt: skip
    card = texts["README.md"].decode()
    assert "2 DICOM images carry attributes" in card
    assert "`PatientName` (2), `PatientBirthDate` (1)" in card
    assert "1 image says that text is burnt into the pixels" in card
    assert "1 DICOM image was not checked" in card

    client.force_login(collection.user)
    page = client.get(collection.get_absolute_url()).content.decode()
    assert "2 DICOM images may tell who somebody is" in page


def test_of_what_lies_elsewhere_the_archive_says_what_was_not_checked(client: Client) -> None:
    dataset = DatasetFactory(imported_json={IDENTIFYING: COUNTS})
    for name in ("a.dcm?download=1", "b.IMA", "c.png", "d"):
        marks = {"BurnedInAnnotation": "YES"} if name == "c.png" else {}
        ImageFactory(
            dataset=dataset, source_id=name, metadata_json=marks,
            remote_url=f"https://files.lan/{name}" if name != "d" else "",
        )  # fmt: skip
    make_searchable()
    said = ["2 DICOM images were not checked", "1 image says that text is burnt into"]
    page = client.get("/collections/new/").content.decode()
    assert [words in page for words in said] == [True, True]

    collection = make_collection()
    build(collection)

    texts = read_archive(collection)
    table = csv.DictReader(io.StringIO(texts["remote.csv"].decode()))
    found = {row["source_id"]: row["identifying"] for row in table}
    assert found == {"a.dcm?download=1": "not checked", "b.IMA": "not checked", "c.png": ""}
    client.force_login(collection.user)
    page = client.get(collection.get_absolute_url()).content.decode()
    for text in (page, texts["README.md"].decode()):
        assert [words in text for words in said] == [True, True]
    image = client.get(dataset.images.get(source_id="c.png").get_absolute_url())
    assert 'id="burned-in"' in image.content.decode()


def test_excluded_files_are_not_counted(scans: Dataset) -> None:
    collection = make_collection()
    collection.items.filter(position=1).update(problem="gone")
    collection.status, collection.error_message = "failed", "1 file"
    collection.builds.all().delete()
    collection.save()
    build_without_problems(collection=collection)
    collection.refresh_from_db()
    counts = collection.provenance["identifying"]
    assert (counts["files"], counts["burned_in"]) == (1, 0)
    assert counts["attributes"] == {"PatientName": 1}


def test_collections_without_such_files_have_no_column_and_no_words() -> None:
    make_dataset(files=2)
    collection = make_collection()
    build(collection)
    texts = read_archive(collection)
    assert b"identifying" not in texts["metadata.csv"]
    assert b"who somebody is" not in texts["README.md"]
    assert "identifying" not in collection.provenance
