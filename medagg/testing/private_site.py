"""PostgreSQL, Redis and a worker of a test's own, whose servers it may kill and start again."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import environ
import psycopg2

from medagg.observing.worker_heartbeat import QUEUES
from medagg.runner.embedded import EmbeddedServers, database_url, redis_url
from medagg.runner.embedded.base_server import Server
from medagg.runner.embedded.logs import LogFile
from medagg.runner.supervisor import Process, beat_process, worker_process
from medagg.testing.environment import REPOSITORY
from medagg.testing.once import COMMAND_SECONDS, copy_migrated_postgres

PATIENCE_SECONDS = 90.0
OURS = ("DATABASE_URL", "REDIS_URL", "MEDAGG_", "PYTEST_", "DJANGO_")


class PrivateSite:
    """The servers of one data folder, and a worker on them; all else is up to the test."""

    def __init__(self, var: Path, **environment: str) -> None:
        self.var = var
        self._servers = EmbeddedServers(var)
        self._environment = environment
        self._processes: list[Process] = []

    # --- Starting ---
    def start(self) -> None:
        """Servers, the first time with an empty database of this version."""
        if not (self.var / "postgres").exists():
            copy_migrated_postgres(self.var)
        self._servers.start()

    def start_worker(self) -> None:
        self._start(
            worker_process(
                name="worker", queues=QUEUES, concurrency=1, log=LogFile(self.worker_log)
            )
        )

    def start_beat(self) -> None:
        """Celery's clock, without which nothing is swept."""
        log = LogFile(self.var / "log" / "beat.log")
        self._start(beat_process(log=log))

    def _start(self, process: Process) -> None:
        # Not added to our own: that names the servers of the whole test run.
        process.environment = self._variables()
        process.start(REPOSITORY)
        self._processes.append(process)

    def stop(self) -> None:
        for process in self._processes:
            process.stop(lambda: True)
        self._servers.stop()

    # --- Asking ---
    @property
    def worker_log(self) -> Path:
        return self.var / "log" / "worker.log"

    @property
    def archives(self) -> list[str]:
        """Names of all files beside the archives."""
        folder = self.var / "archives"
        return sorted(path.name for path in folder.iterdir()) if folder.exists() else []

    def manage(self, *arguments: str, given: str = "") -> str:
        """What `manage.py` prints; the test fails if it does."""
        result = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=REPOSITORY,
            env=self._variables(),
            input=given,
            capture_output=True,
            text=True,
            check=False,
            timeout=COMMAND_SECONDS,
        )
        if result.returncode:
            raise AssertionError(f"{arguments}: {result.stdout}{result.stderr}")
        return result.stdout

    def connect(self) -> Any:
        """A connection to the database, to be closed by the caller."""
        return connect(self.var)

    def query(self, statement: str) -> list[tuple]:
        """The rows of one statement."""
        with closing(self.connect()) as connection, connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def wait_for(self, condition: Callable[[], object], what: str) -> None:
        """Raises AssertionError with the end of the worker's log if it never holds."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            if time.monotonic() > deadline:
                log = self.worker_log.read_text() if self.worker_log.exists() else ""
                raise AssertionError(f"still waiting: {what}\n{log[-4000:]}")
            time.sleep(0.05)

    # --- Breaking ---
    def kill_redis(self) -> None:
        """At once, with all that it knew."""
        server = self._servers.servers[1]
        self._end(server, signal.SIGKILL, "valkey-server")
        shutil.rmtree(server.data)

    def start_redis(self) -> None:
        self._begin(self._servers.servers[1])

    def end_postgres(self, number: signal.Signals) -> None:
        """SIGQUIT: as a crash, with recovery; SIGINT: in an orderly way, but not waiting."""
        self._end(self._servers.servers[0], number, "postgres")

    def start_postgres(self) -> None:
        self._begin(self._servers.servers[0])

    def _end(self, server: Server, number: signal.Signals, name: str) -> None:
        for pid in _find_in(server.data, name):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        self.wait_for(lambda: not server.is_running(), f"the end of {server.title}")

    def _begin(self, server: Server) -> None:
        server.stop()
        server.launch()
        server.await_answer()

    def _variables(self) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(OURS)}
        return {
            **kept,
            "MEDAGG_ENV_FILE": os.devnull,
            "MEDAGG_VAR": str(self.var),
            "DATABASE_URL": database_url(self.var),
            "REDIS_URL": redis_url(self.var),
            **self._environment,
        }


def connect(var: Path) -> Any:
    """A connection to the database of the site below `var`, to be closed by the caller."""
    config = environ.Env.db_url_config(database_url(var))
    return psycopg2.connect(
        host=config["HOST"], port=config["PORT"], user=config["USER"], dbname=config["NAME"]
    )


def _find_in(data: Path, name: str) -> Iterator[int]:
    """Processes of a server's main program; PostgreSQL writes its own number down."""
    if name == "postgres":
        yield int((data / "postmaster.pid").read_text().split()[0])
        return
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (folder / "cwd").resolve() == data and name in (folder / "comm").read_text():
                yield int(folder.name)


@contextmanager
def private_site(**environment: str) -> Iterator[PrivateSite]:
    """A started site without a worker, in a folder that is gone afterwards."""
    # Not below pytest's folder: the name would be too long for a socket.
    with TemporaryDirectory(prefix="medagg-site-") as home:
        Path(home).chmod(0o755)
        site = PrivateSite(Path(home) / "var", **environment)
        try:
            site.start()
            yield site
        finally:
            site.stop()
