"""What the two embedded servers have in common: started once, shared, stopped by the last user."""

import os
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from medagg.runner.embedded.account import Account, choose_account, make_private
from medagg.runner.embedded.errors import EmbeddedError
from medagg.runner.embedded.keeper import Order, start_keeper
from medagg.runner.embedded.launch import launch_command
from medagg.runner.embedded.locks import EXCLUSIVE, SHARED, is_locked, open_lock, try_lock
from medagg.runner.embedded.logs import LogFile
from medagg.runner.embedded.places import Places

# Recovery after a power failure may take this long.
START_SECONDS = 180.0
# How long a server may take to write all down before it is told more harshly.
STOP_SECONDS = 60.0
# A server that still runs this long after its last user left has found a new one.
HANDOVER_SECONDS = 2.0
POLL_SECONDS = 0.02


class Server(ABC):
    """One server of one data folder, as seen by one process that uses it."""

    name: ClassVar[str]
    title: ClassVar[str]
    # The signals that end it, each harsher than the one before.
    stop_signals: ClassVar[Sequence[signal.Signals]]

    def __init__(self, places: Places, *, throwaway: bool = False) -> None:
        self.places = places
        # Nothing of a throw-away server outlives its last user, so it need not be written safely.
        self.throwaway = throwaway
        self._users_lock: int | None = None
        self._user_pid = 0
        self._keeper: subprocess.Popen | None = None

    @property
    def data(self) -> Path:
        return self.places.var / self.name

    @cached_property
    def log(self) -> LogFile:
        return LogFile(self.places.log / f"{self.name}.log")

    @cached_property
    def account(self) -> Account | None:
        """Whose process the server is; None: ours. Raises EmbeddedError."""
        return choose_account(self.data)

    @property
    @abstractmethod
    def socket_folder(self) -> Path:
        """Where the server makes its socket, and nobody else makes anything."""

    @abstractmethod
    def prepare(self, lock: int) -> None:
        """Makes the data folder ready; called when no process of this server is alive.

        Programs that write there inherit the descriptor `lock`. Raises EmbeddedError.
        """

    @abstractmethod
    def command(self) -> list[str]:
        """The server's argument list, the program's path first."""

    @abstractmethod
    def answers(self) -> bool:
        """Whether a client is served now."""

    def is_running(self) -> bool:
        """Whether any process of the server is alive; it may be starting or stopping."""
        return is_locked(self._server_file)

    def launch(self) -> None:
        """Makes this process a user, and starts the server unless it runs; `await_answer` next.

        Raises EmbeddedError. Does nothing if this process is a user already.
        """
        if self._users_lock is not None:
            return
        self.places.create()
        self._users_lock = self._join_users()
        self._user_pid = os.getpid()
        self._launch_if_free()

    def await_answer(self) -> None:
        """Returns as soon as the server answers. Raises EmbeddedError if it does not come up."""
        deadline = time.monotonic() + START_SECONDS
        while not self.answers():
            if self._keeper and self._keeper.poll() is not None:
                raise self._trouble("did not start")
            if time.monotonic() > deadline:
                raise self._trouble(f"gave no answer within {START_SECONDS:.0f} seconds")
            # Whoever was starting it may have been killed; then it is up to us.
            if not self._keeper:
                self._launch_if_free()
            time.sleep(POLL_SECONDS)

    def stop(self) -> None:
        """Ends this process' use. If it was the last one, returns when the server is gone."""
        # A forked child shares the lock, but must not give it up for its parent.
        if self._users_lock is None or os.getpid() != self._user_pid:
            return
        # A conversion lets go for a moment, in which the keeper may take the lock.
        last = try_lock(self._users_lock, EXCLUSIVE) or not try_lock(self._users_lock, SHARED)
        os.close(self._users_lock)
        self._users_lock = None
        if last:
            self._await_end()
        self._keeper = None

    @property
    def _users_file(self) -> Path:
        return self.places.run / f"{self.name}.users"

    @property
    def _server_file(self) -> Path:
        return self.places.run / f"{self.name}.server"

    def _join_users(self) -> int:
        """The users' lock, held shared. Waits while the server is being stopped."""
        descriptor = open_lock(self._users_file)
        deadline = time.monotonic() + STOP_SECONDS * len(self.stop_signals)
        while not try_lock(descriptor, SHARED):
            if time.monotonic() > deadline:
                os.close(descriptor)
                raise self._trouble("is being stopped and does not end")
            time.sleep(POLL_SECONDS)
        return descriptor

    def _launch_if_free(self) -> None:
        lock = open_lock(self._server_file)
        try:
            if try_lock(lock, EXCLUSIVE):
                make_private(self.socket_folder, self.account)
                self.prepare(lock)
                self._start_keeper(lock)
        except OSError as error:
            raise EmbeddedError(
                f"cannot start {self.title} in {self.data}: {error.strerror}"
            ) from error
        finally:
            os.close(lock)

    def _start_keeper(self, lock: int) -> None:
        removed = [self.places.var, self.places.socket_home] if self.throwaway else []
        order = Order(
            command=self.launched(self.command(), self.data),
            users_lock=str(self._users_file),
            server_lock=lock,
            stop_signals=[(int(number), STOP_SECONDS) for number in self.stop_signals],
            remove=[str(folder) for folder in removed],
        )
        with self.log.open() as log:
            self._keeper = start_keeper(self.name, order, environment=self.environment(), log=log)

    def launched(self, command: list[str], data: Path) -> list[str]:
        """`command` as the account for `data` runs it, ending with the process that starts it."""
        return launch_command(
            command,
            parent_death_signal=self.stop_signals[0],
            account=self.account.ids if self.account else None,
            reach=[Path(command[0]), data, self.socket_folder],
        )

    def environment(self) -> dict[str, str]:
        """Ours without what would change the server, and with messages in English."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith("PG")}
        return {**kept, "LC_ALL": "C"}

    def _await_end(self) -> None:
        handover = time.monotonic() + HANDOVER_SECONDS
        deadline = time.monotonic() + STOP_SECONDS * len(self.stop_signals)
        while self.is_running() and time.monotonic() < deadline:
            if time.monotonic() > handover and not is_locked(self._users_file):
                return
            time.sleep(POLL_SECONDS)
        if self._keeper:
            self._keeper.wait(timeout=STOP_SECONDS)

    def _trouble(self, what: str) -> EmbeddedError:
        return EmbeddedError(f"{self.title} {what}.\n{self.log.describe_end()}")
