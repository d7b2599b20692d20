"""Where archives lie: below ARCHIVE_ROOT, one file for each finished build."""

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

PARTIAL = ".part"
_EPOCH = 315_532_800  # 1980-01-01, the time of every entry inside


def archive_file(relative: str) -> Path:
    """The file of an archive path as the database holds it."""
    return settings.ARCHIVE_ROOT / relative


def archive_name(fingerprint: str, token: UUID) -> str:
    """A path that no other attempt uses, so that the loser of a race deletes only its own file."""
    return f"{fingerprint}.{token}.zip"


def partial_name(collection_uuid: UUID, token: UUID) -> str:
    """Where an attempt writes; nobody is ever sent such a file."""
    return f"{collection_uuid}.{token}{PARTIAL}"


@contextmanager
def new_archive(partial: str, relative: str, *, fingerprint: str) -> Iterator[BinaryIO]:
    """A file that appears under its name only when the block ends well; else nothing stays.

    It is not yet on the disk then: whoever proves the archive sees to that too.
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
    """Give a file the modification time that belongs to its bytes: seconds after 1980.

    Web servers make ETag and Last-Modified of it. A download that was interrupted goes on after a
    rebuild, because both are as they were.
    """
    seconds = _time_of(fingerprint)
    os.utime(path, (seconds, seconds))


def _time_of(fingerprint: str) -> int:
    # Even: some file systems count in steps of two seconds.
    return _EPOCH + (int(fingerprint[:7], 16) & ~1)


class ArchiveTrouble(Exception):
    """There is no such archive (``is_gone``), or what lies there is not what was built."""

    def __init__(self, *, is_gone: bool) -> None:
        super().__init__("the archive is gone" if is_gone else "this is not the archive")
        self.is_gone = is_gone


def open_archive(relative: str, size: int | None) -> FileIO:
    """The archive, open for reading; links are not followed, as in nginx.

    Raises:
        ArchiveTrouble: it is not there, is no regular file, or has another size than ``size``.
        OSError: it cannot be opened.
    """
    path = archive_file(relative)
    try:
        # Nothing that lies there may make us wait, as a pipe would.
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ArchiveTrouble(is_gone=True) from error
    except OSError as error:
        if error.errno == errno.ELOOP:  # a link, which no build makes
            raise ArchiveTrouble(is_gone=False) from error
        raise
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode) or status.st_size != size:
        os.close(fd)
        raise ArchiveTrouble(is_gone=False)
    return FileIO(fd)


def free_bytes() -> int:
    """What may still be written to the archives' disk, without the reserve."""
    root: Path = settings.ARCHIVE_ROOT
    root.mkdir(parents=True, exist_ok=True)
    return max(0, shutil.disk_usage(root).free - settings.ARCHIVE_RESERVE_BYTES)


def has_archive(relative: str, size: int | None) -> bool:
    """Whether the file is there, whole as far as its size tells, and no link to another one."""
    try:
        status = archive_file(relative).lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return stat.S_ISREG(status.st_mode) and status.st_size == size


def has_its_time(relative: str, fingerprint: str) -> bool:
    """Whether nobody has written to the archive since ``mark_time``, as far as its time tells.

    Of a file whose time we may not set, nothing can be told.
    """
    status = archive_file(relative).lstat()
    is_ours = os.geteuid() in (0, status.st_uid)
    return not is_ours or int(status.st_mtime) == _time_of(fingerprint)


def is_empty() -> bool:
    """Whether there is nothing at all where archives lie."""
    return not any(settings.ARCHIVE_ROOT.glob("*"))


def remove_archive(relative: str) -> None:
    """Delete an archive; a download that runs keeps its open file to the end. "" names none."""
    if relative:
        archive_file(relative).unlink(missing_ok=True)


def remove_partials(collection_uuid: UUID) -> None:
    """Delete what earlier attempts of a collection have left, whose workers are gone."""
    for path in settings.ARCHIVE_ROOT.glob(f"{collection_uuid}.*{PARTIAL}"):
        path.unlink(missing_ok=True)


def iter_old_files(*, older_than: float) -> Iterator[str]:
    """Relative paths of all files that nobody has touched for ``older_than`` seconds.

    A clock that was set back makes files of the future; those are old, too.
    """
    now = time.time()
    for file in settings.ARCHIVE_ROOT.glob("*"):
        with suppress(FileNotFoundError):  # a worker has just renamed it
            status = file.lstat()
            # Not the time of modification, which `mark_time` sets.
            if not stat.S_ISDIR(status.st_mode) and abs(now - status.st_ctime) > older_than:
                yield file.name
