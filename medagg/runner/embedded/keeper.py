"""Keeps one server running for as long as any process uses it.

Run as a script, `python -I keeper.py NAME`, with the JSON of `Order` as its standard input. It
imports nothing of medagg. A user of the server holds the file `users_lock` locked (shared); the
kernel drops that lock when the user ends, even by kill -9. The keeper waits until it gets the lock
for itself: then nobody is left, and it stops the server. Whoever comes meanwhile waits for the
keeper to end and starts a new one.

The server inherits the locked descriptor `server_lock`. As long as one of its processes lives, that
lock is held, so a free lock proves that the data folder is not in use.
"""

import fcntl
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import IO

PARENT_VARIABLE = "MEDAGG_PARENT_PID"


@dataclass(frozen=True)
class Order:
    """The server to keep running: its command, its two locks, and the signals that stop it."""

    command: Sequence[str]
    users_lock: str
    server_lock: int
    # Signals with the seconds to wait before the next, harsher one.
    stop_signals: Sequence[tuple[int, float]]
    # Folders removed at the end: those of a throw-away server.
    remove: Sequence[str] = field(default_factory=list)


def start_keeper(
    name: str, order: Order, *, environment: dict[str, str], log: IO[bytes]
) -> subprocess.Popen:
    """Starts this script; `name` is only for who lists the processes."""
    keeper = subprocess.Popen(
        [sys.executable, "-I", __file__, name],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=log,
        pass_fds=[order.server_lock],
        cwd="/",
        # In a session of its own: Ctrl-C in the terminal is for the users, not for it.
        start_new_session=True,
    )
    with keeper.stdin or io.BytesIO() as pipe:
        pipe.write(json.dumps(asdict(order)).encode())
    return keeper


def main(order: Order) -> int:
    """Returns 0 if the server was stopped because nobody used it, else 1."""
    for ignored in (signal.SIGINT, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    # The server dies with the thread that started it: this one.
    server = subprocess.Popen(
        order.command,
        env={**os.environ, PARENT_VARIABLE: str(os.getpid())},
        stdin=subprocess.DEVNULL,
        pass_fds=[order.server_lock],
        cwd="/",
    )
    unused = threading.Event()
    stopper = threading.Thread(target=_stop_when_unused, args=(order, server, unused), daemon=True)
    stopper.start()
    signal.signal(signal.SIGTERM, lambda *_: server.send_signal(order.stop_signals[0][0]))
    server.wait()
    for folder in order.remove:
        shutil.rmtree(folder, ignore_errors=True)
    return 0 if unused.is_set() else 1


def _stop_when_unused(order: Order, server: subprocess.Popen, unused: threading.Event) -> None:
    descriptor = os.open(order.users_lock, os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    unused.set()
    for number, patience in order.stop_signals:
        server.send_signal(number)
        time.sleep(patience)


if __name__ == "__main__":
    raise SystemExit(main(Order(**json.load(sys.stdin))))
