"""Opens the file of an image on this server. No other file can be opened."""

import os
from typing import BinaryIO
from urllib.parse import quote

from django.conf import settings

from catalog.imaging.paths import check_relative_path, open_beneath
from catalog.imaging.problems import DicomDirectory, NotReadable, raise_error_of_system
from catalog.models import Image
from catalog.storage.roots import dataset_root


def open_image(image: Image) -> BinaryIO:
    """Open an image's file for reading; of several the one in the middle.

    Raises:
        FileNotFoundError: the image has no file here, or the file is missing.
        UnsafePath: the path leaves the dataset's folder.
    """
    if not image.file_path:
        raise FileNotFoundError(f"The image {image.source_id} has no file on this server.")
    return open_beneath(dataset_root(image.dataset), check_relative_path(image.file_path))


def is_known_to_identify(image: Image, file: BinaryIO) -> bool | None:
    """Whether ``file``, the image's open file, may tell who somebody is, as the import found.

    None for DICOM that was imported before that was known, or has changed since: ask
    ``may_identify``. The file is left at its start.
    """
    if image.identifying is not None and _is_as_imported(image, file):
        return bool(image.identifying)
    # Only here, as the start of every process would take half as long again with the parsers.
    from catalog.imaging.dicom.unmarked import may_be_dicom  # noqa: PLC0415

    return None if may_be_dicom(file) else False


def may_identify(file: BinaryIO) -> bool:
    """Whether the DICOM file may tell who somebody is; it is read, and left at its start.

    That may take a second, and memory for what it inflates to.

    Raises:
        OSError: the file cannot be read.
    """
    from catalog.imaging.dicom.header import read_header  # noqa: PLC0415

    file.seek(0)
    try:
        return bool(read_header(file).identifying)
    except DicomDirectory:
        return True  # it names the patients of its files
    except NotReadable as error:
        raise_error_of_system(error)
        return True  # nobody knows
    finally:
        file.seek(0)


def _is_as_imported(image: Image, file: BinaryIO) -> bool:
    now, facts = os.fstat(file.fileno()), (image.size_bytes, image.mtime_ns)
    if image.num_files > 1:
        of_file = image.files.filter(path=image.file_path).values_list("size_bytes", "mtime_ns")
        facts = of_file.first() or facts
    return (now.st_size, now.st_mtime_ns) == facts


def find_nginx_address(image: Image, file: BinaryIO) -> str:
    """Where nginx has ``file``, the image's open file, for X-Accel-Redirect; empty if it has not.

    The address is made of the path without links, for nginx follows none.

    Raises:
        OSError: the file is gone meanwhile.
    """
    path = (dataset_root(image.dataset) / image.file_path).resolve()
    # Another file may have taken the place of the one that was opened and found safe.
    if os.path.samestat(path.stat(), os.fstat(file.fileno())):
        # Roots without a location of nginx come last.
        for root, prefix in zip(settings.DATASET_ROOTS, settings.X_ACCEL_DATASETS, strict=False):
            if path.is_relative_to(root):
                return f"{prefix}{quote(os.fsencode(path.relative_to(root)))}"
    return ""
