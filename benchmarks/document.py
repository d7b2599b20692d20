"""docs/benchmarks.md: the goals and what was measured, each topic in a section."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from benchmarks.figures import Figures, Goal, table

Describe = Callable[[Figures], Iterable[str]]
Judge = Callable[[Figures], Iterable[Goal]]


@dataclass(frozen=True, slots=True)
class Section:
    """The text of a topic about its figures."""

    title: str
    figures: Figures
    describe: Describe
    goals: Judge


HEAD = """# Benchmarks

Written by `make bench`: do not edit. How the figures are measured is described in
[benchmarks/README.md](../benchmarks/README.md).

A time by itself says as much of the machine as of the program. So each goal that can be is a ratio
to another program that does the same work on the same rows in the same run, the two by turns.
*Share* is how much of a goal is used up: under 1 it is met.
"""


def write_document(sections: Iterable[Section], machine: Mapping[str, str]) -> str:
    """The whole document as Markdown."""
    kept = list(sections)
    lines = [HEAD, *_goals(kept), "## Machine", "", *_machine(machine)]
    for section in kept:
        lines += [f"## {section.title}", "", *section.describe(section.figures)]
        if measured := section.figures.get("measured"):
            lines += [f"*Measured {measured}.*", ""]
    return "\n".join(lines).rstrip() + "\n"


def _goals(sections: Iterable[Section]) -> Iterator[str]:
    rows = [goal.row for section in sections for goal in section.goals(section.figures)]
    yield "## Goals"
    yield ""
    yield from table(("what", "goal", "measured", "share", "verdict"), rows)


def _machine(machine: Mapping[str, str]) -> list[str]:
    return table(("", ""), machine.items())
