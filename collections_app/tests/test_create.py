"""Freezing: the images that the filters select become items."""

import pytest
from django.conf import LazySettings
from django.db import IntegrityError, transaction
from django.http import QueryDict

from catalog.models import Image
from catalog.profiles.building import refresh_image_profiles
from catalog.search.filters import ImageFilterSet
from catalog.services import StillInUse, delete_dataset
from collections_app.models import Build, Collection
from collections_app.selection.refusals import NotBuildable
from collections_app.selection.summary import summarize_selection
from collections_app.tests.factories import make_collection, make_dataset
from vocab.models import Label
from vocab.tests.factories import LabelFactory

pytestmark = pytest.mark.django_db

NOW = "2026-01-01T00:00Z"


def test_selected_images_are_frozen_in_order() -> None:
    make_dataset("b-rays", files=3, remote=2)
    make_dataset("a-rays", files=2)
    collection = make_collection("sex=F")
    items = list(collection.items.order_by("position"))
    assert [item.metadata_json["source_id"] for item in items] == [
        "a-rays-000", "b-rays-000", "b-rays-002", "b-rays-remote-000", "b-rays-remote-001",
    ]  # fmt: skip
    assert [item.position for item in items] == [1, 2, 3, 4, 5]
    assert (collection.status, collection.num_images, collection.num_files) == ("pending", 5, 3)
    assert collection.num_bytes == sum(item.size_bytes or 0 for item in items)
    assert collection.filter_snapshot == {"sex": ["F"], "kind": ["picture"]}


@pytest.mark.usefixtures("role_without_grant")
def test_a_role_that_may_not_switch_checks_off_freezes_the_same() -> None:
    make_dataset("rays", files=3, remote=1)
    assert make_collection("sex=F").num_images == 3


def test_each_item_freezes_the_metadata_of_its_image() -> None:
    make_dataset(files=2)
    Image.objects.filter(source_id="rays-001").update(width=192, height=200)
    item = make_collection("sex=M").items.get()
    image = item.image
    assert item.sha256 == image.sha256
    assert item.size_bytes == image.size_bytes
    assert item.metadata_json == {
        "dataset": "rays", "source_id": "rays-001", "file_path": "deep/001.png", "modality": "dx",
        "subject_id": "subject-0", "sex": "M", "age_years": 41, "width": 192, "height": 200,
        "labels": "nodule", "license": "cc-by-4.0",
    }  # fmt: skip


def test_findings_are_frozen_as_the_cells_of_metadata_csv() -> None:
    make_dataset(files=1)
    image = Image.objects.get()
    for code, finding, confidence in (
        ("zoster", "positive", 0.25), ("edema", "uncertain", 1), ("cyst", "negative", None),
    ):  # fmt: skip
        image.image_labels.create(
            label=LabelFactory(code=code), finding=finding, confidence=confidence
        )
    refresh_image_profiles(image_ids=[image.pk])
    frozen = make_collection("").items.get().metadata_json
    assert frozen["labels"] == "normal|zoster"
    assert (frozen["uncertain_labels"], frozen["negative_labels"]) == ("edema", "cyst")
    assert frozen["label_confidence"] == "edema=1|zoster=0.25"


@pytest.mark.parametrize(
    ("title", "folder"),
    [("CON", "collection-con"), ("aux", "collection-aux"), ("__", "collection"), ("A b", "a-b")],
)
def test_the_folder_name_is_valid_on_windows(title: str, folder: str) -> None:
    make_dataset(files=1)
    assert make_collection("", title=title).slug == folder


def test_query_and_filters_are_stored_as_typed_and_in_words() -> None:
    make_dataset()
    collection = make_collection("q=rays&label=nodule&not_label=normal")
    assert collection.query_text == "rays"
    assert collection.filter_snapshot == {
        "q": "rays", "label": ["nodule"], "not_label": ["normal"], "kind": ["picture"],
    }  # fmt: skip
    assert collection.provenance["words"] == [
        {"filter": "Search", "value": "rays"},
        {"filter": "Dataset (“rays”)", "value": "Rays"},
        {"filter": "Label", "value": "Nodule"},
        {"filter": "Without label", "value": "Normal"},
        {"filter": "Kind", "value": "Pictures and series"},
    ]
    assert collection.provenance["datasets"][0]["license"] == "cc-by-4.0"


def test_what_the_query_was_understood_as_is_stored() -> None:
    make_dataset()
    understood = make_collection("q=nodule").provenance["understood"]
    assert [(part["words"], part["filter"], part["codes"]) for part in understood] == [
        ("nodule", "label", ["nodule"])
    ]


def test_the_label_mode_is_stored_in_words() -> None:
    make_dataset()
    words = make_collection("label=nodule&label_mode=all").provenance["words"]
    assert words[0] == {"filter": "Label (all must be there)", "value": "Nodule"}


@pytest.mark.parametrize(
    ("query", "expected", "message"),
    [
        ("q=nowhere", 0, "No image matches"),
        ("sex=F", 99, "3 images match now, not 99"),
        ("sex=X", 0, "is not a sex"),
    ],
)
def test_a_refused_selection_creates_nothing(query: str, expected: int, message: str) -> None:
    make_dataset()
    with pytest.raises(NotBuildable, match=message):
        make_collection(query, expected_images=expected)
    assert not Collection.objects.exists()


def test_limits_are_shown_before_and_enforced_at_the_freeze(settings: LazySettings) -> None:
    make_dataset()
    settings.COLLECTION_MAX_IMAGES = 4
    settings.COLLECTION_MAX_BYTES = 100
    summary = summarize_selection(ImageFilterSet(QueryDict("")))
    assert not summary.can_be_built
    assert "5 images match, and a collection holds at most 4." in summary.over_limits[0]
    assert "of files" in summary.over_limits[1]
    with pytest.raises(NotBuildable, match="at most 4"):
        make_collection("")
    assert not Collection.objects.exists()


@pytest.mark.parametrize("query", ["", "sex=F", "q=rays-00", "local=1"])
def test_the_summary_agrees_with_the_frozen_items(query: str) -> None:
    make_dataset("rays", files=4, remote=3)
    make_dataset("more-rays", files=1)
    summary = summarize_selection(ImageFilterSet(QueryDict(query)))
    collection = make_collection(query)
    assert (summary.num_images, summary.files.here, summary.num_bytes) == (
        collection.num_images, collection.num_files, collection.num_bytes,
    )  # fmt: skip
    frozen = {d["slug"]: d["num_images"] for d in collection.provenance["datasets"]}
    assert {share.dataset.slug: share.num_images for share in summary.datasets} == frozen


def test_the_summary_counts_the_labels_of_the_selection() -> None:
    make_dataset(files=6)
    summary = summarize_selection(ImageFilterSet(QueryDict("label=nodule")))
    assert [(label.code, label.count) for label in summary.labels] == [("nodule", 4)]


def test_an_image_in_a_collection_cannot_be_deleted() -> None:
    dataset = make_dataset()
    make_collection("sex=F")
    with pytest.raises(StillInUse, match="Deactivate it instead"):
        delete_dataset(dataset=dataset)
    assert dataset.images.count() == 5


def test_a_hidden_label_is_not_frozen() -> None:
    make_dataset(files=1)
    Label.objects.filter(code="normal").update(is_active=False)
    assert make_collection("").items.get().metadata_json.get("labels") is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"status": "done"},
        {"status": "ready"},
        {"status": "ready", "archive_path": "x.zip", "archive_size": 3, "fingerprint": "f"},
        {"archive_path": "x.zip"},
        {"status": "failed"},
        {"error_message": "but pending"},
        {"status": "expired", "archive_path": "x.zip"},
        {"verified_at": "2026-01-01T00:00Z"},
    ],
)
def test_the_database_refuses_an_invalid_collection(wrong: dict[str, object]) -> None:
    make_dataset(files=1)
    collection = make_collection("")
    with pytest.raises(IntegrityError), transaction.atomic():
        Collection.objects.filter(pk=collection.pk).update(**wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"lease_expires_at": "2026-01-01T00:00Z"},
        {"finished_at": NOW, "attempt_token": "0" * 32, "lease_expires_at": NOW},
        {"reason": "disk_full"},
        {"finished_at": NOW, "reason": "bad luck"},
    ],
)
def test_the_database_refuses_an_invalid_build(wrong: dict[str, object]) -> None:
    make_dataset(files=1)
    make_collection("")
    with pytest.raises(IntegrityError), transaction.atomic():
        Build.objects.update(**wrong)


def test_the_database_refuses_two_builds_of_a_collection_at_once() -> None:
    make_dataset(files=1)
    collection = make_collection("")
    with pytest.raises(IntegrityError), transaction.atomic():
        collection.builds.create(queued_at=NOW)
