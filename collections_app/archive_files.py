"""Where archives lie: below ARCHIVE_ROOT, one file a finished build, named by its token."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

from django.conf import settings

PARTIAL = ".part"


def archive_file(relative: str) -> Path:
    """The file of an archive path as the database holds it."""
    return settings.ARCHIVE_ROOT / relative


def archive_name(collection_uuid: UUID, token: UUID) -> str:
    """A path that no other attempt uses, so that the loser of a race deletes only its own file."""
    return f"{collection_uuid}.{token}.zip"


@contextmanager
def new_archive(relative: str) -> Iterator[BinaryIO]:
    """A file that appears under its name only when the block ends well; else nothing stays."""
    target = archive_file(relative)
    partial = target.with_name(target.name + PARTIAL)
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with partial.open("w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(target)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def remove_archive(relative: str) -> None:
    """Delete an archive; a download that runs keeps its open file to the end."""
    archive_file(relative).unlink(missing_ok=True)


def iter_old_files(*, older_than: float) -> Iterator[str]:
    """Relative paths of all files that nobody has written to for ``older_than`` seconds."""
    limit = time.time() - older_than
    for file in settings.ARCHIVE_ROOT.glob("*"):
        if file.is_file() and file.stat().st_mtime < limit:
            yield file.name
