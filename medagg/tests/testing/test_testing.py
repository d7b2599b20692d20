"""The tests' own servers: a developer's database and data are never touched by a test."""

import os
from urllib.parse import unquote, urlsplit

from django.conf import settings
from django.db import connection

from medagg.testing.environment import BASE_VARIABLE


def test_database_queue_and_files_are_those_of_this_run(db: None) -> None:
    base = os.environ[BASE_VARIABLE]

    assert settings.VAR_DIR.is_relative_to(base)
    assert connection.settings_dict["HOST"].startswith(base)
    assert unquote(urlsplit(settings.REDIS_URL).path).startswith(base)


def test_each_worker_of_a_parallel_run_has_its_own_database_and_queue(db: None) -> None:
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")

    assert connection.settings_dict["NAME"] == f"test_medagg{'_' if worker else ''}{worker}"
    assert urlsplit(settings.REDIS_URL).query == f"db={int(worker[2:]) + 1 if worker else 0}"
