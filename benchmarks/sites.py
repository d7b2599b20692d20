"""Web sites and clients that request pages like a browser: medagg as `manage.py up` serves it."""

import http.client
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import psutil  # type: ignore[import-untyped,import-not-found,unused-ignore]

from benchmarks.folder import REPOSITORY, Folder

WORKERS = 2
TIMEOUT_SECONDS = 300.0
STOP_SECONDS = 60.0
# The web servers disconnect a client that is silent for two seconds.
IDLE_SECONDS = 1.0
_ADDRESS = re.compile(r"Site\s+(http://\S+)")


class SiteError(Exception):
    """A site did not start, or did not answer with a page."""


@dataclass(frozen=True, slots=True)
class Answer:
    """``seconds`` from before the request to after the last byte of the body."""

    seconds: float
    body: str


@dataclass
class Visitor:
    """One client on one connection that is kept; ``warm_up`` is asked before each new one counts.

    The web server has several processes, and a connection stays with one of them: what that
    process does only once must not be in a figure.
    """

    address: str
    warm_up: Sequence[str]
    _connection: http.client.HTTPConnection | None = None
    _last: float = field(default=0.0)

    def get(self, path: str) -> Answer:
        """Asks for a page. Raises SiteError unless the status is 200."""
        if self._connection is None or time.monotonic() - self._last > IDLE_SECONDS:
            self.connect()
            for each in self.warm_up:
                self._ask(each)
        return self._ask(path)

    def connect(self) -> None:
        self.close()
        parts = urlsplit(self.address)
        self._connection = http.client.HTTPConnection(
            parts.hostname or "", parts.port, timeout=TIMEOUT_SECONDS
        )
        self._connection.connect()
        self._last = time.monotonic()

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _ask(self, path: str) -> Answer:
        assert self._connection is not None  # noqa: S101 - tells the type checker
        start = time.perf_counter()
        self._connection.request("GET", path)
        response = self._connection.getresponse()
        body = response.read()
        seconds = time.perf_counter() - start
        self._last = time.monotonic()
        if response.status != http.HTTPStatus.OK:
            raise SiteError(f"{self.address}{path} answers {response.status}:\n{body[:500]!r}")
        return Answer(seconds, body.decode())


@dataclass
class Site:
    """A running medagg."""

    address: str
    pid: int

    def worker_bytes(self) -> list[int]:
        """Resident memory of each web worker, in bytes."""
        children = psutil.Process(self.pid).children(recursive=True)
        web = [each for each in children if "medagg.wsgi" in each.cmdline()]
        pids = {each.pid for each in web}
        return [each.memory_info().rss for each in web if each.ppid() in pids]


@contextmanager
def start_medagg(folder: Folder, database: str) -> Iterator[Site]:
    """medagg on a database of the folder, as in production: ``WORKERS`` processes for pages."""
    command = [
        sys.executable, "manage.py", "up", "--no-demo", "--port", "0", "--workers", str(WORKERS),
    ]  # fmt: skip
    log = folder.logs / f"up-{database}.log"
    with started(command, folder.environment(database), log) as process:
        found = await_text(log, _ADDRESS, process)
        yield Site(found.rstrip("/"), process.pid)


@contextmanager
def started(
    command: Sequence[str], environment: dict[str, str], log: Path
) -> Iterator[subprocess.Popen]:
    """A program that runs until the block ends."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env=environment, cwd=REPOSITORY
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def await_text(log: Path, pattern: re.Pattern[str], process: subprocess.Popen) -> str:
    """The first group of the pattern, once the log has it. Raises SiteError if it never does."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while True:
        text = log.read_text(encoding="utf-8", errors="replace")
        if found := pattern.search(text):
            return found[1]
        if process.poll() is not None or time.monotonic() > deadline:
            raise SiteError(f"the site did not start:\n{text[-2000:]}")
        time.sleep(0.1)
