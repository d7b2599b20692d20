"""A collection of a million images: time and memory of each step, and time of its page.

Its files are small, and many of them are hard links to the same file: the benchmark measures what
grows with the number of items and not with their bytes.
"""

from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

from benchmarks.archive_files import FileSet
from benchmarks.archive_peers import Held, look_into
from benchmarks.collection_site import prepare_site
from benchmarks.figures import Figures, Goal, as_ms, short, table
from benchmarks.folder import Folder, say
from benchmarks.processes import ProgramFailedError

TITLE = "A million images in one collection"
DATABASE = "million"
SETS = [
    FileSet(f"bench-million-{number}", count=100_000, size=200, contents=1_000)
    for number in range(10)
]
STEPS = {"freeze": "frozen", "build": "built", "verify": "verified", "show": "shown",
         "expire": "expired", "delete": "deleted"}  # fmt: skip
# What a Celery worker does; the others are a web worker's, which holds the catalog in memory too.
OF_A_WORKER = ("build", "verify", "expire")
MEMORY_GOAL_MB = 200
PAGE_GOAL_MS = 100


def measure(folder: Folder, options: Namespace) -> Figures:
    """Once: a collection of all ten sets, each step in a process of its own."""
    sets = [files.part(options.archive_percent) for files in SETS]
    site = prepare_site(folder, DATABASE, sets)
    query = "&".join(f"dataset={files.slug}" for files in sets)
    steps = {"freeze": site.run_step("freeze", query, "A million images")}
    key = str(steps["freeze"]["id"])
    for name in list(STEPS)[1:]:
        steps[name] = site.run_step(name, key)
        if name == "build":
            _confirm(steps[name], sets)
    for name, step in steps.items():
        say(f"  {name}: {step.get('seconds', 0):.1f} s, {step['peak_bytes'] / 1e6:.0f} MB")
    return {"count": sum(files.count for files in sets), "steps": steps}


def _confirm(built: Figures, sets: list[FileSet]) -> None:
    """Raises ProgramFailedError when the archive is not complete."""
    held = look_into(Path(built["path"]), below=built["images_below"])
    expected = Held(sum(each.count for each in sets), sum(each.num_bytes for each in sets))
    if held != expected:
        raise ProgramFailedError(f"the archive holds {held} instead of {expected}")


def goals(figures: Figures) -> Iterator[Goal]:
    steps, what = figures["steps"], f"{figures['count']:,} images in one collection"
    peak = max(steps[name]["peak_bytes"] for name in OF_A_WORKER) / 1e6
    yield Goal(f"memory of a worker, {what}", peak, MEMORY_GOAL_MB, " MB")
    slowest = max(steps["show"][page]["median_ms"] for page in ("first", "last"))
    yield Goal(f"page of a collection, {what}", slowest, PAGE_GOAL_MS, " ms")


def describe(figures: Figures) -> Iterator[str]:
    steps = figures["steps"]
    yield (
        f"{figures['count']:,} files of 200 bytes in ten datasets, of which a thousand in each "
        "differ and the others are hard links. Every step is done once, in a process of its own; "
        "memory is the peak of that process, in brackets how much came with the step. "
        f"The archive has {steps['build']['archive_bytes'] / 1e6:,.0f} MB."
    )
    yield ""
    rows = [
        (STEPS[name], f"{short(step['seconds'])} s" if "seconds" in step else "",
         f"{step['peak_bytes'] / 1e6:.0f} MB "
         f"(+{(step['peak_bytes'] - step['baseline_bytes']) / 1e6:.0f})")
        for name, step in steps.items()
    ]  # fmt: skip
    yield from table(("", "time", "memory"), rows)
    pages = [(f"its {page} images", *as_ms(steps["show"][page])) for page in ("first", "last")]
    yield from table(("page, in ms", "median", "95 %", "largest"), pages)
