"""Series of the IDC that `fetch_images` has copied are here after the next import."""

from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings
from django.core.management import CommandError, call_command

from catalog.models import Availability, Image
from catalog.tests.importers.idc_files import series, write_index
from catalog.tests.importers.series_files import make_series
from medagg.testing.s3 import BUCKET, S3Server

pytestmark = pytest.mark.django_db


@pytest.fixture
def lung(s3: S3Server, settings: LazySettings, tmp_path: Path, vocabularies: None) -> Path:
    """The index of a dataset of two series, of four and of one file, which lie on the S3 server."""
    settings.DATASET_ROOTS = [tmp_path / "datasets"]
    rows = []
    for which, count in enumerate((4, 1)):
        places = [2.5 * number for number in range(count)]
        slices = make_series(places, SeriesInstanceUID=f"1.2.826.{which}", SliceThickness=2.5)
        for number, content in enumerate(slices.values()):
            # Named against their order, so that names do not give it.
            s3.put(f"uuid-{which}/{9 - number}.dcm", content)
        rows.append(series(which, instanceCount=count, Modality="CT",
                           series_aws_url=f"s3://{BUCKET}/uuid-{which}/*"))  # fmt: skip
    return write_index(tmp_path / "index", rows)


def run(command: str, *args: str, **options: Any) -> str:
    out = StringIO()
    call_command(command, *args, stdout=out, stderr=out, **options)
    return out.getvalue()


def import_and_read_notes(index: Path) -> str:
    """Imports again; returns the file of those that ask for attention."""
    run("import_idc", index=index, rejects=index / "rejects.csv")
    return "".join(path.read_text() for path in index.glob("file-problems.csv"))


def test_what_was_fetched_is_here_after_the_next_import_as_the_volume_that_it_is(
    lung: Path,
) -> None:
    run("import_idc", index=lung)
    run("fetch_images", "--dataset", "tiny_lung")
    before = Image.objects.get(source_id="1.2.826.0")
    assert before.file_path == ""

    run("import_idc", index=lung)

    many = Image.objects.get(pk=before.pk)
    assert many.num_files == 4
    assert [each.name for each in many.files.order_by("number")] == [
        "9.dcm", "8.dcm", "7.dcm", "6.dcm",
    ]  # fmt: skip
    assert many.metadata_json["SliceThickness"] == 2.5
    assert (many.subject_id, many.age_years) == ("tiny_lung-000", 66), "as the index says"
    assert many.profile
    assert many.profile.availability == Availability.HERE
    assert many.remote_url == before.remote_url
    one = Image.objects.get(source_id="1.2.826.1")
    assert one.file_path
    assert one.num_files == 1

    assert "0 added, 0 changed, 2 unchanged" in run("import_idc", index=lung)
    assert run("fetch_images", "--dataset", "tiny_lung") == (
        "Nothing to fetch: 2 images are here already.\n"
    )


def test_a_series_of_which_files_are_missing_stays_elsewhere_and_is_named(lung: Path) -> None:
    (folder_of(lung, 0) / "7.dcm").unlink()
    said = import_and_read_notes(lung)

    assert Image.objects.get(source_id="1.2.826.0").file_path == ""
    assert "3 of 4 files are here" in said


def folder_of(lung: Path, which: int) -> Path:
    run("import_idc", index=lung)
    run("fetch_images", "--dataset", "tiny_lung")
    return next((lung.parent / "datasets").rglob(f"CT_1.2.826.{which}"))


def test_the_name_of_the_modality_in_the_folder_does_not_matter(lung: Path) -> None:
    folder = folder_of(lung, 0)
    folder.rename(folder.with_name("OT_1.2.826.0"))

    run("import_idc", index=lung)

    assert Image.objects.get(source_id="1.2.826.0").file_path.endswith("OT_1.2.826.0/7.dcm")


def take_from_another_series(folder: Path, other: Path) -> None:
    (folder / "7.dcm").write_bytes((other / "9.dcm").read_bytes())


def cut_short(folder: Path, other: Path) -> None:
    whole = (folder / "7.dcm").read_bytes()
    (folder / "7.dcm").write_bytes(whole[: len(whole) - 20])


def add_a_file(folder: Path, other: Path) -> None:
    (folder / "Thumbs.db").write_bytes(b"small pictures")


def link_to_another_place(folder: Path, other: Path) -> None:
    (folder / "7.dcm").rename(folder.parent / "7.dcm")
    (folder / "7.dcm").symlink_to("../7.dcm")


@pytest.mark.parametrize(
    ("spoil", "said", "is_fetched_again"),
    [
        (take_from_another_series, "in the folder of another series", False),
        (cut_short, "fetched, but not whole", True),
        (add_a_file, "5 of 4 files are here", False),
        (link_to_another_place, "3 of 4 files are here", True),
    ],
)
def test_a_folder_that_is_not_the_series_leaves_it_elsewhere_and_says_what_to_do(
    lung: Path, spoil: Any, said: str, is_fetched_again: bool
) -> None:
    spoil(folder_of(lung, 0), folder_of(lung, 1))

    assert said in import_and_read_notes(lung)

    assert Image.objects.get(source_id="1.2.826.0").file_path == ""
    if is_fetched_again:
        assert "1 file fetched" in run("fetch_images", "--dataset", "tiny_lung")
        run("import_idc", index=lung)
        assert Image.objects.get(source_id="1.2.826.0").file_path


def test_a_series_that_has_moved_is_fetched_again_as_its_bytes_may_be_others(
    lung: Path, s3: S3Server
) -> None:
    folder_of(lung, 0)
    run("import_idc", index=lung)
    before = Image.objects.get(source_id="1.2.826.0")
    revised = make_series([0, 2.5, 5, 7.5], SeriesInstanceUID="1.2.826.0", SliceThickness=2)
    for number, content in enumerate(revised.values()):
        s3.put(f"uuid-new/{9 - number}.dcm", content)
    rows = [
        series(which, instanceCount=count, series_aws_url=f"s3://{BUCKET}/uuid-{name}/*")
        for which, count, name in ((0, 4, "new"), (1, 1, "1"))
    ]
    newer = write_index(lung.parent / "newer", rows)

    assert "fetched from an earlier address" in import_and_read_notes(newer)

    assert Image.objects.get(pk=before.pk).file_path == "", "whether they are the same is not known"
    assert "1 image: 4 files fetched" in run("fetch_images", "--dataset", "tiny_lung")
    run("import_idc", index=newer)
    after = Image.objects.get(pk=before.pk)
    assert after.file_path
    assert after.sha256 not in ("", before.sha256)


def test_a_disk_that_is_not_mounted_stops_the_import(lung: Path) -> None:
    folder_of(lung, 0)
    run("import_idc", index=lung)
    home = lung.parent / "datasets"
    home.rename(lung.parent / "elsewhere")

    with pytest.raises(CommandError):
        run("import_idc", index=lung)
    assert Image.objects.get(source_id="1.2.826.0").file_path

    (home / "tiny_lung").mkdir(parents=True)
    run("import_idc", index=lung)
    assert Image.objects.get(source_id="1.2.826.0").file_path == ""


def test_a_fetched_file_that_is_no_dicom_leaves_its_series_elsewhere(lung: Path) -> None:
    (folder_of(lung, 0) / "7.dcm").write_bytes(b"no image" * 100)
    said = import_and_read_notes(lung)

    assert Image.objects.get(source_id="1.2.826.0").file_path == ""
    assert Image.objects.get(source_id="1.2.826.1").file_path, "it has nothing to do with that"
    assert "7.dcm" in said
