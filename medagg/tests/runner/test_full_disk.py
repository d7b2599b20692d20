"""`manage.py up` on a small disk of memory that others fill."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest

from medagg.testing.once import copy_migrated_postgres
from medagg.testing.private_site import connect
from medagg.tests.processes import find_by_command, find_descendants, linux_only, wait_until
from medagg.tests.site import Site

pytestmark = [linux_only, pytest.mark.waits]
DISK_BYTES = 400_000_000
PAGES = ("", "images/", "datasets/", "accounts/login/")
OTHERS = "FROM pg_stat_activity WHERE usename = current_user AND pid <> pg_backend_pid()"


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
    forbid_vacuums(disk)
    site = Site(disk / "var", "--port", "0", "--workers", "1").await_ready()
    try:
        with closing(connect(site.var)) as connection:
            fill(disk)
            for path in 3 * PAGES:
                assert site.get(path)[0] == 200
            assert "SIGBUS" not in (site.var / "log" / "web.log").read_text()

            forget_start_files(disk)
            fill(disk)
            # Room for a new file, but not for what is to be in it.
            os.truncate(disk / "filled", (disk / "filled").stat().st_size - 20_000)
            end_other_connections(connection)
        with pytest.raises(HTTPError) as refused:
            site.get("")
        assert refused.value.code == 503
        assert "The database does not answer" in refused.value.read().decode()

        os.kill(find_by_command("--queues builds", site.started), signal.SIGKILL)

        wait_until(lambda: "builder has ended by itself" in site.out, what="a line on its end")
        (disk / "filled").unlink()
        wait_until(lambda: has_builder(site), what="another builder")
        wait_until(lambda: site.get("readyz/")[0] == 200, what="all parts")
        assert all(site.get(path)[0] == 200 for path in PAGES)
    finally:
        code = site.send(signal.SIGINT)
    assert code == 0
    assert not site.has_left_processes()


def forbid_vacuums(disk: Path) -> None:
    """They remove what `forget_start_files` does, at a time that nobody knows."""
    with (disk / "var" / "postgres" / "postgresql.auto.conf").open("a") as file:
        file.write("autovacuum = off\n")


def forget_start_files(disk: Path) -> None:
    """PostgreSQL writes them for the next connection, and ends that one where it cannot."""
    found = list((disk / "var" / "postgres").rglob("pg_internal.init"))
    assert found
    for file in found:
        file.unlink()


def end_other_connections(connection: Any) -> None:
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT pg_terminate_backend(pid) {OTHERS}")

        def are_gone() -> bool:
            cursor.execute(f"SELECT count(*) {OTHERS}")
            return cursor.fetchone() == (0,)

        wait_until(are_gone, what="the end of the connections")


def has_builder(site: Site) -> bool:
    now = find_descendants(site.process.pid) - site.started
    try:
        return bool(find_by_command("--queues builds", now))
    except ValueError:
        return False


def fill(disk: Path) -> None:
    with (disk / "filled").open("ab", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(65536)):
            pass
