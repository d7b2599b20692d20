"""What the tests of nginx share: archives, a client that adds no header of its own, gunicorn."""

import contextlib
import http.client
import json
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
TIMEOUT = 20


@dataclass(frozen=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def seen(self) -> dict[str, Any]:
        """What the upstream received."""
        received: dict[str, Any] = json.loads(self.body)
        return received

    def forwarded(self, name: str) -> str | None:
        """The header `name` as it reached the upstream."""
        value: str | None = self.seen["headers"].get("HTTP_" + name.upper().replace("-", "_"))
        return value


def fetch(
    port: int,
    path: str,
    headers: Mapping[str, str] | None = None,
    *,
    method: str = "GET",
    body: bytes | None = None,
    tls: ssl.SSLContext | None = None,
) -> Answer:
    """One request to 127.0.0.1, with `path` sent as it is and redirects left alone."""
    with contextlib.closing(_connect(port, tls)) as connection:
        connection.putrequest(
            method, path, skip_host="Host" in (headers or {}), skip_accept_encoding=True
        )
        for name, value in (headers or {}).items():
            connection.putheader(name, value)
        if body is not None:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        response = connection.getresponse()
        return Answer(response.status, response.headers, response.read())


def _connect(port: int, tls: ssl.SSLContext | None) -> http.client.HTTPConnection:
    if tls:
        return http.client.HTTPSConnection("127.0.0.1", port, timeout=TIMEOUT, context=tls)
    return http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)


@contextlib.contextmanager
def serve_with_gunicorn(application: str) -> Iterator[int]:
    """`application` behind gunicorn with the options of the image; yields its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        process = subprocess.Popen(
            [sys.executable, "-m", *gunicorn_command(application, listener.fileno())],
            cwd=ROOT,
            pass_fds=[listener.fileno()],
        )
        port = int(listener.getsockname()[1])
        try:
            # Until the worker is there, the connection waits in the socket's queue.
            fetch(port, "/")
            yield port
        finally:
            process.terminate()
            process.wait(timeout=TIMEOUT)


def gunicorn_command(application: str, descriptor: int) -> list[str]:
    """The image's command with another application, on the socket `descriptor`."""
    command = image_command()
    command[command.index("medagg.wsgi")] = application
    command[command.index("--bind") + 1] = f"fd://{descriptor}"
    return command


def image_command() -> list[str]:
    """What the Dockerfile's CMD, the last of its instructions, starts."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    _, _, arguments = text.rpartition("\nCMD ")
    command: list[str] = json.loads(arguments.replace("\\\n", ""))
    return command
