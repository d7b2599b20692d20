"""An import looks at files made to do harm, and at what is no file, in bounded time and memory."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from catalog.imaging.content import find_placeholder
from catalog.imaging.paths import FileChanged, UnsafePath, open_beneath, read_facts
from catalog.tests.imaging.hostile_files import FILES

SECONDS, MEMORY = 10, 512 << 20
ROOT = Path(__file__).parents[3]
_SCAN = r"""
import json, re, sys, time
from pathlib import Path
from catalog.importers.local_files import with_facts
from catalog.importers.rows import ImageRow
found = {}
for path in sorted(Path(sys.argv[1]).iterdir()):
    started = time.process_time()
    [row] = with_facts([ImageRow(path.name, file_path=path.name)], root=path.parent)
    found[path.name] = [time.process_time() - started, row.width if hasattr(row, "width") else None]
# ru_maxrss would count the process that started this one.
peak = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
print(json.dumps([int(peak[1]) << 10, found]))
"""


def test_a_scan_of_all_of_them_stays_small_and_ends(tmp_path: Path) -> None:
    folder = tmp_path / "hostile"
    folder.mkdir()
    for name, make in FILES.items():
        (folder / name).write_bytes(make())
    command = [sys.executable, "-W", "ignore", "-c", _SCAN, str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, timeout=120)
    peak, found = json.loads(done.stdout)
    assert peak < MEMORY
    assert len(found) == len(FILES) >= 60
    assert max(seconds for seconds, _ in found.values()) < SECONDS


def test_a_text_of_comments_is_read_at_once() -> None:
    """An expression that tried each way to divide it took longer than the universe is old."""
    assert find_placeholder(b"<!---->" * 140 + b".") is None


def test_a_file_that_grows_as_fast_as_it_is_read_has_an_end(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(bytes(1000))
    with path.open("rb") as file, path.open("ab", buffering=0) as out:

        class Growing:
            """Each reading adds what the next one finds."""

            seek, fileno = file.seek, file.fileno

            def readinto(self, buffer: memoryview) -> int:
                out.write(bytes(len(buffer)))
                return file.readinto(buffer)

        with pytest.raises(FileChanged):
            read_facts(Growing())  # type: ignore[arg-type]


def test_a_file_that_shrinks_is_no_file(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(bytes(5 << 20))
    with path.open("rb") as file:

        class Shrinking:
            """Cut while it is read."""

            seek, fileno = file.seek, file.fileno

            def readinto(self, buffer: memoryview) -> int:
                os.truncate(path, 1 << 20)
                return file.readinto(buffer)

        with pytest.raises(FileChanged):
            read_facts(Shrinking())  # type: ignore[arg-type]


def test_what_is_no_file_of_the_folder_is_not_opened(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "outside.png").write_bytes(FILES["pixels.png"]())
    (tmp_path / "in/link.png").symlink_to(tmp_path / "outside.png")
    os.mkfifo(tmp_path / "in/pipe.png")
    (tmp_path / "in/null.png").symlink_to("/dev/zero")
    for name in ("link.png", "pipe.png", "null.png"):
        with pytest.raises(UnsafePath):
            open_beneath(tmp_path / "in", name)
