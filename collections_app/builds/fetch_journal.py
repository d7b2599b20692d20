"""What an attempt has fetched so far, on disk beside the cache: for the next one if it is killed.

The cache knows files by SHA-256, and the database learns these when a series is complete. Between
the two, this says which listed file has which.
"""

import hashlib
import json
import os
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from django.conf import settings

from catalog.storage.download import FetchedFile
from catalog.storage.problems import ListedFile

_KEEP_SECONDS = 7 * 24 * 3600
# The last lines: what was fetched before is complete, and in the database.
_MAX_BYTES = 32 << 20


class FetchJournal:
    """One collection's; it may be added to by several threads."""

    def __init__(self, name: str) -> None:
        self._path = _folder() / name
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._known: dict[str, list[Any]] = dict(_read(self._path))
        self._lock, self._is_closed = threading.Lock(), False
        self._fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def find(self, address: str, file: ListedFile) -> FetchedFile | None:
        """What the file was when it was fetched, if it is listed as then."""
        known = self._known.get(_key(address, file))
        if not known:
            return None
        size, sha256, crc32, suffix = known
        return FetchedFile(file.name, size, sha256, crc32, suffix, file.tag)

    def add(self, address: str, file: ListedFile, fetched: FetchedFile) -> None:
        """Several may be killed while they write: each line stands for itself.

        No line has a text of the source's, which may be long: lines count for no limit.
        """
        facts = (fetched.size, fetched.sha256, fetched.crc32, fetched.suffix)
        line = json.dumps([_key(address, file), facts])
        with self._lock:
            if not self._is_closed:  # else by a thread that nobody waited for
                os.write(self._fd, f"\n{line}\n".encode())

    def close(self, *, is_done: bool) -> None:
        """The attempt is over; with ``is_done`` the database knows all of it."""
        with self._lock:
            self._is_closed = True
            os.close(self._fd)
        if is_done:
            self._path.unlink(missing_ok=True)


def remove_old_journals() -> None:
    """Remove those of collections that nobody has tried again for long."""
    with suppress(FileNotFoundError):
        for path in _folder().iterdir():
            with suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > _KEEP_SECONDS:
                    path.unlink()


def _folder() -> Path:
    root: Path = settings.REMOTE_CACHE_ROOT
    return root / "journals"


def _key(address: str, file: ListedFile) -> str:
    # Not astuple, which copies: this is asked for each file, twice.
    said = json.dumps([address, file.name, file.whole_key, file.size, file.md5, file.tag])
    return hashlib.sha256(said.encode()).hexdigest()


def _read(path: Path) -> Iterable[tuple[str, list[Any]]]:
    with suppress(FileNotFoundError), path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _MAX_BYTES))
        for line in file:
            with suppress(ValueError, TypeError):  # cut short
                key, facts = json.loads(line)
                yield key, facts
