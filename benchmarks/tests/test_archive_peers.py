"""The peers write all files, and every archive is checked."""

import subprocess
from pathlib import Path

import pytest

from benchmarks.archive_files import FileSet, make_dataset
from benchmarks.archive_peers import (
    ENDINGS,
    PEERS,
    ZIPFILE,
    Held,
    find_damage,
    look_into,
)
from benchmarks.folder import REPOSITORY, passed_on

FILES = FileSet("bench-peers", count=405, size=123)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_dataset(tmp_path / "set", FILES)


def write(name: str, folder: Path) -> Path:
    out = folder.parent / f"out{ENDINGS[name]}"
    try:
        subprocess.run(PEERS[name](folder, out), check=True, cwd=REPOSITORY, env=passed_on())
    except FileNotFoundError as error:
        pytest.skip(f"{error.filename} is not installed")
    return out


@pytest.mark.parametrize("name", PEERS)
def test_each_peer_writes_every_file_and_nothing_else(name: str, folder: Path) -> None:
    assert look_into(write(name, folder)) == Held(FILES.count, FILES.num_bytes)


def test_a_changed_byte_is_found(folder: Path) -> None:
    out = write(ZIPFILE, folder)
    assert find_damage(out) is None

    whole = bytearray(out.read_bytes())
    whole[60] ^= 1
    out.write_bytes(whole)

    assert find_damage(out) == "0000/0000000.raw"
