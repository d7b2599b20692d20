"""What tests need again and again and may share: made once in a run, by whoever asks first."""

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from medagg.runner.embedded import EmbeddedServers, database_url
from medagg.testing.environment import BASE_VARIABLE, REPOSITORY

COMMAND_SECONDS = 90.0


@contextmanager
def one_after_the_other(name: str) -> Iterator[Path]:
    """The path `name` in a folder of the whole run, while no other process is inside."""
    shared = Path(os.environ[BASE_VARIABLE]) / "shared"
    shared.mkdir(exist_ok=True)
    with (shared / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield shared / name


def make_once(name: str, make: Callable[[Path], object]) -> Path:
    """The folder that `make` has filled."""
    with one_after_the_other(name) as folder:
        if not folder.exists():
            draft = folder.with_suffix(".new")
            shutil.rmtree(draft, ignore_errors=True)
            draft.mkdir()
            make(draft)
            draft.rename(folder)
        return folder


def copy_new_postgres(var: Path) -> None:
    """Fills the data folder `var` with what PostgreSQL's first start leaves: it takes a second."""
    _copy_postgres(make_once("postgres", _start_first), var)


def copy_migrated_postgres(var: Path) -> None:
    """The same with the tables of this version, all empty, which take some seconds."""
    _copy_postgres(make_once("migrated", _migrate), var)


def _copy_postgres(made: Path, var: Path) -> None:
    var.mkdir(exist_ok=True)
    # With the account that it belongs to.
    subprocess.run(["cp", "-a", made / "postgres", var], check=True)


def _start_first(folder: Path) -> None:
    with EmbeddedServers(folder, redis=False):
        pass


def _migrate(folder: Path) -> None:
    copy_new_postgres(folder)
    variables = {"DATABASE_URL": database_url(folder), "MEDAGG_ENV_FILE": os.devnull}
    with EmbeddedServers(folder, redis=False):
        subprocess.run(
            [sys.executable, "manage.py", "migrate", "--verbosity", "0"],
            cwd=REPOSITORY,
            env={**os.environ, **variables},
            check=True,
            capture_output=True,
            timeout=COMMAND_SECONDS,
        )
