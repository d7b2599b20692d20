"""A tree of DICOM files with any names: each series of slices, and each other file, is an image.

Only the fixed list of attributes in ``catalog.imaging.dicom.header`` is kept: no names, dates,
places or free text. PatientID, which groups the images of a subject, and the UIDs of study and
series are kept if the file says that it was de-identified (PatientIdentityRemoved, PS3.3 C.7.1.1,
is YES). Otherwise they may be a hospital's own, and pseudonyms replace them. Paths are kept as they
are: rename files and folders that contain names of people before the import.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from catalog.imaging.budget import TooMuch
from catalog.imaging.content import find_pixel_problem
from catalog.imaging.dicom.deidentify import Pseudonyms
from catalog.imaging.dicom.header import DicomHeader, read_header
from catalog.imaging.problems import (
    CutShort,
    DicomDirectory,
    FileProblem,
    NotReadable,
    UnusableFile,
)
from catalog.importers.folders.source import FolderSource, Kind, NoImage, Unreadable, make_source_id
from catalog.importers.rows import ImageRow, Slice
from catalog.importers.tables.lines import show

# Modalities whose files are slices, also where they do not say where they lie: computed tomography,
# magnetic resonance and positron emission tomography (PS3.3 C.7.3.1.1.1).
SLICED = frozenset({"CT", "MR", "PT"})


class DicomFolder(FolderSource):
    """The DICOM files of a folder that contain an image."""

    kind = Kind.DICOM

    def __init__(
        self,
        root: Path,
        *,
        entry: Mapping[str, Any],
        pseudonyms: Pseudonyms,
        num_rows: int | None = None,
        modality: str = "",
        per_file: bool = False,
    ) -> None:
        """``pseudonyms`` are for ids and UIDs. With ``per_file`` a slice is an image, too."""
        super().__init__(root, entry=entry, num_rows=num_rows, modality=modality)
        self.pseudonyms = pseudonyms
        self.per_file = per_file

    def read_image(self, path: str, file: BinaryIO) -> ImageRow:
        header = _read_header(file)
        slice_ = None if self.per_file else self._find_slice(header)
        metadata = header.metadata
        if slice_ and header.series_description:
            metadata = {**metadata, "SeriesDescription": header.series_description}
        subject_id = self._hide(header, header.subject_id, self.pseudonyms.of_patient)
        if subject_id != header.subject_id and not self.notes:
            self.notes.append(
                "pseudonyms replace ids of patients, but pages show the paths of files, such as "
                f"“{show(path)}”: rename files and folders that tell who somebody is"
            )
        return ImageRow(
            source_id=make_source_id(path),
            file_path=path,
            modality=header.modality or self.modality,
            area=header.body_part,
            subject_id=subject_id,
            sex=header.sex,
            age_years=header.age_years,
            width=header.width,
            height=header.height,
            metadata=metadata,
            slice=slice_,
            sop_uid=header.sop_uid,
            identifying=header.identifying,
            problem=(problem, path) if (problem := find_pixel_problem(header)) else None,
        )

    def describe_path(self, path: str) -> ImageRow:
        return ImageRow(make_source_id(path), file_path=path, modality=self.modality)

    def _hide(self, header: DicomHeader, text: str, pseudonym: Callable[[str], str]) -> str:
        is_removed = str(header.metadata.get("PatientIdentityRemoved", "")).upper() == "YES"
        return text if is_removed or not text else pseudonym(text)

    def _find_slice(self, header: DicomHeader) -> Slice | None:
        """Where a single frame lies in its series; None for what is an image of its own.

        Several views of a radiograph may be one series, and are no slices.
        """
        has_place = bool(header.position and header.orientation)
        if header.num_frames > 1 or not (has_place or header.modality in SLICED):
            return None
        if not header.series_uid:
            return None
        return Slice(
            self._hide(header, header.study_uid, self.pseudonyms.of_uid),
            self._hide(header, header.series_uid, self.pseudonyms.of_uid),
            header.position,
            header.orientation,
            header.instance_number,
        )


def _read_header(file: BinaryIO) -> DicomHeader:
    try:
        header = read_header(file)
    except DicomDirectory as error:
        raise NoImage("DICOM directories") from error
    except CutShort as error:
        raise UnusableFile(FileProblem.CUT_SHORT) from error
    except NotReadable as error:
        if isinstance(error.__cause__, TooMuch):
            raise UnusableFile(FileProblem.TOO_MUCH) from error
        raise Unreadable(f"{error.reason} Get the file again, or remove it.") from error
    if header.has_pixels:
        return header
    if header.is_of_image:
        raise Unreadable("The image has no pixels; it may be cut short. Replace it, or remove it.")
    raise NoImage("DICOM objects without an image")
