"""Renders one frame of a DICOM file: decodes it within limits and applies its display rules.

The order is that of PS3.4 N.2: stored values → modality LUT or rescale → VOI LUT or window →
greyscale polarity; colour goes to RGB.
"""

import io
from typing import Any

import numpy as np
from PIL import Image
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.encaps import get_frame
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.processing import apply_color_lut
from pydicom.pixels.utils import as_pixel_options

from catalog.imaging.budget import check_memory
from catalog.imaging.codestream_limits import check_jpeg_2000, check_scans
from catalog.imaging.dicom import gdcm_plugin
from catalog.imaging.dicom.codestreams import read_frame_size
from catalog.imaging.dicom.frames import choose_frame, describe_frame
from catalog.imaging.dicom.palettes import check_palettes
from catalog.imaging.dicom.photometric import correct_photometric, count_bits
from catalog.imaging.dicom.stream import UNDEFINED_LENGTH, DicomStream, PixelElement, read_value
from catalog.imaging.dicom.windowing import FRAME_GROUPS, FrameTags, make_curve
from catalog.imaging.grey_levels import apply_curve, find_range, fit_within, stretch
from catalog.imaging.picture import Picture
from catalog.imaging.problems import NotReadable
from catalog.limits import MAX_PREVIEW_PIXELS

# fmt: off
DISPLAY_KEYWORDS = (
    "SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration", "NumberOfFrames",
    "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation",
    "ExtendedOffsetTable", "ExtendedOffsetTableLengths",
    "PixelAspectRatio", "PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing",
    "PixelPaddingValue", "PixelPaddingRangeLimit",
    "RescaleSlope", "RescaleIntercept", "ModalityLUTSequence",
    "WindowCenter", "WindowWidth", "VOILUTFunction", "VOILUTSequence", *FRAME_GROUPS,
    "RedPaletteColorLookupTableDescriptor", "GreenPaletteColorLookupTableDescriptor",
    "BluePaletteColorLookupTableDescriptor", "RedPaletteColorLookupTableData",
    "GreenPaletteColorLookupTableData", "BluePaletteColorLookupTableData",
    "SegmentedRedPaletteColorLookupTableData", "SegmentedGreenPaletteColorLookupTableData",
    "SegmentedBluePaletteColorLookupTableData",
)
# fmt: on
_SPACINGS = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing", "PixelAspectRatio")
_SANE_ASPECT = 20.0
_MAX_SEARCHED_BYTES = 256 << 20

gdcm_plugin.register()


def render_stream(stream: DicomStream, *, max_edge: int) -> Picture:
    """Render the middle frame: longest edge at most `max_edge`, never enlarged.

    If the middle frame shows nothing, another that does is looked for, within limits. Raises
    `NotReadable` if there are no pixels or too many, and the errors of the decoders.
    """
    if stream.pixels is None or stream.pixels.length == 0:
        raise NotReadable("The file has no pixel data.")
    pixels, notes = stream.pixels, list[str]()
    _check_syntax(stream, pixels)
    options = _read_options(stream, pixels, notes)
    count = _count_frames(pixels, options)

    def decode(index: int) -> np.ndarray:
        return _decode(stream, pixels, options, index)

    index, frame = choose_frame(decode, count, tries=_count_tries(stream, pixels, options))
    notes += describe_frame(index, count, stated=int(options["number_of_frames"]), frame=frame)
    tags = FrameTags(stream.header, index)
    levels = _to_levels(stream, tags, frame, options, notes)
    image = fit_within(Image.fromarray(levels), max_edge, pixel_aspect=_read_aspect(tags))
    return Picture(image, tuple(notes))


def _check_syntax(stream: DicomStream, pixels: PixelElement) -> None:
    """Refuse what has no decoder, such as JPEG XL and video, before its colours are the reason."""
    syntax = stream.transfer_syntax
    try:
        if not syntax.is_transfer_syntax:  # that pydicom knows
            raise NotImplementedError
        if _is_compressed(stream, pixels):
            get_decoder(syntax)
    except NotImplementedError as error:
        raise NotReadable(
            f"Pixels of the transfer syntax {syntax.name} cannot be decoded here."
        ) from error


def _read_options(stream: DicomStream, pixels: PixelElement, notes: list[str]) -> dict[str, Any]:
    """The options for pydicom's decoders, checked before memory of that size is allocated."""
    header = stream.header
    if "NumberOfFrames" in header and not isinstance(read_value(header, "NumberOfFrames"), int):
        del header.NumberOfFrames
    options = as_pixel_options(header, pixel_vr=pixels.vr, pixel_keyword=pixels.keyword)
    rows, columns = int(options.get("rows") or 0), int(options.get("columns") or 0)
    if not rows * columns:
        raise NotReadable("The header states no rows or no columns.")
    _check_size(columns, rows)
    samples = int(options.get("samples_per_pixel") or 1)
    if not 1 <= samples <= 4:
        raise NotReadable(f"The image has {samples} samples per pixel (limit: 4).")
    bits = int(options.get("bits_allocated") or 8)
    # The frame is read, decoded, and drawn: three copies of its own, and one or two for the screen.
    check_memory(columns, rows, samples * (3 * bits / 8 + 2))
    full = rows * columns * samples * int(options["number_of_frames"]) * bits // 8
    correct_photometric(
        header,
        is_compressed=_is_compressed(stream, pixels),
        is_full=full <= pixels.length <= full + 1,  # they have an even length
        notes=notes,
    )
    options["photometric_interpretation"] = header.PhotometricInterpretation
    return options


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PREVIEW_PIXELS:
        limit = MAX_PREVIEW_PIXELS // 1_000_000
        raise NotReadable(f"A frame of {width}×{height} pixels is over {limit} megapixels.")


def _is_compressed(stream: DicomStream, pixels: PixelElement) -> bool:
    """Compressed data always have undefined length (PS3.5 A.4).

    Those with a length were decompressed by software that did not change the transfer syntax.
    """
    return stream.transfer_syntax.is_encapsulated and pixels.length == UNDEFINED_LENGTH


def _count_frames(pixels: PixelElement, options: dict[str, Any]) -> int:
    """The number of frames that the file really has, as far as known."""
    frames = max(1, int(options["number_of_frames"]))
    if pixels.length == UNDEFINED_LENGTH:
        return frames
    samples = options["rows"] * options["columns"] * int(options.get("samples_per_pixel") or 1)
    allocated = int(options.get("bits_allocated") or 8)
    bits = count_bits(samples, allocated, options.get("photometric_interpretation"))
    present = pixels.length * 8 // bits
    if not present:
        raise NotReadable("The file is cut short: its pixel data are less than one frame.")
    return min(frames, present)


def _count_tries(stream: DicomStream, pixels: PixelElement, options: dict[str, Any]) -> int:
    """How many frames may be decoded: together, they have no more pixels than one frame may.

    To find a compressed frame, all before it may have to be read.
    """
    tries = MAX_PREVIEW_PIXELS // (options["rows"] * options["columns"])
    if _is_compressed(stream, pixels):
        size = stream.body.seek(0, io.SEEK_END)
        tries = min(tries, 1 + _MAX_SEARCHED_BYTES // size)
    return tries


def _decode(
    stream: DicomStream, pixels: PixelElement, options: dict[str, Any], index: int
) -> np.ndarray:
    """Frame `index` as (rows, columns) or (rows, columns, samples), in the machine's byte order."""
    syntax = stream.transfer_syntax
    coded = b""
    if _is_compressed(stream, pixels):
        coded = _read_checked(stream, pixels, options, index)
    elif syntax.is_encapsulated:
        syntax = uid.ExplicitVRLittleEndian
    stream.body.seek(pixels.offset)
    unused = 0
    if not syntax.is_encapsulated or syntax == uid.RLELossless:
        unused = _count_unused_bits(stream.header, options)
    bits = int(options.get("bits_stored") or 8) + unused
    plugin = _choose_plugin(syntax, bits)
    options = {
        **options,
        "transfer_syntax_uid": syntax,
        "bits_stored": bits,
        "as_rgb": plugin != "pillow" or not _becomes_rgb(coded),
    }
    frame, _ = get_decoder(syntax).as_array(
        stream.body, index=index, decoding_plugin=plugin, **options
    )
    frame = frame.astype(frame.dtype.newbyteorder("="), copy=False)
    return frame >> unused if unused else frame


def _count_unused_bits(header: Dataset, options: dict[str, Any]) -> int:
    """The bits below each value: 4 for 12 bits whose highest is bit 15 (PS3.5 8.1.1).

    pydicom takes the lowest bit for the first of the value, whatever High Bit says.
    """
    high, stored = read_value(header, "HighBit"), int(options.get("bits_stored") or 0)
    if not isinstance(high, int) or not 0 < stored <= high < int(options["bits_allocated"]):
        return 0
    return high + 1 - stored


def _choose_plugin(syntax: uid.UID, bits_stored: int) -> str:
    """The decoder to use: one that tells of damaged frames, where there is one.

    By default pydicom tries GDCM first (which aborts) and an RLE decoder that panics.
    """
    if not syntax.is_encapsulated:
        return ""
    if syntax == uid.RLELossless:
        return "pydicom"
    if syntax == uid.JPEGBaseline8Bit or (syntax == uid.JPEGExtended12Bit and bits_stored <= 8):
        return "pillow"
    return gdcm_plugin.PLUGIN if gdcm_plugin.is_available(syntax) else "pylibjpeg"


def _becomes_rgb(frame: bytes) -> bool:
    """Whether Pillow turns the colours of a JPEG into RGB, as it does those with Adobe's mark.

    pydicom would do so once more. Raises the errors of Pillow.
    """
    marks = Image.open(io.BytesIO(frame), formats=("JPEG",)).info
    # As libjpeg sees it, a mark of JFIF comes before what Adobe's says.
    return "adobe_transform" in marks and bool(marks["adobe_transform"] or "jfif" in marks)


def _read_checked(
    stream: DicomStream, pixels: PixelElement, options: dict[str, Any], index: int
) -> bytes:
    """A compressed frame; refuses one that would be decoded to too many pixels."""
    stream.body.seek(pixels.offset)
    frame = get_frame(
        stream.body,
        index,
        number_of_frames=options["number_of_frames"],
        extended_offsets=options.get("extended_offsets"),
    )
    size = read_frame_size(frame, stream.transfer_syntax)
    if size == (0, 0):
        raise NotReadable("The compressed frame is damaged: it does not state its size.")
    if size is not None:
        _check_size(*size)
        if stream.transfer_syntax in uid.JPEGTransferSyntaxes:
            check_scans(frame, *size)
        else:
            check_jpeg_2000(frame)
    return frame


def _to_levels(
    stream: DicomStream,
    tags: FrameTags,
    frame: np.ndarray,
    options: dict[str, Any],
    notes: list[str],
) -> np.ndarray:
    """The frame as uint8, (rows, columns) or (rows, columns, 3)."""
    if tags.text("PhotometricInterpretation") == "PALETTE COLOR":
        little_endian = stream.transfer_syntax != uid.ExplicitVRBigEndian
        check_palettes(stream.header, little_endian=little_endian)
        frame = apply_color_lut(frame, stream.header)
        return _narrow(frame[..., :3], 16 if frame.max() > 255 else 8)
    if frame.ndim == 3:
        if frame.shape[2] < 3:
            raise NotReadable(f"Pixels of {frame.shape[2]} samples are neither grey nor colour.")
        return _narrow(frame[..., :3], int(options.get("bits_stored") or 8))
    little_endian = stream.transfer_syntax != uid.ExplicitVRBigEndian
    curve = make_curve(tags, frame, little_endian=little_endian, notes=notes)
    return apply_curve(frame, curve)


def _narrow(colors: np.ndarray, bits: int) -> np.ndarray:
    """Colour of `bits` bits a sample as uint8."""
    if colors.dtype.kind != "u":
        return stretch(colors, *find_range(colors))
    return np.ascontiguousarray(np.minimum(colors >> max(0, bits - 8), 255).astype(np.uint8))


def _read_aspect(tags: FrameTags) -> float:
    """Height of a pixel divided by its width (vertical first, PS3.3 10.7.1.3, C.7.6.3)."""
    for keyword in _SPACINGS:
        pair = tags.numbers(keyword)
        if len(pair) == 2 and min(pair) > 0 and max(pair) / min(pair) < _SANE_ASPECT:
            return pair[0] / pair[1]
    return 1.0
