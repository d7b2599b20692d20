"""Other programs that write a folder into one file, and checks of what is in such a file."""

import shutil
import sys
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from zipfile import ZipFile

from benchmarks.processes import ProgramFailedError

TAR, ZIP, ZIPFILE = "tar cf", "zip -0 -r", "Python's zipfile"
NEEDED = ("tar", "zip")
Command = Callable[[Path, Path], list[str]]
# By the name of a peer, its command for a folder and the file to write. Names in the archives are
# relative to the folder. zip and its peer print nothing, which takes time.
PEERS: dict[str, Command] = {
    TAR: lambda folder, out: ["tar", "cf", str(out), "-C", str(folder), "."],
    ZIP: lambda folder, out: [
        "env", f"--chdir={folder}", "zip", "-0", "-r", "-q", str(out), ".",
    ],
    ZIPFILE: lambda folder, out: [
        sys.executable, "-m", "benchmarks.zipfile_peer", str(folder), str(out),
    ],
}  # fmt: skip
ENDINGS = {TAR: ".tar", ZIP: ".zip", ZIPFILE: ".zip"}


@dataclass(frozen=True, slots=True)
class Held:
    """The number of files in an archive, and their uncompressed bytes."""

    count: int
    num_bytes: int


def need_programs() -> None:
    """Raises ProgramFailedError when a peer is not installed."""
    for name in NEEDED:
        if shutil.which(name) is None:
            raise ProgramFailedError(f"the archives are held against `{name}`: install it first")


def look_into(path: Path, *, below: str = "") -> Held:
    """The files of an archive, by its own directory, whose names begin with ``below``."""
    sizes = _tar_sizes(path) if path.suffix == ".tar" else _zip_sizes(path, below)
    return Held(len(sizes), sum(sizes))


def _tar_sizes(path: Path) -> list[int]:
    with tarfile.open(path) as archive:
        return [member.size for member in archive if member.isfile()]


def _zip_sizes(path: Path, below: str) -> list[int]:
    with ZipFile(path) as archive:
        return [
            info.file_size
            for info in archive.infolist()
            if not info.is_dir() and info.filename.startswith(below)
        ]


def find_damage(path: Path) -> str | None:
    """Read a whole ZIP; return the first entry with a wrong CRC-32, or None."""
    with ZipFile(path) as archive:
        return archive.testzip()
