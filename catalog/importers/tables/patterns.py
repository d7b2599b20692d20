"""Finds the files below a folder whose paths match a pattern such as `part*.csv` or `**/*.csv`.

As `Path.glob`, but each folder is looked at once: a pattern has one `**`, and links to folders are
followed only where it names them, as links that lead in circles multiply with each `*`.
"""

import os
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

_WILD = frozenset("*?[")
_ANY_DEPTH = "**"


def find_files(home: Path, pattern: str) -> list[str]:
    """The relative paths, sorted.

    Raises ValueError for an invalid pattern, and OSError for folders that cannot be read.
    """
    parts = [part for part in pattern.split("/") if part not in ("", ".")]
    if any(_ANY_DEPTH in part and part != _ANY_DEPTH for part in parts):
        raise ValueError("** can only be an entire part of a path")
    if parts.count(_ANY_DEPTH) > 1:
        raise ValueError("** stands in it more than once")
    return sorted(found.relative_to(home).as_posix() for found in _iter_files(home, parts))


def _iter_files(folder: Path, parts: Sequence[str]) -> Iterator[Path]:
    if not parts:  # of a pattern that ends in **
        return
    part, rest = parts[0], parts[1:]
    if part == _ANY_DEPTH:
        for each in _iter_folders(folder):
            yield from _iter_files(each, rest)
    elif not rest:
        yield from (each for each in _match(folder, part) if each.is_file())
    else:
        for each in _match(folder, part):
            if each.is_dir() and (each.name == part or not each.is_symlink()):
                yield from _iter_files(each, rest)


def _match(folder: Path, part: str) -> list[Path]:
    """What in a folder has a name that matches; a folder that is not there has nothing."""
    if not _WILD & set(part):
        return [folder / part]
    with os.scandir(folder) as entries:
        return [folder / entry.name for entry in entries if fnmatchcase(entry.name, part)]


def _iter_folders(folder: Path) -> Iterator[Path]:
    """The folder, and all below it; no links."""
    waiting = [folder]
    while waiting:
        yield (each := waiting.pop())
        with os.scandir(each) as entries:
            waiting += [each / one.name for one in entries if one.is_dir(follow_symlinks=False)]
