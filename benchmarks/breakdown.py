"""Where the time of a page goes: parts, statements, plans."""

import json
import subprocess
import sys
from argparse import Namespace
from collections.abc import Iterator
from urllib.parse import urlencode

from benchmarks.catalog_rows import tidy
from benchmarks.figures import Figures, Goal, short, table
from benchmarks.folder import GROWN, LOADED, REPOSITORY, Folder, say
from benchmarks.processes import ProgramFailedError

TITLE = "Where the time goes"
# A statement that takes less is not shown with its plan.
WORTH_A_PLAN_MS = 0.5
MAX_PLANS, MAX_PLAN_LINES = 6, 12
PAGES: tuple[tuple[str, str, list[tuple[str, str]]], ...] = (
    ("everything", "/images/", []),
    ("one modality", "/images/", [("modality", "ct")]),
    ("a finding in women in their sixties", "/images/",
     [("label", "pneumonia"), ("sex", "F"), ("age", "60-69")]),
    ("two findings at once", "/images/",
     [("label", "pneumonia"), ("label", "atelectasis"), ("label_mode", "all")]),
    ("words that name terms", "/images/", [("q", "chest x-ray pneumonia female")]),
    ("words that name datasets", "/images/", [("q", "TCGA")]),
    ("datasets by words", "/datasets/", [("q", "prostate MRI")]),
    ("datasets by a misspelt word", "/datasets/", [("q", "mamografy")]),
)  # fmt: skip


def measure(folder: Folder, options: Namespace) -> Figures:
    folder.need_database(LOADED)
    with folder.connect(LOADED) as connection:
        tidy(connection)
    paths = [f"{path}?{urlencode(params)}" if params else path for _, path, params in PAGES]
    figures = _look_inside(folder, LOADED, paths)
    if folder.has_database(GROWN):
        say("  reading the large catalog into memory")
        figures["load_grown"] = _look_inside(folder, GROWN, [])["load"]
    return figures


def _look_inside(folder: Folder, database: str, paths: list[str]) -> Figures:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.inside"],
        input=json.dumps(paths),
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        env=folder.environment(database),
    )
    if done.returncode != 0:
        raise ProgramFailedError(f"benchmarks.inside failed:\n{done.stderr[-2000:]}")
    figures: Figures = json.loads(done.stdout)
    return figures


def goals(figures: Figures) -> Iterator[Goal]:
    yield from ()


def describe(figures: Figures) -> Iterator[str]:
    yield (
        "A few pages answered within one process, without a web server; medians in ms. SQL is "
        "the sum of the statements, which the parts contain."
    )
    yield ""
    yield from _describe_parts(figures["pages"])
    load = figures["load"]
    yield (
        f"Reading the catalog into memory, which a web worker does once and after a change only "
        f"for the datasets that have changed: {short(load['seconds'])} s, "
        f"{(load['after_bytes'] - load['before_bytes']) / 1e6:.0f} MB more memory."
    )
    if grown := figures.get("load_grown"):
        yield (
            f"The catalog of the growth test: {short(grown['seconds'])} s, "
            f"{(grown['after_bytes'] - grown['before_bytes']) / 1e6:.0f} MB."
        )
    yield ""
    yield from _describe_statements(figures["pages"])


def _describe_parts(pages: list[Figures]) -> Iterator[str]:
    parts = list(pages[0]["parts"])
    rows = [
        (title, *(short(page["parts"][part]) for part in parts), f"**{short(page['ms'])}**",
         f"{short(sum(each['ms'] for each in page['statements']))} in {len(page['statements'])}",
         f"{page['bytes'] / 1000:.0f} KB")
        for (title, *_), page in zip(PAGES, pages, strict=True)
    ]  # fmt: skip
    yield from table(("page", *parts, "together", "SQL", "HTML"), rows)


def _describe_statements(pages: list[Figures]) -> Iterator[str]:
    """Every statement once, by its words, on the page where it takes longest."""
    found: dict[str, tuple[float, str, list[str]]] = {}
    for (title, *_), page in zip(PAGES, pages, strict=True):
        for each in page["statements"]:
            if each["ms"] > found.get(each["sql"], (0.0, "", []))[0]:
                found[each["sql"]] = (each["ms"], title, each["plan"])
    ordered = sorted(found.items(), key=lambda item: -item[1][0])
    yield "The statements, each once, on the page where it takes longest:"
    yield ""
    yield from table(
        ("statement", "page", "ms"),
        [(f"`{_cut(sql)}`", title, short(ms)) for sql, (ms, title, _) in ordered],
    )
    for sql, (ms, title, plan) in ordered[:MAX_PLANS]:
        if ms >= WORTH_A_PLAN_MS and plan:
            yield f"`{_cut(sql)}` ({title}):"
            yield ""
            yield from (f"    {line}" for line in plan[:MAX_PLAN_LINES])
            yield ""


def _cut(sql: str, length: int = 160) -> str:
    text = sql.replace("`", "'")
    return text if len(text) <= length else f"{text[: length - 1]}…"
