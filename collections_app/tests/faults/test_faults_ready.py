"""Archives whose owner, collection or dataset is deleted."""

import time
from collections.abc import Callable

import pytest
from django.conf import LazySettings
from django.db.models import ProtectedError
from django.urls import reverse

from catalog.models import Dataset, Image
from collections_app.builds.build import build_collection
from collections_app.builds.verification import verify_archive
from collections_app.models import Collection
from collections_app.services import expire_collection, rebuild_collection
from collections_app.sweep import sweep_collections
from collections_app.tests.factories import (
    UserFactory,
    build,
    files_in_archive_root,
    image_file,
    make_collection,
    make_dataset,
    make_ready,
    read_archive,
)
from collections_app.tests.faults.deletions import OWNER_GOES, delete_only_it, staff_browser
from collections_app.tests.faults.tools import assert_nothing_is_left_over, assert_page_says

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("hooks_on_commit")]


@pytest.mark.parametrize("delete", [delete_only_it, *OWNER_GOES])
def test_a_ready_collection_is_deleted(
    delete: Callable[[Collection], None], settings: LazySettings
) -> None:
    """Deleting past the services leaves a file, which the sweep removes."""
    make_dataset()
    collection = make_ready()
    other = make_ready(title="Of somebody else", user=UserFactory(username="other"))
    delete(collection)
    settings.BUILD_LEASE_SECONDS = 0.001
    time.sleep(0.02)
    sweep_collections()
    other.refresh_from_db()
    assert files_in_archive_root() == [other.archive_path]
    assert_page_says(other, "Download ZIP")


def test_a_collection_is_deleted_during_its_verification() -> None:
    make_dataset()
    collection = make_ready()
    delete_only_it(collection)
    verify_archive(collection_id=collection.pk)
    assert files_in_archive_root() == []


# --- The dataset is deactivated or deleted ---
def test_deactivating_a_dataset_keeps_its_collections() -> None:
    make_dataset()
    ready, pending = make_ready(), make_collection("sex=F", title="Pending")
    before = read_archive(ready)
    address = reverse("admin:catalog_dataset_changelist")
    form = {"action": "deactivate", "_selected_action": Dataset.objects.get().pk}
    staff_browser().post(address, form)
    Dataset.objects.update(is_active=False)

    assert_page_says(ready, "Download ZIP")
    rebuild_collection(collection=ready)
    for collection in (ready, pending):
        build(collection)
        assert collection.status == "ready"
        assert_page_says(collection, "Download ZIP")
    assert read_archive(ready) == before
    assert_nothing_is_left_over()


@pytest.mark.parametrize("state", ["ready", "pending", "expired"])
def test_a_dataset_with_images_in_a_collection_cannot_be_deleted(state: str) -> None:
    dataset = make_dataset()
    collection = make_ready() if state != "pending" else make_collection("")
    if state == "expired":
        expire_collection(collection=collection)
        collection.refresh_from_db()
    with pytest.raises(ProtectedError):
        dataset.delete()
    with pytest.raises(ProtectedError):
        Image.objects.first().delete()  # type: ignore[union-attr]
    address = reverse("admin:catalog_dataset_delete", args=[dataset.pk])
    response = staff_browser().post(address, {"post": "yes"})
    assert Dataset.objects.filter(pk=dataset.pk).exists(), response.content.decode()
    assert Image.objects.count() == 5
    if state == "expired":
        rebuild_collection(collection=collection)
    if state != "ready":
        build_collection(collection_id=collection.pk)
    assert len(read_archive(collection)) == 11


def test_deleted_files_of_a_dataset_are_all_named() -> None:
    """The catalog keeps the images, and the page says that their files are missing."""
    make_dataset(files=3)
    collection = make_ready()
    expire_collection(collection=collection)
    collection.refresh_from_db()
    for number in range(3):
        image_file(number).unlink()
    rebuild_collection(collection=collection)
    build_collection(collection_id=collection.pk)
    assert_page_says(collection, "3 files are not as the catalog says", "rays-001", "Try again")
    assert files_in_archive_root() == []
