"""Where the embedded servers keep their files, and the URLs under which they are reached.

All of it follows from the data folder alone, so that every process finds the servers without
asking anybody. The servers listen on Unix sockets only.
"""

import hashlib
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from medagg.runner.embedded.errors import EmbeddedError

DATABASE_NAME = "medagg"
DATABASE_USER = "medagg"
# Only a part of the socket's file name: nothing listens on TCP.
POSTGRES_PORT = 5432

# sun_path holds 108 bytes with the final NUL on Linux, 104 on macOS.
LONGEST_SOCKET_PATH = 103
# libpq reads a comma as the end of a host name; the rest is left out to be safe in URLs, in
# postgresql.conf syntax and in redis.conf syntax.
PLAIN_PATH = re.compile(r"/[\w/ .+=@~()\[\]-]*")


@dataclass(frozen=True)
class Places:
    """The folders and files of one data folder's servers. Nothing is created by asking."""

    var: Path

    @property
    def run(self) -> Path:
        """Locks, and usually the sockets."""
        return self.var / "run"

    @property
    def log(self) -> Path:
        return self.var / "log"

    @property
    def socket_home(self) -> Path:
        """`var/run` where a socket can live there, else a folder in /tmp named after `var`."""
        longest = self.run / "postgres" / f".s.PGSQL.{POSTGRES_PORT}"
        fits = len(os.fsencode(longest)) <= LONGEST_SOCKET_PATH
        if fits and PLAIN_PATH.fullmatch(str(longest)):
            return self.run
        digest = hashlib.sha256(os.fsencode(self.var)).hexdigest()[:16]
        # Not tempfile.gettempdir(): TMPDIR may differ between two processes of one clone. `create`
        # refuses a folder that somebody else made.
        return Path("/tmp") / f"medagg-{os.geteuid()}-{digest}"  # noqa: S108 - see above  # nosec

    @property
    def postgres_sockets(self) -> Path:
        return self.socket_home / "postgres"

    @property
    def redis_socket(self) -> Path:
        return self.socket_home / "redis" / "redis.sock"

    def create(self) -> None:
        """Makes the folders that medagg itself owns.

        Raises EmbeddedError if that is not possible, or if the socket folder in /tmp is not ours.
        """
        # A server under another account has to pass through, but needs to list nothing.
        mode = 0o711 if os.geteuid() == 0 else 0o700
        try:
            _make_folder(self.var, mode)
            _make_folder(self.log, 0o700)
            for folder in {self.run, self.socket_home}:
                _make_folder(folder, mode)
            if self.socket_home != self.run:
                _check_is_ours(self.socket_home)
        except OSError as error:
            raise EmbeddedError(f"cannot write to {self.var}: {error.strerror}") from error


def _make_folder(folder: Path, mode: int) -> None:
    """One that is there keeps its permissions, a new one has these, whatever the umask."""
    is_new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    if is_new:
        folder.chmod(mode)


def _check_is_ours(folder: Path) -> None:
    """In /tmp anybody may have been first: a link or another user's folder must not be used."""
    status = folder.lstat()
    ours = stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid()
    if not ours or stat.S_IMODE(status.st_mode) & 0o022:
        raise EmbeddedError(
            f"{folder} belongs to another user or can be written by others; remove it first"
        )


def places_in(var_dir: Path) -> Places:
    """The places for the data folder `var_dir`, which need not exist."""
    return Places(var_dir.resolve())


def database_url(var_dir: Path, name: str = DATABASE_NAME) -> str:
    """The URL of a database in the embedded PostgreSQL, as django-environ's `db_url` reads it.

    The socket folder stands in the path, because urllib would turn a host to lower case.
    """
    folder = quote(str(places_in(var_dir).postgres_sockets))
    return f"postgres://{DATABASE_USER}@:{POSTGRES_PORT}/{folder}/{quote(name)}"


def redis_url(var_dir: Path, database: int = 0) -> str:
    """The URL of the embedded Redis, in the form that redis-py's `from_url` reads."""
    return f"unix://{quote(str(places_in(var_dir).redis_socket))}?db={database}"


def celery_broker_url(redis_url: str) -> str:
    """The same Redis as kombu writes it: `unix://` becomes `redis+socket://`, the rest stays."""
    parts = urlsplit(redis_url)
    if parts.scheme != "unix":
        return redis_url
    query = dict(parse_qsl(parts.query))
    query["virtual_host"] = query.pop("db", "0")
    # Not geturl(): it drops the two slashes of a scheme that urllib does not know.
    return f"redis+socket://{parts.netloc}{parts.path}?{urlencode(query)}"
