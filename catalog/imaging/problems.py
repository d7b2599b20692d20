"""What may be wrong with a file that should be an image, and what to do about it."""

import struct
from enum import Enum


class FileProblem(Enum):
    """The name of such files in messages, and what to do."""

    LFS_POINTER = (
        "Git LFS pointers instead of images",
        "run “git lfs pull” in the folder and import again",
    )
    ANNEX_POINTER = (
        "git-annex pointers instead of images",
        "run “git annex get” in the folder and import again",
    )
    BROKEN_LINK = (
        "links whose file is missing",
        "put the file where the link leads and import again",
    )
    EMPTY = ("empty files (0 bytes)", "get them again and import again")
    WEB_PAGE = (
        "web pages instead of images",
        "the download was answered with a page, perhaps a login or an error: get the files again",
    )
    CUT_SHORT = ("files that are cut short", "get them again and import again")
    DAMAGED = ("files whose header is damaged", "get them again and import again")
    TOO_MUCH = (
        "DICOM files with more beside their pixels than is read",
        "write them as several files, or without long private data, and import again",
    )
    NO_IMAGE = (
        "files that are no image, though their names say so",
        "get them again, or correct the names",
    )
    NO_SOP_CLASS = (
        "files that begin as DICOM does but lack its mark and its SOP class, such as ACR-NEMA",
        "convert them to DICOM and import again",
    )
    OWN_FILE = (
        "files of the import itself instead of images, such as a table",
        "name images in the table; what a table says is in the catalog",
    )
    TABLE = (
        "tables instead of images, by the endings of their names",
        "name images in the row; a table that is to be read is named in dataset.toml",
    )
    HOLES = (
        "files of more than 1 GB of which nearly nothing is written",
        "get them again, whole, and import again",
    )
    # The files of the following are kept.
    NO_PIXELS = (
        "DICOM objects without a picture, such as reports and plans",
        "the files are kept, with the modality that they state",
    )
    SHORT_PIXELS = (
        "DICOM files with fewer pixel data than their header says",
        "the files are kept as they are; ask their publisher",
    )
    UNENDED_PIXELS = (
        "DICOM files whose compressed pixels have no end mark",
        "the files are kept as they are, and may not be whole; ask their publisher",
    )
    UNKNOWN_FORMAT = (
        "files of a format that is not read here",
        "the files are kept unopened, so nothing proves that they are whole",
    )

    @property
    def plural(self) -> str:
        """The name of such files in messages."""
        return self.value[0]

    @property
    def remedy(self) -> str:
        """What to do about them."""
        return self.value[1]

    @property
    def is_kept(self) -> bool:
        """Whether the image has the file nevertheless."""
        return self in (
            FileProblem.NO_PIXELS,
            FileProblem.SHORT_PIXELS,
            FileProblem.UNENDED_PIXELS,
            FileProblem.UNKNOWN_FORMAT,
        )


# What parsers raise on malformed files besides their own exceptions: one file must not stop an
# import, which names it.
MALFORMED = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
    struct.error,
)


class UnusableFile(Exception):
    """A file that is not the image that it should be."""

    def __init__(self, problem: FileProblem) -> None:
        super().__init__(problem.plural)
        self.problem = problem


class NotReadable(Exception):
    """A file that is not DICOM, or is damaged or not supported; `reason` is for users."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class CutShort(NotReadable):
    """The end of the file is missing."""


class DicomDirectory(NotReadable):
    """A DICOMDIR (PS3.3 F), whatever its name: it lists files and has no image."""


def raise_error_of_system(error: NotReadable) -> None:
    """Raise the OSError behind it, if that is the system's.

    pydicom raises such errors of its own for contents, which have no number.
    """
    cause = error.__cause__
    if isinstance(cause, OSError) and cause.errno is not None:
        raise cause from error


class CannotRender(Exception):
    """No preview can be made; `reason` says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
