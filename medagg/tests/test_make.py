"""`make` where a mistake would cost a user data."""

import shutil
import subprocess
from pathlib import Path

import pytest

from medagg.tests.processes import REPOSITORY


@pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")
def test_cleaning_keeps_the_data(tmp_path: Path) -> None:
    shutil.copy(REPOSITORY / "Makefile", tmp_path)
    kept = tmp_path / "var" / "__pycache__" / "precious"
    removed = tmp_path / "catalog" / "__pycache__" / "models.pyc"
    for file in (kept, removed):
        file.parent.mkdir(parents=True)
        file.touch()

    subprocess.run(["make", "clean"], cwd=tmp_path, check=True, capture_output=True)

    assert kept.exists()
    assert not removed.exists()
