"""The DICOM demo dataset: the real files that the package pydicom ships for its own tests."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydicom

from catalog.demo.demo_files import read_local_facts, write_if_changed
from catalog.imaging.dicom.header import read_header
from catalog.imaging.paths import check_relative_path, iter_files, open_beneath
from catalog.imaging.problems import NotReadable
from catalog.importers.rows import BadRow, ImageRow

SLUG = "pydicom-samples"
SOURCE = Path(pydicom.__file__).parent / "data"
FOLDERS = ("test_files", "charset_files")
# Other files in these folders: code, notes, colour profiles.
OTHER_FILES = (".py", ".pyc", ".txt", ".md", ".json", ".icc", ".dump")
ENTRY: dict[str, Any] = {
    "slug": SLUG,
    "title": "pydicom sample files",
    "description": (
        "The small DICOM files with which the Python package pydicom tests itself: CT, MR, "
        "ultrasound, nuclear medicine, computed radiography and more, in many transfer "
        "syntaxes and colour models. Useful to see that a pipeline reads what scanners write. "
        "pydicom publishes them with the names and comments in their headers, which are those of "
        "tests; the catalog treats them as it does any that tell who somebody is."
    ),
    "source_url": "https://github.com/pydicom/pydicom",
    "modalities": ["ct", "mr", "us", "nm", "cr", "ot"],
    "task_types": [],
    "tags": ["dicom", "test-files"],
    "license": "mit",
    "citation": f"pydicom {pydicom.__version__}, sample files, pydicom contributors.",
    "local_path": SLUG,
}


def copy_samples(folder: Path) -> Iterator[ImageRow | BadRow]:
    """Copy pydicom's readable images into ``folder`` and yield their rows.

    A file without a readable image becomes a BadRow.
    """
    for part in FOLDERS:
        for name in iter_files(SOURCE / part):
            if name.endswith(OTHER_FILES):
                continue
            path = f"{part}/{name}"
            try:
                yield _copy_one(SOURCE / part, name, folder, path)
            except NotReadable as error:
                yield BadRow(0, "file", path, error.reason, source_id=path)


def _copy_one(source: Path, name: str, folder: Path, path: str) -> ImageRow:
    with open_beneath(source, name) as file:
        header = read_header(file)
        if not header.has_pixels:
            raise NotReadable("It is a DICOM object without an image.")
        file.seek(0)
        write_if_changed(folder / check_relative_path(path), file.read())
    return ImageRow(
        source_id=path,
        file_path=path,
        facts=read_local_facts(folder, path),
        modality=header.modality,
        area=header.body_part,
        subject_id=header.subject_id,
        sex=header.sex,
        age_years=header.age_years,
        width=header.width,
        height=header.height,
        metadata=header.metadata,
        identifying=header.identifying,
    )
