"""The steps of `manage.py up`: servers, preparation, processes, readiness, stop."""

import contextlib
import errno
import http.client
import json
import os
import shutil
import socket
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.db import connections

from medagg.observing.health import ARCHIVES, KEPT_SECONDS_OF_TROUBLE
from medagg.runner.counts_folder import counts_folder
from medagg.runner.embedded import EmbeddedServers
from medagg.runner.embedded.locks import EXCLUSIVE, open_lock, try_lock
from medagg.runner.embedded.logs import LogFile, rotate_logs
from medagg.runner.embedded.places import Places, places_in
from medagg.runner.first_run import collect_static_files, ensure_admin, load_first_data, log_to
from medagg.runner.stop_signals import StopRequested, StopSignals
from medagg.runner.supervisor import (
    POLL_SECONDS,
    Supervisor,
    beat_process,
    queue_workers,
    web_process,
)

Say = Callable[[str], None]

# For an empty database with its write-ahead log, the demo data, and some free space.
FIRST_START_BYTES = 400_000_000
# Less on later starts, as one may want to start in order to delete something.
LATER_START_BYTES = 50_000_000
READY_SECONDS = 90.0
READY_TIMEOUT = 5.0
BACKLOG = 512
PROCESSES = ("web", "beat", "worker", "verifier", "builder")
# A client that takes nothing for so long is cut off; it may resume by a range. nginx has the same.
STALL_SECONDS = 60.0
# Of an answer, what the kernel takes at once: a page is off its thread, however slowly it is read.
# Where it gives less, that is still more than MAX_AT_ONCE of medagg.busy.
SEND_BUFFER = 1 << 20
DEFAULT_SESSION_COOKIE = "medagg_session"
EVERY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared with  # nosec


class ServeError(Exception):
    """`up` cannot start; the message says what to do."""


@dataclass(frozen=True)
class ServeOptions:
    """The options of the command line. Port 0 means any free port."""

    host: str
    port: int
    workers: int
    demo: bool


def serve(options: ServeOptions, *, say: Say) -> None:
    """Starts everything and watches it. Ends only with an exception, after stopping everything.

    Raises StopRequested after SIGINT, SIGTERM or SIGHUP; ProcessDiedError or EmbeddedError if a
    process has ended; ServeError, OSError or a database error if it cannot start.
    """
    places = places_in(settings.VAR_DIR)
    with StopSignals() as signals, contextlib.ExitStack() as stack:
        try:
            _run(options, places, signals, stack, say)
        finally:
            # Before the stack unwinds, which a further signal must not cut short.
            signals.begin_stop()


def _run(
    options: ServeOptions,
    places: Places,
    signals: StopSignals,
    stack: contextlib.ExitStack,
    say: Say,
) -> None:
    claim = stack.enter_context(_claim_folder(places))
    with listen(options.host, options.port) as listener:
        address = _address_of(listener)
        claim(f"at {_url_of(address)} (process {os.getpid()})")
        _name_site(address)
        _check_space(places)
        servers = _start_servers(stack, say)
        login = _prepare(options, places, say)
        say("Starting the web server, the workers and the clock …")
        counts = stack.enter_context(counts_folder(places.run / "metrics"))
        supervisor = _make_supervisor(options, places, listener, counts, say)
        # From here on a signal is only recorded, so that every started process is known.
        signals.interrupting = False
        stack.callback(supervisor.stop, signals.is_urgent)
        supervisor.start()
    _await_readiness(address, signals, servers, supervisor)
    say(_describe(_url_of(address), login, places))
    while not signals.ask_to_stop():
        _check(servers, supervisor)
    say("Stopping … (once more to hurry)")
    raise StopRequested


def _start_servers(stack: contextlib.ExitStack, say: Say) -> EmbeddedServers:
    servers = EmbeddedServers.not_configured_in(os.environ, settings.VAR_DIR)
    if servers.servers:
        say(f"Starting {' and '.join(server.title for server in servers.servers)} …")
    stack.enter_context(servers)
    return servers


def _prepare(options: ServeOptions, places: Places, say: Say) -> str:
    """Prepares database and static files; returns a text on how the administrator signs in."""
    with log_to(places.log / "setup.log"):
        try:
            load_first_data(demo=options.demo, say=say)
            # What is no terminal is most likely a log, where a password would stay.
            login = ensure_admin(places.var / "admin-password", show=sys.stdout.isatty())
        finally:
            # This process does not need it any more.
            connections.close_all()
        collect_static_files(places.run / "static-files", say=say)
    return login


def _name_site(address: tuple[str, int]) -> None:
    """Links in mails lead to this port, if nobody has named the site."""
    if not (os.environ.get("SITE_URL") or os.environ.get("ALLOWED_HOSTS")):
        os.environ["SITE_URL"] = _url_of(address)


def _name_cookies(port: int) -> dict[str, str]:
    """Cookie names with the port: cookies are per host, and two clones must not share them."""
    if settings.SESSION_COOKIE_NAME != DEFAULT_SESSION_COOKIE:
        return {}
    return {
        "SESSION_COOKIE_NAME": f"{DEFAULT_SESSION_COOKIE}_{port}",
        "CSRF_COOKIE_NAME": f"medagg_csrf_{port}",
    }


def _make_supervisor(
    options: ServeOptions, places: Places, listener: socket.socket, counts: Path, say: Say
) -> Supervisor:
    logs = {name: LogFile(places.log / f"{name}.log") for name in PROCESSES}
    # What makes work is stopped before what does it.
    makers = [
        web_process(
            listener=listener.fileno(),
            workers=options.workers,
            log=logs["web"],
            environment={
                **_name_cookies(listener.getsockname()[1]),
                "PROMETHEUS_MULTIPROC_DIR": str(counts),
            },
        ),
        beat_process(log=logs["beat"]),
    ]
    workers = queue_workers(builders=options.workers, log=logs.__getitem__)
    return Supervisor(makers, workers, folder=settings.BASE_DIR, say=say)


def _await_readiness(
    address: tuple[str, int], signals: StopSignals, servers: EmbeddedServers, supervisor: Supervisor
) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while trouble := _find_trouble(address):
        if signals.ask_to_stop():
            raise StopRequested
        if time.monotonic() > deadline:
            raise ServeError(f"not ready after {READY_SECONDS:.0f} seconds: {trouble}")
        # That it is not ready yet is all that they could complain of.
        _check(servers, supervisor, quiet=True)
    # So long another process of the web may repeat what it complained of before.
    time.sleep(KEPT_SECONDS_OF_TROUBLE)


def _check(servers: EmbeddedServers, supervisor: Supervisor, *, quiet: bool = False) -> None:
    supervisor.check(quiet=quiet)
    servers.check()
    rotate_logs(places_in(settings.VAR_DIR).log)
    time.sleep(POLL_SECONDS)


def _find_trouble(address: tuple[str, int]) -> str:
    """What `/readyz/` complains of; the empty string if all parts of this machine serve."""
    # Not urllib, which would ask a proxy named in the environment.
    connection = http.client.HTTPConnection(*address, timeout=READY_TIMEOUT)
    try:
        connection.request("GET", "/readyz/", headers={"Host": _allowed_host()})
        response = connection.getresponse()
        body = response.read(2000).decode(errors="replace").strip()
    except (OSError, http.client.HTTPException) as error:
        return f"the web server does not answer ({error})"
    finally:
        connection.close()
    is_ready = response.status == http.HTTPStatus.OK or _lacks_only_archives(body)
    return "" if is_ready else f"{response.status}: {body}"


def _lacks_only_archives(body: str) -> bool:
    """Whether all else serves, as while a bucket elsewhere does not answer."""
    try:
        return bool(json.loads(body)["broken"] == [ARCHIVES])
    except (ValueError, LookupError, TypeError):
        return False


def _allowed_host() -> str:
    """A host name that Django accepts; ALLOWED_HOSTS may not contain localhost."""
    hosts = [host.lstrip(".") for host in settings.ALLOWED_HOSTS if host != "*"]
    return "localhost" if not hosts or "localhost" in hosts else hosts[0]


@contextlib.contextmanager
def _claim_folder(places: Places) -> Iterator[Callable[[str], None]]:
    """Locks the folder against a second `up`; yields a function that stores our address."""
    places.create()
    path = places.run / "up"
    lock = open_lock(path)
    try:
        if not try_lock(lock, EXCLUSIVE):
            where = path.read_text(encoding="utf-8", errors="replace").strip()
            raise ServeError(f"medagg already runs here {where}".rstrip())
        os.truncate(lock, 0)

        def tell(where: str) -> None:
            path.write_text(where, encoding="utf-8")

        yield tell
    finally:
        os.close(lock)


def listen(host: str, port: int) -> socket.socket:
    """The listening socket, opened first to make sure that the port is free and stays ours."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        # `localhost` has two addresses; users and tools expect the IPv4 one.
        family, _, _, _, address = min(found, key=lambda entry: entry[0] != socket.AF_INET)
        listener = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise ServeError(f"cannot listen on {host!r}: {error.strerror}") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Its connections have these too.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        # Where there is no such option (macOS), a stalled one stays.
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            milliseconds = int(1000 * STALL_SECONDS)
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise ServeError(_explain_bind_error(error, host, port)) from error
    return listener


def _explain_bind_error(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} is taken by another program: try `make run PORT={port + 1}`"
    if error.errno == errno.EACCES:
        return f"port {port} needs root: use a port from 1024"
    return f"cannot listen on {host}, port {port}: {error.strerror}"


def _address_of(listener: socket.socket) -> tuple[str, int]:
    """The address of the socket for programs on this machine."""
    host, port = listener.getsockname()[:2]
    return EVERY_ADDRESS.get(host, host), port


def _url_of(address: tuple[str, int]) -> str:
    host, port = address
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def _check_space(places: Places) -> None:
    free = shutil.disk_usage(places.var).free
    needed = LATER_START_BYTES if (places.var / "postgres").exists() else FIRST_START_BYTES
    if free < needed:
        raise ServeError(
            f"only {free // 1_000_000} MB are free in {places.var}; "
            f"medagg needs {needed // 1_000_000} MB to start"
        )


def _describe(url: str, login: str, places: Places) -> str:
    return (
        f"\nmedagg is ready.\n\n"
        f"  Site   {url}\n"
        f"  Admin  {url}admin/\n"
        f"         {login}\n"
        f"  Logs   {places.log}\n\n"
        f"Ctrl-C stops everything.\n"
    )
