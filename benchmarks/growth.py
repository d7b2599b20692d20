"""The same pages over the real images several times, under new datasets."""

from argparse import Namespace
from collections.abc import Iterator

from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

from benchmarks.asking import (
    Asked,
    ask_in_turn,
    describe_asked,
    find_paths,
    measure_cold,
    measure_reload,
    visit,
)
from benchmarks.catalog_rows import count_rows, read_profiles, tidy
from benchmarks.figures import Figures, Goal, as_ms, short, table
from benchmarks.filter_sets import FilterSet, draw_filter_sets
from benchmarks.folder import GROWN, LOADED, Folder, say
from benchmarks.pages import SEED
from benchmarks.sites import start_medagg

TITLE = "Growth"
# With the real ones, four times as many.
COPIES = 3

# Every id is moved by a multiple of what is used, so that copies refer to one another as the
# originals do. {n} is the number of the copy; the steps are found before the first one.
_DATASETS = """
    INSERT INTO catalog_dataset ({columns})
    SELECT {values} FROM catalog_dataset WHERE id <= %(dataset_id)s
"""
_MANY = """
    INSERT INTO catalog_dataset_{name} (dataset_id, {term})
    SELECT dataset_id + %(n)s * %(dataset_id)s, {term}
      FROM catalog_dataset_{name} WHERE dataset_id <= %(dataset_id)s
"""
_ROWS = """
    INSERT INTO {table} ({columns}) SELECT {values} FROM {table} WHERE id <= %({id})s
"""
_STEPS = """
    SELECT (SELECT max(id) FROM catalog_dataset), (SELECT max(id) FROM catalog_imageprofile),
           (SELECT max(id) FROM catalog_image), (SELECT max(id) FROM catalog_imagelabel),
           (SELECT max(id) FROM catalog_profiletext)
"""
_STEP_NAMES = ("dataset_id", "profile_id", "image_id", "label_id", "text_id")
# By table: the columns whose numbers move, and with which table's step.
_TABLES = {
    "catalog_imageprofile": {"id": "profile_id", "dataset_id": "dataset_id"},
    "catalog_image": {"id": "image_id", "dataset_id": "dataset_id", "profile_id": "profile_id"},
    "catalog_imagelabel": {"id": "label_id", "image_id": "image_id"},
    "catalog_profiletext": {"id": "text_id", "profile_id": "profile_id"},
}
_TERMS = {"other_areas": "anatomicalarea_id", "modalities": "modality_id",
          "task_types": "tasktype_id", "labels": "label_id", "tags": "tag_id"}  # fmt: skip


def grow(connection: Connection, *, copies: int) -> None:
    """Adds ``copies`` of each dataset with its images, labels and profiles."""
    with connection.cursor() as cursor:
        cursor.execute(_STEPS)
        steps = dict(zip(_STEP_NAMES, cursor.fetchone(), strict=True))
        for n in range(1, copies + 1):
            say(f"  copy {n} of {copies}")
            _copy_all(connection, {**steps, "n": n})


def _copy_all(connection: Connection, steps: dict[str, int]) -> None:
    moved = {"id": "dataset_id"}
    special = {"slug": "left(slug, 70) || '-copy-' || %(n)s"}
    _run(connection, _DATASETS, "catalog_dataset", moved, special, steps)
    with connection.cursor() as cursor:
        for name, term in _TERMS.items():
            cursor.execute(_MANY.format(name=name, term=term), steps)
        # The rows are made so that all foreign keys are valid.
        cursor.execute("SET session_replication_role = replica")
        for table_name, columns in _TABLES.items():
            _run(connection, _ROWS, table_name, columns, {}, steps)
        cursor.execute("SET session_replication_role = origin")


def _run(
    connection: Connection,
    statement: str,
    table_name: str,
    moved: dict[str, str],
    special: dict[str, str],
    steps: dict[str, int],
) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0"
            " AND NOT attisdropped AND attgenerated = '' ORDER BY attnum",
            [table_name],
        )
        names = [row[0] for row in cursor]
        values = special | {name: f"{name} + %(n)s * %({step})s" for name, step in moved.items()}
        text = statement.format(
            table=table_name,
            id=moved["id"],
            columns=", ".join(names),
            values=", ".join(values.get(name, name) for name in names),
        )
        cursor.execute(text, steps)


def measure(folder: Folder, options: Namespace) -> Figures:
    folder.need_database(LOADED)
    with folder.connect(LOADED) as connection:
        tidy(connection)
        small = count_rows(connection)
        profiles = read_profiles(connection)
    large = _make_grown(folder, small["images"] * (COPIES + 1))
    filter_sets = draw_filter_sets(profiles, count=options.sets, seed=SEED)
    figures = {"small": small, "large": large, "rounds": options.rounds}
    return figures | _measure_both(folder, filter_sets, options.rounds)


def _make_grown(folder: Folder, wanted: int) -> Figures:
    """The counts of the grown database, which is created unless an earlier run has created it."""
    if folder.has_database(GROWN):
        with folder.connect(GROWN) as connection:
            counts = count_rows(connection)
            if counts["images"] == wanted:
                return counts
    folder.make_database(GROWN, template=LOADED)
    with folder.connect(GROWN) as connection:
        grow(connection, copies=COPIES)
        tidy(connection)
        return count_rows(connection)


def _measure_both(folder: Folder, filter_sets: list[FilterSet], rounds: int) -> Figures:
    sides: dict[str, Figures]
    with start_medagg(folder, LOADED) as small, start_medagg(folder, GROWN) as large:
        sites = {LOADED: small, GROWN: large}
        cold = {name: measure_cold(site) for name, site in sites.items()}
        visitors = [visit(site) for site in sites.values()]
        pages = [Asked(find_paths(visitor, filter_sets)) for visitor in visitors]
        say(f"  {len(filter_sets)} filter sets, {rounds} times each, both sites in turn")
        ask_in_turn(visitors, pages, rounds=rounds)
        sides = {
            name: {
                "cold": cold[name],
                "pages": describe_asked(asked),
                "reload": measure_reload(folder, name, site),
                "workers_after": site.worker_bytes(),
            }
            for (name, site), asked in zip(sites.items(), pages, strict=True)
        }
        for visitor in visitors:
            visitor.close()
    medians = [sides[name]["pages"]["median_ms"] for name in (LOADED, GROWN)]
    return {"sides": sides, "ratio": medians[1] / medians[0]}


def goals(figures: Figures) -> Iterator[Goal]:
    times = figures["large"]["images"] / figures["small"]["images"]
    yield Goal(f"images page at {times:.0f} times the images", figures["ratio"], 1.3, "×")


def describe(figures: Figures) -> Iterator[str]:
    yield (
        f"The same filter sets, asked in turn of two sites: one with the real images, one with "
        f"{figures['large']['images']:,} images in {figures['large']['profiles']:,} profiles "
        f"({figures['large']['bytes'] / 1e9:.1f} GB), where each dataset stands "
        f"{COPIES + 1} times under names of its own."
    )
    yield ""
    rows = []
    for name, title in ((LOADED, "small"), (GROWN, "large")):
        side = figures["sides"][name]
        rows.append(
            (
                f"{figures[title]['images']:,}",
                *as_ms(side["pages"]),
                f"{short(side['cold']['first_page_s'])} s",
                f"{short(side['reload']['after_change_ms'])} ms",
                f"{max(side['workers_after']) / 1e6:.0f} MB",
            )
        )
    yield from table(
        ("images", "median ms", "95 % ms", "largest ms", "first page", "page after a change",
         "largest worker"),
        rows,
    )  # fmt: skip
