"""Archives on a disk: one file below ARCHIVE_ROOT for each finished build."""

import errno
import os
import shutil
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

from django.conf import settings

from collections_app.models import Collection
from collections_app.storage.base import (
    ARCHIVE_NAME,
    PARTIAL,
    PARTIAL_NAME,
    ArchiveTrouble,
    archive_name,
    partial_name,
    plain_name,
)

_EPOCH = 315_532_800  # 1980-01-01, the time of every entry in an archive


def archive_file(relative: str) -> Path:
    """The file of an archive path in the database; in no other folder, whatever the path says."""
    return settings.ARCHIVE_ROOT / plain_name(relative)


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


class DiskStore:
    """An ArchiveStore in a folder that all hosts share, if there are several."""

    @contextmanager
    def new_archive(
        self,
        collection_uuid: UUID,
        token: UUID,
        *,
        fingerprint: str,
        size: int,
        on_wait: Callable[[], None],
    ) -> Iterator[BinaryIO]:
        """It is not synced to the disk; verification does that.

        A partial archive is named after its collection and attempt, by which others remove it.
        """
        path = archive_file(partial_name(collection_uuid, token))
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with path.open("w+b") as file:
                yield file
            mark_time(path, fingerprint)
            path.replace(archive_file(archive_name(collection_uuid, token)))
        except BaseException:
            path.unlink(missing_ok=True)
            raise

    def open_archive(self, relative: str, size: int | None) -> FileIO:
        """Links are not followed, as in nginx."""
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

    def has_archive(self, relative: str, size: int | None) -> bool:
        """Links are none."""
        try:
            status = archive_file(relative).lstat()
        except (FileNotFoundError, NotADirectoryError):
            return False
        return stat.S_ISREG(status.st_mode) and status.st_size == size

    def find_missing(self, ready: Iterable[Collection]) -> list[Collection]:
        return [
            each for each in ready if not self.has_archive(each.archive_path, each.archive_size)
        ]

    def find_modified(self, verified: Iterable[Collection]) -> list[Collection]:
        """Also those that were restored from a backup."""
        return [
            each
            for each in verified
            if self.has_archive(each.archive_path, each.archive_size)
            and not _has_its_time(each.archive_path, each.fingerprint)
        ]

    def sync_archive(self, relative: str, file: BinaryIO) -> None:
        """Write the file and its name through to the disk."""
        os.fsync(file.fileno())
        folder = os.open(archive_file(relative).parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def mark_verified(self, relative: str, fingerprint: str) -> None:
        with suppress(FileNotFoundError, PermissionError):
            mark_time(archive_file(relative), fingerprint)

    def sign_download(
        self, relative: str, size: int | None, *, file_name: str, is_head: bool
    ) -> str:
        return ""

    def free_bytes(self, *, freed: int) -> int:
        """Without the reserve."""
        root: Path = settings.ARCHIVE_ROOT
        root.mkdir(parents=True, exist_ok=True)
        return max(0, shutil.disk_usage(root).free + freed - settings.ARCHIVE_RESERVE_BYTES)

    def remove_archive(self, relative: str) -> None:
        """Running downloads keep their open file."""
        archive_file(relative).unlink(missing_ok=True)

    def remove_partials(self, collection_uuid: UUID) -> None:
        for path in settings.ARCHIVE_ROOT.glob(f"{collection_uuid}.*{PARTIAL}"):
            path.unlink(missing_ok=True)

    def iter_old_files(self, *, older_than: float) -> Iterator[str]:
        """Archives and unfinished ones; nothing else that lies in the folder is ours.

        Files with a time in the future count as old: the clock was set back after them.
        """
        now = time.time()
        for file in settings.ARCHIVE_ROOT.glob("*"):
            if not (ARCHIVE_NAME.fullmatch(file.name) or PARTIAL_NAME.fullmatch(file.name)):
                continue
            with suppress(FileNotFoundError):  # a worker has just renamed it
                status = file.lstat()
                # Not st_mtime, which `mark_time` sets.
                if not stat.S_ISDIR(status.st_mode) and abs(now - status.st_ctime) > older_than:
                    yield file.name

    def require_answer(self) -> None:
        """Nobody is asked."""

    def probe(self) -> None:
        """Builds find it out."""


def _has_its_time(relative: str, fingerprint: str) -> bool:
    """Whether the archive still has the modification time that ``mark_time`` gave it.

    Always true for a file of another system user, whose time we may not set.
    """
    try:
        status = archive_file(relative).lstat()
    except FileNotFoundError:  # it has just expired
        return True
    is_ours = os.geteuid() in (0, status.st_uid)
    return not is_ours or int(status.st_mtime) == _time_of(fingerprint)
