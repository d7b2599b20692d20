"""The same entries give the same bytes in another process, folder and time."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import collections_app
from collections_app.archive import WRITER_VERSION
from collections_app.tests.archive.archive_files import MIB, build, catalog_file, make_file, text

WRITE_A_FIXED_ARCHIVE = """
import os, sys
from pathlib import Path
from collections_app.tests.archive.archive_files import build, catalog_file, text
folder, umask = Path(sys.argv[1]), int(sys.argv[3], 8)
os.umask(umask)
names = sorted(path.name for path in folder.iterdir())
files = [catalog_file(folder / name, f"images/{name}") for name in names]
build(Path(sys.argv[2]), [text("README.md", b"# Fixed" * 99), *files])
"""


def write_in_another_process(folder: Path, target: Path, umask: str, **environment: str) -> bytes:
    root = str(Path(collections_app.__file__).parents[1])
    command = [sys.executable, "-c", WRITE_A_FIXED_ARCHIVE, str(folder), str(target), umask]
    environment = {"PYTHONPATH": root, "PATH": os.environ["PATH"], **environment}
    subprocess.run(command, check=True, env=environment, cwd=target.parent)
    return target.read_bytes()


def test_bytes_do_not_depend_on_time_folder_or_process(tmp_path: Path) -> None:
    for name in ("a.png", "b.png", "Ö.png"):
        make_file(tmp_path / "files" / name, name.encode() * 70_000)
    first = write_in_another_process(
        tmp_path / "files", tmp_path / "1.zip", "022", TZ="UTC", LC_ALL="C", PYTHONHASHSEED="1"
    )
    for path in (tmp_path / "files").iterdir():
        path.chmod(0o600)
        os.utime(path, (2_000_000_000, 2_000_000_000))
    second = write_in_another_process(
        tmp_path / "files",
        tmp_path / "2.zip",
        "077",
        TZ="Pacific/Auckland",
        LC_ALL="tr_TR.UTF-8",
        PYTHONHASHSEED="2",
    )
    assert first == second


def test_bytes_do_not_depend_on_how_a_file_is_read(tmp_path: Path) -> None:
    path = make_file(tmp_path / "a.bin", os.urandom(3 * MIB))
    archives = []
    for known in ({}, {"mtime_ns": None}, {"crc32": None}, {"crc32": 1, "mtime_ns": 1}):
        build(tmp_path / "a.zip", [catalog_file(path, **known)])
        archives.append((tmp_path / "a.zip").read_bytes())
    assert len(set(archives)) == 1


def test_the_bytes_of_an_archive_never_change(tmp_path: Path) -> None:
    """If this fails, old archives cannot be rebuilt: undo the change or raise WRITER_VERSION."""
    path = make_file(tmp_path / "a.png", b"pixels" * 999)
    table = "".join(f"images/{n}.png,{n * n},normal\n" for n in range(5000)).encode()
    build(
        tmp_path / "a.zip",
        [
            text("x/metadata.csv", table),
            catalog_file(path, "x/images/ä.png"),
            text("x/SHA256SUMS", b""),
        ],
    )
    digest = hashlib.sha256((tmp_path / "a.zip").read_bytes()).hexdigest()
    assert (WRITER_VERSION, digest) == (
        "medagg-zip/2",
        "3062a853c2e1e8b59ee0650950b8a87048b0228c41ddea612d5c5f49242dbbdb",
    )
