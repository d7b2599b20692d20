"""Runs within medagg: renders pages in this process and measures where their time goes.

A program of its own, since Django's settings hold for a whole process: reads a JSON list of
addresses from its input, and writes one JSON object.
"""

import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import wraps
from importlib import import_module
from statistics import median
from typing import Any

import django
import psutil  # type: ignore[import-untyped,import-not-found,unused-ignore]
from django.db import connection
from django.test import Client

from benchmarks.figures import Figures

WARM, RUNS = 3, 15
_OF_LISTS = {"list_context": "chips and links", "page_or_fragment": "template"}
# The views, and the functions in their modules that are measured separately with what they do.
PARTS = {
    "catalog.views.images": {
        "image_list": "view",
        "fetch_page": "rows of the page",
        "count_image_facets": "facets",
        **_OF_LISTS,
    },
    "catalog.views.datasets": {
        "dataset_list": "view",
        "sort_datasets": "rows of the page",
        "fetch_datasets": "rows of the page",
        "count_dataset_facets": "facets",
        **_OF_LISTS,
    },
}
UNDERSTAND, REST = "understanding the filters", "middleware and the rest"
ORDER = (UNDERSTAND, "rows of the page", "facets", "chips and links", "template", REST)
_LISTS = re.compile(r"IN \((?:%s, ?)*%s\)")
_SELECTED = re.compile(r"^(\(?SELECT (?:DISTINCT )?).*?(?= FROM )", re.DOTALL)


@dataclass
class Clock:
    """Seconds by part, and the statements, of one answer."""

    parts: dict[str, float] = field(default_factory=dict)
    statements: list[tuple[str, Any, float]] = field(default_factory=list)

    def timed(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(call)
        def timed_call(*args: Any, **kwargs: Any) -> Any:
            start = time.perf_counter()
            try:
                return call(*args, **kwargs)
            finally:
                spent = time.perf_counter() - start
                self.parts[name] = self.parts.get(name, 0.0) + spent

        return timed_call

    def note_statement(
        self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any
    ) -> Any:
        start = time.perf_counter()
        try:
            return execute(sql, params, many, context)
        finally:
            self.statements.append((sql, params, time.perf_counter() - start))

    @contextmanager
    def started(self) -> Iterator[None]:
        self.parts.clear()
        self.statements.clear()
        with connection.execute_wrapper(self.note_statement):
            yield


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "medagg.settings")
    django.setup()
    clock = Clock()
    # Before the first address is resolved, because views are looked up in the module then.
    for module, parts in PARTS.items():
        views = import_module(module)
        for name, title in parts.items():
            setattr(views, name, clock.timed(title, getattr(views, name)))
    load = _measure_load()
    pages = [_measure(clock, path) for path in json.load(sys.stdin)]
    json.dump({"load": load, "pages": pages}, sys.stdout)


def _measure_load() -> Figures:
    """Reading the whole catalog into memory, as each web worker does once."""
    process = psutil.Process()
    snapshot = import_module("catalog.search.snapshot")
    before = process.memory_info().rss
    connection.ensure_connection()
    start = time.perf_counter()
    snapshot.current_snapshot()
    return {"seconds": time.perf_counter() - start, "before_bytes": before,
            "after_bytes": process.memory_info().rss}  # fmt: skip


def _measure(clock: Clock, path: str) -> Figures:
    client = Client(headers={"host": "localhost"})
    runs = []
    for _ in range(WARM + RUNS):
        with clock.started():
            start = time.perf_counter()
            response = client.get(path)
            seconds = time.perf_counter() - start
        if response.status_code != 200:
            raise SystemExit(f"{path} answers {response.status_code}")
        runs.append((seconds, dict(clock.parts), list(clock.statements)))
    return {"path": path, "bytes": len(response.content)} | _summarize(runs[WARM:])


def _summarize(runs: Sequence[tuple[float, dict[str, float], list]]) -> Figures:
    """Medians over the runs, in ms, and the statements of the last run with their plans."""
    parts = [_split(seconds, parts) for seconds, parts, _ in runs]
    times = [[each[2] for each in statements] for *_, statements in runs]
    statements = [
        {
            "sql": _shorten(sql),
            "ms": 1000 * median(one[place] for one in times if len(one) > place),
            "plan": _explain(sql, params),
        }
        for place, (sql, params, _) in enumerate(runs[-1][2])
    ]
    return {
        "ms": 1000 * median(seconds for seconds, *_ in runs),
        "parts": {name: 1000 * median(each[name] for each in parts) for name in ORDER},
        "statements": statements,
    }


def _split(seconds: float, parts: Mapping[str, float]) -> dict[str, float]:
    """The parts and the time between them; together they are ``seconds``."""
    named = {name: parts.get(name, 0.0) for name in ORDER}
    view = parts.get("view", 0.0)
    return named | {UNDERSTAND: view - sum(named.values()), REST: seconds - view}


def _shorten(sql: str) -> str:
    """The statement without its columns and values, so that equal ones look equal."""
    text = " ".join(sql.split())
    selected = _SELECTED.match(text)
    if selected and "(SELECT" not in selected[0]:
        text = f"{selected[1]}…{text[selected.end() :]}"
    return _LISTS.sub("IN (…)", text).replace('"', "").replace("%%", "%")


def _explain(sql: str, params: Any) -> list[str]:
    """The plan as lines, an indent a level: what is done, to what, how many rows, how long."""
    if not sql.lstrip("( ").upper().startswith(("SELECT", "WITH")):
        return []
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql}", params)
        found = cursor.fetchone()[0]
    plan = json.loads(found) if isinstance(found, str) else found
    return list(_plan_lines(plan[0]["Plan"], 0))


def _plan_lines(node: Mapping[str, Any], depth: int) -> Iterator[str]:
    names = [node[key] for key in ("Index Name", "Relation Name", "CTE Name") if key in node]
    loops = node["Actual Loops"]
    rows = node["Actual Rows"] * loops
    pages = node.get("Shared Hit Blocks", 0) + node.get("Shared Read Blocks", 0)
    spent = node["Actual Total Time"] * loops
    on = f" on {names[0]}" if names else ""
    yield f"{'  ' * depth}{node['Node Type']}{on}: {rows:,.0f} rows, {spent:.2f} ms, {pages} pages"
    for child in node.get("Plans", []):
        yield from _plan_lines(child, depth + 1)


if __name__ == "__main__":
    main()
