"""A tree of DICOM files with any names: each file that contains an image becomes an image.

Only the fixed list of attributes in ``catalog.imaging.dicom.header`` is kept: no names, dates,
places, UIDs or free text. PatientID, which groups the images of a subject, is kept if the file says
that it was de-identified (PatientIdentityRemoved, PS3.3 C.7.1.1, is YES). Otherwise it may be a
hospital's own number, and a pseudonym replaces it. Paths are kept as they are: rename files and
folders that contain names of people before the import.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from catalog.imaging.content import find_pixel_problem, quiet_parser
from catalog.imaging.dicom.header import DicomHeader, read_header
from catalog.imaging.problems import (
    CutShort,
    DicomDirectory,
    FileProblem,
    NotReadable,
    UnusableFile,
)
from catalog.importers.folders.source import FolderSource, Kind, NoImage, Unreadable, make_source_id
from catalog.importers.rows import ImageRow


class DicomFolder(FolderSource):
    """The DICOM files of a folder that contain an image."""

    kind = Kind.DICOM

    def __init__(
        self,
        root: Path,
        *,
        entry: Mapping[str, Any],
        pseudonym: Callable[[str], str],
        num_rows: int | None = None,
        modality: str = "",
    ) -> None:
        """``pseudonym`` returns what is stored for a PatientID, always the same for the same id."""
        super().__init__(root, entry=entry, num_rows=num_rows, modality=modality)
        self.pseudonym = pseudonym

    def read_image(self, path: str, file: BinaryIO) -> ImageRow:
        header = _read_header(file)
        return ImageRow(
            source_id=make_source_id(path),
            file_path=path,
            modality=header.modality or self.modality,
            area=header.body_part,
            subject_id=self._subject(header),
            sex=header.sex,
            age_years=header.age_years,
            width=header.width,
            height=header.height,
            metadata=header.metadata,
            sop_uid=header.sop_uid,
            identifying=header.identifying,
            problem=(problem, path) if (problem := find_pixel_problem(header)) else None,
        )

    def describe_path(self, path: str) -> ImageRow:
        return ImageRow(make_source_id(path), file_path=path, modality=self.modality)

    def _subject(self, header: DicomHeader) -> str:
        is_removed = str(header.metadata.get("PatientIdentityRemoved", "")).upper() == "YES"
        if is_removed or not header.subject_id:
            return header.subject_id
        return self.pseudonym(header.subject_id)


def _read_header(file: BinaryIO) -> DicomHeader:
    try:
        with quiet_parser():
            header = read_header(file)
    except DicomDirectory as error:
        raise NoImage("DICOM directories") from error
    except CutShort as error:
        raise UnusableFile(FileProblem.CUT_SHORT) from error
    except NotReadable as error:
        raise Unreadable(f"{error.reason} Get the file again, or remove it.") from error
    if header.has_pixels:
        return header
    if header.is_of_image:
        raise Unreadable("The image has no pixels; it may be cut short. Replace it, or remove it.")
    raise NoImage("DICOM objects without an image")
