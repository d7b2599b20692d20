"""A tree of NIfTI files, named as in BIDS or otherwise: each volume is an image."""

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, BinaryIO

from catalog.imaging.nifti import (
    CutShortNifti,
    NiftiHeader,
    UnreadableNifti,
    describe_volume,
    read_nifti_header,
    read_pair_header,
)
from catalog.imaging.paths import open_beneath
from catalog.imaging.problems import FileProblem, UnusableFile
from catalog.importers.folders.bids import MASK_ROLE, describe_entities, find_role, parse_name
from catalog.importers.folders.participants import Participants, Person
from catalog.importers.folders.sidecar import read_sidecar
from catalog.importers.folders.source import (
    PAIR_HEADER,
    PAIR_VOXELS,
    FolderSource,
    Kind,
    NoImage,
    Unreadable,
    kind_of_name,
    make_source_id,
)
from catalog.importers.rows import BadRow, FileNote, ImageRow, SourceError
from catalog.limits import MAX_SUBJECT_ID

_KEEP_MASK = "nothing if it is one; to import masks as images, list them in a table"


class NiftiFolder(FolderSource):
    """The NIfTI volumes of a folder; facts of people come from its ``participants.tsv``.

    Masks, segmentations and what lies in ``derivatives`` are not images of people, and are skipped.
    Width and height are the first two dimensions of a volume, in voxels; all are in the metadata.
    """

    kind = Kind.NIFTI
    participants: Participants

    def rows(self) -> Iterator[ImageRow | BadRow]:
        """Raises SourceError if there are only masks and derivatives."""
        self.participants = Participants(self.root)
        self.notes = self.participants.notes
        self.excluded_columns = self.participants.excluded_columns
        is_empty = True
        for row in super().rows():
            is_empty = False
            yield row
        self.notes += self.participants.describe_unmatched()
        if is_empty:
            raise SourceError(_explain_nothing(self.root.name, self.skipped))

    def describe_columns(self) -> Iterator[tuple[str, dict[str, str]]]:
        yield from self.participants.fates.items()

    def require_image(self, path: str) -> None:
        is_volume = kind_of_name(path) is self.kind or path.lower().endswith(PAIR_HEADER)
        if is_volume and (role := find_role(path)):
            if role == MASK_ROLE:
                self.skipped_masks.add(path)
                self.listeners.on_file(FileNote("skipped as a mask", path, 0, "", _KEEP_MASK))
            raise NoImage(role)
        if path.lower().endswith(PAIR_VOXELS) and (self.root / self._find_half(path)).is_file():
            raise NoImage("voxels of pairs, which belong to their .hdr files")

    def read_image(self, path: str, file: BinaryIO) -> ImageRow:
        try:
            if path.lower().endswith(PAIR_HEADER):
                return self._read_pair(path, file)
            header = read_nifti_header(file)
        except CutShortNifti as error:
            raise UnusableFile(FileProblem.CUT_SHORT) from error
        except UnreadableNifti as error:
            raise Unreadable(f"{error} Get the file again, or remove it.") from error
        return self._make_row(path, header)

    def _read_pair(self, path: str, file: BinaryIO) -> ImageRow:
        voxels = self._find_half(path)
        try:
            with open_beneath(self.root, voxels) as other:
                header = read_pair_header(file, os.fstat(other.fileno()).st_size)
        except FileNotFoundError as error:
            raise Unreadable(
                f"Its voxels are missing: put {voxels} there, or remove the header."
            ) from error
        return replace(self._make_row(path, header), beside=(voxels,))

    def _find_half(self, path: str) -> str:
        """The .img of a .hdr, or the other way round, in the case in which it is there."""
        stem, ending = path[:-4], path[-4:]
        other = PAIR_VOXELS if ending.lower() == PAIR_HEADER else PAIR_HEADER
        cases = (other.upper(), other) if ending.isupper() else (other, other.upper())
        return next((f"{stem}{each}" for each in cases if (self.root / f"{stem}{each}").is_file()),
                    f"{stem}{cases[0]}")  # fmt: skip

    def describe_path(self, path: str) -> ImageRow:
        return self._make_row(path, None)

    def _make_row(self, path: str, header: NiftiHeader | None) -> ImageRow:
        name = parse_name(path)
        person = self.participants.find(name.subject, name.entities.get("session", ""))
        taken = read_sidecar(self.root, path)
        stated = str(taken.pop("Modality", ""))
        width, height = (*header.dimensions, None)[:2] if header else (None, None)
        volume = describe_volume(header) if header else {}
        return ImageRow(
            source_id=make_source_id(path),
            file_path=path,
            modality=name.modality or stated or self.modality,
            subject_id=name.subject[:MAX_SUBJECT_ID],
            sex=person.sex,
            age_years=person.age_years,
            width=width,
            height=height,
            metadata=_join(describe_entities(name) | taken | volume, person),
        )


def _join(image: dict[str, Any], person: Person) -> dict[str, Any]:
    """The metadata of an image and those of its participant, which may have the same names."""
    named = {f"participant_{k}" if k in image else k: v for k, v in person.metadata.items()}
    return image | named


def _explain_nothing(name: str, skipped: Counter[str]) -> str:
    found = ", ".join(f"{what}: {count:,}" for what, count in skipped.most_common())
    return (
        f"The folder {name} has no images ({found}). To import derivatives, name their folder; to "
        "import masks as images, list them in a table with a dataset.toml."
    )
