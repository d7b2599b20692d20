"""The pytest plugin of this project: `-p medagg.testing` in pytest.ini loads it first of all.

Tests get a PostgreSQL and a Redis of their own, thrown away at the end. Whatever a developer's
environment or `.env` names, a test never uses a real database.
"""

import gc
import os
import signal
from collections.abc import Iterator

import pytest

from medagg.runner.embedded import EmbeddedError, EmbeddedServers
from medagg.testing import browser_fixtures, database_fixtures
from medagg.testing.browser import find_chromium
from medagg.testing.emptying import empty_only_what_is_filled
from medagg.testing.environment import TestEnvironment, prepare_environment
from medagg.testing.module_data import module_db
from medagg.testing.nginx import nginx_server
from medagg.testing.roles import role_without_grant
from medagg.testing.s3 import s3, s3_server
from medagg.testing.small_disk import mount_disk
from medagg.testing.throttles import fresh_process
from medagg.testing.web_files import web_files
from medagg.testing.worker import celery_worker_module, celery_worker_process

__all__ = ["celery_worker_module", "celery_worker_process", "fresh_process", "module_db",
           "mount_disk", "nginx_server", "role_without_grant", "s3", "s3_server",
           "web_files"]  # fmt: skip

# At import, because pytest-django reads the settings before any hook of ours could run.
_environment: TestEnvironment = prepare_environment()
_servers = EmbeddedServers(_environment.base, throwaway=True)


@pytest.hookimpl(tryfirst=True)  # before that of xdist, which says one for each core
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Two for each core, because many tests wait for processes; more than eight gain nothing."""
    return min(2 * (os.cpu_count() or 1), 8)


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    # A shell's background jobs ignore Ctrl-C, and so would the processes that tests interrupt.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # Registered late, so that their fixtures win over those of pytest-playwright and pytest-django.
    config.pluginmanager.register(browser_fixtures, "medagg-browser")
    if _environment.is_worker:
        config.pluginmanager.register(database_fixtures, "medagg-database")
    _environment.speed_up_settings()
    empty_only_what_is_filled()


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Starts the servers, in the controlling process only; xdist's workers come later."""
    if _environment.is_worker or session.config.option.collectonly:
        return
    try:
        _servers.start()
    except EmbeddedError as error:
        pytest.exit(f"the servers for the tests do not start: {error}", returncode=1)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Also after Ctrl-C. After a kill -9 the servers notice it themselves."""
    if not _environment.is_worker:
        _servers.stop()
        _environment.remove()


@pytest.hookimpl(trylast=True)  # after that of pytest-django, which puts them last
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that mostly wait come first, so that others use the processors meanwhile; then long
    ones, so that none of them is left alone at the end."""
    names = ("waits", "long")
    items.sort(key=lambda item: [item.get_closest_marker(name) is None for name in names])


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """The tests themselves are kept to the end: nobody looks for garbage among them, ever."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skips browser tests where no browser can be had, and says why."""
    if item.get_closest_marker("browser"):
        chromium = find_chromium(_environment.base)
        if not chromium.path:
            pytest.skip(chromium.reason)
