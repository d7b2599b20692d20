"""The base of the sources without a table: each file of a folder becomes a row."""

import logging
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from enum import StrEnum
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, ClassVar

from catalog.imaging.content import (
    HEAD,
    find_link_problem,
    find_placeholder,
    is_nifti,
    is_picture,
)
from catalog.imaging.dicom.stream import is_dicom
from catalog.imaging.nifti import is_pair_header
from catalog.imaging.paths import UnsafePath, iter_files, open_beneath, read_link
from catalog.imaging.problems import MALFORMED, FileProblem, UnusableFile
from catalog.imaging.suffixes import DICOM_SUFFIXES, NIFTI_SUFFIXES, PICTURE_SUFFIXES
from catalog.importers.local_files import UNEXPECTED
from catalog.importers.options import NO_LISTENERS
from catalog.importers.rows import BadRow, Examples, ImageRow
from catalog.limits import MAX_SOURCE_ID

logger = logging.getLogger(__name__)
# The two files of a NIfTI volume that is a pair.
PAIR_HEADER, PAIR_VOXELS = ".hdr", ".img"


class Kind(StrEnum):
    """The kinds of files of an import without a table."""

    PICTURES = "pictures"
    DICOM = "dicom"
    NIFTI = "nifti"
    OTHER = "other"

    @property
    def plural(self) -> str:
        """The name of such files in messages."""
        return {"dicom": "DICOM files", "nifti": "NIfTI files"}.get(self, str(self))


class Unreadable(Exception):
    """A file that should be an image but cannot be read; ``reason`` says why and what to do."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class NoImage(Exception):
    """A valid file without an image, which is skipped; the text says what it is."""


class FolderSource(ABC):
    """One dataset from a folder's files of one kind, in the order of their paths.

    After ``rows``, ``skipped`` has the numbers of files that are not images, by kind,
    ``skipped_masks`` the masks among them, ``notes`` sentences for the report, and
    ``excluded_columns`` were left out of a table of people, as they may identify them. Files whose
    names begin with a dot, and linked folders, are ignored.
    """

    kind: ClassVar[Kind]

    def __init__(
        self,
        root: Path,
        *,
        entry: Mapping[str, Any],
        num_rows: int | None = None,
        modality: str = "",
    ) -> None:
        """``modality`` is used for images whose files do not state theirs."""
        self.root = root
        self.entry = entry
        self.num_rows = num_rows
        self.modality = modality
        self.skipped: Counter[str] = Counter()
        self.skipped_masks = Examples()
        self.excluded_columns: list[str] = []
        self.notes: list[str] = []
        self.listeners = NO_LISTENERS

    @abstractmethod
    def read_image(self, path: str, file: BinaryIO) -> ImageRow:
        """The row of one file, opened at its start.

        Raises:
            NoImage, Unreadable, UnusableFile, OSError
        """

    @abstractmethod
    def describe_path(self, path: str) -> ImageRow:
        """The row of a file that is not here, from its path alone."""

    def describe_columns(self) -> Iterator[tuple[str, dict[str, str]]]:
        """For each table of people what becomes of its columns; called after `rows`."""
        yield from ()

    def require_image(self, path: str) -> None:  # noqa: B027 - most kinds need no name
        """Raises NoImage if the path says that its file is something else, such as a mask."""

    def rows(self) -> Iterator[ImageRow | BadRow]:
        """A row for every image, a BadRow for every file that should be one; raises OSError.

        In the place of an image may be a pointer to it, or only a part of it: then its row names no
        file, and the problem.
        """
        self.skipped.clear()
        self.skipped_masks = Examples()
        for path in iter_files(self.root):
            self.listeners.check_stopped()
            row = self._read(path)
            if row is not None:
                yield row

    def _read(self, path: str) -> ImageRow | BadRow | None:
        try:
            self.require_image(path)
            with open_beneath(self.root, path) as file:
                self._require_kind(path, file)
                row = self.read_image(path, file)
                row.is_opened = True
                return row
        except NoImage as error:
            self.skipped[str(error)] += 1
            return None
        except UnusableFile as error:
            return self._without_file(path, error.problem)
        except FileNotFoundError as error:
            target = read_link(self.root, path)
            if target and kind_of_name(path) is self.kind:
                return self._without_file(path, find_link_problem(target))
            return None if target else reject_unread(path, error)
        except Unreadable as error:
            return reject(path, error.reason)
        except UnsafePath as error:
            return reject(path, str(error))
        except MALFORMED:
            logger.exception("a file could not be read: %r", path)
            return reject(path, UNEXPECTED)
        except OSError as error:
            return reject_unread(path, error)

    def _without_file(self, path: str, problem: FileProblem) -> ImageRow:
        return replace(self.describe_path(path), file_path="", problem=(problem, path))

    def _require_kind(self, path: str, file: BinaryIO) -> None:
        kind, placeholder = find_kind(path, file)
        if kind is not self.kind:
            raise NoImage(describe_other(path) if kind is Kind.OTHER else kind.plural)
        if placeholder:
            raise UnusableFile(placeholder)


def find_kind(path: str, file: BinaryIO) -> tuple[Kind, FileProblem | None]:
    """The kind of a file by its content, or else by its name; and what stands in its place.

    A file with the suffix of a kind counts as of this kind, so that it is reported if it is not of
    any. A suffix that is not known here says that the file is of some other format, which may well
    contain a picture. The file is left at its start.
    """
    head = file.read(HEAD)
    file.seek(0)
    kind = kind_of_name(path)
    if is_dicom(head):
        return Kind.DICOM, None
    if path.lower().endswith(PAIR_HEADER) and is_pair_header(head):
        return Kind.NIFTI, None
    if kind is not Kind.OTHER or not PurePosixPath(path).suffix:
        if is_picture(head):
            return Kind.PICTURES, None
        if is_nifti(head):
            return Kind.NIFTI, None
    return kind, find_placeholder(head)


def kind_of_name(path: str) -> Kind:
    """The kind that a file should be of, by its suffix."""
    name = path.lower()
    if name.endswith(DICOM_SUFFIXES):
        return Kind.DICOM
    if name.endswith(NIFTI_SUFFIXES):
        return Kind.NIFTI
    return Kind.PICTURES if PurePosixPath(name).suffix in PICTURE_SUFFIXES else Kind.OTHER


def describe_other(path: str) -> str:
    """The name of such other files in messages, by their suffix."""
    suffix = PurePosixPath(path).suffix.lower()
    is_plain = suffix[1:].isalnum() and len(suffix) <= 12
    return f"{suffix} files" if is_plain else "files without a known suffix"


def make_source_id(path: str) -> str:
    """The path; if it is too long, a hash of it followed by its end."""
    if len(path) <= MAX_SOURCE_ID:
        return path
    mark = f"{sha256(path.encode()).hexdigest()[:16]}…"
    return mark + path[len(mark) - MAX_SOURCE_ID :]


def reject_unread(path: str, error: OSError) -> BadRow:
    """The BadRow of a file that the system does not give."""
    reason = f"The file cannot be read ({error.strerror or error}). Fix that, or remove it."
    return reject(path, reason)


def reject(path: str, reason: str) -> BadRow:
    """The BadRow of a file; undecodable characters of its name are escaped."""
    shown = path.encode("utf-8", "backslashreplace").decode()
    return BadRow(0, "file", shown, reason, source_id=make_source_id(shown))
