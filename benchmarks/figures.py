"""Goals, statistics, and the formatting of numbers."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

Figures = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure that must be at most ``limit``, or at least ``limit`` with ``at_least``."""

    what: str
    measured: float
    limit: float
    unit: str = ""
    at_least: bool = False

    @property
    def is_met(self) -> bool:
        return self.measured >= self.limit if self.at_least else self.measured <= self.limit

    @property
    def row(self) -> tuple[str, ...]:
        """What, goal, measured, share of the goal that is used up (under 1: met), verdict."""
        parts = (self.limit, self.measured) if self.at_least else (self.measured, self.limit)
        share = parts[0] / parts[1] if parts[1] else float("inf")
        word = "at least" if self.at_least else "at most"
        return (
            self.what,
            f"{word} {self.limit:,g}{self.unit}",
            f"{short(self.measured)}{self.unit}",
            f"{share:.2f}",
            "met" if self.is_met else "**missed**",
        )


def spread(seconds: Sequence[float]) -> Figures:
    """Median, 95th percentile and largest of some times, in milliseconds, and their number."""
    ordered = sorted(seconds)
    return {
        "count": len(ordered),
        "median_ms": 1000 * median(ordered),
        "p95_ms": 1000 * percentile(ordered, 95),
        "max_ms": 1000 * ordered[-1],
    }


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The smallest of the ascending values that at least ``percent`` of them do not exceed."""
    place = -(-len(ordered) * percent // 100)
    return ordered[max(0, int(place) - 1)]


def short(number: float) -> str:
    """Three significant digits at most: 0.042, 4.2, 42, 4,200."""
    if number == 0 or abs(number) >= 100:
        return f"{number:,.0f}"
    return f"{number:.2f}" if abs(number) < 10 else f"{number:.1f}"


def as_ms(figures: Mapping[str, Any]) -> tuple[str, str, str]:
    """Median, 95th percentile and largest of ``spread`` as cells of a table."""
    median_ms, p95_ms, max_ms = (short(figures[f"{name}_ms"]) for name in ("median", "p95", "max"))
    return median_ms, p95_ms, max_ms


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """A Markdown table; every column but the first is set to the right."""
    line = "| " + " | ".join(["---", *["---:"] * (len(head) - 1)]) + " |"
    cells = [[str(cell).replace("|", "\\|") for cell in row] for row in rows]
    return ["| " + " | ".join(head) + " |", line, *("| " + " | ".join(row) + " |" for row in cells),
            ""]  # fmt: skip
