"""Output of commands: a file that is complete or not there, and safe lines for a terminal."""

import errno
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from collections_app.archive.sink import copy_in_kernel

CHUNK = 64 << 20


class OutputError(Exception):
    """The file cannot be written; the message says why."""


def check_output(path: Path, *, force: bool) -> None:
    """Check early whether the file can be written.

    Raises:
        OutputError: the folder is missing or not writable, the file exists, or what is there with
            ``force`` is no file.
    """
    folder = path.absolute().parent
    if not folder.is_dir():
        raise OutputError(f"The folder {folder} does not exist. Create it, or choose another one.")
    if path.is_dir():
        raise OutputError(f"{path} is a folder. Give the name of a file.")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"You may not write to the folder {folder}. Choose another one.")
    _refuse_existing(path, force=force)


def _refuse_existing(path: Path, *, force: bool) -> None:
    """A FIFO or a device is never replaced by a file: others write to it."""
    if not os.path.lexists(path):
        return
    if not path.is_file():
        raise OutputError(f"{path} is no file. Give the name of a file.")
    if not force:
        raise OutputError(f"{path} exists already. Use --force to overwrite it.")


def copy_file(
    source: BinaryIO,
    target: Path,
    *,
    size: int,
    force: bool,
    on_bytes: Callable[[int], None] | None = None,
) -> None:
    """Copy ``size`` bytes; the target is complete or not there, also after an error.

    A hard link would be faster, but a change of that file would change the archive of the server.
    The kernel copies what is on a disk, and on some file systems the copy shares its space with the
    source. The new file has no buffer, unlike that of ``replacing``, since the kernel writes to it.

    Raises:
        OutputError: it cannot be written, the target exists and ``force`` is not given, or it
            is no file.
    """
    partial = target.with_name(f".{target.name[:80]}.{uuid4().hex}.part")
    try:
        _copy(source, partial, size, on_bytes or (lambda done: None))
        _refuse_existing(target, force=force)
        partial.replace(target)
    except OSError as error:
        raise OutputError(f"{target} could not be written: {error.strerror}.") from error
    finally:
        partial.unlink(missing_ok=True)


def _copy(reading: BinaryIO, target: Path, size: int, on_bytes: Callable[[int], None]) -> None:
    is_on_disk = isinstance(reading, io.FileIO)
    with target.open("xb", buffering=0) as writing:
        done = 0
        while done < size:
            part = min(CHUNK, size - done)
            copied = 0
            if is_on_disk:
                copied = copy_in_kernel(reading.fileno(), writing.fileno(), done, part)
                reading.seek(done + copied)
            copied = copied or _copy_block(reading, writing)
            if not copied:
                raise OSError(errno.EIO, "the archive became shorter while it was copied")
            done += copied
            on_bytes(done)
        os.fsync(writing.fileno())


def _copy_block(reading: BinaryIO, writing: io.FileIO) -> int:
    """Copy one block without the kernel, for sources that need it; return its size."""
    view = piece = memoryview(reading.read(1 << 20))
    while view:
        view = view[writing.write(view) :]
    return len(piece)


def escape(text: str) -> str:
    """The text with all control characters and line breaks escaped."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
