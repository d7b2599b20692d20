"""Finished archives are changed or removed from outside, and medagg notices it."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from django.conf import settings as conf

from collections_app.builds.build import build_collection
from collections_app.builds.verification import verify_archive
from collections_app.models import Collection
from collections_app.services import retry_collection
from collections_app.storage import archive_file
from collections_app.sweep import sweep_collections
from collections_app.tests.factories import (
    build,
    files_in_archive_root,
    image_file,
    make_collection,
    make_dataset,
    make_ready,
)
from collections_app.tests.faults.tools import (
    assert_nothing_is_left_over,
    assert_page_says,
    overwrite_in_place,
)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("hooks_on_commit")]


def delete(path: Path) -> None:
    path.unlink()


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def prolong(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"!")


def replace_by_a_link(path: Path) -> None:
    other = conf.DATASET_ROOTS[0] / "elsewhere.zip"
    path.rename(other)
    path.symlink_to(other)


def flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def flip_a_byte_and_keep_the_time(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    overwrite_in_place(path, bytes(content))


def zero_it(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def assert_built_again(content: bytes, *collections: Collection) -> None:
    """Each owner tries again and gets the same bytes."""
    for collection in collections:
        assert_page_says(collection, "Try again")
        retry_collection(collection=collection)
        build_collection(collection_id=collection.pk)
        verify_archive(collection_id=collection.pk)
        collection.refresh_from_db()
        assert archive_file(collection.archive_path).read_bytes() == content
        assert_page_says(collection, "Download ZIP", "verified")
    assert_nothing_is_left_over()


@pytest.mark.parametrize("harm", [delete, cut_off, empty, prolong, replace_by_a_link])
@pytest.mark.parametrize("is_verified", [False, True])
def test_the_sweep_finds_missing_and_truncated_archives(
    harm: Callable[[Path], None], is_verified: bool
) -> None:
    make_dataset()
    one = make_ready()
    if is_verified:
        verify_archive(collection_id=one.pk)
    path = archive_file(one.archive_path)
    content = path.read_bytes()
    harm(path)
    assert sweep_collections()["missing"] == 1
    assert files_in_archive_root() == []
    assert_page_says(one, "is missing on the server or damaged", "Nothing is lost")
    assert_built_again(content, one)


@pytest.mark.parametrize("harm", [flip_a_byte, flip_a_byte_and_keep_the_time, zero_it])
def test_verification_finds_an_overwritten_archive(harm: Callable[[Path], None]) -> None:
    make_dataset()
    one = make_ready()
    path = archive_file(one.archive_path)
    content = path.read_bytes()
    harm(path)
    verify_archive(collection_id=one.pk)
    assert files_in_archive_root() == []
    assert_page_says(one, "was changed on the server", "Nothing is lost")
    assert_built_again(content, one)


@pytest.mark.parametrize("harm", [flip_a_byte, zero_it])
def test_an_archive_overwritten_after_verification_is_verified_again(
    harm: Callable[[Path], None],
) -> None:
    """Writing to the archive changes its mtime, which the sweep checks."""
    make_dataset()
    collection = make_ready()
    verify_archive(collection_id=collection.pk)
    path = archive_file(collection.archive_path)
    content = path.read_bytes()
    harm(path)
    sweep_collections()
    verify_archive(collection_id=collection.pk)
    assert_page_says(collection, "was changed on the server")
    assert_built_again(content, collection)


def test_losing_all_archives_fails_the_collections_and_they_can_be_rebuilt() -> None:
    make_dataset()
    one, two = make_ready(), make_ready(title="Another title")
    content = archive_file(one.archive_path).read_bytes()
    shutil.rmtree(conf.ARCHIVE_ROOT)
    assert sweep_collections()["missing"] == 2
    for collection in (one, two):
        assert_page_says(collection, "is missing on the server or damaged", "Try again")
    assert_built_again(content, one)


# --- Changes between import and build that keep size and mtime ---
def test_verification_names_a_file_replaced_between_import_and_build() -> None:
    make_dataset(files=3)
    sound = image_file(1).read_bytes()
    overwrite_in_place(image_file(1), sound[:-1] + b"!")
    collection = make_ready()
    assert collection.status == "ready", "its size and its time are those of the catalog"
    verify_archive(collection_id=collection.pk)
    assert files_in_archive_root() == []
    assert_page_says(collection, "1 file is not as the catalog says", "rays-001", "Build without")

    overwrite_in_place(image_file(1), sound)
    retry_collection(collection=collection)
    build_collection(collection_id=collection.pk)
    verify_archive(collection_id=collection.pk)
    assert_page_says(collection, "Download ZIP", "verified")


@pytest.mark.parametrize(
    "target", ["a file of the dataset", "a file elsewhere", "itself", "nothing"]
)
def test_a_file_replaced_by_a_link_is_named(target: str, tmp_path: Path) -> None:
    make_dataset(files=3)
    file = image_file(1)
    copy = tmp_path / "copy.png"
    shutil.copy2(file, copy)
    file.unlink()
    targets = {
        "a file of the dataset": image_file(2), "a file elsewhere": copy, "itself": file,
        "nothing": tmp_path / "nothing",
    }  # fmt: skip
    file.symlink_to(targets[target])
    collection = build(make_collection())
    assert_page_says(collection, "1 file is not as the catalog says", "rays-001", "Build without")
    assert files_in_archive_root() == []
    file.unlink()
    shutil.copy2(copy, file)
    retry_collection(collection=collection)
    build_collection(collection_id=collection.pk)
    assert_page_says(collection, "Download ZIP")


def test_a_link_inside_the_dataset_is_followed() -> None:
    make_dataset(files=3)
    file = image_file(1)
    moved = file.with_name("moved.png")
    file.rename(moved)
    file.symlink_to(moved)
    collection = make_ready()
    verify_archive(collection_id=collection.pk)
    assert_page_says(collection, "Download ZIP", "verified")
