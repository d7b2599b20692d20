"""What tests need again and again and may share: made once in a run, by whoever asks first."""

import fcntl
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from medagg.runner.embedded import EmbeddedServers
from medagg.testing.environment import BASE_VARIABLE


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
    made = make_once("postgres", _start_first)
    var.mkdir(exist_ok=True)
    # With the account that it belongs to.
    subprocess.run(["cp", "-a", made / "postgres", var], check=True)


def _start_first(folder: Path) -> None:
    with EmbeddedServers(folder, redis=False):
        pass
