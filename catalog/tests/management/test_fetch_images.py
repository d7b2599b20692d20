"""`fetch_images` copies what lies elsewhere into a dataset's folder, from a real S3 server."""

import io
import os
import time
from pathlib import Path

import pytest
from django.conf import LazySettings
from django.core.management import CommandError, call_command

from catalog.imaging.paths import safe_part
from catalog.models import Dataset
from catalog.storage.ahead import CLOSE_SECONDS
from catalog.storage.disk import BLOCK, RESERVED_FILES
from catalog.storage.mirror import RemoteImage, mirror_images
from catalog.tests.factories import DatasetFactory, ImageFactory, make_searchable
from medagg.testing.s3 import BUCKET, S3Server, slice_of
from medagg.testing.small_disk import MountDisk
from vocab.tests.factories import ModalityFactory

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def own_folder(settings: LazySettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("catalog.storage.retries._PAUSES", (0.01,))
    settings.DATASET_ROOTS = [tmp_path]


def make_series(s3: S3Server) -> Dataset:
    dataset = DatasetFactory(slug="lung_ct")
    for which in range(2):
        ImageFactory(
            dataset=dataset,
            source_id=f"1.2.{which}",
            subject_id=("P0", "../P1")[which],
            modality=ModalityFactory(code="ct"),
            remote_url=s3.put_series(which, 3),
            size_bytes=4000,
            metadata_json={"StudyInstanceUID": f"1.9.{which}"},
        )
    ImageFactory(dataset=DatasetFactory(slug="other"), remote_url=f"s3://{BUCKET}/uuid-0/*")
    make_searchable()
    return dataset


def fetch(*args: str) -> str:
    out = io.StringIO()
    call_command("fetch_images", "--dataset", "lung_ct", *args, stdout=out, stderr=io.StringIO())
    return out.getvalue()


def files_below(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".")
    }


def test_files_come_into_the_datasets_folder_and_only_missing_ones_again(
    s3: S3Server, tmp_path: Path
) -> None:
    dataset = make_series(s3)
    s3.faults.cut["uuid-0/01.dcm"] = 700
    s3.faults.times["uuid-0/01.dcm"] = 1

    assert "2 images: 6 files fetched" in fetch()

    dataset.refresh_from_db()
    assert dataset.local_path == "lung_ct"
    folder = tmp_path / "lung_ct"
    subjects = ("P0", safe_part("../P1"))
    assert files_below(folder) == {
        f"{subjects[which]}/1.9.{which}/CT_1.2.{which}/{number:02}.dcm": slice_of(which, number)
        for which in range(2)
        for number in range(3)
    }
    (folder / "P0/1.9.0/CT_1.2.0/01.dcm").unlink()
    s3.requests.clear()

    assert "1 file fetched (1.3 kB), 5 there already" in fetch()

    assert [path for path in s3.requests if "list-type" not in path] == [f"/{BUCKET}/uuid-0/01.dcm"]


def test_nothing_is_written_through_what_a_stranger_has_put_into_the_folder(
    s3: S3Server, tmp_path: Path
) -> None:
    make_series(s3)
    folder = tmp_path / "lung_ct/P0/1.9.0/CT_1.2.0"
    folder.mkdir(parents=True)
    mine = tmp_path / "mine"
    mine.write_text("mine")
    for name in (".00.dcm.partial", "00.dcm", "01.dcm"):
        (folder / name).symlink_to(mine)
    os.mkfifo(folder / ".source")

    assert "6 files fetched" in fetch()

    assert mine.read_text() == "mine"
    assert (folder / "00.dcm").read_bytes() == slice_of(0, 0)
    assert (folder / ".source").read_text() == f"s3://{BUCKET}/uuid-0/*"


def test_a_folder_in_the_place_of_a_file_is_a_problem_of_that_image(
    s3: S3Server, tmp_path: Path
) -> None:
    make_series(s3)
    (tmp_path / "lung_ct/P0/1.9.0/CT_1.2.0/00.dcm").mkdir(parents=True)
    with pytest.raises(CommandError, match="1 of 2 images"):
        fetch("--report", str(tmp_path / "report.csv"))
    assert "a folder lies where a file is to be" in (tmp_path / "report.csv").read_text()
    assert sum("CT_1.2.1" in name for name in files_below(tmp_path / "lung_ct")) == 3


def test_partial_files_of_killed_processes_go_after_a_day(s3: S3Server, tmp_path: Path) -> None:
    make_series(s3)
    folder = tmp_path / "lung_ct/P0/1.9.0/CT_1.2.0"
    folder.mkdir(parents=True)
    old, new = folder / ".medagg-old.part", folder / ".medagg-new.part"
    old.touch()
    new.touch()
    os.utime(old, (0, 0))
    fetch()
    assert (old.exists(), new.exists()) == (False, True)


def test_a_run_that_is_interrupted_ends_its_transfers_and_leaves_no_partial_file(
    s3: S3Server, tmp_path: Path
) -> None:
    address = s3.put_series(0, 3)
    s3.faults.pause[".dcm"] = 0.2  # for each 100 bytes
    images = [RemoteImage("1.2.0", address, ("P0",)), RemoteImage("1.2.1", address, ("P1",))]

    def interrupt(size: int) -> None:
        if size:
            assert list(tmp_path.rglob("*.part"))
            raise KeyboardInterrupt

    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        mirror_images(images, tmp_path, on_progress=interrupt)
    assert time.monotonic() - begun < CLOSE_SECONDS
    assert not list(tmp_path.rglob("*.part"))
    assert not list(tmp_path.rglob("*.dcm"))


def test_what_cannot_be_had_is_reported_and_all_else_is_fetched(
    s3: S3Server, tmp_path: Path
) -> None:
    make_series(s3)
    s3.faults.status["uuid-0/01.dcm"] = 403
    with pytest.raises(CommandError, match="1 of 2 images could not be had whole"):
        fetch("--report", str(tmp_path / "report.csv"))
    assert "1.2.0" in (tmp_path / "report.csv").read_text()
    assert "forbidden" in (tmp_path / "report.csv").read_text()
    assert not list(tmp_path.rglob("*.part"))
    assert sum("CT_1.2.1" in name for name in files_below(tmp_path / "lung_ct")) == 3


def test_a_series_with_an_empty_file_is_not_fetched(s3: S3Server, tmp_path: Path) -> None:
    make_series(s3)
    s3.put("uuid-1/01.dcm", b"")
    with pytest.raises(CommandError):
        fetch()
    assert not any("CT_1.2.1" in name for name in files_below(tmp_path / "lung_ct"))


def test_what_the_idc_has_moved_is_told_with_the_release_of_its_address(
    s3: S3Server, tmp_path: Path
) -> None:
    dataset = make_series(s3)
    Dataset.objects.filter(pk=dataset.pk).update(imported_json={"idc_release": "25"})
    for number in range(3):
        s3.client.delete_object(Bucket=BUCKET, Key=f"uuid-0/{number:02}.dcm")
    with pytest.raises(CommandError, match="1 of 2 images"):
        fetch("--report", str(tmp_path / "report.csv"))
    assert "no longer at its address of IDC release 25" in (tmp_path / "report.csv").read_text()


def test_a_query_takes_some_and_a_wrong_one_takes_none(
    s3: S3Server, settings: LazySettings
) -> None:
    make_series(s3)
    assert "1 image: 3 files fetched" in fetch("--query", "q=P0")
    with pytest.raises(CommandError, match="modality"):
        fetch("--query", "modality=nonsense")
    settings.FETCH_BUCKETS = ["another"]
    with pytest.raises(CommandError, match="2 of 2 images"):
        fetch()


def test_a_full_disk_stops_it(s3: S3Server, settings: LazySettings, tmp_path: Path) -> None:
    make_series(s3)
    settings.ARCHIVE_RESERVE_BYTES = 1 << 60
    with pytest.raises(CommandError, match="No space left"):
        fetch()
    assert files_below(tmp_path) == {}


def make_pictures(s3: S3Server) -> None:
    """Eight files of two blocks, which come slowly enough to be on their way at one time."""
    dataset = DatasetFactory(slug="lung_ct")
    for number in range(8):
        address = s3.put(f"{number}.png", bytes(2 * BLOCK))
        ImageFactory(dataset=dataset, source_id=str(number), remote_url=address)
    make_searchable()
    s3.faults.pause[".png"] = 0.005  # for each 100 bytes


def test_transfers_that_are_on_their_way_together_leave_the_reserve_free(
    s3: S3Server, settings: LazySettings, tmp_path: Path, mount_disk: MountDisk
) -> None:
    make_pictures(s3)
    settings.DATASET_ROOTS = [mount_disk(tmp_path / "disk", num_bytes=1 << 20)]
    settings.ARCHIVE_RESERVE_BYTES = (1 << 20) - 7 * BLOCK

    with pytest.raises(CommandError, match="No space left"):
        fetch()

    assert len(files_below(tmp_path / "disk")) == 3


def test_transfers_wait_for_room_that_was_promised_to_others(
    s3: S3Server, settings: LazySettings, tmp_path: Path, mount_disk: MountDisk
) -> None:
    """Though what they have written so far counts twice."""
    make_pictures(s3)
    settings.DATASET_ROOTS = [mount_disk(tmp_path / "disk", num_bytes=1 << 20)]
    settings.ARCHIVE_RESERVE_BYTES = (1 << 20) - 17 * BLOCK
    assert "8 files fetched" in fetch()


def test_a_disk_that_takes_few_more_files_is_full(
    s3: S3Server, settings: LazySettings, tmp_path: Path, mount_disk: MountDisk
) -> None:
    make_pictures(s3)
    settings.ARCHIVE_RESERVE_BYTES = 0
    disk = mount_disk(tmp_path / "disk", num_bytes=1 << 20, num_files=RESERVED_FILES + 6)
    settings.DATASET_ROOTS = [disk]
    with pytest.raises(CommandError, match="No space left"):
        fetch()
    assert len(files_below(disk)) < 5


def test_parts_of_names_are_safe_and_stay_different() -> None:
    given = ["", ".", "..", "a/b", "a_b", "/etc", "x" * 300, "x" * 301, "A b", "ok-1.2"]
    made = [safe_part(text) for text in given]
    assert len(set(made)) == len(given)
    assert made[-1] == "ok-1.2"
    assert not any("/" in part or part in ("", ".", "..") for part in made)


def test_a_size_that_no_disk_has_is_a_problem_of_that_image_alone(
    s3: S3Server, tmp_path: Path
) -> None:
    make_series(s3)
    s3.faults.shorter["uuid-1/01.dcm"] = -(10**17)
    with pytest.raises(CommandError, match="1 of 2 images could not be had whole"):
        fetch("--report", str(tmp_path / "report.csv"))
    assert "more than this disk" in (tmp_path / "report.csv").read_text()


def test_nothing_is_written_through_a_link_out_of_the_folder(
    s3: S3Server, tmp_path: Path, settings: LazySettings
) -> None:
    make_series(s3)
    settings.DATASET_ROOTS = [tmp_path / "datasets"]
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "datasets/lung_ct").mkdir(parents=True)
    (tmp_path / "datasets/lung_ct/P0").symlink_to(outside)
    with pytest.raises(CommandError, match="1 of 2 images could not be had whole"):
        fetch("--report", str(tmp_path / "report.csv"))
    assert "leads out of the dataset's folder" in (tmp_path / "report.csv").read_text()
    assert not list(outside.iterdir())
