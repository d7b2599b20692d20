import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from collections_app.tests.archive.archive_files import (
    LARGE,
    SMALL,
    make_file,
    open_descriptors,
)


@pytest.fixture
def no_descriptor_is_left_open() -> Iterator[None]:
    before = open_descriptors()
    yield
    assert open_descriptors() <= before


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """The path of the archive to write."""
    return tmp_path / "target.zip"


@pytest.fixture(params=[SMALL, LARGE], ids=["small", "large"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A file that fits into the writer's buffer, and one that the kernel copies."""
    return make_file(tmp_path / "data" / "scan.png", request.param)


@pytest.fixture
def other_file_system(tmp_path: Path) -> Iterator[Path]:
    """A folder on another file system than the temporary folder's."""
    memory = Path("/dev/shm")  # noqa: S108 - in memory wherever there is one
    if not memory.is_dir() or memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second file system to copy from")
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)
