"""Runs a real nginx with the configuration that docker-compose.yml deploys: tests, benchmarks."""

import contextlib
import http.client
import os
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

TEMPLATE = Path(__file__).parents[1] / "deploy" / "nginx.conf.template"
START_SECONDS = 10.0
STOP_SECONDS = 10.0
LOG_SECONDS = 10.0
PORT_ATTEMPTS = 3
# Addresses reserved for documentation: no client ever comes from there.
NOBODY = "192.0.2.0/24"


class NginxFailedError(Exception):
    """nginx refused its configuration or ended; the message is its error log."""


@dataclass(frozen=True)
class NginxServer:
    """A running nginx: its port on 127.0.0.1, and the folder with its configuration and logs."""

    program: str
    port: int
    folder: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def error_log(self) -> str:
        return (self.folder / "error.log").read_text(encoding="utf-8", errors="replace")

    @property
    def access_log(self) -> str:
        return (self.folder / "access.log").read_text(encoding="utf-8", errors="replace")

    def await_logged_request(self) -> str:
        """The last line of the access log, which nginx writes after it has answered."""
        deadline = time.monotonic() + LOG_SECONDS
        while not self.access_log.endswith("\n"):
            if time.monotonic() > deadline:
                raise TimeoutError("nginx has logged no request")
            time.sleep(0.01)
        return self.access_log.splitlines()[-1]


@contextlib.contextmanager
def run_nginx(
    *,
    program: str,
    upstream: str,
    archive_root: Path,
    folder: Path,
    dataset_root: Path | None = None,
    trusted_proxy: str = NOBODY,
    extra: str = "",
) -> Iterator[NginxServer]:
    """nginx (`program`) on a free port of 127.0.0.1, in front of `upstream` (host:port).

    Archives are sent from `archive_root`, files of datasets from `dataset_root`. Everything that
    nginx writes lies in `folder`, an empty one. Clients from the network `trusted_proxy` count as
    the deployment's TLS proxy. `extra` is put into the server block, as an operator's own file
    would be.

    Raises NginxFailedError if it does not come up.
    """
    (folder / "extra").mkdir()
    (folder / "extra" / "test.conf").write_text(extra, encoding="utf-8")
    for attempt in range(1, PORT_ATTEMPTS + 1):
        port = find_free_port()
        values = {
            "MEDAGG_NGINX_LISTEN": f"127.0.0.1:{port}",
            "MEDAGG_NGINX_UPSTREAM": upstream,
            "MEDAGG_NGINX_ARCHIVES": str(archive_root),
            "MEDAGG_NGINX_DATASETS": str(dataset_root or folder / "no-datasets"),
            "MEDAGG_NGINX_RUN": str(folder),
            "MEDAGG_NGINX_EXTRA": str(folder / "extra"),
            "MEDAGG_NGINX_TRUSTED": trusted_proxy,
            "NGINX_LOCAL_RESOLVERS": "127.0.0.1",
        }
        (folder / "nginx.conf").write_text(render_template(values), encoding="utf-8")
        server = NginxServer(program, port, folder)
        process = _launch(server)
        try:
            _await_answer(server, process)
        except NginxFailedError as error:
            _stop(process)
            # Another program was faster with this port.
            if attempt < PORT_ATTEMPTS and "Address already in use" in str(error):
                continue
            raise
        break
    try:
        yield server
    finally:
        _stop(process)


def render_template(values: dict[str, str]) -> str:
    """The configuration with `values` in place of `${NAME}`, as envsubst does in the container.

    Raises KeyError if a value is missing.
    """
    text = TEMPLATE.read_text(encoding="utf-8")
    return re.sub(r"\$\{([A-Z_]+)\}", lambda match: values[match[1]], text)


def check_configuration(server: NginxServer) -> str:
    """What `nginx -t` says, the empty string if nothing. Raises CalledProcessError if it is bad."""
    command = [*_command(server), "-t", "-q"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=30)
    return done.stdout + done.stderr


def find_free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _command(server: NginxServer) -> list[str]:
    # As root, nginx would give its workers to an account that cannot enter the test's folder.
    directives = "daemon off; user root;" if os.geteuid() == 0 else "daemon off;"
    configuration = str(server.folder / "nginx.conf")
    return [server.program, "-e", "stderr", "-p", str(server.folder), "-c", configuration, "-g",
            directives]  # fmt: skip


def _launch(server: NginxServer) -> subprocess.Popen[bytes]:
    error_log, access_log = server.folder / "error.log", server.folder / "access.log"
    with error_log.open("wb") as errors, access_log.open("wb") as accesses:
        return subprocess.Popen(
            _command(server), stdin=subprocess.DEVNULL, stdout=accesses, stderr=errors
        )


def _await_answer(server: NginxServer, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not _answers(server.port):
        if process.poll() is not None or time.monotonic() > deadline:
            raise NginxFailedError(server.error_log)
        time.sleep(0.02)


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
    try:
        connection.request("GET", "/nginx-health")
        return connection.getresponse().status == http.HTTPStatus.NO_CONTENT
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
