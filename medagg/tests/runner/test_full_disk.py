"""`manage.py up` on a small disk of memory that others fill."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from medagg.testing.once import copy_migrated_postgres
from medagg.tests.processes import find_by_command, find_descendants, linux_only, wait_until
from medagg.tests.site import Site

pytestmark = [linux_only, pytest.mark.waits]
DISK_BYTES = 400_000_000


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    options = f"size={DISK_BYTES},mode=755"
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("nobody may mount here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_ends_neither_pages_nor_the_site(disk: Path) -> None:
    copy_migrated_postgres(disk / "var")
    site = Site(disk / "var", "--port", "0", "--workers", "1").await_ready()
    try:
        fill(disk)
        for _ in range(3):
            for path in ("", "images/", "datasets/", "accounts/login/"):
                assert site.get(path)[0] == 200
        assert "SIGBUS" not in (site.var / "log" / "web.log").read_text()

        os.kill(find_by_command("--queues builds", site.started), signal.SIGKILL)

        wait_until(lambda: "builder has ended by itself" in site.out, what="a line on its end")
        (disk / "filled").unlink()
        wait_until(lambda: has_builder(site), what="another builder")
        wait_until(lambda: site.get("readyz/")[0] == 200, what="all parts")
    finally:
        code = site.send(signal.SIGINT)
    assert code == 0
    assert not site.has_left_processes()


def has_builder(site: Site) -> bool:
    now = find_descendants(site.process.pid) - site.started
    try:
        return bool(find_by_command("--queues builds", now))
    except ValueError:
        return False


def fill(disk: Path) -> None:
    with (disk / "filled").open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(65536)):
            pass
