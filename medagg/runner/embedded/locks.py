"""File locks, which the kernel releases when the last holder ends, even by kill -9."""

import fcntl
import os
from pathlib import Path

from medagg.runner.embedded.errors import EmbeddedError

SHARED = fcntl.LOCK_SH
EXCLUSIVE = fcntl.LOCK_EX


def open_lock(path: Path) -> int:
    """Opens the lock file `path`, creating it; returns a descriptor that holds no lock yet.

    Raises EmbeddedError if another user owns it or the folder is read-only.
    """
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except PermissionError as error:
        raise EmbeddedError(
            f"cannot open {path}: {error.strerror}. Run medagg as the user who owns that folder"
        ) from error
    except OSError as error:
        raise EmbeddedError(f"cannot open {path}: {error.strerror}") from error


def try_lock(descriptor: int, kind: int) -> bool:
    """Takes the lock if it is free at once. A lock that is held already is converted."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_locked(path: Path) -> bool:
    """Whether somebody holds the lock file `path` exclusively; the answer may be old at once."""
    if not path.exists():
        return False
    descriptor = open_lock(path)
    try:
        return not try_lock(descriptor, SHARED)
    finally:
        os.close(descriptor)
