"""The folders of datasets' local copies, all of them within ``DATASET_ROOTS``."""

from pathlib import Path

from django.conf import settings

from catalog.imaging.paths import UnsafePath
from catalog.models import Dataset


def resolve_dataset_root(local_path: str) -> Path:
    """The folder of a local copy; a relative path starts in the first of ``DATASET_ROOTS``.

    Raises:
        UnsafePath: the folder lies outside every one of ``DATASET_ROOTS``.
    """
    home: Path = settings.DATASET_ROOTS[0]
    root = (home / local_path).resolve()
    if not any(root.is_relative_to(allowed) for allowed in settings.DATASET_ROOTS):
        raise UnsafePath(
            f"The folder “{local_path}” lies outside the dataset folders. "
            "Move it there, or add its parent to MEDAGG_DATASET_ROOTS."
        )
    return root


def dataset_root(dataset: Dataset) -> Path:
    """The folder of a dataset's local copy; raises UnsafePath, or FileNotFoundError without one."""
    if not dataset.local_path:
        raise FileNotFoundError(f"The dataset {dataset.slug} has no local copy.")
    return resolve_dataset_root(dataset.local_path)
