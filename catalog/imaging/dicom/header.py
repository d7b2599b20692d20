"""Reads a DICOM file: a fixed list of technical elements of its header, and its picture.

Keywords and value representations: DICOM PS3.6 and PS3.5 6.2. The list protects privacy: of names,
dates, places, free text and private elements nothing is kept, so they cannot leak. Only the
keywords of those that tell who somebody is are: see `identifying`.
"""

import math
import re
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from pydicom import uid
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset

from catalog.imaging.budget import Budget
from catalog.imaging.dicom.elements import MAX_BYTES
from catalog.imaging.dicom.fragments import Fragments, check_fragments
from catalog.imaging.dicom.identifying import find_identifying, is_unjudged
from catalog.imaging.dicom.photometric import count_bits
from catalog.imaging.dicom.pixels import DISPLAY_KEYWORDS, render_stream
from catalog.imaging.dicom.stream import (
    UNDEFINED_LENGTH,
    DicomStream,
    inflating,
    is_long,
    open_dicom,
    plain_reasons,
    read_behind,
    read_value,
)
from catalog.imaging.picture import Picture
from catalog.imaging.problems import NotReadable
from catalog.limits import is_age, states_no_age

MetadataValue = str | int | float | list[str | int | float]
Numbers = tuple[float, ...]

MAX_TEXT = 120
MAX_ITEMS = 16
MAX_PLACE = 1e6  # mm: nobody is further from the scanner
MAX_ERROR = 0.05  # of the length of a direction, as they are rounded
# Enhanced files of two thousand frames, and ten thousand contours, have so many parts.
MAX_HEADER_READS = 600_000
MAX_HEADER_VALUE = MAX_BYTES  # as of a sequence of contours
MAX_FACT = 16 << 10  # bytes of a value: one that is longer is no fact of an image
MAX_DISPLAY_VALUE = 64 << 20  # enhanced files keep every frame's window in one sequence

# fmt: off
METADATA_KEYWORDS = (
    "Modality", "ImageType", "ConversionType", "BodyPartExamined", "ViewPosition", "Laterality",
    "ImageLaterality", "PatientPosition", "PatientOrientation", "Manufacturer",
    "ManufacturerModelName", "SamplesPerPixel", "PhotometricInterpretation", "Rows", "Columns",
    "NumberOfFrames", "BitsAllocated", "BitsStored", "PixelRepresentation",
    "LossyImageCompression", "PixelSpacing", "ImagerPixelSpacing", "PixelAspectRatio",
    "SliceThickness", "SpacingBetweenSlices", "WindowCenter", "WindowWidth", "RescaleIntercept",
    "RescaleSlope", "KVP", "Exposure", "ExposureTime", "XRayTubeCurrent", "ConvolutionKernel",
    "GantryDetectorTilt", "MagneticFieldStrength", "EchoTime", "RepetitionTime", "InversionTime",
    "FlipAngle", "EchoTrainLength", "ScanningSequence", "SequenceVariant", "MRAcquisitionType",
    "TransducerType", "Units", "BurnedInAnnotation", "PatientIdentityRemoved",
)
# fmt: on
_AGE = re.compile(r"([0-9]{1,3})([DWMY]?)")
_PER_YEAR = {"D": 365.25, "W": 365.25 / 7, "M": 12.0, "Y": 1.0, "": 1.0}
_UID = re.compile(r"[0-9.]{1,64}")


@dataclass(frozen=True, slots=True)
class DicomHeader:
    """The facts in the header of one DICOM file; '' or None if it does not state one.

    `subject_id` is PatientID: in a published, de-identified dataset it is the pseudonym that keeps
    one subject's images together. `metadata` is safe to store as JSON.
    """

    modality: str
    body_part: str
    sex: str  # F, M, O or ''
    age_years: float | None
    width: int | None
    height: int | None
    num_frames: int
    has_pixels: bool
    transfer_syntax: str  # its UID
    photometric: str
    subject_id: str
    study_uid: str
    series_uid: str
    sop_uid: str
    series_description: str  # '' where another element tells who somebody is
    instance_number: int | None
    position: Numbers  # Image Position (Patient), PS3.3 C.7.6.2: x, y, z in mm; () if not stated
    orientation: Numbers  # Image Orientation (Patient): direction cosines of a row and of a column
    missing_bytes: int  # of pixel data that are not compressed, by the size that the header states
    fragments: Fragments  # what compressed pixel data lack
    metadata: dict[str, MetadataValue] = field(default_factory=dict)
    identifying: tuple[str, ...] = ()  # keywords of elements that tell who somebody is

    @property
    def is_of_image(self) -> bool:
        """Whether its SOP class is one of images, which have pixels (PS3.4 B.5)."""
        return "Image Storage" in str(self.metadata.get("SOPClassUID", ""))


def read_header(file: BinaryIO) -> DicomHeader:
    """Read the header of the DICOM file `file` (seekable, in binary mode), without its pixels.

    Raises `NotReadable` when it is not a DICOM file or has no SOP class, `CutShort` when it is cut
    short, and `DicomDirectory`. A single invalid element is ignored.
    """
    budget = Budget(MAX_HEADER_READS)
    with ExitStack() as turn:
        stream = open_dicom(
            file,
            None,
            max_value=MAX_HEADER_VALUE,
            budget=budget,
            passes=is_unjudged,
            on_inflate=lambda: turn.enter_context(inflating),
        )
        with plain_reasons("The DICOM header cannot be read"):
            if not _read_uid(stream.header, "SOPClassUID"):
                raise NotReadable("The file contains no DICOM object: its SOP class is missing.")
            return _make_header(stream, budget)


def render_pixels(file: BinaryIO, *, max_edge: int) -> Picture:
    """Render a frame of the DICOM file `file` for a screen: the middle one if it shows anything.

    The longest edge is at most `max_edge` pixels; nothing is enlarged. Raises `NotReadable` when
    there are no pixels, when they cannot be decoded, and for frames of over 100 megapixels.
    """
    stream = open_dicom(file, DISPLAY_KEYWORDS, max_value=MAX_DISPLAY_VALUE)
    with plain_reasons("The pixels cannot be decoded"):
        return render_stream(stream, max_edge=max_edge)


def _make_header(stream: DicomStream, budget: Budget) -> DicomHeader:
    header = stream.header
    age = _read_text(header, "PatientAge")
    width, height = _read_extent(header)
    pixels = stream.pixels is not None and stream.pixels.length > 0
    frames = _read_size(header, "NumberOfFrames") or 1
    fragments = check_fragments(stream, frames=frames)
    identifying = find_identifying(
        header,
        budget,
        behind=lambda: read_behind(
            stream,
            fragments.end,
            max_value=MAX_HEADER_VALUE,
            budget=budget,
            passes=is_unjudged,
        ),
        has_twice=stream.has_twice,
    )
    return DicomHeader(
        modality=_read_text(header, "Modality"),
        body_part=_read_text(header, "BodyPartExamined"),
        sex=_parse_sex(_read_text(header, "PatientSex")),
        age_years=_parse_age(age),
        width=width,
        height=height,
        num_frames=frames,
        has_pixels=pixels and width is not None and height is not None,
        transfer_syntax=str(stream.transfer_syntax),
        photometric=_read_text(header, "PhotometricInterpretation"),
        subject_id=_read_text(header, "PatientID"),
        study_uid=_read_uid(header, "StudyInstanceUID"),
        series_uid=_read_uid(header, "SeriesInstanceUID"),
        sop_uid=_read_uid(header, "SOPInstanceUID"),
        # Somebody who wrote a name elsewhere in the file may have written it here.
        series_description="" if identifying else _read_text(header, "SeriesDescription"),
        instance_number=_read_whole(header, "InstanceNumber"),
        position=_read_position(header),
        orientation=_read_orientation(header),
        missing_bytes=_count_missing(stream),
        fragments=fragments,
        metadata=_make_metadata(stream),
        identifying=identifying,
    )


def _count_missing(stream: DicomStream) -> int:
    """Bytes that the pixel data lack; 0 if they are compressed, or their size is not stated."""
    pixels = stream.pixels
    if pixels is None or pixels.length in (0, UNDEFINED_LENGTH):
        return 0
    words = ("Rows", "Columns", "SamplesPerPixel", "BitsAllocated", "NumberOfFrames")
    rows, columns, samples, bits, frames = (_read_size(stream.header, word) for word in words)
    if rows is None or columns is None or bits is None:
        return 0
    photometric = _read_text(stream.header, "PhotometricInterpretation")
    total = count_bits(rows * columns * (samples or 1) * (frames or 1), bits, photometric)
    return max(0, (total + 7) // 8 - pixels.length)


def _read(header: Dataset, keyword: str) -> Any:
    tag = tag_for_keyword(keyword)
    if tag is None or is_long(header, tag, MAX_FACT):
        return None
    return read_value(header, keyword)


def _make_metadata(stream: DicomStream) -> dict[str, MetadataValue]:
    """The listed elements, and the raw values of sex and age if they were not understood."""
    header = stream.header
    found = {word: _clean(_read(header, word)) for word in METADATA_KEYWORDS}
    # Pages and tables look for what the standard writes.
    said = _read_text(header, "BurnedInAnnotation").upper()
    found["BurnedInAnnotation"] = "YES" if _shows_label(header) else said
    found["TransferSyntaxUID"] = _clean(stream.transfer_syntax.name)
    found["SOPClassUID"] = _clean(uid.UID(_read_uid(header, "SOPClassUID")).name)
    sex, age = _read_text(header, "PatientSex"), _read_text(header, "PatientAge")
    if not _parse_sex(sex):
        found["PatientSex"] = sex
    if _parse_age(age) is None:
        found["PatientAge"] = age
    return {word: value for word, value in found.items() if value not in (None, "", [])}


def _shows_label(header: Dataset) -> bool:
    """Whether it is a slide's label, or an overview with it (PS3.3 C.8.12.4.1.1).

    Programs that write these often say nothing of text in them, or NO of all files of a slide.
    """
    kinds = _clean(_read(header, "ImageType"))
    kind = kinds[2] if isinstance(kinds, list) and len(kinds) > 2 else ""
    in_image = _read_text(header, "SpecimenLabelInImage").upper()
    kind = str(kind).upper()
    return in_image == "YES" or kind == "LABEL" or (kind == "OVERVIEW" and in_image != "NO")


def _read_text(header: Dataset, keyword: str) -> str:
    value = _clean(_read(header, keyword))
    if isinstance(value, list):
        value = value[0] if value else ""
    return "" if value is None else str(value)


def _read_size(header: Dataset, keyword: str) -> int | None:
    value = _clean(_read(header, keyword))
    return value if isinstance(value, int) and value > 0 else None


def _read_extent(header: Dataset) -> tuple[int | None, int | None]:
    """Columns and rows; those of the whole slide where it is in tiles (PS3.3 C.8.12.4.1.3)."""
    columns, rows = (_read_size(header, word) for word in ("Columns", "Rows"))
    words = ("TotalPixelMatrixColumns", "TotalPixelMatrixRows")
    whole = [_read_whole(header, word) or 0 for word in words]
    return (whole[0], whole[1]) if columns and rows and min(whole) > 0 else (columns, rows)


def _read_whole(header: Dataset, keyword: str) -> int | None:
    value = _clean(_read(header, keyword))
    return value if isinstance(value, int) and abs(value) < 2**31 else None


def _read_position(header: Dataset) -> Numbers:
    found = _read_numbers(header, "ImagePositionPatient", 3)
    return found if all(abs(each) <= MAX_PLACE for each in found) else ()


def _read_orientation(header: Dataset) -> Numbers:
    """Of two directions, which are as long as a direction is."""
    found = _read_numbers(header, "ImageOrientationPatient", 6)
    lengths = [math.hypot(*found[:3]), math.hypot(*found[3:])]
    return found if all(abs(length - 1) < MAX_ERROR for length in lengths) else ()


def _read_numbers(header: Dataset, keyword: str, count: int) -> Numbers:
    """So many finite numbers; () if there are others."""
    value = _clean(_read(header, keyword))
    numbers = value if isinstance(value, list) else []
    found = tuple(float(each) for each in numbers if isinstance(each, (int, float)))
    return found if len(found) == len(numbers) == count else ()


def _read_uid(header: Dataset, keyword: str) -> str:
    text = _read_text(header, keyword)
    return text if _UID.fullmatch(text) else ""


def _parse_sex(text: str) -> str:
    return sex if (sex := text.upper()) in ("F", "M", "O") else ""


def _parse_age(text: str) -> float | None:
    """Years from an Age String (PS3.5 6.2: `nnnD`, `nnnW`, `nnnM`, `nnnY`); the unit is optional.

    None for other text and for what is no age, such as 000Y and the 999Y of some anonymisers.
    """
    found = _AGE.fullmatch(text.replace(" ", "").upper())
    if not found or states_no_age(found[1] + (found[2] or "Y")):
        return None
    years = int(found[1]) / _PER_YEAR[found[2]]
    return round(years, 4) if is_age(years) else None


def _clean(value: Any) -> MetadataValue | None:
    """`value` for JSON: plain types of bounded size, without NaN and control characters."""
    if isinstance(value, str):
        printable = "".join(c for c in value[: MAX_ITEMS * MAX_TEXT] if c.isprintable())
        return printable.strip()[:MAX_TEXT]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, int):
        return int(value)
    if isinstance(value, Iterable) and not isinstance(value, bytes):
        items = [_clean(item) for item, _ in zip(value, range(MAX_ITEMS), strict=False)]
        return [item for item in items if isinstance(item, (str, int, float))]
    return None
