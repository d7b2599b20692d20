"""The base of the sources without a table: each file of a folder becomes a row."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping
from enum import StrEnum
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, ClassVar

from catalog.imaging.paths import UnsafePath, iter_files, open_beneath
from catalog.importers.rows import BadRow, ImageRow
from catalog.limits import MAX_SOURCE_ID

# fmt: off
PICTURE_SUFFIXES = frozenset({
    ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".tif", ".tiff", ".bmp", ".dib", ".gif", ".webp",
    ".avif", ".pbm", ".pgm", ".ppm", ".pnm", ".jp2", ".j2k", ".j2c", ".jpc", ".jpx", ".jpf",
})
# fmt: on
_DICOM_SUFFIXES = (".dcm", ".dicom")
_NIFTI_SUFFIXES = (".nii", ".nii.gz")
_HEAD = 132


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

    After ``rows``, ``skipped`` has the numbers of files that are not images, by kind, ``notes`` has
    sentences for the report, and ``excluded_columns`` were left out of a table of people, as they
    may identify them. Files whose names begin with a dot, and linked folders, are ignored.
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
        self.excluded_columns: list[str] = []
        self.notes: list[str] = []

    @abstractmethod
    def read_image(self, path: str, file: BinaryIO) -> ImageRow:
        """The row of one file, opened at its start; raises Unreadable, NoImage, OSError."""

    def rows(self) -> Iterator[ImageRow | BadRow]:
        """A row for every image, a BadRow for every file that should be one; raises OSError."""
        self.skipped.clear()
        for path in iter_files(self.root):
            row = self._read(path)
            if row is not None:
                yield row

    def _read(self, path: str) -> ImageRow | BadRow | None:
        try:
            with open_beneath(self.root, path) as file:
                self._require_kind(path, file)
                return self.read_image(path, file)
        except NoImage as error:
            self.skipped[str(error)] += 1
            return None
        except Unreadable as error:
            return reject(path, error.reason)
        except UnsafePath as error:
            return reject(path, str(error))
        except OSError as error:
            reason = f"The file cannot be read ({error.strerror or error}). Fix that, or remove it."
            return reject(path, reason)

    def _require_kind(self, path: str, file: BinaryIO) -> None:
        kind = find_kind(path, file)
        if kind is not self.kind:
            raise NoImage(describe_other(path) if kind is Kind.OTHER else kind.plural)


def find_kind(path: str, file: BinaryIO) -> Kind:
    """The kind of a file: DICOM by its content (PS3.10 7.1: ``DICM`` at byte 128), others by name.

    A file with a DICOM suffix counts as DICOM, so that it is reported if it is not. The file is
    left at its start.
    """
    head = file.read(_HEAD)
    file.seek(0)
    name = path.lower()
    if head[128:] == b"DICM" or name.endswith(_DICOM_SUFFIXES):
        return Kind.DICOM
    if name.endswith(_NIFTI_SUFFIXES):
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


def reject(path: str, reason: str) -> BadRow:
    """The BadRow of a file; undecodable characters of its name are escaped."""
    shown = path.encode("utf-8", "backslashreplace").decode()
    return BadRow(0, "file", shown, reason, source_id=make_source_id(shown))
