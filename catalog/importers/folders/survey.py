"""Finds out what kind of files a folder without a table contains."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from catalog.imaging.dicom.deidentify import Pseudonyms
from catalog.imaging.paths import UnsafePath, iter_files, open_beneath, read_link
from catalog.importers.folders.classes import ClassFolders
from catalog.importers.folders.dicom import DicomFolder
from catalog.importers.folders.nifti import NiftiFolder
from catalog.importers.folders.source import (
    FolderSource,
    Kind,
    describe_other,
    find_kind,
    kind_of_name,
)

IMAGE_KINDS = (Kind.PICTURES, Kind.DICOM, Kind.NIFTI)
_EXPECTED = (
    "Expected: pictures in folders named after their class (<class>/… or "
    "train/<class>/…), DICOM files of any name, or NIfTI files (.nii, .nii.gz). "
    "A dataset with a table is described by a dataset.toml."
)
_MOST_NAMED = 6


class UnknownFolder(Exception):
    """A folder that cannot be imported; the message says what was found and what to do."""


@dataclass(slots=True)
class FolderSurvey:
    """Numbers of files by kind, the first path of each kind, and other files by suffix.

    ``unreadable`` files are not part of these numbers.
    """

    counts: Counter[Kind] = field(default_factory=Counter)
    examples: dict[Kind, str] = field(default_factory=dict)
    others: Counter[str] = field(default_factory=Counter)
    unreadable: int = 0


def survey_folder(root: Path) -> FolderSurvey:
    """Look at the name and the first bytes of every file of a folder.

    Raises:
        OSError: a folder cannot be listed.
    """
    survey = FolderSurvey()
    for path in iter_files(root):
        try:
            with open_beneath(root, path) as file:
                kind, _ = find_kind(path, file)
        except FileNotFoundError:
            if not read_link(root, path):
                survey.unreadable += 1
                continue
            kind = kind_of_name(path)
        except (OSError, UnsafePath):
            survey.unreadable += 1
            continue
        survey.counts[kind] += 1
        survey.examples.setdefault(kind, path)
        if kind is Kind.OTHER:
            survey.others[describe_other(path)] += 1
    return survey


def open_folder(
    root: Path,
    *,
    entry: Mapping[str, Any],
    pseudonyms: Pseudonyms,
    kind: str = "",
    modality: str = "",
    per_file: bool = False,
) -> FolderSource:
    """The source of a folder's images: of the given kind, or else of the only kind found.

    ``entry`` describes the dataset; ``pseudonyms``, ``per_file`` and ``modality`` are explained in
    DicomFolder and FolderSource.

    Raises:
        UnknownFolder: there are no images, or images of several kinds and no kind is given.
        OSError: a folder cannot be listed.
    """
    survey = survey_folder(root)
    chosen = _choose_kind(root, survey, kind)
    num_rows = survey.counts[chosen]
    if chosen is Kind.DICOM:
        return DicomFolder(
            root,
            entry=entry,
            pseudonyms=pseudonyms,
            num_rows=num_rows,
            modality=modality,
            per_file=per_file,
        )
    make = ClassFolders if chosen is Kind.PICTURES else NiftiFolder
    return make(root, entry=entry, num_rows=num_rows, modality=modality)


def _choose_kind(root: Path, survey: FolderSurvey, asked: str) -> Kind:
    found = [kind for kind in IMAGE_KINDS if survey.counts[kind]]
    if asked and Kind(asked) in found:
        return Kind(asked)
    if len(found) == 1 and not asked:
        return found[0]
    if not found or asked:
        what = Kind(asked).plural if asked and found else "images"
        raise UnknownFolder(f"The folder {root} has no {what} ({_describe(survey)}). {_EXPECTED}")
    examples = ", ".join(survey.examples[kind] for kind in found)
    raise UnknownFolder(
        f"The folder {root} has several kinds of images ({_describe(survey)}), such as "
        f"{examples}. Choose one with --kind ({', '.join(found)}), or import the folder of each "
        "kind as a separate dataset."
    )


def _describe(survey: FolderSurvey) -> str:
    kinds = [(kind.plural, survey.counts[kind]) for kind in IMAGE_KINDS if survey.counts[kind]]
    others = survey.others.most_common(_MOST_NAMED)
    rest = sum(survey.others.values()) - sum(count for _, count in others)
    more = [("other files", rest), ("files that cannot be read", survey.unreadable)]
    named = [f"{what}: {count:,}" for what, count in (*kinds, *others, *more) if count]
    return ", ".join(named) or "it is empty, except for hidden files and links to folders"
