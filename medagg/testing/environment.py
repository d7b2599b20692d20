"""The environment variables under which the tests run."""

import atexit
import os
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from medagg.runner.embedded import database_url, redis_url

REPOSITORY = Path(__file__).resolve().parent.parent.parent
BASE_VARIABLE = "MEDAGG_TEST_BASE"
VARIABLE_IN_SETTINGS = re.compile(r'\benv(?:\.\w+)?\(\s*"(\w+)"')


@dataclass(frozen=True)
class TestEnvironment:
    """`base` is the temporary folder of the whole run, servers included."""

    # Its name looks like that of a test class to pytest.
    __test__ = False

    base: Path
    is_worker: bool

    def speed_up_settings(self) -> None:
        """Changes what makes tests slow and is none of their business."""
        settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
        # The manifest of hashed names exists only after collectstatic.
        plain = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
        settings.STORAGES = {**settings.STORAGES, "staticfiles": plain}

    def remove(self) -> None:
        """Removes the folder of the whole run."""
        shutil.rmtree(self.base, ignore_errors=True)


def prepare_environment() -> TestEnvironment:
    """Points every setting at this run's own folder and servers, which need not run yet.

    Each xdist worker has its own folder and Redis database; pytest-django gives it its own
    PostgreSQL database.
    """
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    base = Path(os.environ[BASE_VARIABLE]) if worker else _make_base()
    for name in VARIABLE_IN_SETTINGS.findall(_settings_source()):
        os.environ.pop(name, None)
    os.environ.update(_variables(base, worker))
    # WhiteNoise warns of a folder that is missing.
    Path(os.environ["MEDAGG_VAR"], "static").mkdir(parents=True)
    environment = TestEnvironment(base=base, is_worker=bool(worker))
    if not worker:
        # A run that fails before it is configured never gets to its end.
        atexit.register(environment.remove)
    return environment


def _make_base() -> Path:
    base = Path(tempfile.mkdtemp(prefix="medagg-test-"))
    # Under root, PostgreSQL's account has to pass through this folder.
    base.chmod(0o711 if os.geteuid() == 0 else 0o700)
    return base


def _settings_source() -> str:
    return (REPOSITORY / "medagg" / "settings.py").read_text(encoding="utf-8")


def _variables(base: Path, worker: str) -> dict[str, str]:
    # Redis' database 0 is for runs without xdist.
    number = int(worker.removeprefix("gw")) + 1 if worker else 0
    return {
        BASE_VARIABLE: str(base),
        "MEDAGG_ENV_FILE": os.devnull,
        "MEDAGG_VAR": str(base / (worker or "main")),
        "DATABASE_URL": database_url(base),
        "REDIS_URL": redis_url(base, number),
        "SECRET_KEY": "only-for-tests-" + "x" * 50,
        "DEBUG": "0",
        # Playwright's event loop stays behind a test in the thread that uses the database.
        "DJANGO_ALLOW_ASYNC_UNSAFE": "1",
    }
