"""Archives in object storage: ours from claim to ready, and bare uploads of that ZIP, in turn."""

import hashlib
import os
import shutil
import sys
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.archive_files import FileSet, warm_up
from benchmarks.archives import rotate, summarize
from benchmarks.collection_site import CollectionSite, prepare_site, read_figures
from benchmarks.figures import Figures, Goal, short, table
from benchmarks.folder import Folder, passed_on, say
from benchmarks.high_water import HighWater
from benchmarks.processes import ProgramFailedError, run_measured
from medagg.testing.s3 import started_s3

TITLE = "Archives in object storage"
DATABASE = "uploads"
BUCKET = "bench-archives"
OURS, BOTO3, S5CMD = "medagg", "boto3", "s5cmd"
SETS = {
    "300 KB": FileSet("bench-up-300-kb", count=400, size=300_000),
    "30 MB": FileSet("bench-up-30-mb", count=4, size=30_000_000),
}
# By the faster of the two uploads.
GOAL = 1.3
KEYS = {"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench", "AWS_REGION": "us-east-1"}


def measure(folder: Folder, options: Namespace) -> Figures:
    """Each set: in each round all, to a server that is started for it."""
    sets = {name: files.part(options.archive_percent) for name, files in SETS.items()}
    site = prepare_site(folder, DATABASE, list(sets.values()))
    with started_s3() as server:
        server.client.create_bucket(Bucket=BUCKET)
        return {
            "rounds": options.archive_rounds,
            "sets": {
                name: _measure_set(site, server.client, files, options.archive_rounds)
                for name, files in sets.items()
            },
        }


def _measure_set(site: CollectionSite, client: Any, files: FileSet, rounds: int) -> Figures:
    # Not through the proxy of the tests, which would be what is measured.
    endpoint = client.meta.endpoint_url
    there = replace(
        site,
        settings={
            "ARCHIVE_STORAGE": f"s3://{BUCKET}/medagg",
            "ARCHIVE_S3_ENDPOINT": endpoint,
            "ARCHIVE_S3_ACCESS_KEY_ID": "bench",
            "ARCHIVE_S3_SECRET_ACCESS_KEY": "bench",
        },
    )
    frozen = site.run_step("freeze", f"dataset={files.slug}", f"Benchmark of {files.slug}")
    key = str(frozen["id"])
    zipped = site.folder.var / "upload.zip"
    try:
        shutil.move(site.run_step("build", key)["path"], zipped)
        turns = {
            OURS: lambda: _run_ours(there, client, key, zipped),
            BOTO3: lambda: _run_boto3(site, client, endpoint, zipped),
            S5CMD: lambda: _run_s5cmd(site, client, endpoint, zipped),
        }
        kept: dict[str, list[Figures]] = {name: [] for name in turns}
        for number in range(rounds):
            for name in rotate(list(turns), number):
                warm_up(site.home(files))
                kept[name].append(turns[name]())
        size = zipped.stat().st_size
    finally:
        zipped.unlink(missing_ok=True)
    site.run_step("delete", key)
    programs = {name: summarize(runs) for name, runs in kept.items()}
    for name, program in programs.items():
        say(f"  {files.slug}, {name}: {program['median_s']:.2f} s")
    return {"count": files.count, "bytes": size, "programs": programs}


def _run_ours(there: CollectionSite, client: Any, key: str, zipped: Path) -> Figures:
    """Build it again, into the bucket, and look whether it is the same archive."""
    built = there.run_step("rebuild", key)
    where = {"Bucket": BUCKET, "Key": f"medagg/{built['name']}"}
    digest = hashlib.sha256()
    for block in client.get_object(**where)["Body"].iter_chunks(1 << 20):
        digest.update(block)
    if digest.hexdigest() != hashlib.sha256(zipped.read_bytes()).hexdigest():
        raise ProgramFailedError(f"{OURS} has uploaded other bytes than it writes to a disk")
    client.delete_object(**where)
    return built


def _run_boto3(site: CollectionSite, client: Any, endpoint: str, zipped: Path) -> Figures:
    words = [str(zipped), endpoint, BUCKET, "peer.zip"]
    run = _run_peer(site, client, [sys.executable, "-m", "benchmarks.upload_peer", *words], zipped)
    # Without the start of Python, as ours.
    return run | read_figures(run.pop("log"))


def _run_s5cmd(site: CollectionSite, client: Any, endpoint: str, zipped: Path) -> Figures:
    words = ["--endpoint-url", endpoint, "cp", str(zipped), f"s3://{BUCKET}/peer.zip"]
    return _run_peer(site, client, ["s5cmd", *words], zipped)


def _run_peer(site: CollectionSite, client: Any, command: list[str], zipped: Path) -> Figures:
    zipped.read_bytes()  # into the page cache, as the files are
    bin_folder = str(Path(sys.executable).parent)
    environment = passed_on() | KEYS
    environment["PATH"] = f"{bin_folder}{os.pathsep}{environment.get('PATH', '')}"
    log = site.folder.logs / "upload-peer.log"
    with HighWater() as water:
        run = run_measured(command, environment=environment, log=log, watched=False)
    found = client.head_object(Bucket=BUCKET, Key="peer.zip")["ContentLength"]
    if found != zipped.stat().st_size:
        raise ProgramFailedError(f"{command[0]} has uploaded {found:,} bytes")
    client.delete_object(Bucket=BUCKET, Key="peer.zip")
    return {
        "seconds": run.seconds,
        "log": run.log,
        "peak_bytes": water.peak,
        "archive_bytes": found,
    }


def goals(figures: Figures) -> Iterator[Goal]:
    for name, each in figures["sets"].items():
        programs = each["programs"]
        bare = min(programs[name]["median_s"] for name in (BOTO3, S5CMD))
        ratio = programs[OURS]["median_s"] / bare
        what = f"archive of {each['count']:,} files of {name} into S3 by its upload alone"
        yield Goal(what, ratio, GOAL, "×")


def describe(figures: Figures) -> Iterator[str]:
    yield (
        f"{figures['rounds']} rounds, in each all three once, to the S3 server of the tests (moto) "
        "on the same machine. Ours is the whole build, from before the claim to after ready, its "
        "files read and their parts uploaded as they are written; the bytes are compared each "
        "time. The others upload the finished ZIP in parts, with their own settings: boto3 from "
        "an open client to the object, s5cmd from its start to its end. The goal is by the faster "
        "of them."
    )
    yield ""
    rows = []
    for name, each in figures["sets"].items():
        for program, found in each["programs"].items():
            rows.append(
                (
                    f"{each['count']:,} files of {name}, {program}",
                    f"{short(found['median_s'])} s",
                    f"{short(found['best_s'])} s",
                    f"{short(each['bytes'] / 1e6 / found['median_s'])} MB/s",
                    f"{found['peak_bytes'] / 1e6:.0f} MB",
                )
            )
    yield from table(("", "median", "best", "speed", "memory"), rows)
