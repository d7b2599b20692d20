"""The files of the previews' cache: kept as long as there is room, those unused longest go first.

Django-free. A picture and its notes, or why there is none, have one stem, and go together.
"""

import contextlib
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from catalog.bulk.whole_file import replacing

# A use is recorded as the file's time, because disks often do not record reading; rarely, because
# that is a write.
TOUCH_SECONDS = 3600
# A picture, and what is to be said of it; or why there is none.
SUFFIXES = (PICTURE, NOTES, REFUSAL) = (".webp", ".txt", ".refused")
# What a process that was killed has left; no preview takes so long.
PARTIAL_SECONDS = 3600
BLOCK_BYTES = 4096
# Eviction goes on to this share of the limit, so that the next preview does not begin it again.
LOW_WATER = 0.9


@dataclass(frozen=True)
class Eviction:
    """What one eviction found and left, in bytes, and the number of previews that it removed."""

    found_bytes: int
    kept_bytes: int
    removed: int


@dataclass(frozen=True, slots=True)
class _Entry:
    used_at: float
    size: int
    stem: str


def read_cached(path: Path) -> bytes:
    """A file of the cache; the use counts for eviction. Raises FileNotFoundError."""
    with path.open("rb") as file:
        status = os.fstat(file.fileno())
        if time.time() - status.st_mtime > TOUCH_SECONDS:
            with contextlib.suppress(OSError):  # evicted meanwhile, or a disk that is read only
                os.utime(path)
        return file.read()


def write_cached(path: Path, body: bytes, *, reserve: int) -> bool:
    """Write a file of the cache whole, unless less than ``reserve`` bytes are free on its disk.

    Whether it was written: a full disk or one that cannot be written to is no reason to fail.
    Requests that write the same file at a time each write their own, and the last one wins.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(path.parent).free - len(body) < reserve:
            return False
        with replacing(path, mode=0o600) as file:
            file.write(body)
    except OSError:
        return False
    return True


def evict(root: Path, *, current: str, max_bytes: int) -> Eviction:
    """Remove what is unused longest, until the cache in ``root`` is well below ``max_bytes``.

    Other folders than ``current`` are of other versions of medagg and go whole, partial files of
    killed processes too.
    """
    if not root.exists():
        return Eviction(0, 0, 0)
    for folder in root.iterdir():
        if folder.is_dir() and folder.name != current:
            shutil.rmtree(folder, ignore_errors=True)
    entries = list(_entries(str(root / current)))
    kept = found = sum(entry.size for entry in entries)
    removed = 0
    if found > max_bytes:
        for entry in sorted(entries, key=lambda entry: entry.used_at):
            if kept <= LOW_WATER * max_bytes:
                break
            kept -= entry.size
            removed += 1
            _remove(entry.stem)
    return Eviction(found, kept, removed)


def _entries(folder: str) -> Iterator[_Entry]:
    """One for each picture, with the bytes of its notes."""
    sizes: dict[str, int] = {}
    times: dict[str, float] = {}
    for path, status in _files(folder):
        stem, suffix = os.path.splitext(path)  # noqa: PTH122 - for each of a million files
        if suffix in SUFFIXES:
            # About what it takes on the disk: small files take a block.
            sizes[stem] = sizes.get(stem, 0) + -(-status.st_size // BLOCK_BYTES) * BLOCK_BYTES
            times[stem] = max(times.get(stem, 0.0), status.st_mtime)
        elif time.time() - status.st_mtime > PARTIAL_SECONDS:
            Path(path).unlink(missing_ok=True)
    for stem, size in sizes.items():
        yield _Entry(times[stem], size, stem)


def _files(folder: str) -> Iterator[tuple[str, os.stat_result]]:
    """The files two levels below ``folder``."""
    with contextlib.suppress(FileNotFoundError), os.scandir(folder) as shelves:
        for shelf in shelves:
            if not shelf.is_dir(follow_symlinks=False):
                continue
            with os.scandir(shelf.path) as files:
                for file in files:
                    with contextlib.suppress(FileNotFoundError):
                        yield file.path, file.stat(follow_symlinks=False)


def _remove(stem: str) -> None:
    """The picture first: notes without one are not looked for."""
    for suffix in SUFFIXES:
        Path(stem + suffix).unlink(missing_ok=True)
