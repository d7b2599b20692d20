"""The steps on collections, their goals, and their description."""

import hashlib
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings
from django.core.management import call_command

from benchmarks import archives, million
from benchmarks.archive_files import FileSet, make_dataset
from benchmarks.archive_peers import PEERS, TAR, ZIP, ZIPFILE, Held, find_damage, look_into
from benchmarks.collection_site import WARM, read_figures
from benchmarks.collection_steps import StepFailed, build, run_step, verify
from benchmarks.figures import Figures
from benchmarks.high_water import HighWater
from benchmarks.processes import ProgramFailedError
from collections_app.models import Collection, CollectionItem
from vocab.tests.shipped import save_shipped_vocabularies

FILES = FileSet("bench-steps", count=60, size=500)
QUERY = f"dataset={FILES.slug}"


# --- The steps, within medagg ---
pytestmark = pytest.mark.long


@pytest.fixture
def site(tmp_path: Path, settings: LazySettings, transactional_db: Any) -> Path:
    settings.DATASET_ROOTS = [tmp_path / "datasets"]
    settings.ARCHIVE_ROOT = tmp_path / "archives"
    settings.ALLOWED_HOSTS = ["localhost"]
    save_shipped_vocabularies()
    for files in (WARM, FILES):
        home = tmp_path / "datasets" / files.slug
        make_dataset(home, files)
        call_command("import_dataset", str(home), verbosity=0)
    return tmp_path


def test_a_collection_is_taken_all_the_way(site: Path) -> None:
    frozen = run_step("freeze", QUERY, "One")
    built = run_step("build", str(frozen["id"]))
    path = Path(built["path"])

    assert frozen["images"] == FILES.count
    assert frozen["seconds"] > 0
    assert built["seconds"] > 0
    assert built["archive_bytes"] == path.stat().st_size
    assert built["baseline_bytes"] > 1e6
    assert look_into(path, below=built["images_below"]) == Held(FILES.count, FILES.num_bytes)
    assert find_damage(path) is None

    run_step("verify", str(frozen["id"]))
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    assert Collection.objects.get(pk=frozen["id"]).archive_sha256 == sha256

    shown = run_step("show", str(frozen["id"]))
    assert 0 < shown["first"]["median_ms"] <= shown["first"]["max_ms"]
    assert 0 < shown["last"]["median_ms"] <= shown["last"]["max_ms"]

    run_step("expire", str(frozen["id"]))
    assert Collection.objects.get(pk=frozen["id"]).status == "expired"
    assert not path.exists()


def test_nothing_stays_of_a_deleted_one_and_of_warming_up(site: Path) -> None:
    frozen = run_step("freeze", QUERY, "One")
    run_step("build", str(frozen["id"]))

    run_step("delete", str(frozen["id"]))

    assert not Collection.objects.exists()
    assert not CollectionItem.objects.exists()
    assert not list((site / "archives").rglob("*.zip"))


def test_each_round_really_builds(site: Path) -> None:
    """An archive of an earlier round must not be used again."""
    paths = []
    for _ in range(2):
        frozen = run_step("freeze", QUERY, "The same title")
        path = Path(run_step("build", str(frozen["id"]))["path"])
        paths.append((path, path.stat().st_ino, path.stat().st_ctime_ns))
        run_step("delete", str(frozen["id"]))

    assert paths[0][1:] != paths[1][1:]


def test_a_build_that_fails_is_no_figure(site: Path) -> None:
    frozen = run_step("freeze", QUERY, "One")
    next((site / "datasets" / FILES.slug).rglob("*.raw")).unlink()

    with pytest.raises(StepFailed, match=r"ended as failed: 1 file"):
        build(str(frozen["id"]))


def test_an_archive_that_is_not_verified_is_no_figure(site: Path) -> None:
    frozen = run_step("freeze", QUERY, "One")
    built = run_step("build", str(frozen["id"]))
    with Path(built["path"]).open("r+b") as file:
        file.seek(-600, 2)
        file.write(b"?" * 100)

    with pytest.raises(StepFailed, match=r"the archive is not verified: .* changed on the server"):
        verify(str(frozen["id"]))


# --- From outside ---
def test_the_last_line_with_an_object_has_the_figures() -> None:
    log = 'WARNING something\n{"seconds": 1}\n\n{"seconds": 2, "id": 3}\nlate words\n'

    assert read_figures(log) == {"seconds": 2, "id": 3}
    with pytest.raises(ProgramFailedError, match=r"no figures were written:\nTraceback"):
        read_figures("Traceback")


def test_memory_is_that_of_the_program_and_not_of_who_started_it() -> None:
    ballast = bytearray(200_000_000)
    code = "import time; held = bytearray(60_000_000); del held; time.sleep(0.5)"

    with HighWater() as water:
        subprocess.run([sys.executable, "-c", code], check=True)

    assert len(ballast) > water.peak > 60_000_000


def test_programs_that_run_already_do_not_count() -> None:
    command = [sys.executable, "-c", "import time; held = bytearray(90_000_000); time.sleep(60)"]
    with subprocess.Popen(command) as other:
        try:
            time.sleep(0.5)
            with HighWater() as water:
                subprocess.run(["sleep", "0.2"], check=True)
        finally:
            other.kill()

    assert 0 < water.peak < 60_000_000


def test_each_round_begins_with_another_program() -> None:
    rounds = [archives.rotate(["a", "b", "c"], number) for number in range(4)]

    assert rounds == [["a", "b", "c"], ["b", "c", "a"], ["c", "a", "b"], ["a", "b", "c"]]


def test_runs_are_summed_up_by_median_best_and_most_memory() -> None:
    runs = [
        {"seconds": seconds, "peak_bytes": peak, "baseline_bytes": 5, "archive_bytes": 9}
        for seconds, peak in [(3.0, 10), (1.0, 30), (2.0, 20)]
    ]

    assert archives.summarize(runs) == {
        "seconds": [3.0, 1.0, 2.0], "median_s": 2.0, "best_s": 1.0, "freeze_s": 0.0,
        "peak_bytes": 30, "baseline_bytes": 5, "archive_bytes": 9,
    }  # fmt: skip


# --- What is said of figures ---
def make_program(seconds: float, **more: float) -> Figures:
    return {"median_s": seconds, "best_s": seconds, "peak_bytes": 2e6, "archive_bytes": 5e8} | more


def make_figures(ours: float) -> Figures:
    programs = {
        TAR: make_program(0.4),
        ZIP: make_program(1.8),
        ZIPFILE: make_program(1.4),
        archives.OURS: make_program(ours, peak_bytes=120e6, baseline_bytes=100e6),
    }
    sets = {
        name: {"count": files.count, "bytes": files.num_bytes, "programs": programs}
        for name, files in archives.SETS.items()
    }
    freeze = make_program(1.2, count=100_000, peak_bytes=110e6, baseline_bytes=100e6)
    return {"rounds": 5, "sets": sets, "freeze": freeze}


@pytest.mark.parametrize(
    ("ours", "verdicts"),
    [
        (0.4, [True, True, True, True, True, True, True]),
        (0.5, [True, True, False, True, False, True, True]),
        (0.8, [False, False, False, False, False, False, True]),
    ],
)
def test_ours_is_held_against_tar_and_zip_on_each_set(ours: float, verdicts: list[bool]) -> None:
    assert [goal.is_met for goal in archives.goals(make_figures(ours))] == verdicts


def test_the_section_shows_every_program_with_time_speed_and_memory() -> None:
    text = "\n".join(archives.describe(make_figures(0.5)))

    assert "**40,000 files of 12 KB**, 480 MB" in text
    assert "| tar cf | 0.40 s | 0.40 s | 1.00× | 1.00× | 1,200 MB/s | 2 MB | 500.0 MB |" in text
    assert "| medagg | 0.50 s | 0.50 s | 1.25× | 1.25× | 960 MB/s | 120 MB (+20) |" in text
    assert all(text.count(f"| {name} |") == len(archives.SETS) for name in PEERS)
    assert "Freezing 100,000 images" in text


def make_million(*, build_bytes: float, last_ms: float) -> Figures:
    memory = {"peak_bytes": 120e6, "baseline_bytes": 100e6}
    page = {"median_ms": 20.0, "p95_ms": 25.0, "max_ms": 30.0}
    steps: dict[str, Figures] = {name: {"seconds": 2.0} | memory for name in million.STEPS}
    steps["build"] |= {"peak_bytes": build_bytes, "archive_bytes": 4e8}
    steps["show"] = memory | {"first": page, "last": page | {"median_ms": last_ms}}
    return {"count": 1_000_000, "steps": steps}


@pytest.mark.parametrize(
    ("build_bytes", "last_ms", "verdicts"),
    [(150e6, 20.0, [True, True]), (250e6, 20.0, [False, True]), (150e6, 500.0, [True, False])],
)
def test_a_million_is_judged_by_memory_and_by_the_slower_page(
    build_bytes: float, last_ms: float, verdicts: list[bool]
) -> None:
    figures = make_million(build_bytes=build_bytes, last_ms=last_ms)

    assert [goal.is_met for goal in million.goals(figures)] == verdicts


def test_the_section_on_a_million_names_every_step() -> None:
    text = "\n".join(million.describe(make_million(build_bytes=150e6, last_ms=44.0)))

    assert "1,000,000 files" in text
    assert "| built | 2.00 s | 150 MB (+50) |" in text
    assert "| its last images | 44.0 | 25.0 | 30.0 |" in text
    assert all(f"| {word} |" in text for word in million.STEPS.values())
