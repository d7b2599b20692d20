"""The tables of an archive say all that the catalog knows."""

import csv
import io
import json
from pathlib import Path
from random import Random
from typing import Any

import pytest
from django.db import connection

from catalog.models import Image
from catalog.tests.factories import DatasetFactory, ImageFactory, make_searchable
from collections_app.contents import tables
from collections_app.models import Collection
from collections_app.services import build_without_problems
from collections_app.tests.factories import (
    build,
    image_file,
    make_collection,
    make_dataset,
    make_ready,
    read_archive,
)
from vocab.models import Label
from vocab.tests.factories import LicenseFactory, ViewFactory

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("hooks_on_commit")]


def rows(collection: Collection, name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(read_archive(collection)[name].decode())))


def tell(number: int, **source: Any) -> None:
    Image.objects.filter(source_id=f"rays-{number:03}").update(metadata_json=source)


def test_the_view_is_a_column_and_its_code_is_explained() -> None:
    make_dataset(files=2, remote=1)
    lateral = ViewFactory(code="lateral", name="Lateral", description="From the side.")
    Image.objects.exclude(source_id="rays-001").update(view=lateral)
    make_searchable()
    collection = make_ready()
    assert [row["view"] for row in rows(collection, "metadata.csv")] == ["lateral", ""]
    assert [row["view"] for row in rows(collection, "remote.csv")] == ["lateral"]
    (term,) = (row for row in rows(collection, "terms.csv") if row["vocabulary"] == "view")
    assert (term["code"], term["description"]) == ("lateral", "From the side.")
    record = json.loads(read_archive(collection)["collection.json"])
    assert {"vocabulary": "view", "code": "lateral", "name": "Lateral",
            "description": "From the side."} in record["provenance"]["terms"]  # fmt: skip


def test_the_sources_own_columns_are_at_the_end_in_a_fixed_order() -> None:
    make_dataset(files=3)
    tell(0, view="PA", Boxes=[1, 2.5], labels="as the source writes it")
    tell(1, **{"Follow-up #": 3, "100% {odd}' \\ name": "x", "is_x": True})
    collection = make_ready()

    table = rows(collection, "metadata.csv")

    own = [f"source.{name}" for name in sorted(
        ["view", "Boxes", "labels", "Follow-up #", "100% {odd}' \\ name", "is_x"])]  # fmt: skip
    assert list(table[0]) == [*tables.METADATA_COLUMNS, *own]
    assert table[0]["source.view"] == "PA"
    assert json.loads(table[0]["source.Boxes"]) == [1, 2.5]
    assert table[0]["source.labels"] == "as the source writes it"
    assert [row["source.Follow-up #"] for row in table] == ["", "3", ""]
    assert table[1]["source.100% {odd}' \\ name"] == "x"
    assert table[1]["source.is_x"] == "true"


def test_what_few_images_have_is_in_one_column(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "MAX_SOURCE_COLUMNS", 2)
    make_dataset(files=3)
    tell(0, a=1, b=2, rare="{x}", rarer="y")
    tell(1, a=1, b=2)
    table = rows(make_ready(), "metadata.csv")
    assert list(table[0])[-3:] == ["source.a", "source.b", "source"]
    assert json.loads(table[0]["source"]) == {"rare": "{x}", "rarer": "y"}
    assert [row["source"] for row in table[1:]] == ["", ""]


def test_tables_of_very_many_columns_are_read_at_once() -> None:
    """Each row's JSON is unpacked once, not for each of its columns."""
    make_dataset(files=9, remote=9)
    random = Random(0)
    source = {f"feature_{n:04}": str(random.getrandbits(590)) for n in range(1000)}
    Image.objects.update(metadata_json=source)
    collection = make_collection()
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = '1s'")
    build(collection)
    for name in ("metadata.csv", "remote.csv"):
        for row in rows(collection, name):
            assert {f"feature_{n:04}": row[f"source.feature_{n:04}"] for n in range(1000)} == source


def test_later_changes_of_the_source_change_no_archive() -> None:
    make_dataset(files=1)
    tell(0, view="PA")
    collection = make_collection()
    tell(0, view="AP")
    assert rows(build(collection), "metadata.csv")[0]["source.view"] == "PA"


def test_images_elsewhere_are_told_from_images_without_an_address() -> None:
    make_dataset(files=1, remote=1)
    Image.objects.filter(source_id="rays-remote-000").update(
        size_bytes=5_000, metadata_json={"instances": 12, "StudyInstanceUID": "1.2.3"}
    )
    ImageFactory(dataset__slug="listed", source_id="nowhere")
    make_searchable()
    collection = make_ready()

    (remote,) = rows(collection, "remote.csv")
    assert remote["url"] == "s3://bucket/rays/0"
    assert (remote["size_bytes"], remote["num_files"], remote["study_uid"]) == (
        "5000", "12", "1.2.3")  # fmt: skip
    (unavailable,) = rows(collection, "unavailable.csv")
    assert (unavailable["dataset"], unavailable["source_id"]) == ("listed", "nowhere")
    assert "url" not in unavailable
    card = read_archive(collection)["README.md"].decode()
    assert "`remote.csv`: 1 image elsewhere" in card
    assert "`unavailable.csv`: 1 image listed only, without a file and without an address" in card
    assert "`source_url`" not in card, "no dataset has an address"


def test_every_code_is_explained_as_it_was_when_frozen() -> None:
    make_dataset(files=4)
    Label.objects.filter(code="nodule").update(name="Nodule", description="A small mass.")
    collection = make_collection()
    Label.objects.update(name="Renamed")
    terms = {(row["vocabulary"], row["code"]): row for row in rows(build(collection), "terms.csv")}
    assert terms["label", "nodule"]["name"] == "Nodule"
    assert terms["label", "nodule"]["description"] == "A small mass."
    assert ("label", "normal") in terms
    assert ("modality", "dx") in terms
    assert terms["sex", "F"]["name"] == "Female"


@pytest.mark.parametrize("remote", [0, 1])
def test_an_archive_without_files_says_so(remote: int, client: Any) -> None:
    make_dataset(files=0, remote=1) if remote else ImageFactory(dataset=DatasetFactory())
    make_searchable()
    collection = make_collection()
    client.force_login(collection.user)
    before = client.get("/collections/new/").content.decode()
    assert before.index('class="notice notice-error" id="no-files"') < before.index('id="build"')
    assert "The ZIP will have no image files" in before
    status = client.get(f"/collections/{collection.uuid}/").content.decode()
    assert 'class="notice notice-error" id="no-files"' in status, "also while it is built"

    card = read_archive(build(collection))["README.md"].decode()
    assert "> [!CAUTION]\n> **This archive has no image files**" in card
    assert "`images/`" not in card
    assert ("`remote.csv`" in card) == bool(remote)
    assert ("remote.csv" if remote else "unavailable.csv") in card.partition("How to use it")[2]
    page = client.get(f"/collections/{collection.uuid}/").content.decode()
    assert "This ZIP has no image files" in page


def run_code(content: dict[str, bytes], folder: Path, slug: str) -> list[tuple[Any, ...]]:
    """What the data card's code reads of an unpacked archive: rows with what it makes of them."""
    for name, data in content.items():
        if name.endswith(".csv"):
            (folder / name).write_bytes(data)
    code = content["README.md"].decode().partition("```python\n")[2].partition("```")[0]
    code = code.replace(f'Path("{slug}")', f"Path({str(folder)!r})")
    line = '    labels = row["labels"].split("|") if row["labels"] else []\n'
    assert line in code
    found: list[tuple[Any, ...]] = []
    exec(code.replace(line, f"{line}    found.append((row, labels))\n"), {"found": found})  # noqa: S102 - our own
    return found


def test_the_code_in_the_data_card_reads_what_is_there(tmp_path: Path) -> None:
    make_dataset(files=2, remote=1)
    ImageFactory(dataset=DatasetFactory(slug="listed"), source_id="listed")
    make_searchable()
    tell(0, formula="=1+1", quoted="'tis", long="x" * 200_000)
    Image.objects.filter(source_id="rays-001").update(subject_id="-7")

    found = run_code(read_archive(make_ready(title="Rays")), tmp_path, "rays")

    ids = [row["source_id"] for row, _ in found]
    assert ids == ["rays-000", "rays-001", "rays-remote-000", "listed"]
    first = found[0][0]
    assert (first["source.formula"], first["source.quoted"]) == ("=1+1", "'tis")
    assert len(first["source.long"]) == 200_000
    assert found[1][0]["subject_id"] == "-7"
    assert [labels for _, labels in found][:2] == [["normal"], ["nodule"]]


def test_the_data_card_says_that_unreviewed_labels_are_labels() -> None:
    make_dataset(files=1)
    assert "`labels_unreviewed` are labels, too" in read_archive(make_ready())["README.md"].decode()


def test_licences_are_counted_again_when_files_are_excluded() -> None:
    make_dataset(files=3)
    other = LicenseFactory(code="cc-by-nc-4.0", name="CC BY-NC 4.0", allows_commercial_use=False)
    image = Image.objects.get(source_id="rays-001")
    image.license = other
    image.save()
    make_searchable()
    image_file(1).unlink()
    collection = build(make_collection())
    assert collection.status == "failed"

    build_without_problems(collection=collection)
    (row,) = rows(build(collection), "licenses.csv")

    assert (row["license"], row["num_images"]) == ("cc-by-4.0", "2")
    (described,) = collection.provenance["datasets"]
    assert (described["license"], described["num_images"]) == ("cc-by-4.0", 2)


def test_codes_of_labels_that_wait_for_a_curator_are_explained_too() -> None:
    make_dataset(files=2)
    Label.objects.filter(code="nodule").update(is_active=False)
    make_searchable()
    collection = make_ready()
    assert [row["labels_unreviewed"] for row in rows(collection, "metadata.csv")] == ["", "nodule"]
    assert "nodule" in {row["code"] for row in rows(collection, "terms.csv")}
