"""From a source to the catalog, whole or not at all: in a dry run, when killed, two at a time."""

import os
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.core.exceptions import ValidationError
from django.db import connection

from catalog.imaging.dicom.deidentify import Pseudonyms
from catalog.imaging.paths import UnsafePath
from catalog.importers.folders.survey import open_folder
from catalog.importers.options import Listeners
from catalog.importers.pipeline import ImportStopped, import_source
from catalog.importers.rows import BadRow, ImageRow, ImportReport, LabelRow, Source
from catalog.importers.tables.source import open_dataset_toml
from catalog.models import Dataset, Image, ImageLabel
from catalog.search.full_text import rank_datasets
from catalog.tests.importers.folder_files import make_nifti, write_files
from catalog.tests.importers.import_rows import ListSource, Row, row, row_versions
from catalog.tests.profiles.test_profiles import assert_profiles_are_true
from vocab.models import Label
from vocab.tests.factories import AreaFactory, ModalityFactory

WAIT_SECONDS = 20.0
ROOT = Path(__file__).resolve().parents[3]

pytestmark = pytest.mark.django_db
for_real = pytest.mark.django_db(transaction=True)


# --- A dataset and its images ---
def test_a_source_becomes_a_dataset_that_can_be_found() -> None:
    AreaFactory(code="chest")
    ModalityFactory(code="dx")
    rows: list[Row] = [row("a", modality="DX", sex="F"), BadRow(2, "age", "x", "No age."), row("b")]
    source = ListSource(rows, title="Rays of light", area="chest", num_images=50)
    report = import_source(source=source)
    assert (report.slug, report.added, report.rejected) == ("rays", 2, 1)
    dataset = Dataset.objects.get()
    assert (dataset.area.code, dataset.num_images) == ("chest", 2)  # type: ignore[union-attr]
    assert dataset.pk in rank_datasets("light")
    assert_profiles_are_true()


def test_a_second_import_writes_nothing_and_says_so() -> None:
    AreaFactory(code="chest")
    rows = [row("a", labels=(LabelRow("odd word"),)), row("b", metadata={"k": "v"})]
    source = ListSource(rows, area="chest", num_images=50, size_mb=7)
    import_source(source=source)
    before = row_versions()
    report = import_source(source=source)
    assert (report.added, report.changed, report.unchanged, report.removed) == (0, 0, 2, 0)
    assert row_versions() == before


def test_a_new_area_of_the_entry_reaches_its_images() -> None:
    AreaFactory(code="chest")
    AreaFactory(code="heart")
    import_source(source=ListSource([row("a"), row("b", area="heart")], area="chest"))
    import_source(source=ListSource([row("a"), row("b", area="heart")], area="heart"))
    assert not Image.objects.exclude(area=None).exists()
    assert_profiles_are_true()


@pytest.mark.parametrize(
    ("entry", "error"),
    [({"area": "nowhere"}, LookupError), ({"local_path": "/etc"}, UnsafePath),
     ({"doi": "none"}, ValidationError)],
)  # fmt: skip
def test_a_wrong_entry_is_refused_before_a_row_is_read(
    entry: dict[str, Any], error: type[Exception]
) -> None:
    def rows() -> Iterator[ImageRow]:
        raise AssertionError("it was read")

    with pytest.raises(error):
        import_source(source=ListSource(rows, **entry))
    assert not Dataset.objects.exists()


def test_an_import_that_stops_leaves_no_dataset_behind() -> None:
    with pytest.raises(ImportStopped):
        import_source(source=ListSource([BadRow(1, "age", "x", "No age.")]))
    assert not Dataset.objects.exists()


def test_a_dry_run_reports_everything_and_leaves_nothing() -> None:
    rows = [row("a", labels=(LabelRow("odd word"),), area="somewhere"), row("b"), row("b")]
    dry = import_source(source=ListSource(rows), dry_run=True)
    assert not Dataset.objects.exists()
    assert not Label.objects.exists()
    real = import_source(source=ListSource(rows))
    assert dry == real
    assert (real.added, real.rejected, real.new_labels) == (2, 1, {"odd word": 1})

    before = row_versions()
    changed = ListSource([row("a", sex="F"), row("c")], title="Other")
    report = import_source(source=changed, dry_run=True)
    assert (report.added, report.changed, report.removed) == (1, 1, 1)
    assert row_versions() == before


# --- Files ---
@pytest.fixture
def folder(own_folders: Path) -> Path:
    made = own_folders / "datasets" / "rays"
    made.mkdir()
    return made


def test_local_files_are_read_and_missing_ones_counted(folder: Path) -> None:
    (folder / "a.raw").write_bytes(b"hello")
    rows = [row("a", file_path="a.raw"), row("b", file_path="b.raw"), row("c")]
    source = ListSource(rows, local_path="rays")
    report = import_source(source=source)
    assert (report.added, report.missing_files) == (3, 1)
    here = Image.objects.get(source_id="a")
    assert (here.file_path, here.size_bytes, here.crc32) == ("a.raw", 5, 0x3610A686)
    assert Image.objects.get(source_id="b").file_path == ""
    assert list(Image.objects.local()) == [here]

    assert import_source(source=source).unchanged == 3
    (folder / "b.raw").write_bytes(b"now it is here")
    (folder / "a.raw").unlink()
    report = import_source(source=source)
    assert (report.changed, report.unchanged, report.missing_files) == (2, 1, 1)
    assert [image.source_id for image in Image.objects.local()] == ["b"]
    assert_profiles_are_true()


def test_a_file_that_has_not_changed_is_not_hashed_again(folder: Path) -> None:
    """Same size and time: only its first bytes are looked at, so a changed byte goes unseen."""
    rows = [row(f"{number}", file_path=f"{number}.raw") for number in range(2_500)]
    for each in rows:
        (folder / each.file_path).write_bytes(b"12345")
    source = ListSource(rows, local_path="rays")
    import_source(source=source)
    path = folder / "7.raw"
    times = path.stat()
    path.write_bytes(b"54321")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert import_source(source=source).unchanged == 2_500
    path.touch()
    assert import_source(source=source).changed == 1


def test_without_a_local_copy_images_have_no_files() -> None:
    source = ListSource([row("a", file_path="images/a.png"), row("b")])
    report = import_source(source=source)
    assert (report.added, report.missing_files) == (2, 1)
    assert not Image.objects.local().exists()


def test_a_path_that_leaves_the_folder_is_a_bad_row(folder: Path) -> None:
    rejected: list[BadRow] = []
    rows = [row("a", file_path="../../secret"), row("b")]
    source = ListSource(rows, local_path="rays")
    report = import_source(source=source, listeners=Listeners(on_reject=rejected.append))
    assert (report.added, report.rejected) == (1, 1)
    assert rejected[0].source_id == "a"


# --- Many rows ---
def test_memory_stays_flat_however_many_rows_there_are() -> None:
    def rows() -> Iterator[ImageRow]:
        for number in range(40_000):
            yield row(f"image-{number}", metadata={"text": f"{number}" * 200})

    import_source(source=ListSource([row("warm up")], slug="other"))
    tracemalloc.start()
    try:
        report = import_source(source=ListSource(rows))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert report.added == 40_000
    assert peak < 20_000_000, f"{peak:,} bytes for 40 MB of rows"


# --- Stopped ---
class Stop(Exception):
    pass


class StopAt:
    """A ``check_stopped`` that stops the import when it is asked for the last time."""

    def __init__(self, count: int) -> None:
        self.left = count

    def __call__(self) -> None:
        self.left -= 1
        if self.left <= 0:
            raise Stop


def test_a_folder_of_which_every_file_is_skipped_can_be_stopped(own_folders: Path) -> None:
    files = {f"masks/{n}.nii": make_nifti(2, 2) for n in range(9)}
    folder = write_files(own_folders / "datasets" / "brains", files)
    entry = {"slug": "brains", "title": "Brains", "local_path": "brains"}
    source = open_folder(folder, entry=entry, pseudonyms=Pseudonyms(str, str))

    with pytest.raises(Stop):
        import_source(source=source, listeners=Listeners(check_stopped=StopAt(3)))

    assert source.skipped.total() == 2


@pytest.mark.parametrize("kind", ["blank", "many", "join"])
def test_a_table_without_an_image_for_long_can_be_stopped(own_folders: Path, kind: str) -> None:
    toml = '[dataset]\nslug = "t"\ntitle = "T"\n[[table]]\npath = "t.csv"\n[image]\nid = "{id}"\n'
    lines = {"blank": ",\n", "many": "one,1\n", "join": "one,1\n"}[kind] * 99
    files = {"t.csv": f"id,x\n{lines if kind != 'join' else ''}last,2\n".encode()}
    if kind == "many":
        toml += "[many]\n"
    if kind == "join":
        toml += '[[join]]\npath = "j.csv"\nkey = "{key}"\nto = "{id}"\n'
        files["j.csv"] = f"key,y\n{lines}".encode()
    folder = write_files(own_folders / "datasets" / "t", files)
    (folder / "dataset.toml").write_text(toml)
    check = StopAt(50)

    with pytest.raises(Stop):
        import_source(
            source=open_dataset_toml(folder / "dataset.toml"),
            listeners=Listeners(check_stopped=check),
        )


# --- Several at a time ---
class Halting:
    """A source that stands still in the midst of its rows until it may go on."""

    def __init__(self, slug: str = "rays") -> None:
        self.entry: Mapping[str, Any] = {"slug": slug, "title": "Rays"}
        self.num_rows: int | None = None
        self.has_begun = threading.Event()
        self.may_go_on = threading.Event()

    def rows(self) -> Iterator[ImageRow]:
        yield row("a", sex="F")
        self.has_begun.set()
        assert self.may_go_on.wait(WAIT_SECONDS)
        yield row("b")


def start_import(source: Source) -> Future[ImportReport]:
    """An import in a thread of its own, hence on a connection of its own."""

    def run() -> ImportReport:
        try:
            return import_source(source=source)
        finally:
            connection.close()

    pool = ThreadPoolExecutor(1)
    started = pool.submit(run)
    pool.shutdown(wait=False)
    return started


@contextmanager
def import_standing_still() -> Iterator[Future[ImportReport]]:
    """An import of ``rays`` in the midst of its rows; it has ended when the block has."""
    source = Halting()
    started = start_import(source)
    assert source.has_begun.wait(WAIT_SECONDS)
    try:
        yield started
    finally:
        source.may_go_on.set()
        wait([started], WAIT_SECONDS)


@for_real
def test_a_second_import_of_the_same_dataset_stops_at_once() -> None:
    with import_standing_still() as first:
        with pytest.raises(ImportStopped, match="Another import of “rays” is running"):
            import_source(source=ListSource([row("x")]))
        assert import_source(source=ListSource([row("x")], slug="other")).added == 1
    assert first.result().added == 2


@for_real
def test_edits_and_readers_need_not_wait_while_an_import_reads() -> None:
    import_source(source=ListSource([row("a"), row("b")]))
    image = Image.objects.get(source_id="b")
    with import_standing_still() as started, connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = '2s'")
        Image.objects.filter(pk=image.pk).update(sex="M")
        ImageLabel.objects.create(image=image, label=Label.objects.create(code="x", name="X"))
        assert Image.objects.count() == 2
        cursor.execute("SET lock_timeout TO DEFAULT")
    assert started.result().changed == 2
    assert_profiles_are_true()
    assert dict(Image.objects.values_list("source_id", "sex")) == {"a": "F", "b": ""}
    assert not ImageLabel.objects.exists(), "the source says the last word"


@for_real
def test_two_imports_may_add_the_same_new_labels() -> None:
    words = [f"new word {number}" for number in range(20)]
    rows = [row(word, labels=(LabelRow(word),)) for word in words]
    one = start_import(ListSource(rows, slug="one"))
    two = start_import(ListSource(rows[::-1], slug="two"))
    assert one.result(WAIT_SECONDS).added == two.result(WAIT_SECONDS).added == 20
    assert Label.objects.count() == 20
    assert ImageLabel.objects.count() == 40


# --- Killed ---
KILLED = """
import sys, time
import django
django.setup()
from catalog.importers.pipeline import import_source
from catalog.importers.rows import ImageRow, LabelRow

class Endless:
    entry = {"slug": "rays", "title": "Changed title"}
    num_rows = None
    def rows(self):
        for number in range(5000):
            yield ImageRow(f"new-{number}", metadata={"t": "x" * 2000}, labels=(LabelRow("w"),))
        print("in the midst", flush=True)
        time.sleep(600)

import_source(source=Endless())
"""


# By this name its sessions are told from those of other tests.
PROGRAM = f"killable {os.getpid()}"


def start_killable() -> subprocess.Popen[str]:
    """An import as a process of its own, on this test's database."""
    url = urlsplit(os.environ["DATABASE_URL"])
    name = connection.settings_dict["NAME"]
    own = url._replace(path=f"{url.path.rpartition('/')[0]}/{name}").geturl()
    more = {
        "DATABASE_URL": own,
        "DJANGO_SETTINGS_MODULE": "medagg.settings",
        "PGAPPNAME": PROGRAM,
    }
    return subprocess.Popen(
        [sys.executable, "-c", KILLED],
        cwd=ROOT, env=os.environ | more, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def wait_for_sessions_to_end() -> None:
    sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s"
    deadline = time.monotonic() + WAIT_SECONDS
    with connection.cursor() as cursor:
        while time.monotonic() < deadline:
            cursor.execute(sessions, [PROGRAM])
            if cursor.fetchone() == (0,):
                return
            time.sleep(0.05)
    raise AssertionError("the killed process still has its session")


@for_real
def test_a_killed_import_leaves_the_old_state() -> None:
    import_source(source=ListSource([row("a"), row("b", labels=(LabelRow("v"),))]))
    before = row_versions()
    process = start_killable()
    assert process.stdout
    assert process.stdout.readline() == "in the midst\n"
    process.kill()
    process.communicate(timeout=WAIT_SECONDS)
    wait_for_sessions_to_end()
    assert row_versions() == before
    assert Dataset.objects.get().title == "Rays"
    report = import_source(source=ListSource([row("a"), row("c")]))
    assert (report.added, report.unchanged, report.removed) == (1, 1, 1), "nothing is in the way"
