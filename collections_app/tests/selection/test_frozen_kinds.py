"""Collections say of what kinds their objects are: pages, archives and the command."""

import html
import json
import re
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from catalog.models import Dataset
from catalog.tests.factories import ImageFactory, add_file, make_searchable
from collections_app.models import Collection, CollectionItem
from collections_app.selection.fingerprint import compute_fingerprint
from collections_app.services import build_without_problems, expire_collection, retry_collection
from collections_app.tests.factories import (
    UserFactory,
    build,
    image_file,
    make_collection,
    make_dataset,
    make_ready,
    read_archive,
)
from vocab.models import Modality
from vocab.tests.factories import ModalityFactory

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("hooks_on_commit")]


@pytest.fixture
def rays() -> Dataset:
    """Three images and a segmentation with files, and two segmentations elsewhere."""
    dataset = make_dataset(files=3)
    seg = ModalityFactory(code="seg", kind="segmentation")
    add_file(ImageFactory(dataset=dataset, modality=seg, source_id="mask"), b"mask", "mask.dcm")
    for number in range(2):
        ImageFactory(dataset=dataset, modality=seg, source_id=f"s-{number}", remote_url="s3://b/s")
    make_searchable()
    return dataset


def say(client: Client, address: str) -> str:
    """The words of a page."""
    page = client.get(address).content.decode()
    return html.unescape(" ".join(re.sub(r"<[^>]*>", " ", page).split())).replace(" .", ".")


def show(collection: Collection) -> str:
    client = Client()
    client.force_login(collection.user)
    return say(client, collection.get_absolute_url())


def test_the_page_before_the_freeze_says_what_is_left_out(client: Client, rays: Dataset) -> None:
    words = say(client, "/collections/new/")
    assert "Pictures and series 3" in words or "3 Pictures and series" in words
    assert "Pictures and series only. 3 segmentations match as well: include them." in words
    assert "Kind: Pictures and series" in words
    page = html.unescape(client.get("/collections/new/?sex=F").content.decode())
    assert 'href="/collections/new/?sex=F&kind=any"' not in page, "no other object is of a woman"
    words = say(client, "/collections/new/?kind=any")
    assert "3 pictures and series; 3 segmentations." in words
    assert "Not all of these objects are on this server. 2 lie elsewhere" in words


def test_a_selection_without_pictures_leads_to_the_other_objects(client: Client) -> None:
    dataset = make_dataset(files=0)
    ImageFactory(dataset=dataset, modality=ModalityFactory(code="sr", kind="report"))
    make_searchable()
    words = say(client, "/collections/new/")
    assert "No pictures or series match" in words
    assert "1 report matches: include objects of any kind." in words


def test_pictures_alone_are_called_images_as_ever() -> None:
    make_dataset(files=2)
    collection = make_ready("")
    assert collection.provenance["kinds"] == {"picture": 2}
    card = read_archive(collection)["README.md"].decode()
    assert "2 medical images from 1 dataset" in card
    assert "- Images in this collection: 2" in card
    assert "- Kind: Pictures and series" in card
    assert "2 images from 1 dataset" in show(collection)


def test_the_page_and_the_archive_say_what_they_count(rays: Dataset) -> None:
    collection = make_ready("kind=any")
    words = show(collection)
    assert "6 objects from 1 dataset: 4 on this server, 2 elsewhere with an address." in words
    assert "Inside 3 pictures and series; 3 segmentations Image files 4 of 6" in words
    assert "Kind: Objects of any kind" in words
    content = read_archive(collection)
    card = content["README.md"].decode()
    assert "3 pictures and series; 3 segmentations from 1 dataset, chosen in" in card
    assert "- In this collection: 3 pictures and series; 3 segmentations" in card
    assert "- `remote.csv`: 2 objects elsewhere" in card
    record = json.loads(content["collection.json"])
    assert record["num_images_by_kind"] == {"picture": 3, "segmentation": 3}
    assert record["provenance"]["datasets"][0]["kinds"] == {"picture": 3, "segmentation": 3}
    assert record["filters"]["kind"] == ["any"]
    kinds = {t["code"]: t["kind"] for t in record["provenance"]["terms"] if "kind" in t}
    assert kinds == {"dx": "picture", "seg": "segmentation"}


def test_excluded_objects_are_not_counted_any_more(rays: Dataset) -> None:
    image_file(1).unlink()
    collection = build(make_collection("kind=any"))
    assert collection.status == "failed"
    build_without_problems(collection=collection)
    Modality.objects.update(kind="other")
    collection = build(collection)
    assert collection.status == "ready", collection.error_message
    assert collection.provenance["kinds"] == {"picture": 2, "segmentation": 3}
    assert collection.provenance["datasets"][0]["kinds"] == {"picture": 2, "segmentation": 3}
    assert (
        "2 pictures and series; 3 segmentations" in read_archive(collection)["README.md"].decode()
    )


def test_a_dataset_of_which_nothing_is_left_is_no_source_any_more() -> None:
    make_dataset(files=0)
    other = make_dataset("scans", files=1)
    add_file(other.images.get(), b"pixels", "1.png").unlink()
    ImageFactory(dataset=Dataset.objects.get(slug="rays"), remote_url="s3://bucket/1")
    make_searchable()
    collection = build(make_collection("kind=any"))
    build_without_problems(collection=collection)
    card = read_archive(build(collection))["README.md"].decode()
    assert "1 medical image from 1 dataset, chosen" in card
    assert card.count("Images in this collection") == 1


def as_before(collection: Collection) -> Collection:
    """The collection as it was frozen before there were kinds."""
    provenance: dict[str, Any] = collection.provenance
    del provenance["kinds"], collection.filter_snapshot["kind"]
    provenance["words"] = [word for word in provenance["words"] if word["filter"] != "Kind"]
    for each in (*provenance["datasets"], *provenance["terms"]):
        each.pop("kinds", None)
        each.pop("kind", None)
    collection.save()
    return collection


def test_a_collection_of_before_means_any_kind_and_keeps_its_bytes(rays: Dataset) -> None:
    collection = build(as_before(make_collection("kind=any")))
    content, fingerprint = read_archive(collection), collection.fingerprint
    card = content["README.md"].decode()
    assert "6 medical images from 1 dataset, chosen in a medagg catalog." in card
    assert "- `remote.csv`: 2 images elsewhere" in card
    assert "- Images in this collection: 6" in card
    assert "Kind" not in card
    record = json.loads(content["collection.json"])
    assert "num_images_by_kind" not in record
    assert "kind" not in record["filters"]
    words = show(collection)
    assert "Kind: Objects of any kind" in words
    client = Client()
    client.force_login(collection.user)
    page = html.unescape(client.get(collection.get_absolute_url()).content.decode())
    assert 'href="/images/?kind=any">Open this search' in page
    expire_collection(collection=collection)
    retry_collection(collection=collection)
    collection = build(collection)
    assert collection.fingerprint == fingerprint == compute_fingerprint(collection)
    assert read_archive(collection) == content


def test_excluding_from_a_collection_of_before_adds_no_kinds(rays: Dataset) -> None:
    image_file(1).unlink()
    collection = build(as_before(make_collection("kind=any")))
    build_without_problems(collection=collection)
    collection = build(collection)
    assert collection.status == "ready", collection.error_message
    assert CollectionItem.objects.filter(is_excluded=True).count() == 1
    assert "kinds" not in collection.provenance
    assert "kinds" not in collection.provenance["datasets"][0]
    card = read_archive(collection)["README.md"].decode()
    assert "5 medical images" in card
    assert "`terms.csv`: codes used" in card, "then not every label had a term"


# --- The command ---
def run(capsys: pytest.CaptureFixture[str], query: str) -> tuple[str, str]:
    UserFactory(username="ada")
    call_command("build_collection", query, user="ada")
    captured = capsys.readouterr()
    return captured.out, captured.err


def test_the_command_takes_pictures_and_says_so(
    rays: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    out, err = run(capsys, "")
    assert "3 images, 3 files" in out
    assert (
        "Pictures and series only. 3 segmentations match as well: add kind=any to the query to "
        "include them." in err
    )


def test_the_command_takes_kinds_as_other_filters(
    rays: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    out, err = run(capsys, "kind=segmentation")
    assert "3 segmentations, 1 files" in out
    assert "only" not in err
    out, _ = run(capsys, "kind=any")
    assert "3 pictures and series; 3 segmentations, 4 files" in out


def test_the_command_says_that_only_other_objects_match() -> None:
    ImageFactory(modality=ModalityFactory(code="sr", kind="report"))
    make_searchable()
    UserFactory(username="ada")
    with pytest.raises(CommandError, match=r"No picture or series .* but 1 report\. Add kind=any"):
        call_command("build_collection", "", user="ada")
