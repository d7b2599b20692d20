from pathlib import Path

import pytest
from django.conf import LazySettings

from vocab.tests.shipped import save_shipped_vocabularies


@pytest.fixture(autouse=True)
def own_folders(settings: LazySettings, tmp_path: Path) -> Path:
    """Every test has its own dataset and preview folders."""
    settings.DATASET_ROOTS = [tmp_path / "datasets"]
    settings.PREVIEW_ROOT = tmp_path / "previews"
    settings.DATASET_ROOTS[0].mkdir()
    return tmp_path


@pytest.fixture
def vocabularies(db: None) -> None:
    """The shipped terms and their aliases."""
    save_shipped_vocabularies()


@pytest.fixture(scope="module")
def module_vocabularies(module_db: None) -> None:
    """The same for all tests of a module."""
    save_shipped_vocabularies()
