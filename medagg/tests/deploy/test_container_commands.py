"""The commands and health checks of docker-compose.yml, run for real on this machine's servers."""

import contextlib
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from django.conf import settings

from medagg.observing.worker_heartbeat import QUEUES, heartbeat_key
from medagg.tests.deploy.compose import ROOT, fill_in, read_services

START_SECONDS = 60.0
STOP_SECONDS = 20.0
# Nothing falls due while a test runs, so that no other test meets a task that it did not send.
ENVIRONMENT = {
    **os.environ,
    "HOSTNAME": platform.node(),
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
    "SWEEP_SECONDS": "86400",
}


@pytest.fixture(autouse=True)
def forget_worker() -> Iterator[None]:
    """A worker's heartbeats outlast it by some seconds, in which others test /readyz/."""
    yield
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        client.delete(*map(heartbeat_key, QUEUES))


@contextlib.contextmanager
def run_service(name: str, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The service's own command, with `folder` for its /tmp."""
    command = [
        fill_in(part, {"WORKER_CONCURRENCY": "1"}) for part in read_services()[name]["command"]
    ]
    command = [part.replace("/tmp/", f"{folder}/") for part in command]  # noqa: S108
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=ROOT, env=ENVIRONMENT, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(timeout=STOP_SECONDS)


def is_healthy(name: str) -> bool:
    kind, command = read_services()[name]["healthcheck"]["test"]
    assert kind == "CMD-SHELL"
    # A busy machine gets more time than an idle server needs; a dead one costs a test a second.
    command = fill_in(command, {}).replace("--timeout 10", "--timeout 1")
    return subprocess.run(
        ["/bin/sh", "-c", command], cwd=ROOT, env=ENVIRONMENT, capture_output=True, timeout=60
    ).returncode == 0  # fmt: skip


def becomes_healthy(name: str) -> bool:
    deadline = time.monotonic() + START_SECONDS
    while not is_healthy(name):
        if time.monotonic() > deadline:
            return False
    return True


@pytest.mark.parametrize("name", ["worker", "beat"])
def test_service_is_healthy_while_it_runs(name: str, tmp_path: Path) -> None:
    with run_service(name, tmp_path) as process:
        assert becomes_healthy(name), (tmp_path / f"{name}.log").read_text(encoding="utf-8")

    assert process.returncode == 0, "it ends in order when asked"
    assert not is_healthy(name)
