"""Archives: ours from claim to ready, and tar, zip and zipfile on the same files, in turn."""

import os
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median

from benchmarks.archive_files import FileSet, warm_up
from benchmarks.archive_peers import (
    ENDINGS,
    PEERS,
    TAR,
    ZIP,
    Held,
    find_damage,
    look_into,
    need_programs,
)
from benchmarks.collection_site import CollectionSite, prepare_site
from benchmarks.figures import Figures, Goal, short, table
from benchmarks.folder import Folder, passed_on, say
from benchmarks.high_water import HighWater
from benchmarks.processes import ProgramFailedError, run_measured

TITLE = "Archives"
DATABASE = "archives"
OURS = "medagg"
SMALL = FileSet("bench-12-kb", count=40_000, size=12_000)
MIDDLE = FileSet("bench-300-kb", count=6_000, size=300_000)
LARGE = FileSet("bench-50-mb", count=40, size=50_000_000)
SETS = {"12 KB": SMALL, "300 KB": MIDDLE, "50 MB": LARGE}
FROZEN = FileSet("bench-frozen", count=100_000, size=200, contents=1_000)
# By set: the most that our time may be of tar's, and how much faster than zip it must be.
TAR_GOALS = {"12 KB": 1.8, "300 KB": 1.0, "50 MB": 1.0}
ZIP_GOAL = 2.5
FREEZE_GOAL_SECONDS = 1.5

Turn = Callable[[], Figures]


def measure(folder: Folder, options: Namespace) -> Figures:
    """Each set: all programs in each round; then freezing alone."""
    need_programs()
    sets = {name: files.part(options.archive_percent) for name, files in SETS.items()}
    frozen = FROZEN.part(options.archive_percent)
    site = prepare_site(folder, DATABASE, [*sets.values(), frozen])
    return {
        "rounds": options.archive_rounds,
        "sets": {
            name: _measure_set(site, files, options.archive_rounds) for name, files in sets.items()
        },
        "freeze": _measure_freeze(site, frozen, options.archive_rounds),
    }


def _measure_set(site: CollectionSite, files: FileSet, rounds: int) -> Figures:
    turns: dict[str, Turn] = {
        name: lambda name=name: _run_peer(site, files, name)  # type: ignore[misc]
        for name in PEERS
    }
    turns[OURS] = lambda: _run_ours(site, files)
    kept: dict[str, list[Figures]] = {name: [] for name in turns}
    for number in range(rounds):
        for name in rotate(list(turns), number):
            # No program must wait for the disk: neither for what another one has written, nor for
            # files that the kernel has dropped from its cache meanwhile.
            os.sync()
            warm_up(site.home(files))
            kept[name].append(turns[name]())
    programs = {name: summarize(runs) for name, runs in kept.items()}
    for name, program in programs.items():
        say(f"  {files.slug}, {name}: {program['median_s']:.2f} s")
    return {"count": files.count, "bytes": files.num_bytes, "programs": programs}


def rotate(names: Sequence[str], number: int) -> list[str]:
    """The same names, each round beginning with another one, so that the order changes."""
    start = number % len(names)
    return [*names[start:], *names[:start]]


def _run_peer(site: CollectionSite, files: FileSet, name: str) -> Figures:
    out = site.folder.var / f"peer{ENDINGS[name]}"
    out.unlink(missing_ok=True)
    command = PEERS[name](site.home(files) / "files", out)
    log = site.folder.logs / "peer.log"
    try:
        with HighWater() as water:
            run = run_measured(command, environment=passed_on(), log=log, watched=False)
        _confirm(name, out, files)
        return {
            "seconds": run.seconds,
            "peak_bytes": water.peak,
            "archive_bytes": out.stat().st_size,
        }
    finally:
        out.unlink(missing_ok=True)


def _run_ours(site: CollectionSite, files: FileSet) -> Figures:
    frozen = site.run_step("freeze", f"dataset={files.slug}", f"Benchmark of {files.slug}")
    # A collection that could not be built is kept for debugging; the next run drops the database.
    built = site.run_step("build", str(frozen["id"]))
    path = Path(built["path"])
    _confirm(OURS, path, files, below=built["images_below"])
    if damaged := find_damage(path):
        raise ProgramFailedError(f"{OURS} wrote an archive whose {damaged} is damaged")
    site.run_step("delete", str(frozen["id"]))
    return built | {"freeze_s": frozen["seconds"]}


def _confirm(name: str, path: Path, files: FileSet, *, below: str = "") -> None:
    """Check that each archive is complete. Raises ProgramFailedError."""
    held, expected = look_into(path, below=below), Held(files.count, files.num_bytes)
    if held != expected:
        raise ProgramFailedError(f"{name} wrote {held} of {files.slug} instead of {expected}")


def summarize(runs: Sequence[Figures]) -> Figures:
    """Median and best seconds, and the most memory, of the runs of one program on one set."""
    seconds = [run["seconds"] for run in runs]
    most = max(runs, key=lambda run: run["peak_bytes"])
    return {
        "seconds": seconds,
        "median_s": median(seconds),
        "best_s": min(seconds),
        "freeze_s": median(run.get("freeze_s", 0.0) for run in runs),
    } | {
        key: most[key] for key in ("peak_bytes", "baseline_bytes", "archive_bytes") if key in most
    }  # fmt: skip


def _measure_freeze(site: CollectionSite, files: FileSet, rounds: int) -> Figures:
    runs = []
    for _ in range(rounds):
        run = site.run_step("freeze", f"dataset={files.slug}", "Benchmark of freezing")
        site.run_step("delete", str(run["id"]))
        runs.append(run)
    say(f"  freezing {files.count:,}: {median(run['seconds'] for run in runs):.2f} s")
    return summarize(runs) | {"count": files.count}


def goals(figures: Figures) -> Iterator[Goal]:
    for name, each in figures["sets"].items():
        programs = each["programs"]
        ours = programs[OURS]["median_s"]
        what = f"archive of {each['count']:,} files of {name}"
        yield Goal(f"{what} by tar", ours / programs[TAR]["median_s"], TAR_GOALS[name], "×")
        faster = programs[ZIP]["median_s"] / ours
        yield Goal(f"{what}: zip -0 by it", faster, ZIP_GOAL, "×", at_least=True)
    freeze = figures["freeze"]
    what = f"freezing {freeze['count']:,} images"
    yield Goal(what, freeze["median_s"], FREEZE_GOAL_SECONDS, " s")


def describe(figures: Figures) -> Iterator[str]:
    yield (
        "Files whose contents are random, in folders of 400. "
        f"{figures['rounds']} rounds, in each every program once; all files are read just before "
        "it starts, and what it wrote is looked into and removed before the next one. Ours is the "
        "whole build in a worker's process, from before the claim to after ready: the items from "
        "PostgreSQL, each file held against size and time of the import, data card, metadata and "
        "checksums written. The others are timed from their start to their end. Memory is resident "
        "memory at its peak; for ours in brackets how much of it came with this build, the rest "
        "being Django."
    )
    yield ""
    for name, each in figures["sets"].items():
        yield f"**{each['count']:,} files of {name}**, {each['bytes'] / 1e6:,.0f} MB"
        yield ""
        yield from _describe_programs(each)
    freeze = figures["freeze"]
    yield (
        f"Freezing {freeze['count']:,} images with files into a collection, from the filters to "
        f"the pending collection: median {short(freeze['median_s'])} s, best "
        f"{short(freeze['best_s'])} s; the web worker holds {_memory(freeze)} meanwhile."
    )
    yield ""


def _describe_programs(each: Figures) -> Iterator[str]:
    programs, mega_bytes = each["programs"], each["bytes"] / 1e6
    tar = programs[TAR]
    rows = [
        (
            name,
            f"{short(program['median_s'])} s",
            f"{short(program['best_s'])} s",
            f"{short(program['median_s'] / tar['median_s'])}×",
            f"{short(program['best_s'] / tar['best_s'])}×",
            f"{short(mega_bytes / program['median_s'])} MB/s",
            _memory(program),
            f"{program['archive_bytes'] / 1e6:,.1f} MB",
        )
        for name, program in programs.items()
    ]
    head = ("", "median", "best", "by tar", "best by best", "speed", "memory", "archive")
    yield from table(head, rows)


def _memory(program: Mapping[str, int]) -> str:
    peak = f"{program['peak_bytes'] / 1e6:.0f} MB"
    if "baseline_bytes" not in program:
        return peak
    return f"{peak} (+{(program['peak_bytes'] - program['baseline_bytes']) / 1e6:.0f})"
