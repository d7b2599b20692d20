"""Parses DICOM files within limits: only the requested elements, and never beyond the file.

File format: DICOM PS3.10 (preamble, file meta information) and PS3.5 (encodings). pydicom does the
parsing. This module adds protection: lengths are checked against the file before anything is read,
inflating is limited, and exceptions of pydicom on malformed bytes become `NotReadable`.
"""

import io
import re
import struct
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO

from pydicom import uid
from pydicom.datadict import (
    dictionary_has_tag,
    dictionary_VR,
    private_dictionary_VR,
    tag_for_keyword,
)
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag
from pydicom.valuerep import VR

from catalog.imaging.budget import MAX_READ_BYTES, Budget, Metered
from catalog.imaging.dicom import pydicom_limits  # noqa: F401 - which are set by its import
from catalog.imaging.problems import CutShort, DicomDirectory, NotReadable

DIRECTORY_CLASS = "1.2.840.10008.1.3.10"  # Media Storage Directory Storage
MAX_INFLATED_BYTES = 128 << 20
_BLOCK = 1 << 20
_MAX_CREATOR = 64
MAX_FIRST_VALUE = 64 << 10
_MAX_READS = 300_000  # of which an element takes some three
UNDEFINED_LENGTH = 0xFFFFFFFF
# Float Pixel Data, Double Float Pixel Data, Pixel Data
PIXEL_KEYWORDS = {
    0x7FE00008: "FloatPixelData",
    0x7FE00009: "DoubleFloatPixelData",
    0x7FE00010: "PixelData",
}
VRS = frozenset(vr.value.encode() for vr in VR if len(vr.value) == 2)


# An import reads many files at a time, of which a deflated one of kilobytes may take 500 MB.
inflating = threading.Lock()


@dataclass(frozen=True, slots=True)
class PixelElement:
    """The position of the pixel data; `length` is `UNDEFINED_LENGTH` if encapsulated."""

    keyword: str
    vr: str
    offset: int
    length: int


@dataclass(slots=True)
class DicomStream:
    """A parsed header, and the stream with its pixels, inflated if needed."""

    header: Dataset
    transfer_syntax: uid.UID
    body: BinaryIO
    pixels: PixelElement | None = None
    has_twice: bool = False  # whether an element stands there again, of which the last is parsed
    end: int = 0  # where parsing ended: at the pixels, behind the file, or at a mark of an end


# Parsers quote values, which may be those of a person.
_QUOTED = re.compile(r"""(?s)(["']).*\1|["'].*""")


@contextmanager
def plain_reasons(what: str) -> Iterator[None]:
    """Turn any exception of a parser or decoder into `NotReadable`, beginning with `what`."""
    try:
        yield
    except NotReadable:
        raise
    except RecursionError as error:
        raise NotReadable(f"{what}: its sequences are nested too deeply.") from error
    except Exception as error:
        quoted = _QUOTED.sub("'…'", str(error))
        detail = "".join(c if c.isprintable() else " " for c in quoted)[:200]
        detail = " ".join(detail.split()) or type(error).__name__
        raise NotReadable(f"{what}: {detail.rstrip('.')}.") from error


def open_dicom(
    file: BinaryIO,
    keywords: Sequence[str] | None,
    *,
    max_value: int,
    budget: Budget | None = None,
    most_bytes: int = MAX_READ_BYTES,
    passes: Callable[[int, str], bool] | None = None,
    on_inflate: Callable[[], object] = lambda: None,
) -> DicomStream:
    """Parse the elements `keywords` of a DICOM file, up to its pixel data and without them.

    Without ``keywords`` all elements are parsed, but not yet interpreted.

    A file may lack the preamble, the file meta information or its transfer syntax; the latter is
    then told from the data set. Values over `max_value` bytes are left where they are. `budget` is
    how often the file may be read, for `most_bytes` in all. Long values that `passes` names by tag
    and VR are not read, and have none. `on_inflate` is called before it takes
    MAX_INFLATED_BYTES.

    Raises `NotReadable` if the file is not DICOM, `CutShort` if it is cut short, and
    `DicomDirectory`.
    """
    budget = budget or Budget(_MAX_READS)
    with plain_reasons("The DICOM header cannot be read"), budget.told():
        file.seek(0)
        meta = _read_meta(file, budget)
        if meta.get("MediaStorageSOPClassUID") == DIRECTORY_CLASS:
            raise DicomDirectory("The file is a DICOM directory, which contains no image.")
        syntax = uid.UID(str(meta.get("TransferSyntaxUID", ""))) or _guess_syntax(file)
        body = file
        if syntax == uid.DeflatedExplicitVRLittleEndian:
            on_inflate()
            body = _inflate(file)
        stream = DicomStream(Dataset(), syntax, body)
        words = keywords or ()
        tags: list[Any] = [tag for word in words if (tag := tag_for_keyword(word)) is not None]
        metered: Any = Metered(body, budget, most_bytes=most_bytes, passes=passes)
        stream.header = read_dataset(
            metered,
            *find_encoding(syntax),
            stop_when=_PixelFinder(stream),
            defer_size=max_value,
            specific_tags=tags or None,
        )
        stream.header.file_meta = meta
        stream.has_twice, stream.end = metered.has_twice, body.tell()
        return stream


def find_vr(element: Any, dataset: Dataset | None = None) -> str:
    """The VR that an element has in the file, else its tag's in a dictionary, else UN.

    The dictionary of a private element is its creator's, which ``dataset`` names (PS3.5 7.8.1).
    """
    if element.VR not in (None, "UN"):
        return str(element.VR)
    try:
        if element.tag.is_private and dataset is not None:
            return private_dictionary_VR(element.tag, _find_creator(dataset, element.tag))
        return dictionary_VR(element.tag)
    except KeyError:
        return "UN"


def _find_creator(dataset: Dataset, tag: BaseTag) -> str:
    block = tag.group << 16 | tag.element >> 8
    if block not in dataset or is_long(dataset, block, _MAX_CREATOR):
        return ""
    value = dataset.get_item(block).value
    return str(value.decode("latin-1") if isinstance(value, bytes) else value).strip(" \0")


def read_value(header: Dataset, keyword: str) -> Any:
    """The value of an element; None if it is absent or invalid for its VR."""
    try:
        return header.get(keyword)
    except Exception:  # noqa: BLE001
        # pydicom may raise any exception on invalid values; one such element is ignored.
        return None


def is_long(dataset: Dataset, tag: int, most_bytes: int) -> bool:
    """Whether a value is longer; one that was left where it is, as it is too long, is so, too."""
    try:
        raw = dataset.get_item(tag)
    except Exception:  # noqa: BLE001 - pydicom raises anything for a value that it has left
        return True
    return isinstance(raw, RawDataElement) and len(raw.value or b"") > most_bytes


def read_behind(
    stream: DicomStream,
    position: int | None,
    *,
    max_value: int,
    budget: Budget,
    passes: Callable[[int, str], bool] | None = None,
) -> Dataset:
    """The elements from ``position`` to the end of the file; none where zeros fill it up.

    Raises NotReadable where not all of them are told, and whatever pydicom does.
    """
    if position is None:
        raise NotReadable("Nobody knows where its pixels end.")
    if not _has_more(stream.body, position):
        return Dataset()
    metered: Any = Metered(stream.body, budget, most_bytes=max_value, passes=passes)
    stream.body.seek(position)
    found = read_dataset(metered, *find_encoding(stream.transfer_syntax), defer_size=max_value)
    if metered.has_twice or _has_more(stream.body, stream.body.tell()):
        raise NotReadable("Behind its pixels is more than can be told.")
    return found


def _has_more(file: BinaryIO, position: int) -> bool:
    """Whether anything but zeros follows."""
    file.seek(position)
    while block := file.read(_BLOCK):
        if block.strip(b"\0"):
            return True
    return False


def is_dicom(head: bytes) -> bool:
    """Whether a file that begins with `head` (1,024 bytes, if it is that long) is DICOM.

    That is so if it has the mark of PS3.10 7.1; or if it begins with an element of the file meta
    information or of group 8, and its SOP class follows soon.
    """
    if head[128:132] == b"DICM":
        return True
    if head.startswith(b"\x02\0"):
        return _begins_data_set(head, "<") and b"\x02\0\x02\0UI" in head
    if head.startswith(b"\x08\0"):
        return _begins_data_set(head, "<") and b"\x08\0\x16\0" in head
    return head.startswith(b"\0\x08") and _begins_data_set(head, ">") and b"\0\x08\0\x16" in head


def _begins_data_set(head: bytes, order: str) -> bool:
    if len(head) < 8:
        return False
    group, element, vr, length = struct.unpack(f"{order}HH2sH", head[:8])
    if vr in VRS:
        return True
    length = struct.unpack(f"{order}I", head[4:8])[0]
    is_known = dictionary_has_tag(group << 16 | element) or element == 0
    return group == 8 and order == "<" and is_known and length <= MAX_FIRST_VALUE


def _read_meta(file: BinaryIO, budget: Budget) -> Any:
    """The file meta information, with the file left at its end; empty if there is none."""
    head = file.read(1024)
    if not is_dicom(head):
        raise NotReadable(
            "This is not a DICOM file: it lacks the mark 'DICM' at byte 128, and begins with no "
            "data set of an image."
        )
    start = 132 if head[128:132] == b"DICM" else 0
    file.seek(start)
    if head[start : start + 2] != b"\x02\0":
        return Dataset()
    return read_dataset(
        Metered(file, budget),  # type: ignore[arg-type]
        is_implicit_VR=False,
        is_little_endian=True,
        stop_when=lambda tag, vr, length: tag >> 16 != 2,
        defer_size=4096,
    )


def _guess_syntax(file: BinaryIO) -> uid.UID:
    """The transfer syntax of the data set at the file's position, from its first element."""
    start = file.read(6)
    file.seek(-len(start), io.SEEK_CUR)
    if start[4:] not in VRS:
        return uid.ImplicitVRLittleEndian
    is_big = start[:1] == b"\0"  # the group of a data set's first element is small
    return uid.ExplicitVRBigEndian if is_big else uid.ExplicitVRLittleEndian


def find_encoding(syntax: uid.UID) -> tuple[bool, bool]:
    """(implicit VR, little endian) of a transfer syntax; PS3.5 A.4 for the others."""
    return syntax == uid.ImplicitVRLittleEndian, syntax != uid.ExplicitVRBigEndian


def _inflate(file: BinaryIO) -> BinaryIO:
    """Inflate the rest of `file` (PS3.5 A.5); refused if it would be too large."""
    inflater, out = zlib.decompressobj(-zlib.MAX_WBITS), io.BytesIO()
    made = b""
    # A block that was filled may leave more behind, also where nothing is left to be read.
    while (block := inflater.unconsumed_tail or file.read(_BLOCK)) or len(made) == _BLOCK:
        made = inflater.decompress(block, _BLOCK)
        out.write(made)
        if out.tell() > MAX_INFLATED_BYTES:
            raise NotReadable(f"The file inflates to more than {MAX_INFLATED_BYTES >> 20} MiB.")
        if inflater.eof:
            break
    out.seek(0)
    return out


class _PixelFinder:
    """pydicom's stop callback: checks each element's length and stops at the pixel data.

    pydicom calls it when the stream is at the value of an element, before it is read.
    """

    def __init__(self, stream: DicomStream) -> None:
        self.stream = stream
        position = stream.body.tell()
        self.size = stream.body.seek(0, io.SEEK_END)
        stream.body.seek(position)

    def __call__(self, tag: int, vr: str | None, length: int) -> bool:
        offset = self.stream.body.tell()
        if length != UNDEFINED_LENGTH and offset + length > self.size:
            raise CutShort(
                f"The file is cut short: element ({tag >> 16:04X},{tag & 0xFFFF:04X}) says it has"
                f" {length} bytes and {max(0, self.size - offset)} are left."
            )
        if tag not in PIXEL_KEYWORDS:
            return False
        self.stream.pixels = PixelElement(PIXEL_KEYWORDS[tag], vr or "OW", offset, length)
        return True
