"""Everything at once for ten minutes: visitors, builds and downloads on one machine."""

import json
import shutil
import subprocess
import sys
import time
from argparse import Namespace
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.archive_files import FileSet, make_dataset
from benchmarks.browsing import Crowd, Visit
from benchmarks.downloads import RATE, Way, archive_root, downloading, served
from benchmarks.figures import Figures, Goal, as_ms, short, spread, table
from benchmarks.folder import REPOSITORY, Folder, say
from benchmarks.processes import run_measured
from benchmarks.site_memory import measure_memory
from benchmarks.sites import WORKERS, SiteError
from medagg.runner.embedded.places import places_in

TITLE = "Visitors, builds and downloads at once"
DATABASE = "visitors"
VISITORS, BUILDS, DOWNLOADS = 50, 10, 20
# Pictures (PGM), so that they have previews.
HEAD = "P5\n500 600\n255\n"
FILES = FileSet("bench-visitors", count=400, size=len(HEAD) + 500 * 600, head=HEAD)
# Of the whole time, before and after the builds and downloads each.
QUIET_SHARE = 0.1
# So often memory is measured, which takes some time itself.
MEMORY_TIMES = 12
PHASES = ("before", "during", "after")
# Nobody's quota is what is measured.
LIMITS = {"COLLECTION_MAX_PENDING": str(10 * BUILDS)}
P95_GOAL_MS = 500
MEMORY_GOAL = 1.1
SHOWN_ERRORS = 5


def measure(folder: Folder, options: Namespace) -> Figures:
    folder.make_database(DATABASE)
    environment = folder.environment(DATABASE) | LIMITS
    try:
        with served(folder, environment, name=DATABASE) as way:
            _import_files(folder, environment)
            return _measure_site(folder, environment, way, options.visit_seconds)
    finally:
        shutil.rmtree(archive_root(environment), ignore_errors=True)


def _import_files(folder: Folder, environment: dict[str, str]) -> None:
    home = Path(environment["MEDAGG_VAR"]) / "datasets" / FILES.slug
    make_dataset(home, FILES)
    command = [sys.executable, "manage.py", "import_dataset", str(home)]
    log = folder.logs / f"{DATABASE}-import.log"
    run_measured(command, environment=environment, log=log)


def _measure_site(folder: Folder, environment: dict[str, str], way: Way, seconds: float) -> Figures:
    quiet = QUIET_SHARE * seconds
    data = places_in(folder.var).var / "postgres"
    samples: list[dict[str, int]] = []
    with Crowd(way.host, way.port, VISITORS) as crowd:
        # What a process does only once is over then.
        time.sleep(quiet)
        bounds = [time.monotonic()]
        time.sleep(quiet)
        memory_before = measure_memory(way.pid, data)
        with _building(folder, environment) as built, downloading(way, RATE, DOWNLOADS) as speed:
            bounds.append(time.monotonic())
            for _ in range(MEMORY_TIMES):
                time.sleep(seconds / MEMORY_TIMES)
                samples.append(measure_memory(way.pid, data))
            bounds.append(time.monotonic())
        memory_after = measure_memory(way.pid, data)
        begin_after = time.monotonic()
        time.sleep(quiet)
        ends = [bounds[1], bounds[2], time.monotonic()]
    starts = [bounds[0], bounds[1], begin_after]
    visits = {
        phase: crowd.between(start, end)
        for phase, start, end in zip(PHASES, starts, ends, strict=True)
    }
    pages = {phase: spread(_seconds(each, is_page=True)) for phase, each in visits.items()}
    for phase, page in pages.items():
        say(f"  {phase}: {page['count']} pages, median {page['median_ms']:.0f} ms, "
            f"95 % {page['p95_ms']:.0f} ms")  # fmt: skip
    previews = {phase: spread(_seconds(each, is_page=False)) for phase, each in visits.items()}
    return {
        "seconds": seconds,
        "pages": pages,
        "previews": previews,
        "answers": len(crowd.visits),
        "errors": Counter(visit.error for visit in crowd.visits if visit.error).most_common(),
        **built,
        "bytes_a_second": speed[0],
        "memory": {"before": memory_before, "samples": samples, "after": memory_after},
    }


def _seconds(visits: list[Visit], *, is_page: bool) -> list[float]:
    """At least one, for a time too short to have any."""
    return [visit.seconds for visit in visits if visit.is_page == is_page] or [0.0]


@contextmanager
def _building(folder: Folder, environment: dict[str, str]) -> Iterator[Figures]:
    """Builds for as long as the block runs; then the figures are those of ``keep_building``."""
    figures: Figures = {}
    command = [sys.executable, "-m", "benchmarks.steady_builds_inside", str(BUILDS),
               f"dataset={FILES.slug}"]  # fmt: skip
    with (folder.logs / f"{DATABASE}-builds.log").open("wb") as log:
        program = subprocess.Popen(
            command, cwd=REPOSITORY, env=environment, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=log, text=True,
        )  # fmt: skip
    # For the type checker.
    assert program.stdin is not None  # noqa: S101
    assert program.stdout is not None  # noqa: S101
    with program:
        if program.stdout.readline().strip() != "ready":
            raise SiteError(f"no builds could be ordered: see {log.name}")
        yield figures
        program.stdin.close()
        report = program.stdout.read()
    if not report:
        raise SiteError(f"the orders for builds broke off: see {log.name}")
    figures.update(json.loads(report))


def goals(figures: Figures) -> Iterator[Goal]:
    what = f"{VISITORS} visitors, {BUILDS} builds, {DOWNLOADS} downloads"
    failed = sum(count for _, count in figures["errors"]) + sum(figures["failed"].values())
    share = 1 - failed / (figures["answers"] + figures["built"] + sum(figures["failed"].values()))
    yield Goal(f"without error: {what}", 100 * share, 100, " %", at_least=True)
    yield Goal(f"page, 95 %: {what}", figures["pages"]["during"]["p95_ms"], P95_GOAL_MS, " ms")
    for role, growth in _growth(figures).items():
        yield Goal(f"memory of {role}, last quarter by second", growth, MEMORY_GOAL, "×")


def _growth(figures: Figures) -> dict[str, float]:
    """By role, what the processes hold in the last quarter by what they held in the second."""
    samples = figures["memory"]["samples"]
    quarter = max(1, len(samples) // 4)
    second, last = samples[quarter : 2 * quarter], samples[-quarter:]
    return {
        role: sum(each[role] for each in last) / sum(each[role] for each in second)
        for role in samples[0]
    }


def describe(figures: Figures) -> Iterator[str]:
    yield (
        f"The demo catalog from {WORKERS} web processes for {figures['seconds']:.0f} seconds. "
        f"{VISITORS} visitors go from link to link at random, load the previews of each page and "
        f"think for two to eight seconds. Meanwhile {BUILDS} builds wait or run at any time, of "
        f"{FILES.count} files of {FILES.size / 1e3:.0f} KB each ({figures['built']} were built and "
        f"verified), and {DOWNLOADS} clients download an archive, at {RATE / 1e6:.0f} MB/s each "
        f"({figures['bytes_a_second'] / 1e6:.0f} MB/s together). Before and after, the same "
        f"visitors are alone for {QUIET_SHARE * figures['seconds']:.0f} seconds. Servers, clients "
        "and builds share the cores of this machine."
    )
    yield ""
    for kind in ("pages", "previews"):
        yield from table(
            (f"{kind}, ms", "answers", "median", "95 %", "largest"),
            [(phase, figures[kind][phase]["count"], *as_ms(figures[kind][phase]))
             for phase in PHASES],
        )  # fmt: skip
    memory = figures["memory"]
    columns = [memory["before"], memory["samples"][len(memory["samples"]) // 2],
               memory["samples"][-1], memory["after"]]  # fmt: skip
    yield from table(
        ("memory, MB", "before", "at half time", "at the end", "after", "last quarter by second"),
        [(role, *(f"{column[role] / 1e6:.0f}" for column in columns), f"{short(growth)}×")
         for role, growth in _growth(figures).items()],
    )  # fmt: skip
    for error, count in [*figures["errors"], *figures["failed"].items()][:SHOWN_ERRORS]:
        yield f"{count} times: {error}"
        yield ""
