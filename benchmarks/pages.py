"""The images page over random filter sets, beside Datasette and DuckDB on the same rows."""

from argparse import Namespace
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.asking import (
    Asked,
    ask_in_turn,
    describe_asked,
    find_paths,
    measure_cold,
    measure_reload,
    read_total,
    visit,
)
from benchmarks.catalog_rows import count_rows, read_narrower, read_profiles, tidy, write_flat_rows
from benchmarks.datasette_peer import make_sqlite, start_datasette
from benchmarks.duckdb_peer import DuckTable, open_duckdb
from benchmarks.figures import Figures, Goal, as_ms, short, spread, table
from benchmarks.filter_sets import FilterSet, draw_filter_sets
from benchmarks.folder import LOADED, Folder, say
from benchmarks.peer_queries import datasette_path, datasette_total
from benchmarks.sites import Visitor, start_medagg

TITLE = "The images page"
SEED = 20
DATABASE = "rows"
# With facets of lists Datasette needs up to minutes for a page, so only a few sets are measured.
WHOLE_SAMPLE = 3


@dataclass(frozen=True, slots=True)
class Compared:
    """One filter set asked of all three: seconds, and how many images each has found.

    ``datasette`` is its page with nine facets, ``whole`` that with all twelve, or 0 if not asked.
    """

    path: str
    ours: float
    datasette: float
    whole: float
    duckdb: float
    totals: tuple[int, int, int]


def measure(folder: Folder, options: Namespace) -> Figures:
    folder.need_database(LOADED)
    with folder.connect(LOADED) as connection:
        tidy(connection)
        rows = count_rows(connection)
        profiles = read_profiles(connection)
    filter_sets = draw_filter_sets(profiles, count=options.sets, seed=SEED)
    with start_medagg(folder, LOADED) as site:
        cold = measure_cold(site)
        visitor = visit(site)
        asked = Asked(find_paths(visitor, filter_sets))
        say(f"  {len(asked.paths)} filter sets, {options.rounds} times each")
        ask_in_turn([visitor], [asked], rounds=options.rounds)
        figures = {"rows": rows, "sets": len(filter_sets), "rounds": options.rounds}
        figures |= {"cold": cold, "pages": describe_asked(asked)}
        figures["workers_after"] = site.worker_bytes()
        figures["slowest"] = _slowest(asked)
        if options.sample:
            figures["peers"] = _measure_peers(folder, visitor, filter_sets, options.sample)
        figures["reload"] = measure_reload(folder, LOADED, site)
        visitor.close()
    return figures


def _slowest(asked: Asked) -> list[tuple[str, float]]:
    """The sets with the largest medians, and those in ms."""
    medians = [(path, 1000 * median(s)) for path, s in zip(asked.paths, asked.seconds, strict=True)]
    return sorted(medians, key=lambda pair: -pair[1])[:3]


def _measure_peers(
    folder: Folder, ours: Visitor, filter_sets: Sequence[FilterSet], sample: int
) -> Figures:
    rows, sqlite = folder.var / f"{DATABASE}.csv", folder.var / f"{DATABASE}.db"
    say("  writing the same rows for Datasette and DuckDB")
    with folder.connect(LOADED) as connection:
        write_flat_rows(connection, rows)
        narrower = read_narrower(connection)
    make_sqlite(rows, sqlite)
    asked = [each for each in filter_sets if datasette_path(each, DATABASE, all_facets=True)]
    compared = []
    with start_datasette(folder, sqlite) as datasette, open_duckdb(rows) as duck:
        for number, filters in enumerate(asked[:sample]):
            whole = number < WHOLE_SAMPLE
            theirs = filters.spell_out(narrower)
            compared.append(_compare(ours, datasette, duck, filters, theirs, whole=whole))
            last = compared[-1]
            say(f"  {1000 * last.ours:.0f} ms, Datasette {1000 * last.datasette:.0f} ms, "
                f"DuckDB {1000 * last.duckdb:.0f} ms  {last.path}")  # fmt: skip
    return _summarize(compared, len(asked)) | {"sqlite_bytes": Path(sqlite).stat().st_size}


def _compare(
    ours: Visitor,
    datasette: Visitor,
    duck: DuckTable,
    filters: FilterSet,
    spelled_out: FilterSet,
    *,
    whole: bool,
) -> Compared:
    """One after the other, ours before and after the peers, so that the order favours none.

    The peers are asked for each narrower term by itself.
    """
    before = ours.get(filters.path())
    theirs = datasette.get(datasette_path(spelled_out, DATABASE, all_facets=False) or "")
    counted = duck.count_facets(spelled_out)
    after = ours.get(filters.path())
    all_facets = datasette_path(spelled_out, DATABASE, all_facets=True) if whole else None
    return Compared(
        path=filters.path(),
        ours=(before.seconds + after.seconds) / 2,
        datasette=theirs.seconds,
        whole=datasette.get(all_facets).seconds if all_facets else 0.0,
        duckdb=counted.seconds,
        totals=(read_total(after.body), datasette_total(theirs.body), counted.total),
    )


def _summarize(compared: Sequence[Compared], expressible: int) -> Figures:
    ours, theirs, duck = ([getattr(each, name) for each in compared]
                          for name in ("ours", "datasette", "duckdb"))  # fmt: skip
    return {
        "expressible": expressible,
        "ours": spread(ours),
        "datasette": spread(theirs),
        "whole": spread([each.whole for each in compared if each.whole]),
        "duckdb": spread(duck),
        "ratio_of_medians": median(theirs) / median(ours),
        "smallest_ratio": min(b / a for a, b in zip(ours, theirs, strict=True)),
        "duckdb_ratio": median(duck) / median(ours),
        "disagreements": [
            [each.path, *each.totals] for each in compared if len(set(each.totals)) > 1
        ],
    }


def goals(figures: Figures) -> Iterator[Goal]:
    yield Goal("images page, median", figures["pages"]["median_ms"], 25, " ms")
    yield Goal("images page, 95th percentile", figures["pages"]["p95_ms"], 40, " ms")
    if peers := figures.get("peers"):
        yield Goal("Datasette's time by ours", peers["ratio_of_medians"], 30, "×", at_least=True)


def describe(figures: Figures) -> Iterator[str]:
    yield (
        f"{figures['rows']['images']:,} images in {figures['rows']['profiles']:,} profiles. "
        f"{figures['sets']} filter sets, asked in {figures['rounds']} rounds over one kept "
        "connection, from before the request to after the last byte of the HTML: the client's "
        "time, so that the server's is a little less. No page and no count is kept between "
        "requests."
    )
    yield ""
    pages = figures["pages"]
    names = {"all": pages, "with a typed query": pages.get("query"),
             "without": pages.get("no_query")}  # fmt: skip
    yield from table(
        ("ms", "requests", "median", "95 %", "largest"),
        [(name, part["count"], *as_ms(part)) for name, part in names.items() if part],
    )
    if peers := figures.get("peers"):
        yield from _describe_peers(peers)
    yield from _describe_memory(figures)


def _describe_peers(peers: Figures) -> Iterator[str]:
    yield (
        f"{peers['ours']['count']} of the {peers['expressible']} sets that Datasette's addresses "
        "can ask, one program after the other set by set. Datasette gives its HTML page of 50 rows "
        "with the nine facets that have one value a row; the goal is held against that, although "
        f"ours has twelve. For {peers['whole']['count']} sets it is asked for the facets of lists "
        "(labels, tasks, tags), too. DuckDB only counts: the total and twelve bare GROUP BYs over "
        "a table in memory, no page, no rows."
    )
    yield ""
    whole_ratio = peers["whole"]["median_ms"] / peers["ours"]["median_ms"]
    times = {
        "medagg": (peers["ours"], 1.0),
        "Datasette, nine facets": (peers["datasette"], peers["ratio_of_medians"]),
        "Datasette, twelve facets": (peers["whole"], whole_ratio),
        "DuckDB, counts only": (peers["duckdb"], peers["duckdb_ratio"]),
    }
    yield from table(
        ("ms", "sets", "median", "95 %", "largest", "by ours"),
        [(name, part["count"], *as_ms(part), f"{short(ratio)}×")
         for name, (part, ratio) in times.items()],
    )  # fmt: skip
    count = len(peers["disagreements"])
    agree = "All three find the same number of images for each of them." if not count else (
        f"**For {count} of them the numbers of images differ**: {peers['disagreements'][:3]}"
    )  # fmt: skip
    yield f"{agree} The set on which Datasette comes closest: {short(peers['smallest_ratio'])}×."
    yield ""


def _describe_memory(figures: Figures) -> Iterator[str]:
    cold, reload = figures["cold"], figures["reload"]
    workers = ", ".join(f"{size / 1e6:.0f}" for size in figures["workers_after"])
    yield (
        f"The first page after a start, when a worker reads the profiles into memory, takes "
        f"{short(cold['first_page_s'])} s; the first one after a change of the largest dataset "
        f"{short(reload['after_change_ms'])} ms instead of {short(reload['unchanged_ms'])} ms. "
        f"A web worker then holds {workers} MB."
    )
    yield ""
