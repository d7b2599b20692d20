"""Files that no row may name as its image: those of the import itself, tables, files of holes."""

import os
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from catalog.imaging.problems import FileProblem, UnusableFile

REJECTS = "rejects.csv"
FILE_PROBLEMS = "file-problems.csv"
# What ``catalog.storage.mirror`` writes beside files that it copies.
_SOURCE = ".source"
# Also those that the import does not read: nobody has looked at their columns.
_TABLE = re.compile(
    r".*\.(?:csv|tsv|jsonl?|ndjson|parquet|xlsx?|ods|feather|sqlite3?|db)(?:\.(?:gz|bz2|xz|zst|zip))?",
    re.DOTALL | re.IGNORECASE,
)
# Of real volumes without compression, also on disks that compress, more is written.
MAX_HOLE = 1 << 30
_LEAST_SHARE = 100
_BLOCK = 512  # of ``st_blocks``, whatever the disk's own blocks are

Marks = frozenset[tuple[int, int]]
"""Device and inode of files: they are the same by whatever name, or through a link."""


def mark_files(paths: Iterable[Path]) -> Marks:
    """The marks of those of the files that are there."""
    found = set()
    for path in paths:
        with suppress(OSError):
            status = path.stat()
            found.add((status.st_dev, status.st_ino))
    return frozenset(found)


def refuse_file(file: BinaryIO, path: str, own: Marks) -> None:
    """Raises `UnusableFile` for the import's `own` files and lists, tables, and files of holes.

    A table that is an image would give out the columns that are left out of it.
    """
    status = os.fstat(file.fileno())
    is_own = (status.st_dev, status.st_ino) in own
    if is_own or path.endswith((REJECTS, FILE_PROBLEMS)) or path.rpartition("/")[2] == _SOURCE:
        raise UnusableFile(FileProblem.OWN_FILE)
    if _TABLE.fullmatch(path):
        raise UnusableFile(FileProblem.TABLE)
    if status.st_size > MAX_HOLE and _is_hollow(file.fileno(), status):
        raise UnusableFile(FileProblem.HOLES)


def _is_hollow(descriptor: int, status: os.stat_result) -> bool:
    """Whether nearly nothing of a file is written; network disks may count blocks otherwise."""
    if status.st_blocks * _BLOCK >= status.st_size // _LEAST_SHARE:
        return False
    place = os.lseek(descriptor, 0, os.SEEK_CUR)
    try:
        return os.lseek(descriptor, 0, os.SEEK_HOLE) < status.st_size
    finally:
        os.lseek(descriptor, place, os.SEEK_SET)
