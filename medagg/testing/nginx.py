"""For tests: a real nginx with the configuration that docker-compose.yml deploys.

`nginx_server` is the fixture. A test module gets it by importing it, or through
`medagg/tests/conftest.py`. Needs the program nginx: the one on PATH, else Debian's, installed when
the tests run as root, else the test is skipped with the reason.
"""

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from medagg.testing.nginx_process import (
    NOBODY,
    NginxFailedError,
    NginxServer,
    check_configuration,
    find_free_port,
    render_template,
    run_nginx,
)
from medagg.testing.programs import ProgramUnavailableError, find_program

__all__ = [
    "NginxFactory",
    "NginxFailedError",
    "NginxServer",
    "check_configuration",
    "find_free_port",
    "find_nginx",
    "nginx_server",
    "render_template",
    "run_nginx",
]

LOOPBACK = "127.0.0.0/8"


NginxFactory = Callable[..., NginxServer]


@pytest.fixture
def nginx_server(tmp_path: Path) -> Iterator[NginxFactory]:
    """A function that starts nginx with the arguments of `run_nginx`, until the test ends."""
    try:
        program = find_nginx()
    except ProgramUnavailableError as reason:
        pytest.skip(str(reason))
    with contextlib.ExitStack() as stack:

        def start(
            *,
            upstream_port: int,
            archive_root: Path,
            dataset_root: Path | None = None,
            trusted_proxy: str = NOBODY,
            extra: str = "",
        ) -> NginxServer:
            folder = Path(tempfile.mkdtemp(prefix="nginx-", dir=tmp_path))
            server = run_nginx(
                program=program,
                upstream=f"127.0.0.1:{upstream_port}",
                archive_root=archive_root,
                dataset_root=dataset_root,
                folder=folder,
                trusted_proxy=trusted_proxy,
                extra=extra,
            )
            return stack.enter_context(server)

        yield start


def find_nginx() -> str:
    """The path of the program. Raises ProgramUnavailableError."""
    return find_program("nginx")
