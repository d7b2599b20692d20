"""Names in the archive, digest of the items, fingerprint."""

import importlib
import json
import tracemalloc

import pytest
from django.db import DataError, ProgrammingError, connection

from catalog.models import Dataset, Image, ImageProfile
from catalog.tests.factories import ImageFactory, add_file, make_searchable
from collections_app.builds.verification import verify_archive
from collections_app.models import Collection, CollectionItem
from collections_app.selection import copying, freeze
from collections_app.selection import fingerprint as frozen
from collections_app.selection.copying import copy_lines
from collections_app.selection.fingerprint import ItemRows, compute_fingerprint
from collections_app.selection.refusals import NotBuildable
from collections_app.services import expire_collection, retry_collection
from collections_app.tests.factories import (
    build,
    make_collection,
    make_dataset,
    read_archive,
)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("hooks_on_commit")]


def names_of(collection: Collection) -> list[str]:
    return list(collection.items.order_by("position").values_list("file_name", flat=True))


def test_names_are_the_catalogs_paths_and_empty_without_a_file() -> None:
    make_dataset(files=2, remote=1)
    collection = make_collection("")
    assert names_of(collection) == ["images/rays/deep/000.png", "images/rays/deep/001.png", ""]
    assert len(collection.items_sha256) == 64


def test_unsafe_names_are_made_safe_and_unique() -> None:
    dataset = make_dataset(files=1)
    paths = ["a/x.png", "a/X.png", "con.png", "b" * 200 + ".png", "ü\u0308.png", "a b/c,d.png",
             "É/x.png", "é/x.png", "straße.png", "strasse.png"]  # fmt: skip
    for number, path in enumerate(paths):
        add_file(ImageFactory(dataset=dataset, source_id=f"s{number}"), path.encode(), path)
    make_searchable()
    collection = build(make_collection(""))
    names = names_of(collection)
    assert len({name.casefold() for name in names}) == 11
    assert "images/rays/a/x.png" in names
    assert "images/rays/a/X-2.png" in names
    assert not [name for name in names if "/con.png" in name or len(name) > 250]
    content = read_archive(collection)
    assert [name for name in content if name.startswith("images/")] == names
    metadata = content["metadata.csv"].decode()
    sums = content["SHA256SUMS"].decode()
    assert all(name in sums for name in names)
    assert '"images/rays/a b/c,d.png"' in metadata
    assert content["images/rays/a/X-2.png"] == b"a/X.png"
    verify_archive(collection_id=collection.pk)
    collection.refresh_from_db()
    assert collection.archive_sha256, collection.error_message


def test_a_changed_item_changes_the_digest() -> None:
    make_dataset(files=2)
    digests = {make_collection("", title=f"T{n}").items_sha256 for n in range(2)}
    assert len(digests) == 1, "the name is not the items'"
    Image.objects.filter(source_id="rays-001").update(age_years=7)
    digests.add(make_collection("").items_sha256)
    Image.objects.filter(source_id="rays-001").update(age_years=None)
    digests.add(make_collection("").items_sha256)
    assert len(digests) == 3


def test_every_part_changes_the_fingerprint(monkeypatch: pytest.MonkeyPatch) -> None:
    make_dataset(files=2)
    collection = make_collection("sex=F")
    seen = {compute_fingerprint(collection)}

    def note() -> None:
        seen.add(compute_fingerprint(collection))

    for field, value in (
        ("title", "Other"), ("slug", "other"), ("query_text", "q"), ("options", {"a": 1}),
        ("filter_snapshot", {}), ("provenance", {}), ("items_sha256", "0" * 64),
    ):  # fmt: skip
        kept = getattr(collection, field)
        setattr(collection, field, value)
        note()
        setattr(collection, field, kept)
    item = collection.items.get()
    CollectionItem.objects.filter(pk=item.pk).update(problem="gone", is_excluded=True)
    note()
    CollectionItem.objects.filter(pk=item.pk).update(problem="bad")
    note()
    monkeypatch.setattr(frozen, "CONTENTS_VERSION", "next")
    note()
    assert len(seen) == 11


@pytest.mark.django_db(transaction=True)
def test_database_errors_are_wrapped_by_django(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match="division by zero"):
        copy_lines("SELECT 1 / 0")
    make_dataset(files=2)
    monkeypatch.setattr(freeze, "_COLUMNS", ("id",))
    with pytest.raises(ProgrammingError, match="profile_id"):
        make_collection("")


def test_wrong_counts_refuse_the_freeze(monkeypatch: pytest.MonkeyPatch) -> None:
    make_dataset(files=3)
    ImageProfile.objects.filter(sex="F").update(num_images=9)
    Dataset.objects.update(version=0)
    with pytest.raises(NotBuildable, match="check_catalog --repair"):
        make_collection("")
    assert not Collection.objects.exists()


def test_the_digest_does_not_depend_on_the_chunks_of_rows() -> None:
    """Rows read from the table come in chunks of thousands."""
    one, many = ItemRows(), ItemRows()
    line = b"images/a.png\t" + b"0" * 64 + b"\t7\t{}\n"
    for _ in range(2000):
        one.write(line)
    many.write(line * 2000)
    assert (many.sha256, many.count) == (one.sha256, one.count)
    tracemalloc.start()
    try:
        for _ in range(20):
            many.write(line * 10_000)
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert held < 6 << 20
    assert many.count == 202_000


def test_the_fingerprint_does_not_depend_on_time_user_or_key() -> None:
    make_dataset(files=2)
    first, second = make_collection("sex=F"), make_collection("sex=F")
    assert first.pk != second.pk
    assert compute_fingerprint(first) == compute_fingerprint(second)


def test_items_read_by_many_queries_give_the_same_archive(monkeypatch: pytest.MonkeyPatch) -> None:
    make_dataset(files=7, remote=4)
    whole = build(make_collection(""))
    content = read_archive(whole)
    expire_collection(collection=whole)
    retry_collection(collection=whole)
    monkeypatch.setattr(copying, "ROWS_AT_ONCE", 3)
    assert read_archive(build(whole)) == content


def test_tables_of_many_columns_are_read_by_many_queries() -> None:
    """10,000 rows of 500 columns would take 200 MB of a builder's memory."""
    make_dataset(files=7)
    collection = make_collection("")
    query = "SELECT {first}, {last} FROM generate_series(1, 1)"
    narrow, wide = (
        list(copying.iter_lines(query, collection=collection, num_columns=n)) for n in (1, 250_000)
    )
    assert narrow == [b"1\t10000\n"]
    assert wide == [b"1\t2\n", b"3\t4\n", b"5\t6\n", b"7\t8\n"]


def test_collections_of_an_earlier_version_are_finalized_by_their_next_build() -> None:
    """Their items have lists of labels, and neither names nor a digest."""
    migration = importlib.import_module("collections_app.migrations.0002_shared_archives")
    dataset = make_dataset(files=1, remote=1)
    collection = make_collection("")
    expected = list(collection.items.order_by("position").values_list("metadata_json", flat=True))
    fingerprint = compute_fingerprint(collection)
    labels = [["edema", "uncertain", 0.5], ["nodule", "positive", None], ["x", "negative", None]]
    old = {
        "dataset": dataset.slug, "file_path": "deep/000.png", "remote_url": "", "modality": "dx",
        "area": None, "subject_id": "", "sex": "", "age_years": None, "width": None, "height": 3,
        "source_id": "rays-000", "labels": labels,
    }  # fmt: skip
    CollectionItem.objects.filter(position=1).update(metadata_json=old, file_name="")
    Collection.objects.update(items_sha256="")
    with connection.cursor() as cursor:
        cursor.execute(migration.FREEZE_CELLS)
        cursor.execute(migration.PROPOSE_NAMES)
    first, second = collection.items.order_by("position")
    assert first.metadata_json == {
        "dataset": "rays", "file_path": "deep/000.png", "modality": "dx", "height": 3,
        "source_id": "rays-000", "labels": "nodule", "uncertain_labels": "edema",
        "negative_labels": "x", "label_confidence": "edema=0.5",
    }  # fmt: skip
    assert second.metadata_json == expected[1], json.dumps(expected[1])
    collection = build(collection)
    assert collection.status == "ready", collection.error_message
    assert collection.items_sha256
    assert collection.fingerprint != fingerprint
    assert names_of(collection) == ["images/rays/deep/000.png", ""]
    assert b"nodule" in read_archive(collection)["metadata.csv"]
