"""Archives of series of files on this server: a folder for each, proven file by file."""

import csv
import hashlib
import io
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydicom
import pytest
import SimpleITK
from django.conf import LazySettings
from django.core.management import call_command
from django.db import connection
from django.db.models.expressions import RawSQL
from django.test import Client

from catalog.models import Image, ImageFile
from catalog.tests.factories import make_searchable
from catalog.tests.importers.folder_files import make_scan, write_files
from catalog.tests.importers.series_files import SERIES, STUDY, make_series, make_slice
from catalog.tests.importers.test_folders import make_pair
from collections_app.archive import TextEntry
from collections_app.builds import build as build_steps
from collections_app.builds.deidentified import DeliveredFacts
from collections_app.builds.queries import FILES_OF_ITEMS, WRITTEN, WRITTEN_DEIDENTIFIED
from collections_app.builds.verification import verify_archive
from collections_app.models import Collection
from collections_app.selection.copying import iter_lines
from collections_app.selection.queries import DELIVERED_FILES
from collections_app.services import (
    build_without_problems,
    rebuild_collection,
    retry_collection,
)
from collections_app.storage import archive_file
from collections_app.tests.factories import UserFactory, build, make_collection, read_archive
from vocab.services import load_terms

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("hooks_on_commit")]

FOLDER = f"images/lungs/P1/{STUDY}/CT_{SERIES}"
OTHER = "1.2.3.1.8"


@pytest.fixture
def lungs(settings: LazySettings) -> Path:
    """A dataset of two series of three and two slices, and of a single file without an ending."""
    terms: list[dict[str, Any]] = [{"code": "ct", "name": "CT"}, {"code": "cr", "name": "CR"}]
    load_terms(vocabulary="modality", terms=terms)
    folder: Path = settings.DATASET_ROOTS[0] / "lungs"
    second = make_series([0.0, 3.0], SeriesInstanceUID=OTHER)
    files = {f"b/{name}": content for name, content in second.items()}
    write_files(
        folder, {**make_series([5.0, 0.0, 2.5]), **files, "c/view": make_scan(Modality="CR")}
    )
    import_again(folder)
    return folder


def import_again(folder: Path) -> None:
    call_command("import_dataset", str(folder), stdout=io.StringIO(), stderr=io.StringIO())
    make_searchable()


def rows(texts: dict[str, bytes], name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(texts[name].decode())))


def read_sums(texts: dict[str, bytes]) -> dict[str, str]:
    lines = [line.split("  ") for line in texts["SHA256SUMS"].decode().splitlines()]
    return {name: sha256 for sha256, name in lines}


def assert_verified(collection: Collection) -> None:
    verify_archive(collection_id=collection.pk)
    collection.refresh_from_db()
    assert (collection.status, collection.error_message) == ("ready", "")
    assert collection.verified_at


def make_ready() -> Collection:
    collection = build(make_collection())
    assert collection.status == "ready", collection.error_message
    return collection


def list_places(collection: Collection) -> list[str]:
    """Where the database has the items: each that is written anew is elsewhere."""
    ctid = RawSQL("ctid::text", [])
    return list(collection.items.annotate(ctid=ctid).values_list("ctid", flat=True))


def sha256_of(collection: Collection) -> str:
    return hashlib.sha256(archive_file(collection.archive_path).read_bytes()).hexdigest()


@pytest.mark.usefixtures("lungs")
def test_a_series_is_a_folder_as_the_idc_has_it() -> None:
    collection = make_ready()
    texts = read_archive(collection)

    images = sorted(name for name in texts if name.startswith("images/"))
    assert images == [
        f"{FOLDER}/IM0001.dcm", f"{FOLDER}/IM0002.dcm", f"{FOLDER}/IM0003.dcm",
        f"images/lungs/P1/{STUDY}/CT_{OTHER}/IM0001.dcm",
        f"images/lungs/P1/{STUDY}/CT_{OTHER}/IM0002.dcm",
        "images/lungs/c/view.dcm",
    ]  # fmt: skip
    assert (collection.num_images, collection.num_files) == (3, 3)
    for name in images:
        pydicom.dcmread(io.BytesIO(texts[name]))


@pytest.mark.usefixtures("lungs")
def test_the_tables_have_a_row_an_image_and_a_row_a_file() -> None:
    texts = read_archive(make_ready())

    images = {row["source_id"]: row for row in rows(texts, "metadata.csv")}
    series = images[SERIES]
    assert (series["file_name"], series["num_files"]) == (FOLDER, "3")
    assert (series["source.slice_spacing_mm"], series["source.num_slices"]) == ("2.5", "3")
    assert (images["c/view"]["file_name"], images["c/view"]["num_files"]) == (
        "images/lungs/c/view.dcm", "1",
    )  # fmt: skip
    files = [row for row in rows(texts, "files.csv") if row["file_name"] == FOLDER]
    assert [row["path"].rpartition("/")[2] for row in files] == [
        "IM0002.dcm", "IM0003.dcm", "IM0001.dcm",
    ], "in the order of their places"  # fmt: skip
    for row in files:
        content = texts[row["path"]]
        assert (row["size_bytes"], row["sha256"]) == (
            str(len(content)), hashlib.sha256(content).hexdigest(),
        )  # fmt: skip
    assert int(series["size_bytes"]) == sum(int(row["size_bytes"]) for row in files)


@pytest.mark.usefixtures("lungs")
def test_checksums_and_verification_cover_every_slice() -> None:
    collection = make_ready()
    texts = read_archive(collection)

    sums = read_sums(texts)
    assert sums.keys() == texts.keys() - {"SHA256SUMS"}
    assert all(sums[name] == hashlib.sha256(texts[name]).hexdigest() for name in sums)
    verify_archive(collection_id=collection.pk)
    collection.refresh_from_db()
    assert collection.archive_sha256 == sha256_of(collection)


@pytest.mark.usefixtures("lungs")
def test_a_rebuilt_archive_has_the_same_bytes() -> None:
    collection = make_ready()
    first = sha256_of(collection)
    Collection.objects.filter(pk=collection.pk).update(
        status="expired", archive_path="", archive_size=None, finished_at=None, expires_at=None
    )
    collection.refresh_from_db()
    retry_collection(collection=collection)
    assert sha256_of(build(collection)) == first


def test_missing_and_changed_slices_are_named_with_their_series(lungs: Path) -> None:
    collection = make_collection()
    (lungs / "IM0001").unlink()
    (lungs / "b/IM0002").write_bytes(make_slice(9.0))
    build(collection)

    assert collection.status == "failed"
    problems = dict(
        collection.items.with_problems().values_list("metadata_json__source_id", "problem")
    )
    assert problems.keys() == {SERIES, OTHER}
    assert problems[SERIES].startswith("IM0001.dcm: ")
    assert problems[OTHER].startswith("IM0002.dcm: ")
    browser = Client()
    browser.force_login(collection.user)
    page = browser.get(collection.get_absolute_url()).content.decode()
    assert "2 files are not as the catalog says" in page

    build_without_problems(collection=collection)
    texts = read_archive(build(collection))
    assert [row["source_id"] for row in rows(texts, "missing.csv")] == [SERIES, OTHER]
    assert [name for name in texts if name.startswith("images/")] == ["images/lungs/c/view.dcm"]


def test_many_bad_slices_of_one_series_are_one_problem(lungs: Path) -> None:
    collection = make_collection()
    for name in ("IM0001", "IM0002", "IM0003"):
        (lungs / name).unlink()
    build(collection)

    (problem,) = collection.items.with_problems().values_list("problem", flat=True)
    assert problem.endswith("(and 2 more of its files)")


def test_a_series_that_the_catalog_now_has_otherwise_is_not_mixed_with_the_old(lungs: Path) -> None:
    collection = make_collection()
    write_files(lungs, {"IM0004": make_slice(7.5, number=4)})
    import_again(lungs)
    build(collection)

    assert collection.status == "failed"
    (problem,) = collection.items.with_problems().values_list("problem", flat=True)
    assert "the catalog now has another file for this image" in problem


def test_a_series_that_changes_before_the_tables_are_written_is_named(
    lungs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def change_before(*args: Any) -> Iterator[TextEntry]:
        write_files(lungs, {"IM0004": make_slice(7.5, number=4)})
        import_again(lungs)
        yield from after(*args)

    after = build_steps._after
    monkeypatch.setattr(build_steps, "_after", change_before)
    collection = build(make_collection())

    assert collection.status == "failed"
    (problem,) = collection.items.with_problems().values_list("problem", flat=True)
    assert "the catalog now has another file for this image" in problem


@pytest.mark.parametrize("is_deidentified", [False, True])
def test_an_archive_whose_series_changed_before_verification_says_so(
    lungs: Path, settings: LazySettings, is_deidentified: bool
) -> None:
    settings.DEIDENTIFY_ON_DELIVERY = is_deidentified
    facts = {"PatientIdentityRemoved": "NO", "SeriesInstanceUID": OTHER}
    for name, content in make_series([0.0, 3.0], **facts).items():
        (lungs / "b" / name).write_bytes(content)
    import_again(lungs)
    collection = make_ready()
    write_files(lungs, {"b/IM0004": make_slice(7.5, number=4, **facts)})
    import_again(lungs)
    verify_archive(collection_id=collection.pk)

    collection.refresh_from_db()
    assert collection.status == "failed"
    assert "The catalog has other files now" in collection.error_message


def test_a_slice_damaged_in_the_dataset_is_found_by_verification(lungs: Path) -> None:
    path = lungs / "IM0001"
    status, content = path.stat(), path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    collection = make_ready()
    verify_archive(collection_id=collection.pk)

    collection.refresh_from_db()
    assert collection.status == "failed"
    assert collection.error_message.startswith("1 file is not as the catalog says")
    assert collection.items.with_problems().get().metadata_json["source_id"] == SERIES


def test_deidentified_series_are_proven_with_what_was_delivered(
    lungs: Path, settings: LazySettings
) -> None:
    settings.DEIDENTIFY_ON_DELIVERY = True
    for name, content in make_series([0.0, 1.0], PatientIdentityRemoved="NO").items():
        (lungs / "b" / name).write_bytes(content)
    import_again(lungs)
    collection = make_ready()
    texts = read_archive(collection)

    sums = read_sums(texts)
    assert all(sums[name] == hashlib.sha256(texts[name]).hexdigest() for name in sums)
    changed = [row for row in rows(texts, "metadata.csv") if row["sha256"] != row["source_sha256"]]
    series = next(row for row in changed if row["num_files"] == "2")
    files = [row for row in rows(texts, "files.csv") if row["file_name"] == series["file_name"]]
    lines = sorted((row["path"].rpartition("/")[2], row["sha256"]) for row in files)
    joined = "".join(f"{sha256}  {name}\n" for name, sha256 in lines)
    assert series["sha256"] == hashlib.sha256(joined.encode()).hexdigest()
    assert all(row["sha256"] == sums[row["path"]] for row in files)
    # The folder has the UIDs that the files have now.
    read = pydicom.dcmread(io.BytesIO(texts[files[0]["path"]]))
    assert series["file_name"].endswith(f"{read.StudyInstanceUID}/CT_{read.SeriesInstanceUID}")
    assert_verified(collection)

    places, before = list_places(collection), sha256_of(collection)
    rebuild_collection(collection=collection)
    assert sha256_of(build(collection)) == before
    assert list_places(collection) == places, "nothing was written that was there already"

    # What was delivered once is nothing that a later build can rely on.
    settings.DEIDENTIFY_ON_DELIVERY = False
    rebuild_collection(collection=collection)
    assert_verified(build(collection))


@pytest.mark.usefixtures("lungs")
def test_a_series_of_thousands_of_deidentified_files_is_read_at_once(
    settings: LazySettings,
) -> None:
    """Its item's JSON, which has all of them, is unpacked once, not for each file."""
    settings.DEIDENTIFY_ON_DELIVERY = True
    number, image = 3_000, Image.objects.get(source_id=SERIES)
    files = [
        ImageFile(
            image=image, number=place, name=f"{place}.dcm", path=f"{place}.dcm", size_bytes=1,
            sha256=image.sha256, crc32=1, mtime_ns=1,
        )
        for place in range(image.num_files, number)
    ]  # fmt: skip
    ImageFile.objects.bulk_create(files)
    Image.objects.filter(pk=image.pk).update(num_files=number)
    collection = make_collection()
    position = collection.items.get(metadata_json__source_id=SERIES).position
    delivered = DeliveredFacts(collection)
    for each in files:
        delivered.add(position, f"{collection.slug}/{FOLDER}/{each.name}", 2, each.sha256)
    steps: list[None] = []
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = '500ms'")

    delivered.finish(lambda: steps.append(None))

    assert steps, "a build may renew its lease"
    for query in (FILES_OF_ITEMS, WRITTEN, WRITTEN_DEIDENTIFIED, DELIVERED_FILES):
        lines = b"".join(iter_lines(query, collection=collection))
        assert lines.count(b"\n") >= number


def test_the_two_files_of_a_nifti_pair_stay_side_by_side(settings: LazySettings) -> None:
    folder: Path = settings.DATASET_ROOTS[0] / "brains"
    header, voxels = make_pair()
    write_files(folder, {"sub-1/anat/x y.hdr": header, "sub-1/anat/x y.img": voxels})
    import_again(folder)
    collection = make_ready()
    texts = read_archive(collection)

    assert texts["images/brains/sub-1/anat/x y.hdr"] == header
    assert texts["images/brains/sub-1/anat/x y.img"] == voxels
    (row,) = rows(texts, "metadata.csv")
    assert (row["file_name"], row["num_files"]) == ("images/brains/sub-1/anat/x y.hdr", "2")
    assert [each["path"] for each in rows(texts, "files.csv")] == [
        "images/brains/sub-1/anat/x y.hdr", "images/brains/sub-1/anat/x y.img",
    ]  # fmt: skip
    verify_archive(collection_id=collection.pk)
    collection.refresh_from_db()
    assert collection.verified_at
    image = Image.objects.get()
    before = image.updated_at
    import_again(folder)
    image.refresh_from_db()
    assert image.updated_at == before

    (folder / "sub-1/anat/x y.img").unlink()
    second = build(make_collection(title="Without voxels"))
    assert (second.status, second.items.with_problems().count()) == ("failed", 1)


@pytest.mark.usefixtures("lungs")
def test_the_page_of_a_series_shows_its_middle_slice_and_says_so() -> None:
    image = Image.objects.get(source_id=SERIES)
    browser = Client()
    browser.force_login(UserFactory())

    page = browser.get(image.get_absolute_url()).content.decode()
    assert "3 files" in page
    assert "3 files at 3 places, 2.5 mm apart" in page
    assert "A collection has all of them" in page
    assert browser.get(f"{image.get_absolute_url()}preview/").status_code == 200
    notes = browser.get(f"{image.get_absolute_url()}preview/notes/").content.decode()
    assert "File 2 of 3 of the series is shown." in notes
    response = browser.get(f"{image.get_absolute_url()}file/")
    assert b"".join(response.streaming_content)[128:132] == b"DICM"  # type: ignore[attr-defined]
    assert "IM0003" in response["Content-Disposition"]


@pytest.mark.usefixtures("lungs")
def test_viewers_open_the_folder_of_a_series_as_a_volume(tmp_path: Path) -> None:
    collection = make_ready()
    with zipfile.ZipFile(archive_file(collection.archive_path)) as archive:
        archive.extractall(tmp_path)
    reader = SimpleITK.ImageSeriesReader()
    for folder, slices, apart in ((FOLDER, 3, 2.5), (f"images/lungs/P1/{STUDY}/CT_{OTHER}", 2, 3)):
        names = reader.GetGDCMSeriesFileNames(str(tmp_path / collection.slug / folder))
        reader.SetFileNames(names)
        volume = reader.Execute()
        assert volume.GetSize() == (5, 4, slices)
        assert volume.GetSpacing() == pytest.approx((0.7, 0.7, apart))
