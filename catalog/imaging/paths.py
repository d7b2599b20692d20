"""Safe access to the files of a dataset's local copy.

A stored path is untrusted text. It is checked when it is stored (`check_relative_path`) and again
when it is used: `open_beneath` opens one folder after the other, so that neither a link nor a
folder that is swapped meanwhile can lead out of the dataset.
"""

import errno
import hashlib
import os
import re
import stat
import unicodedata
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

MAX_SEGMENT_BYTES = 255  # NAME_MAX of every common file system
MAX_PATH_BYTES = 1024  # PATH_MAX of macOS; Linux allows more
MAX_SAFE_PART = 100
READ_SIZE = 1 << 20

_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# O_NONBLOCK: opening a FIFO without a writer must return at once.
_FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
# The errors for a link under O_NOFOLLOW and under O_NOFOLLOW|O_DIRECTORY.
_MAYBE_A_LINK = frozenset({errno.ELOOP, errno.ENOTDIR})
_DRIVE = re.compile(r"[A-Za-z]:")
_PLAIN_ASCII = re.compile(r"[A-Za-z0-9_+=@%~, ()\[\]-][A-Za-z0-9_+=@%~, ()\[\].-]*")


class UnsafePath(ValueError):
    """A path that could lead out of its dataset, or is not a file; the message says what to do."""


class FileChanged(Exception):
    """A file was written to while it was read, so the result is of no single state of it."""


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What the catalog stores about the content of a file.

    `crc32` is the unsigned CRC-32 that ZIP uses; `sha256` is lower-case hexadecimal; `mtime_ns` is
    nanoseconds since 1970.
    """

    size_bytes: int
    sha256: str
    crc32: int
    mtime_ns: int


def check_relative_path(path: str) -> str:
    """Return `path` unchanged if it is a plain relative POSIX path.

    Raises `UnsafePath` for an absolute path (POSIX, drive letter or UNC), for backslashes, empty,
    `.` and `..` parts, control characters, invalid Unicode, and for parts over 255 or paths over
    1024 bytes of UTF-8.
    """
    if not path:
        raise UnsafePath(
            "The path is empty. Give the file's path relative to the dataset's folder."
        )
    if path[0] == "/" or "\\" in path or _DRIVE.match(path):
        raise _unsafe(path, "is absolute or a Windows path", "write it relative, with '/' between")
    parts = path.split("/")
    for part in parts:
        _check_part(path, part)
    if len(os.fsencode(path)) > MAX_PATH_BYTES:
        raise _unsafe(path, f"is longer than {MAX_PATH_BYTES} bytes", "shorten the folder names")
    return path


def _check_part(path: str, part: str) -> None:
    if len(part) <= MAX_SEGMENT_BYTES and _PLAIN_ASCII.fullmatch(part):
        return  # true for nearly every name, and faster than the checks below
    if part in ("", ".", ".."):
        raise _unsafe(path, f"has the part {part!r}", "write it without empty, '.' and '..' parts")
    if any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in part):
        raise _unsafe(path, "has control or undecodable characters", "rename the file")
    if len(part.encode()) > MAX_SEGMENT_BYTES:
        raise _unsafe(path, f"has a part over {MAX_SEGMENT_BYTES} bytes", "shorten that name")


def _unsafe(path: str, what: str, remedy: str) -> UnsafePath:
    shown = path if len(path) <= 120 else f"{path[:117]}..."
    return UnsafePath(f"The path {shown!r} {what}; {remedy}.")


def safe_part(text: str) -> str:
    """A part of a path that any file system takes; different texts give different ones.

    Names in archives follow other rules: they keep letters of all scripts, and their endings.
    """
    clean = re.sub(r"[^A-Za-z0-9._-]", "_", text)[:MAX_SAFE_PART].strip(".") or "_"
    if clean == text:
        return clean
    return f"{clean}-{hashlib.blake2b(text.encode(), digest_size=5).hexdigest()}"


def open_beneath(root: Path, relative: str) -> BinaryIO:
    """Open the regular file `relative` below `root` for reading, and never anything else.

    `root` itself may be a link, as it is set by the operator. Links inside it are followed if they
    stay inside. The caller closes the file.

    Raises `UnsafePath` for a path that leads out of `root` or is not a regular file,
    `FileNotFoundError` for a missing one, and other `OSError`s of the system.
    """
    with BeneathOpener(root) as files:
        return os.fdopen(files.open_fd(relative), "rb")


def read_link(root: Path, relative: str) -> str:
    """The text of the link `relative` below `root`; '' if it is none. Nothing is opened."""
    try:
        return str((root / relative).readlink())
    except OSError:
        return ""


class BeneathOpener:
    """Opens many files below one root, as safely as `open_beneath` but faster.

    The folder of the last file stays open, so the next file in it costs a single system call. That
    folder was reached from the root without following a link. `root` is opened with the first
    file, and need not exist before. Not thread-safe. Close it, or use it as a context manager.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._home: int | None = None
        self._folder: int | None = None
        self._prefix: str | None = None

    def __enter__(self) -> "BeneathOpener":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all folders. The next `open_fd` opens them again."""
        self._leave_folder()
        home, self._home = self._home, None
        if home is not None:
            os.close(home)

    def open_fd(self, relative: str) -> int:
        """A new descriptor of the file `relative`, which the caller closes.

        Raises as `open_beneath`, with one difference: in a folder that is already open, anything
        except a link is opened, without blocking. The caller must check with `fstat` that it is a
        regular file.
        """
        prefix, _, name = relative.rpartition("/")
        if (
            prefix == self._prefix
            and len(name) <= MAX_SEGMENT_BYTES
            and _PLAIN_ASCII.fullmatch(name)
        ):
            try:
                return os.open(name, _FILE_FLAGS, dir_fd=self._folder)
            except OSError:
                # Another folder may have this name now, so start from the root again.
                self.close()
        check_relative_path(relative)
        try:
            return _open_last(self._enter_folder(prefix), name, relative)
        except OSError as error:
            if error.errno not in _MAYBE_A_LINK:
                raise
        return _open_linked(self._root, relative)

    def _enter_folder(self, prefix: str) -> int:
        if self._folder is not None and prefix == self._prefix:
            return self._folder
        self._leave_folder()
        if self._home is None:
            self._home = os.open(self._root, _FOLDER_FLAGS)
        self._folder = _walk(self._home, prefix.split("/") if prefix else [])
        # Only if no valid name can make the path too long, which `open_fd` relies on.
        if len(os.fsencode(prefix)) + 1 + MAX_SEGMENT_BYTES <= MAX_PATH_BYTES:
            self._prefix = prefix
        return self._folder

    def _leave_folder(self) -> None:
        folder, self._folder, self._prefix = self._folder, None, None
        if folder is not None:
            os.close(folder)


def _walk(home: int, parts: list[str]) -> int:
    """A new descriptor of the folder below `home`; raises ELOOP or ENOTDIR at a link."""
    folder = os.dup(home)
    try:
        for part in parts:
            inner = os.open(part, _FOLDER_FLAGS | os.O_NOFOLLOW, dir_fd=folder)
            os.close(folder)
            folder = inner
    except BaseException:
        os.close(folder)
        raise
    return folder


def _open_last(folder: int, name: str, relative: str) -> int:
    try:
        descriptor = os.open(name, _FILE_FLAGS, dir_fd=folder)
    except OSError as error:
        if error.errno in (errno.ENXIO, errno.ENODEV, errno.EOPNOTSUPP):  # a socket, a dead device
            raise _not_a_file(relative) from error
        raise
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise _not_a_file(relative)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _not_a_file(relative: str) -> UnsafePath:
    return _unsafe(relative, "is not a regular file", "name a file, or remove it from the list")


def _open_linked(root: Path, relative: str) -> int:
    """Open a path that contains a link, if it resolves to a path inside `root`.

    The resolved path is opened again without following links, so that a link that is swapped in
    meanwhile makes it fail.
    """
    home = os.path.realpath(root, strict=True)
    target = _resolve(home, relative)
    if not target.startswith(home.rstrip("/") + "/"):
        what = "is a link that leads out of the dataset's folder"
        raise _unsafe(relative, what, "copy the file into the folder")
    prefix, _, name = os.path.relpath(target, home).rpartition("/")
    try:
        with BeneathOpener(Path(home)) as files:
            return _open_last(files._enter_folder(prefix), name, relative)
    except OSError as error:
        if error.errno in _MAYBE_A_LINK:
            raise _swapped(relative) from error
        raise


def _resolve(home: str, relative: str) -> str:
    try:
        return os.path.realpath(Path(home, relative), strict=True)
    except NotADirectoryError as error:
        raise FileNotFoundError(errno.ENOENT, "A part of the path is a file", relative) from error
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise _unsafe(relative, "is a link that leads to itself", "repair the link") from error
        if error.errno == errno.EINVAL:  # readlink on what was a link a moment ago
            raise _swapped(relative) from error
        raise


def _swapped(relative: str) -> UnsafePath:
    return _unsafe(
        relative, "was swapped while it was opened", "try again when nothing writes there"
    )


def read_facts(file: BinaryIO) -> FileFacts:
    """Read `file`, a file on disk, once from its start, and return its `FileFacts`.

    Raises `FileChanged` if its size or time changed meanwhile, and `OSError`.
    """
    before = os.fstat(file.fileno())
    file.seek(0)
    sha256, crc32, length = hashlib.sha256(), 0, 0
    buffer = memoryview(bytearray(min(READ_SIZE, max(before.st_size, 1))))
    # A file that is written to as fast as it is read would have no end.
    while length <= before.st_size and (count := file.readinto(buffer)):  # type: ignore[attr-defined]
        sha256.update(buffer[:count])
        crc32 = zlib.crc32(buffer[:count], crc32)
        length += count
    after = os.fstat(file.fileno())
    if not (_mark(before) == _mark(after) and length == after.st_size):
        raise FileChanged(
            "The file changed while it was read; try again when nothing writes to it."
        )
    return FileFacts(length, sha256.hexdigest(), crc32, after.st_mtime_ns)


def _mark(status: os.stat_result) -> tuple[int, int]:
    return status.st_size, status.st_mtime_ns


def iter_files(root: Path) -> Iterator[str]:
    """Yield the relative POSIX path of every regular file below `root`, sorted by code point.

    Files and folders whose names begin with a dot are ignored. A link to a file is yielded
    (`open_beneath` decides whether to follow it), and so is a link to nothing, as git-annex leaves
    for a file that is not here, or to itself; a link to a folder is not entered. Raises `OSError`
    for a folder that cannot be listed.
    """
    waiting = _list_folder(root, "")
    while waiting:
        path = waiting.pop()
        if path.endswith("/"):
            waiting.extend(_list_folder(root, path))
        else:
            yield path


def _list_folder(root: Path, prefix: str) -> list[str]:
    """The entries of a folder below `root`, last first; folders end in '/', as they sort."""
    with os.scandir(root / prefix) as entries:
        found = [
            f"{prefix}{entry.name}/" if is_folder else f"{prefix}{entry.name}"
            for entry in entries
            if not entry.name.startswith(".")
            and ((is_folder := entry.is_dir(follow_symlinks=False)) or _is_file_or_broken(entry))
        ]
    return sorted(found, reverse=True)


def _is_file_or_broken(entry: "os.DirEntry[str]") -> bool:
    """Whether an entry is a file, or a link that leads to nothing."""
    try:
        return entry.is_file() or (entry.is_symlink() and not Path(entry.path).exists())
    except OSError:  # such as a link that leads to itself
        return entry.is_symlink()
