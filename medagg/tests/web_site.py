"""The site as `up` serves it, gunicorn and all, on the database of the test."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.db import connection

from medagg.runner.embedded import database_url
from medagg.runner.embedded.logs import LogFile
from medagg.runner.serving import listen
from medagg.runner.supervisor import Process, web_process
from medagg.testing.environment import BASE_VARIABLE
from medagg.testing.once import make_once
from medagg.tests.deploy.nginx_client import fetch, image_command

PREFIX = "/protected/"


@dataclass(frozen=True)
class WebSite:
    """gunicorn at ``port`` of 127.0.0.1."""

    port: int
    process: Process
    log: Path


def collect_static_files(root: Path) -> None:
    """What pages of a real process need; the tests' own settings do without."""
    subprocess.run(
        [sys.executable, "manage.py", "collectstatic", "--noinput"],
        cwd=settings.BASE_DIR,
        env={**os.environ, "STATIC_ROOT": str(root)},
        check=True,
        capture_output=True,
        timeout=60,
    )


@contextlib.contextmanager
def run_site(
    folder: Path,
    *,
    workers: int = 2,
    behind_nginx: bool = False,
    **environment: str,
) -> Iterator[WebSite]:
    """Needs the database of the test; writes its log to ``folder``.

    Behind nginx gunicorn is started as the Docker image starts it.
    """
    static = make_once("static", collect_static_files)
    log = folder / f"web-{'nginx' if behind_nginx else 'alone'}.log"
    variables = {
        "DATABASE_URL": database_url(
            Path(os.environ[BASE_VARIABLE]), connection.settings_dict["NAME"]
        ),
        "STATIC_ROOT": str(static),
        "X_ACCEL_PREFIX": PREFIX if behind_nginx else "",
        **environment,
    }
    with listen("127.0.0.1", 0) as listener:
        process = web_process(
            listener=listener.fileno(), workers=workers, log=LogFile(log), environment=variables
        )
        if behind_nginx:
            command = [*image_command(), "--workers", str(workers)]
            command[command.index("--bind") + 1] = f"fd://{listener.fileno()}"
            process.command = [sys.executable, "-m", *command]
        process.start(Path(settings.BASE_DIR))
        port = listener.getsockname()[1]
    try:
        # Until a worker is there, the connection waits in the socket's queue.
        answer = fetch(port, "/healthz/")
        assert answer.status == 200, answer.body
        yield WebSite(port, process, log)
    finally:
        process.stop(lambda: True)
