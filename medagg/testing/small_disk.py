"""Disks with an end that tests reach, where this process may mount them."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

MountDisk = Callable[..., Path]


@pytest.fixture
def mount_disk() -> Iterator[MountDisk]:
    """Mounts a disk of so many bytes and files at a folder; the test is skipped where it cannot."""
    mounted: list[Path] = []

    def mount(folder: Path, *, num_bytes: int, num_files: int = 0) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        options = f"size={num_bytes},nr_inodes={num_files}"  # of which 0 is no limit
        command = ["mount", "-t", "tmpfs", "-o", options, "medagg-test", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"a small disk cannot be mounted here: {done.stderr.strip()}")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
