"""A tree of NIfTI files, named as in BIDS or otherwise: each volume is an image."""

from collections.abc import Iterator
from typing import BinaryIO

from catalog.imaging.nifti import (
    CutShortNifti,
    NiftiHeader,
    UnreadableNifti,
    describe_volume,
    read_nifti_header,
)
from catalog.imaging.problems import FileProblem, UnusableFile
from catalog.importers.folders.bids import (
    MASKS,
    BidsName,
    Participant,
    describe_entities,
    parse_name,
    read_participants,
)
from catalog.importers.folders.source import FolderSource, Kind, Unreadable, make_source_id
from catalog.importers.rows import BadRow, ImageRow
from catalog.limits import MAX_SUBJECT_ID

_NOBODY = Participant("", None, {})


class NiftiFolder(FolderSource):
    """The NIfTI volumes of a folder; sex and age come from its ``participants.tsv``.

    Width and height are the first two dimensions of a volume, in voxels; all are in the metadata.
    """

    kind = Kind.NIFTI
    participants: dict[str, Participant]

    def rows(self) -> Iterator[ImageRow | BadRow]:
        self.participants = read_participants(self.root)
        yield from super().rows()

    def read_image(self, path: str, file: BinaryIO) -> ImageRow:
        try:
            header = read_nifti_header(file)
        except CutShortNifti as error:
            raise UnusableFile(FileProblem.CUT_SHORT) from error
        except UnreadableNifti as error:
            raise Unreadable(f"{error} Get the file again, or remove it.") from error
        return self._make_row(path, header)

    def describe_path(self, path: str) -> ImageRow:
        return self._make_row(path, None)

    def _make_row(self, path: str, header: NiftiHeader | None) -> ImageRow:
        name = parse_name(path)
        person = self.participants.get(name.subject, _NOBODY)
        width, height = (*header.dimensions, None)[:2] if header else (None, None)
        volume = describe_volume(header) if header else {}
        return ImageRow(
            source_id=make_source_id(path),
            file_path=path,
            modality=name.modality or self._default_modality(name),
            subject_id=name.subject[:MAX_SUBJECT_ID],
            sex=person.sex,
            age_years=person.age_years,
            width=width,
            height=height,
            metadata=describe_entities(name) | volume | person.raw,
        )

    def _default_modality(self, name: BidsName) -> str:
        return "" if name.suffix in MASKS else self.modality
