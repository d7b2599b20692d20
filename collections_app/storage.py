"""Archive files: one below ARCHIVE_ROOT for each finished build."""

import errno
import os
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

from django.conf import settings
from django.db import transaction

PARTIAL = ".part"
_EPOCH = 315_532_800  # 1980-01-01, the time of every entry in an archive


def archive_file(relative: str) -> Path:
    """The file of an archive path in the database."""
    return settings.ARCHIVE_ROOT / relative


def archive_name(fingerprint: str, token: UUID) -> str:
    """A path for this attempt only, so that an attempt that fails deletes no other's file."""
    return f"{fingerprint}.{token}.zip"


def partial_name(collection_uuid: UUID, token: UUID) -> str:
    """The path to which an attempt writes; such a file is never sent to anybody."""
    return f"{collection_uuid}.{token}{PARTIAL}"


@contextmanager
def new_archive(partial: str, relative: str, *, fingerprint: str) -> Iterator[BinaryIO]:
    """A file that gets its final name when the block succeeds, and is deleted when it fails.

    It is not synced to the disk; verification does that.
    """
    path = archive_file(partial)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("w+b") as file:
            yield file
        mark_time(path, fingerprint)
        path.replace(archive_file(relative))
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def mark_time(path: Path, fingerprint: str) -> None:
    """Set the file's modification time to one that is derived from the fingerprint.

    Web servers derive ETag and Last-Modified from it. Both stay the same in a rebuilt archive, so
    an interrupted download can be resumed after a rebuild.
    """
    seconds = _time_of(fingerprint)
    os.utime(path, (seconds, seconds))


def _time_of(fingerprint: str) -> int:
    # Even: some file systems count in steps of two seconds.
    return _EPOCH + (int(fingerprint[:7], 16) & ~1)


class ArchiveTrouble(Exception):
    """The archive is missing (``is_missing``), or the file is not the one that was built."""

    def __init__(self, *, is_missing: bool) -> None:
        super().__init__("the archive is missing" if is_missing else "this is not the archive")
        self.is_missing = is_missing


def open_archive(relative: str, size: int | None) -> FileIO:
    """The archive, open for reading; links are not followed, as in nginx.

    Raises:
        ArchiveTrouble: it is missing, is not a regular file, or its size is not ``size``.
        OSError: it cannot be opened.
    """
    path = archive_file(relative)
    try:
        # O_NONBLOCK: opening a pipe must not wait.
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ArchiveTrouble(is_missing=True) from error
    except OSError as error:
        if error.errno == errno.ELOOP:  # a link; builds create none
            raise ArchiveTrouble(is_missing=False) from error
        raise
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode) or status.st_size != size:
        os.close(fd)
        raise ArchiveTrouble(is_missing=False)
    return FileIO(fd)


def free_bytes(*, freed: int = 0) -> int:
    """Bytes free for archives on their disk, without the reserve, once ``freed`` are free too."""
    root: Path = settings.ARCHIVE_ROOT
    root.mkdir(parents=True, exist_ok=True)
    return max(0, shutil.disk_usage(root).free + freed - settings.ARCHIVE_RESERVE_BYTES)


def has_archive(relative: str, size: int | None) -> bool:
    """Whether the file exists, has this size and is not a link."""
    try:
        status = archive_file(relative).lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return stat.S_ISREG(status.st_mode) and status.st_size == size


def has_its_time(relative: str, fingerprint: str) -> bool:
    """Whether the archive still has the modification time that ``mark_time`` gave it.

    Always true for a file of another system user, whose time we may not set.
    """
    try:
        status = archive_file(relative).lstat()
    except FileNotFoundError:  # it has just expired
        return True
    is_ours = os.geteuid() in (0, status.st_uid)
    return not is_ours or int(status.st_mtime) == _time_of(fingerprint)


def remove_archive(relative: str) -> None:
    """Delete an archive; running downloads keep their open file. Does nothing for ``""``."""
    if relative:
        archive_file(relative).unlink(missing_ok=True)


def remove_after_commit(relative: str) -> None:
    """Delete an archive that nothing refers to any more; if that fails, the sweep tries again."""
    transaction.on_commit(lambda: remove_archive(relative), robust=True)


def remove_partials(collection_uuid: UUID) -> None:
    """Delete the partial files of a collection's earlier attempts."""
    for path in settings.ARCHIVE_ROOT.glob(f"{collection_uuid}.*{PARTIAL}"):
        path.unlink(missing_ok=True)


def iter_old_files(*, older_than: float) -> Iterator[str]:
    """Relative paths of all files that were not changed for ``older_than`` seconds.

    Files with a time in the future count as old: the clock was set back after they were written.
    """
    now = time.time()
    for file in settings.ARCHIVE_ROOT.glob("*"):
        with suppress(FileNotFoundError):  # a worker has just renamed it
            status = file.lstat()
            # Not st_mtime, which `mark_time` sets.
            if not stat.S_ISDIR(status.st_mode) and abs(now - status.st_ctime) > older_than:
                yield file.name
