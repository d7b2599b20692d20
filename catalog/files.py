"""From a catalog row to the bytes on this server's disk, and never to any others."""

from typing import BinaryIO

from catalog.imaging.paths import check_relative_path, open_beneath
from catalog.models import Image
from catalog.storage.roots import dataset_root


def open_image(image: Image) -> BinaryIO:
    """Open an image's file for reading.

    Raises:
        FileNotFoundError: the image has no file here, or it is gone.
        UnsafePath: the path leaves the dataset's folder.
    """
    if not image.file_path:
        raise FileNotFoundError(f"The image {image.source_id} has no file on this server.")
    return open_beneath(dataset_root(image.dataset), check_relative_path(image.file_path))
