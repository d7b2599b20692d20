"""What fetched files take of a disk: bytes, and names, of which most disks have an end, too."""

import os
from collections.abc import Iterable
from pathlib import Path

from django.conf import settings

# A disk gives out whole blocks: millions of files of some bytes fill it as gigabytes do.
BLOCK = 4096
# So many more the disk must be able to take, for all else that writes there.
RESERVED_FILES = 10_000


def count_bytes(sizes: Iterable[int]) -> int:
    """The bytes that files of these sizes count for limits: each at least a block."""
    return sum(size if size > BLOCK else BLOCK for size in sizes)


def has_room(folder: Path, num_bytes: int, num_files: int) -> bool:
    """Whether the disk takes so much more, and still has its reserve."""
    status = os.statvfs(folder)
    if status.f_bavail * status.f_frsize - num_bytes < settings.ARCHIVE_RESERVE_BYTES:
        return False
    # Btrfs and others count no files.
    return not status.f_files or status.f_favail - num_files >= RESERVED_FILES
