"""PostgreSQL and Redis together, as the programs of medagg use them."""

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from medagg.runner.embedded.base_server import Server
from medagg.runner.embedded.errors import EmbeddedError
from medagg.runner.embedded.places import places_in
from medagg.runner.embedded.postgres_server import PostgresServer
from medagg.runner.embedded.redis_server import RedisServer


class EmbeddedServers:
    """The servers of one data folder. They run from the first `start` to the last `stop`.

    Any number of processes may use them at a time. A process that dies without `stop`, even by
    kill -9, counts as gone.
    """

    def __init__(
        self, var_dir: Path, *, postgres: bool = True, redis: bool = True, throwaway: bool = False
    ) -> None:
        places = places_in(var_dir)
        self.servers: list[Server] = []
        if postgres:
            self.servers.append(PostgresServer(places, throwaway=throwaway))
        if redis:
            self.servers.append(RedisServer(places, throwaway=throwaway))

    @classmethod
    def not_configured_in(cls, environment: Mapping[str, str], var_dir: Path) -> Self:
        """Those for which `environment` names no server by DATABASE_URL or REDIS_URL."""
        return cls(
            var_dir,
            postgres=not environment.get("DATABASE_URL"),
            redis=not environment.get("REDIS_URL"),
        )

    def start(self) -> None:
        """Returns when all serve. Raises EmbeddedError, and then this process uses none."""
        try:
            for server in self.servers:
                server.launch()
            for server in self.servers:
                server.await_answer()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Ends this process' use; those that nobody else uses are gone on return."""
        for server in reversed(self.servers):
            server.stop()

    def check(self) -> None:
        """Raises EmbeddedError with the end of the log if one of them has gone."""
        for server in self.servers:
            if not server.is_running():
                raise EmbeddedError(f"{server.title} has ended.\n{server.log.describe_end()}")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
