"""Pages while others download: beside twenty throttled clients, and beside twenty fast ones."""

import http.client
import json
import os
import re
import shutil
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.figures import Figures, Goal, as_ms, short, spread, table
from benchmarks.folder import REPOSITORY, Folder, say
from benchmarks.processes import run_measured
from benchmarks.sites import WORKERS, SiteError, await_text, started
from medagg.testing.nginx_process import NginxFailedError, run_nginx

TITLE = "Pages beside downloads"
DATABASE = "downloads"
DOWNLOADS = 20
RATE = 2_000_000
ARCHIVE_BYTES = 2 * 10**9
# Signed in: pages of both catalogs, and one that is the user's own.
PAGES = ("/images/", "/datasets/", "/images/?sex=F", "/collections/")
WARM_UP_PAGES = 40
PAGES_A_TURN = 60
# Until the servers' buffers are full, and all clients wait for the server or for their limit.
SETTLE_SECONDS = 1.0
COOKIE = "benchmark_session"
SERVER_FOLDERS = "/usr/local/sbin:/usr/sbin"
_ADDRESS = re.compile(r"Site\s+(http://\S+)")
TURNS = {"alone": None, "throttled": RATE, "fast": 0}


@dataclass(frozen=True, slots=True)
class Way:
    """A running site as a signed-in user reaches it."""

    host: str
    port: int
    path: str
    cookie: str
    # Of `up`.
    pid: int

    def get(self, page: str) -> float:
        """Seconds for a page on a connection of its own. Raises SiteError unless it is one."""
        start = time.perf_counter()
        connection = http.client.HTTPConnection(self.host, self.port, timeout=60)
        try:
            connection.request("GET", page, headers={"Cookie": self.cookie})
            response = connection.getresponse()
            body = response.read()
        finally:
            connection.close()
        if response.status != http.HTTPStatus.OK:
            raise SiteError(f"{page} answers {response.status}:\n{body[:500]!r}")
        return time.perf_counter() - start


def measure(folder: Folder, options: Namespace) -> Figures:
    folder.make_database(DATABASE)
    environment = folder.environment(DATABASE)
    program = find_nginx()
    figures: Figures = {"downloads": DOWNLOADS, "rate": RATE, "workers": WORKERS, "ways": {}}
    try:
        with served(folder, environment, name=DATABASE) as way:
            figures["ways"]["gunicorn alone"] = _measure_way(way, options.rounds)
        if program:
            with (
                served(
                    folder,
                    environment | {"X_ACCEL_PREFIX": "/protected/"},
                    name=f"{DATABASE}-nginx",
                ) as way,
                _behind(folder, program, way) as front,
            ):
                figures["ways"]["behind nginx"] = _measure_way(front, options.rounds)
    finally:
        archive_root(environment).joinpath("benchmark.zip").unlink(missing_ok=True)
    return figures


def find_nginx() -> str | None:
    """The path of nginx, also if it is in a folder that is not in the user's PATH."""
    return shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:{SERVER_FOLDERS}")


def archive_root(environment: Mapping[str, str]) -> Path:
    return Path(environment["MEDAGG_VAR"]) / "archives"


@contextmanager
def served(folder: Folder, environment: Mapping[str, str], *, name: str) -> Iterator[Way]:
    """medagg with its demo data, as `up` serves it, and the archive of one of its users.

    ``name`` is for the logs.
    """
    # Else its name has the port in it.
    environment = {**environment, "SESSION_COOKIE_NAME": COOKIE}
    command = [sys.executable, "manage.py", "up", "--port", "0", "--workers", str(WORKERS)]
    log = folder.logs / f"up-{name}.log"
    with started(command, environment, log) as process:
        address = urlsplit(await_text(log, _ADDRESS, process))
        log = folder.logs / f"{name}-prepare.log"
        command = [sys.executable, "-m", "benchmarks.download_inside", str(ARCHIVE_BYTES)]
        prepared = run_measured(command, environment=environment, log=log).log.splitlines()[-1]
        yield Way(
            address.hostname or "", address.port or 0, **json.loads(prepared), pid=process.pid
        )


@contextmanager
def _behind(folder: Folder, program: str, way: Way) -> Iterator[Way]:
    place = folder.var / "nginx"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    server = run_nginx(
        program=program,
        upstream=f"{way.host}:{way.port}",
        archive_root=archive_root(folder.environment(DATABASE)),
        folder=place,
    )
    try:
        with server as running:
            yield Way("127.0.0.1", running.port, way.path, way.cookie, way.pid)
    except NginxFailedError as error:
        raise SiteError(f"nginx does not run:\n{error}") from error


def _measure_way(way: Way, rounds: int) -> Figures:
    """In turn, so that noise affects all alike: alone, beside slow and beside fast clients."""
    for number in range(WARM_UP_PAGES):
        way.get(PAGES[number % len(PAGES)])
    seconds: dict[str, list[float]] = {name: [] for name in TURNS}
    speeds: dict[str, list[float]] = {name: [] for name in TURNS}
    for _ in range(rounds):
        for name, rate in TURNS.items():
            with downloading(way, rate, DOWNLOADS) as speed:
                seconds[name] += [
                    way.get(PAGES[number % len(PAGES)]) for number in range(PAGES_A_TURN)
                ]
            speeds[name] += speed
    figures: Figures = {name: spread(each) for name, each in seconds.items()}
    for name, each in speeds.items():
        figures[name]["bytes_a_second"] = sum(each) / len(each) if each else 0
    quiet = figures["alone"]["median_ms"]
    say(f"  median {quiet:.1f} ms alone, {figures['throttled']['median_ms']:.1f} ms beside "
        f"throttled, {figures['fast']['median_ms']:.1f} ms beside fast downloads")  # fmt: skip
    return figures


@contextmanager
def downloading(way: Way, rate: int | None, count: int) -> Iterator[list[float]]:
    """Clients for as long as the block runs; then the list has their bytes a second together."""
    speed: list[float] = []
    if rate is None:
        yield speed
        return
    command = [sys.executable, "-m", "benchmarks.download_clients"]
    clients = subprocess.Popen(
        command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    # For the type checker.
    assert clients.stdin is not None  # noqa: S101
    assert clients.stdout is not None  # noqa: S101
    with clients:
        wanted = {"host": way.host, "port": way.port, "path": way.path, "cookie": way.cookie,
                  "count": count, "rate": rate}  # fmt: skip
        clients.stdin.write(json.dumps(wanted) + "\n")
        clients.stdin.flush()
        if clients.stdout.readline().strip() != "ready":
            raise SiteError(f"the {count} downloads could not begin")
        time.sleep(SETTLE_SECONDS)
        yield speed
        clients.stdin.close()
        report = clients.stdout.read()
    if not report:
        raise SiteError("the downloads broke off while pages were measured")
    report = json.loads(report)
    speed.append(report["bytes"] / report["seconds"])


def goals(figures: Figures) -> Iterator[Goal]:
    for name, way in figures["ways"].items():
        ratio = way["throttled"]["median_ms"] / way["alone"]["median_ms"]
        yield Goal(f"page beside {DOWNLOADS} throttled downloads, {name}", ratio, 1.3, "×")


def describe(figures: Figures) -> Iterator[str]:
    yield (
        f"Pages of a signed-in user on the demo catalog, each on a connection of its own, from "
        f"{figures['workers']} processes. Meanwhile {figures['downloads']} clients download an "
        f"archive of {ARCHIVE_BYTES / 1e9:.0f} GB, throttled to {figures['rate'] / 1e6:.0f} MB/s "
        "each, or as fast as this machine sends and takes it: servers, clients and the "
        "measurement share its cores."
    )
    yield ""
    for name, way in figures["ways"].items():
        yield from _describe_way(name, way)
    if "behind nginx" not in figures["ways"]:
        yield "There was no nginx to put in front."
        yield ""


def _describe_way(name: str, way: Figures) -> Iterator[str]:
    quiet = way["alone"]["median_ms"]
    yield from table(
        (f"ms, {name}", "pages", "median", "95 %", "largest", "by alone", "sent, MB/s"),
        [
            (title, way[turn]["count"], *as_ms(way[turn]),
             f"{short(way[turn]['median_ms'] / quiet)}×",
             short(way[turn]["bytes_a_second"] / 1e6))
            for turn, title in {"alone": "no download", "throttled": "throttled downloads",
                                "fast": "fast downloads"}.items()
        ],
    )  # fmt: skip
