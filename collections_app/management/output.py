"""What a command gives a person: a finished file, whole or not at all, and lines for a terminal."""

import errno
import io
import os
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

from collections_app.archive.sink import copy_in_kernel

PIECE = 64 << 20


class OutputError(Exception):
    """The file cannot be put there; the message says why."""


def check_output(path: Path, *, force: bool) -> None:
    """Find out early what can be known.

    Raises:
        OutputError: there is no such folder, it cannot be written to, or the file exists.
    """
    folder = path.absolute().parent
    if not folder.is_dir():
        raise OutputError(f"There is no folder {folder}. Make it, or choose another.")
    if path.is_dir():
        raise OutputError(f"{path} is a folder. Name the file that is to be written.")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"The folder {folder} may not be written to.")
    if not force:
        _refuse_existing(path)


def _refuse_existing(path: Path) -> None:
    if os.path.lexists(path):
        raise OutputError(f"{path} exists already. --force overwrites it.")


def copy_file(
    source: Path, target: Path, *, force: bool, on_bytes: Callable[[int], None] | None = None
) -> None:
    """Copy a file; under its name nobody ever sees half of it, and after an error nothing stays.

    A hard link would be quicker, but whoever changes that file would change the server's own.
    The kernel copies, and on some file systems the copies even share their space.

    Raises:
        OutputError: it cannot be written, or the target exists and ``force`` is not given.
    """
    partial = target.with_name(f".{target.name[:80]}.{uuid4().hex}.part")
    try:
        _copy(source, partial, on_bytes or (lambda done: None))
        if not force:
            _refuse_existing(target)
        partial.replace(target)
    except OSError as error:
        raise OutputError(f"{target} could not be written: {error.strerror}.") from error
    finally:
        partial.unlink(missing_ok=True)


def _copy(source: Path, target: Path, on_bytes: Callable[[int], None]) -> None:
    with source.open("rb", buffering=0) as reading, target.open("xb", buffering=0) as writing:
        size, done = os.fstat(reading.fileno()).st_size, 0
        while done < size:
            part = min(PIECE, size - done)
            copied = copy_in_kernel(reading.fileno(), writing.fileno(), done, part)
            if not copied:
                copied = _copy_by_hand(reading, writing, done)
            if not copied:
                raise OSError(errno.EIO, "the archive became shorter meanwhile")
            done += copied
            on_bytes(done)
        os.fsync(writing.fileno())


def _copy_by_hand(reading: io.FileIO, writing: io.FileIO, offset: int) -> int:
    """Some file systems cannot be copied between by the kernel; returns the number of bytes."""
    view = piece = memoryview(os.pread(reading.fileno(), 1 << 20, offset))
    while view:
        view = view[writing.write(view) :]
    return len(piece)


def escape(text: str) -> str:
    """The text with nothing in it that steers a terminal or begins a line."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
