"""Files that are whole or not there: written beside, and renamed when they are complete."""

import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

# What the names of files begin with that are being written; a killed process leaves them.
PARTIAL = ".medagg-"
OLD_SECONDS = 24 * 3600


@contextmanager
def replacing(path: Path, *, mode: int = 0o666, sync: bool = False) -> Iterator[BinaryIO]:
    """A new file that takes the place of `path` at the end of the block, or is gone if that fails.

    The folder may be a stranger's: a link or FIFO that lies there is neither followed nor opened,
    and nobody can guess the name of the new file. `mode` is less what the umask takes. With `sync`
    the contents are on the disk before the file gets its name.
    """
    partial = path.with_name(f"{PARTIAL}{secrets.token_hex(8)}.part")
    handle = os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            if sync:
                file.flush()
                os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def remove_old_partials(folder: Path) -> None:
    """Remove what `replacing` has left in killed processes; another one may be writing now."""
    for path in folder.glob(f"{PARTIAL}*.part"):
        with suppress(OSError):
            if time.time() - path.lstat().st_mtime > OLD_SECONDS:
                path.unlink()
