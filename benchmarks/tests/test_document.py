"""Figures, goals and the document that they are written to."""

from benchmarks.document import Section, write_document
from benchmarks.figures import Goal, percentile, spread


def test_a_spread_is_in_milliseconds() -> None:
    figures = spread([0.003, 0.001, 0.002, 0.010])

    assert figures == {"count": 4, "median_ms": 2.5, "p95_ms": 10.0, "max_ms": 10.0}


def test_a_percentile_is_one_of_the_values() -> None:
    ordered = list(range(1, 201))

    assert percentile(ordered, 95) == 190
    assert percentile(ordered, 100) == 200
    assert percentile([7.0], 95) == 7.0


def test_a_goal_says_how_much_of_it_is_used_up() -> None:
    assert Goal("page", 20, 40, " ms").row == (
        "page", "at most 40 ms", "20.0 ms", "0.50", "met",
    )  # fmt: skip
    assert Goal("page", 50, 40, " ms").row[-2:] == ("1.25", "**missed**")
    assert Goal("times faster", 60, 30, "×", at_least=True).row[-2:] == ("0.50", "met")
    assert Goal("times faster", 20, 30, "×", at_least=True).row[-2:] == ("1.50", "**missed**")


def test_the_document_has_goals_machine_and_a_section_a_topic() -> None:
    section = Section(
        "Pages",
        {"ms": 12, "measured": "2026-01-01, abc"},
        lambda figures: [f"A page takes {figures['ms']} ms.", ""],
        lambda figures: [Goal("a page", figures["ms"], 40, " ms")],
    )

    text = write_document([section], {"processor": "two cores"})

    assert "| a page | at most 40 ms | 12.0 ms | 0.30 | met |" in text
    assert "| processor | two cores |" in text
    assert "## Pages\n\nA page takes 12 ms.\n\n*Measured 2026-01-01, abc.*\n" in text
