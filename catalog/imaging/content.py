"""Finds out what a file is by its bytes: the size and facts of an image, or what is wrong with it.

Nothing is decoded. Of a picture only the header is read, and whether its end is there: JPEG's EOI
marker (ITU-T T.81 B.1.1.3), PNG's IEND chunk (ISO/IEC 15948 11.2.5), RIFF's length of WebP, the
strips and tiles of TIFF 6.0; ``picture_ends`` knows that of other formats. Only PNM can be cut
short unnoticed.
"""

import io
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, BinaryIO

from PIL import Image, UnidentifiedImageError

from catalog.imaging.budget import TooMuch
from catalog.imaging.dicom.header import DicomHeader, read_header
from catalog.imaging.dicom.stream import is_dicom
from catalog.imaging.dicom.unmarked import begins_data_set
from catalog.imaging.nifti import (
    MAX_EDGE,
    CutShortNifti,
    UnreadableNifti,
    describe_volume,
    read_nifti_header,
)
from catalog.imaging.picture_ends import (
    GIF_MARKS,
    JPEG_2000_FILE,
    JPEG_2000_STREAM,
    find_end_check,
    has_mark,
    read_gif_size,
)
from catalog.imaging.picture_sizes import is_avif, is_webp, read_avif_size, read_webp_size
from catalog.imaging.problems import (
    CutShort,
    FileProblem,
    NotReadable,
    UnusableFile,
    raise_error_of_system,
)
from catalog.imaging.rendering import FORMATS
from catalog.imaging.suffixes import DICOM_SUFFIXES, NIFTI_SUFFIXES, PICTURE_SUFFIXES
from catalog.imaging.tiff_pages import TIFF_MARKS, holds_pages, open_tiff, read_main_size
from catalog.imaging.tiff_subpages import holds_directory

HEAD = 1024
BLOCK = 64 << 10
MAX_SEGMENTS = 10_000
MAX_FILL = 1024  # bytes before a marker
# Pillow gets no more than the beginning, whatever lengths are in it.
MAX_HEADER = 1 << 20

_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_END = b"\0\0\0\0IEND\xaeB`\x82"
_JPEG = b"\xff\xd8\xff"
_JPEG_END = b"\xff\xd9"
_JPEG_SCAN = 0xDA
_JPEG_ALONE = frozenset({0x01, *range(0xD0, 0xD9)})  # markers without a length
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# The first bytes of formats that cannot be taken for anything else.
_PICTURE_MARKS = (
    _PNG, _JPEG, *TIFF_MARKS, b"GIF87a", b"GIF89a", JPEG_2000_FILE, JPEG_2000_STREAM,
)  # fmt: skip
_NIFTI_MARKS = ((344, b"n+1\0"), (4, b"n+2\0\r\n\x1a\n"))
_LFS = b"version https://git-lfs.github.com/spec/"
# A pointer file of git-annex, or its link where links are stored as text.
_ANNEX = re.compile(rb"(?:[./]*\.git)?/annex/objects/")
_PAGE = re.compile(
    # Possessive, since a text of many comments could be divided in ever so many ways.
    rb"(?:\xef\xbb\xbf)?\s*+(?:<\?xml[^>]*>\s*+)?(?:<!--.*?-->\s*)*+"
    rb"<(?:!doctype html|html|head|body|error)\b",
    re.IGNORECASE | re.DOTALL,
)
# No picture, volume or DICOM file has only such bytes at its beginning.
_TEXT = re.compile(rb"[\t\n\r -~\x80-\xff]+")
_TEXTUAL_SUFFIXES = frozenset({".pbm", ".pgm", ".ppm", ".pnm"})
# Pillow's own limit against decompression bombs.
MAX_PIXELS = 2 * (1 << 30) // 4 // 3
# The first byte of each of them, which spares nearly every file the search.
_TEXT_STARTS = b"v./<\xef \t\r\n\v\f"


@dataclass(frozen=True, slots=True)
class FileContent:
    """What a file says of its image; ``problem`` is one of those with which a file is kept.

    ``identifying`` are the DICOM attributes that tell who somebody is; None for other formats.
    """

    width: int | None = None
    height: int | None = None
    modality: str = ""
    sop_uid: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    problem: FileProblem | None = None
    identifying: tuple[str, ...] | None = None


def read_content(file: BinaryIO, name: str) -> FileContent:
    """Look at a file, opened at its start; ``name`` counts only where the bytes say nothing.

    Raises:
        UnusableFile: it is not the image that its name promises, or not all of it.
        OSError: it cannot be read.
    """
    start = file.read(BLOCK)
    if len(start) < BLOCK:
        file = io.BytesIO(start)  # nearly every step is faster in memory
    file.seek(0)
    head = start[:HEAD]
    if problem := find_placeholder(head):
        raise UnusableFile(problem)
    lower = name.lower()
    if is_dicom(head) or (lower.endswith(DICOM_SUFFIXES) and not is_picture(head)):
        return _read_dicom(file)
    if is_nifti(head) or lower.endswith(NIFTI_SUFFIXES):
        return _read_nifti(file)
    if is_picture(head) or PurePosixPath(lower).suffix in PICTURE_SUFFIXES:
        width, height = read_picture(file, head)
        return FileContent(width, height)
    if begins_data_set(file):
        raise UnusableFile(FileProblem.NO_SOP_CLASS)
    return FileContent(problem=FileProblem.UNKNOWN_FORMAT)


def find_placeholder(head: bytes) -> FileProblem | None:
    """What stands in the place of an image, by the first bytes of its file."""
    if not head:
        return FileProblem.EMPTY
    if head[0] not in _TEXT_STARTS:
        return None
    if head.startswith(_LFS):
        return FileProblem.LFS_POINTER
    if _ANNEX.match(head):
        return FileProblem.ANNEX_POINTER
    return FileProblem.WEB_PAGE if _PAGE.match(head) else None


def is_text_instead(head: bytes, name: str) -> bool:
    """Whether a file begins with a text, though its name says that it is an image.

    So sources answer that a file is gone, or that too many were asked for. ``head`` are its first
    1,024 bytes, or all of it.
    """
    lower = name.lower()
    may_be_text = PurePosixPath(lower).suffix in _TEXTUAL_SUFFIXES
    is_image = lower.endswith((*DICOM_SUFFIXES, *NIFTI_SUFFIXES, *PICTURE_SUFFIXES))
    return is_image and not may_be_text and _TEXT.fullmatch(head) is not None


def find_link_problem(target: str) -> FileProblem:
    """Why a link with the text ``target`` leads to no file."""
    is_annex = "/annex/objects/" in target
    return FileProblem.ANNEX_POINTER if is_annex else FileProblem.BROKEN_LINK


def is_picture(head: bytes) -> bool:
    """Whether these first bytes are of PNG, JPEG, TIFF, GIF, WebP or JPEG 2000."""
    return head.startswith(_PICTURE_MARKS) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")


def is_nifti(head: bytes) -> bool:
    """Whether these first bytes are of a NIfTI file that is not compressed."""
    return any(head.startswith(mark, offset) for offset, mark in _NIFTI_MARKS)


def _read_dicom(file: BinaryIO) -> FileContent:
    try:
        header = read_header(file)
    except CutShort as error:
        raise UnusableFile(FileProblem.CUT_SHORT) from error
    except NotReadable as error:  # a directory, too
        raise_error_of_system(error)
        if isinstance(error.__cause__, TooMuch):
            raise UnusableFile(FileProblem.TOO_MUCH) from error
        raise UnusableFile(FileProblem.NO_IMAGE) from error
    if header.is_of_image and not header.has_pixels:
        raise UnusableFile(FileProblem.NO_IMAGE)
    return FileContent(
        header.width,
        header.height,
        header.modality,
        header.sop_uid,
        header.metadata,
        find_pixel_problem(header),
        header.identifying,
    )


def find_pixel_problem(header: DicomHeader) -> FileProblem | None:
    """What the pixels of a file lack that is otherwise whole."""
    if not header.has_pixels:
        return FileProblem.NO_PIXELS
    if header.missing_bytes or header.fragments.missing_frames:
        return FileProblem.SHORT_PIXELS
    return None if header.fragments.has_end else FileProblem.UNENDED_PIXELS


def _read_nifti(file: BinaryIO) -> FileContent:
    try:
        header = read_nifti_header(file)
    except CutShortNifti as error:
        raise UnusableFile(FileProblem.CUT_SHORT) from error
    except UnreadableNifti as error:
        raise UnusableFile(FileProblem.DAMAGED) from error
    width, height = (*header.dimensions, None)[:2]
    return FileContent(width, height, metadata=describe_volume(header))


def read_picture(file: BinaryIO, head: bytes) -> tuple[int | None, int | None]:
    """Width and height of a picture that is whole; None if it is too large to be opened safely.

    Raises:
        UnusableFile: it is cut short, damaged, or no picture.
        OSError: it cannot be read.
    """
    try:
        return _read_picture(file, head)
    except UnusableFile:
        raise
    except OSError as error:
        if error.errno is not None:
            raise
        raise UnusableFile(FileProblem.DAMAGED) from error
    except Exception as error:
        # Malformed files may raise any exception, also beyond Pillow: a length that no offset can
        # hold, for one. One of them must not stop an import.
        raise UnusableFile(FileProblem.DAMAGED) from error


def _read_picture(file: BinaryIO, head: bytes) -> tuple[int | None, int | None]:
    if head.startswith(_PNG):
        return _read_png(file, head)
    if head.startswith(_JPEG):
        return _read_jpeg(file)
    if head[:4] == b"RIFF" and int.from_bytes(head[4:8], "little") + 8 > file.seek(0, 2):
        raise UnusableFile(FileProblem.CUT_SHORT)
    if (is_whole := find_end_check(head)) and not is_whole(file):
        raise UnusableFile(FileProblem.CUT_SHORT)
    file.seek(0)
    return _read_with_library(file, head)


def _read_png(file: BinaryIO, head: bytes) -> tuple[int, int]:
    if len(head) < 24 or not has_mark(file, _PNG_END, 24):
        raise UnusableFile(FileProblem.CUT_SHORT)
    width, height = struct.unpack(">II", head[16:24])
    if head[12:16] != b"IHDR" or not (0 < width <= MAX_EDGE and 0 < height <= MAX_EDGE):
        raise UnusableFile(FileProblem.DAMAGED)
    return width, height


def _read_jpeg(file: BinaryIO) -> tuple[int, int] | tuple[None, None]:
    """Go from marker to marker up to the first scan; the end marker must follow it."""
    size = None
    file.seek(2)
    for _ in range(MAX_SEGMENTS):
        marker = _read_marker(file)
        if marker in _JPEG_ALONE:
            continue
        start = file.read(7)
        if len(start) < 7:
            raise UnusableFile(FileProblem.CUT_SHORT)
        if marker in _JPEG_FRAMES:
            height, width = struct.unpack(">HH", start[3:7])
            size = (width, height)
        length = int.from_bytes(start[:2], "big")
        if length < 2:
            raise UnusableFile(FileProblem.DAMAGED)
        end = file.seek(length - 7, 1)
        if marker == _JPEG_SCAN:
            break
    if size is None:
        raise UnusableFile(FileProblem.DAMAGED)
    if not has_mark(file, _JPEG_END, end):
        raise UnusableFile(FileProblem.CUT_SHORT)
    return size if all(size) else (None, None)  # the height may follow the scan (T.81 B.2.5)


def _read_marker(file: BinaryIO) -> int:
    byte = file.read(1)
    if byte and byte != b"\xff":
        raise UnusableFile(FileProblem.DAMAGED)
    for _ in range(MAX_FILL):
        if byte != b"\xff":
            break
        byte = file.read(1)
    if not byte:
        raise UnusableFile(FileProblem.CUT_SHORT)
    return byte[0]


def _read_tiff(file: BinaryIO) -> tuple[int, int]:
    if not holds_directory(file):
        raise UnusableFile(FileProblem.CUT_SHORT)
    with open_tiff(file) as picture:
        if not holds_pages(file, picture):
            raise UnusableFile(FileProblem.CUT_SHORT)
        return read_main_size(picture)


def _read_with_library(file: BinaryIO, head: bytes) -> tuple[int | None, int | None]:
    try:
        if head.startswith(TIFF_MARKS):
            return _read_tiff(file)
        if is_webp(head):
            return _limit(read_webp_size(file))
        if is_avif(head):
            return _limit(read_avif_size(file) or (0, 0))
        if head.startswith(GIF_MARKS):
            return _limit(_require(read_gif_size(file)))
        start = io.BytesIO(file.read(MAX_HEADER))
        with Image.open(start, formats=FORMATS) as picture:
            return picture.size
    except Image.DecompressionBombError:
        return None, None
    except UnidentifiedImageError as error:
        known = is_picture(head)
        raise UnusableFile(FileProblem.DAMAGED if known else FileProblem.NO_IMAGE) from error


def _limit(size: tuple[int, int]) -> tuple[int, int] | tuple[None, None]:
    """The size; None where it is not told, or is too large to be opened safely."""
    return size if 0 < size[0] * size[1] <= MAX_PIXELS else (None, None)


def _require(size: tuple[int, int] | None) -> tuple[int, int]:
    if not size:
        raise UnusableFile(FileProblem.DAMAGED)
    return size
