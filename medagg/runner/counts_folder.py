"""Where the processes for pages keep their counts for /metrics."""

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

# Some hundred kilobytes for each process that there was in a run.
LEAST_BYTES = 50_000_000


@contextlib.contextmanager
def counts_folder(otherwise: Path) -> Iterator[Path]:
    """A private, empty folder in memory, or `otherwise` where there is none.

    Counts are written by way of mapped files. On a disk such a file has holes, and whoever writes
    into one while the disk is full is killed.
    """
    digest = hashlib.sha256(os.fsencode(otherwise)).hexdigest()[:16]
    name = f"medagg-{os.geteuid()}-{digest}"
    folder = next(filter(_make_empty, [home / name for home in _memory()]), None)
    if folder is None:
        folder = otherwise
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _memory() -> Iterator[Path]:
    for home in ("/dev/shm", os.environ.get("XDG_RUNTIME_DIR")):  # noqa: S108  # nosec
        with contextlib.suppress(OSError):
            if home and shutil.disk_usage(home).free > LEAST_BYTES:
                yield Path(home)


def _make_empty(folder: Path) -> bool:
    """What a killed run of this clone left is removed; what somebody else made is not used."""
    shutil.rmtree(folder, ignore_errors=True)
    try:
        folder.mkdir(mode=0o700)
    except OSError:
        return False
    return True
