"""Files that are whole or not there."""

import os
import secrets
from pathlib import Path

import pytest

from catalog.bulk.whole_file import replacing


@pytest.mark.parametrize("kind", ["link", "fifo", "file"])
def test_a_new_file_is_never_one_that_lies_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Even if its name were guessed."""
    mine, guessed = tmp_path / "mine", tmp_path / ".medagg-known.part"
    mine.write_text("mine")
    monkeypatch.setattr(secrets, "token_hex", lambda size: "known")
    if kind == "fifo":
        os.mkfifo(guessed)
    elif kind == "link":
        guessed.symlink_to(mine)
    else:
        guessed.write_text("of another")
    with pytest.raises(FileExistsError), replacing(tmp_path / "list.csv") as file:
        file.write(b"text")
    assert mine.read_text() == "mine"
    assert not (tmp_path / "list.csv").exists()


def test_a_new_file_that_fails_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text("old")
    with pytest.raises(TypeError), replacing(path) as file:
        file.writelines([b"half", None])  # type: ignore[list-item]
    assert not list(tmp_path.glob(".*"))
    assert path.read_text() == "old"
    with replacing(path) as file:
        file.write(b"new")
    assert path.read_text() == "new"


def test_a_new_file_for_its_owners_eyes_is_synced_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, synced = tmp_path / "secret", []

    def sync(handle: int) -> None:
        assert not path.exists()
        synced.append(os.fstat(handle).st_size)

    monkeypatch.setattr(os, "fsync", sync)
    with replacing(path, mode=0o600, sync=True) as file:
        file.write(b"open sesame")
    assert synced == [11]
    assert path.stat().st_mode & 0o777 == 0o600
