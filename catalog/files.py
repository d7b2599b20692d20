"""From a catalog row to the bytes on this server's disk, and never to any others."""

from pathlib import Path
from typing import BinaryIO

from django.conf import settings

from catalog.imaging.paths import UnsafePath, check_relative_path, open_beneath
from catalog.models import Dataset, Image


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
    """The folder of a dataset's local copy; raises UnsafePath, FileNotFoundError when none."""
    if not dataset.local_path:
        raise FileNotFoundError(f"The dataset {dataset.slug} has no local copy.")
    return resolve_dataset_root(dataset.local_path)


def open_image(image: Image) -> BinaryIO:
    """Open an image's file for reading.

    Raises:
        FileNotFoundError: the image has no file here, or it is gone.
        UnsafePath: the path leaves the dataset's folder.
    """
    if not image.file_path:
        raise FileNotFoundError(f"The image {image.source_id} has no file on this server.")
    return open_beneath(dataset_root(image.dataset), check_relative_path(image.file_path))
