"""``python -m benchmarks.run [STEP …]``: measures, and writes docs/benchmarks.md.

A step is a module with TITLE, ``measure``, ``goals`` and ``describe``. Its figures are kept as
JSON, so that steps can be run alone and the document be written again. A new topic is one more
module in STEPS.
"""

import sys
import time
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import (
    archives,
    breakdown,
    downloads,
    fetching,
    growth,
    load,
    million,
    pages,
    relevance,
    search,
    series,
    uploads,
    visitors,
)
from benchmarks.document import Section, write_document
from benchmarks.figures import Figures, Goal
from benchmarks.folder import REPOSITORY, Folder, MissingResultError, say
from benchmarks.machine import describe_machine
from benchmarks.processes import ProgramFailedError
from benchmarks.sites import SiteError
from medagg.runner.embedded import EmbeddedError

DOCUMENT = REPOSITORY / "docs" / "benchmarks.md"
MACHINE, DOCUMENT_STEP = "machine", "document"


@dataclass(frozen=True, slots=True)
class Step:
    """A topic: ``measure`` may take minutes, the other two only read its figures."""

    title: str
    measure: Callable[[Folder, Namespace], Figures]
    goals: Callable[[Figures], Iterator[Goal]]
    describe: Callable[[Figures], Iterator[str]]


# In the order in which they run: ``load`` fills the catalog that the others ask.
STEPS = {
    "load": Step(load.TITLE, load.measure, load.goals, load.describe),
    "pages": Step(pages.TITLE, pages.measure, pages.goals, pages.describe),
    "growth": Step(growth.TITLE, growth.measure, growth.goals, growth.describe),
    "series": Step(series.TITLE, series.measure, series.goals, series.describe),
    "search": Step(search.TITLE, search.measure, search.goals, search.describe),
    "relevance": Step(
        relevance.TITLE, relevance.measure, relevance.goals, relevance.describe
    ),
    "breakdown": Step(
        breakdown.TITLE, breakdown.measure, breakdown.goals, breakdown.describe
    ),
    "archives": Step(archives.TITLE, archives.measure, archives.goals, archives.describe),
    "uploads": Step(uploads.TITLE, uploads.measure, uploads.goals, uploads.describe),
    "million": Step(million.TITLE, million.measure, million.goals, million.describe),
    "fetching": Step(fetching.TITLE, fetching.measure, fetching.goals, fetching.describe),
    "downloads": Step(downloads.TITLE, downloads.measure, downloads.goals, downloads.describe),
    "visitors": Step(visitors.TITLE, visitors.measure, visitors.goals, visitors.describe),
}  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when everything was measured, whether or not the goals are met; 1 with a reason if not."""
    options = _parse(arguments)
    try:
        with Folder(options.var).opened() as folder:
            _run(folder, options)
    except (EmbeddedError, MissingResultError, ProgramFailedError, SiteError, OSError) as error:
        sys.stderr.write(f"bench: {error}\n")
        return 1
    return 0


def _parse(arguments: Sequence[str] | None) -> Namespace:
    parser = ArgumentParser(prog="benchmarks.run", description="Measures medagg (see benchmarks/).")
    parser.add_argument(
        "steps",
        nargs="*",
        metavar="STEP",
        type=_step,
        help=f"{', '.join(STEPS)}: measure only these; {DOCUMENT_STEP}: only write the document "
        "(default: everything)",
    )
    parser.add_argument("--var", type=Path, default=REPOSITORY / "var" / "bench", metavar="DIR",
                        help="works in this folder and nowhere else")  # fmt: skip
    parser.add_argument("--out", type=Path, default=DOCUMENT, metavar="FILE",
                        help="the document (default: docs/benchmarks.md)")  # fmt: skip
    parser.add_argument("--loads", type=_count, default=2, help="imports into an empty database")
    parser.add_argument("--sets", type=_count, default=200, help="random filter sets")
    parser.add_argument("--rounds", type=_count, default=3, help="how often each set is asked")
    parser.add_argument("--sample", type=int, default=20, help="filter sets for the peers")
    parser.add_argument("--archive-rounds", type=_count, default=7, metavar="ROUNDS",
                        help="how often each program writes each archive")  # fmt: skip
    parser.add_argument("--archive-percent", type=_count, default=100, metavar="PERCENT",
                        help="of the files of archives, to try the steps out")  # fmt: skip
    parser.add_argument("--visit-seconds", type=_count, default=600, metavar="SECONDS",
                        help="of builds and downloads in the step visitors")  # fmt: skip
    parser.add_argument("--index", type=Path, metavar="DIR", help="as of load_catalog")
    parser.add_argument("--tables", type=Path, metavar="DIR", help="as of load_catalog")
    return parser.parse_args(arguments)


def _step(text: str) -> str:
    if text not in STEPS and text != DOCUMENT_STEP:
        raise ArgumentTypeError(f"{text!r} is none of {', '.join([*STEPS, DOCUMENT_STEP])}")
    return text


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"{text!r} is not a number from 1 up")
    return int(text)


def _run(folder: Folder, options: Namespace) -> None:
    wanted = options.steps or list(STEPS)
    for name, step in STEPS.items():
        if name in wanted:
            say(f"{step.title} …")
            machine = describe_machine(folder)
            start = time.monotonic()
            figures = step.measure(folder, options)
            folder.save(name, figures | {"measured": f"{machine['date']}, {machine['commit']}"})
            folder.save(MACHINE, machine)
            say(f"  {time.monotonic() - start:.0f} s")
    _write(folder, options.out)


def _write(folder: Folder, out: Path) -> None:
    sections = []
    for name, step in STEPS.items():
        if (figures := folder.read(name)) is not None:
            sections.append(Section(step.title, figures, step.describe, step.goals))
            for goal in step.goals(figures):
                say(" | ".join(goal.row))
    machine = folder.read(MACHINE) or describe_machine(folder)
    out.write_text(write_document(sections, machine), encoding="utf-8")
    say(f"written: {out}")


if __name__ == "__main__":
    sys.exit(main())
