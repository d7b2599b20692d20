"""DICOM frames as pictures: the right values, the right frame, the right shape, within bounds."""

import io
import math
import time
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset, dcmread, uid
from pydicom.sequence import Sequence

from catalog.imaging.decoding.decoder import decoder
from catalog.imaging.dicom.codestreams import read_frame_size
from catalog.imaging.dicom.header import read_header, render_pixels
from catalog.imaging.problems import CannotRender, NotReadable
from catalog.tests.imaging.dicom_files import (
    ROOT,
    find_shipped,
    make_dicom,
    make_item,
    read_shipped,
    write_dicom,
)

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

VALUES = np.array([[0, 1, 99, 100], [150, 199, 200, 250], [1000, 3000, 4000, 65535]], np.uint16)
SIGNED = (VALUES.astype(np.int32) - 32768).astype(np.int16)


def levels(content: bytes, max_edge: int = 4096) -> np.ndarray:
    return np.asarray(render_pixels(io.BytesIO(content), max_edge=max_edge).image)


def levels_with(pixels: np.ndarray = VALUES, **elements: Any) -> list[list[int]]:
    return levels(make_dicom(pixels, **elements)).tolist()


def by_hand(formula: Any, pixels: np.ndarray = VALUES) -> list[list[int]]:
    """The level of every pixel by `formula`, which gives 0.0 to 1.0 or beyond."""
    return [
        [round(255 * min(1.0, max(0.0, formula(int(value))))) for value in row] for row in pixels
    ]


# --- Values ---


def test_a_linear_window_follows_the_standard() -> None:
    """PS3.3 C.11.2.1.2.1, with its half-pixel shift."""
    shown = levels_with(WindowCenter=150, WindowWidth=101)
    assert shown == by_hand(lambda x: (x - 149.5) / 100 + 0.5)
    assert shown[0] == [0, 0, 0, 1]
    assert shown[1][1:] == [254, 255, 255]


def test_a_window_of_width_one_is_a_threshold() -> None:
    assert levels_with(WindowCenter=150, WindowWidth=1)[1] == [255, 255, 255, 255]
    assert levels_with(WindowCenter=151, WindowWidth=1)[1] == [0, 255, 255, 255]


def test_an_exact_linear_window_follows_the_standard() -> None:
    shown = levels_with(WindowCenter=150, WindowWidth=100, VOILUTFunction="LINEAR_EXACT")
    assert shown == by_hand(lambda x: (x - 150) / 100 + 0.5)


def test_a_sigmoid_window_follows_the_standard() -> None:
    shown = levels_with(WindowCenter=150, WindowWidth=100, VOILUTFunction="SIGMOID")
    assert shown == by_hand(lambda x: 1 / (1 + math.exp(max(-99, -4 * (x - 150) / 100))))


def test_the_first_of_several_windows_is_used() -> None:
    assert levels_with(WindowCenter=[150, 9], WindowWidth=[101, 9]) == levels_with(
        WindowCenter=150, WindowWidth=101
    )


def test_the_rescale_comes_before_the_window() -> None:
    shown = levels_with(
        RescaleSlope=2, RescaleIntercept=-100, WindowCenter=200, WindowWidth=201
    )  # fmt: skip
    assert shown == by_hand(lambda x: (2 * x - 100 - 199.5) / 200 + 0.5)


def test_without_a_window_the_range_of_the_values_is_shown() -> None:
    ramp = np.arange(10_000, 10_256, dtype=np.uint16).reshape(16, 16)
    shown = levels(make_dicom(ramp))
    assert (shown.min(), shown.max()) == (0, 255)
    assert (np.diff(shown.astype(int).ravel()) >= 0).all()


def test_a_few_extreme_pixels_do_not_darken_the_rest() -> None:
    ramp = np.arange(10_000, dtype=np.uint16).reshape(100, 100)
    ramp[0, :5] = 65535
    assert levels(make_dicom(ramp))[-1, -1] > 250


def test_padding_does_not_count_for_the_range() -> None:
    ramp = np.tile(np.arange(1000, 1100, dtype=np.int16), (100, 1))
    ramp[:50] = -2000
    shown = levels(make_dicom(ramp, PixelPaddingValue=-2000))
    assert shown[:50].max() == 0
    assert 124 <= shown[60, 50] <= 131
    between = levels(make_dicom(ramp, PixelPaddingValue=-3000, PixelPaddingRangeLimit=-1000))
    assert (between == shown).all()


def test_a_sparse_mask_is_not_lost() -> None:
    mask = np.zeros((100, 100), np.uint8)
    mask[50, 50] = 1
    shown = levels(make_dicom(mask))
    assert (shown[50, 50], shown[0, 0]) == (255, 0)


def test_a_window_that_shows_nothing_is_not_used() -> None:
    ramp = np.arange(256, dtype=np.uint16).reshape(16, 16)
    assert levels(make_dicom(ramp, WindowCenter=60_000, WindowWidth=10)).max() == 255


@pytest.mark.parametrize(
    ("center", "width"), [("nan", "10"), ("10", "inf"), ("10", "0"), ("10", "-5"), ("", "")]
)
def test_an_invalid_window_is_not_used(center: str, width: str) -> None:
    assert levels_with(WindowCenter=center, WindowWidth=width) == levels_with()


def test_monochrome1_is_the_negative_of_monochrome2() -> None:
    windows: tuple[dict[str, Any], ...] = ({}, {"WindowCenter": 150, "WindowWidth": 100})
    for window in windows:
        positive = levels_with(**window)
        negative = levels_with(PhotometricInterpretation="MONOCHROME1", **window)
        assert (255 - np.array(positive)).tolist() == negative


def test_inverted_pixels_as_monochrome1_look_the_same() -> None:
    plain = np.arange(256, dtype=np.uint8).reshape(16, 16)
    inverted = make_dicom(255 - plain, PhotometricInterpretation="MONOCHROME1")
    assert abs(levels(inverted).astype(int) - levels(make_dicom(plain))).max() <= 1


@pytest.mark.parametrize("syntax", [uid.ExplicitVRLittleEndian, uid.ImplicitVRLittleEndian])
def test_lookup_tables_are_applied(syntax: str) -> None:
    table = make_item(LUTDescriptor=[4, 100, 16], LUTData=[0, 65535, 13107, 26214])
    table[0]["LUTDescriptor"].VR = table[0]["LUTData"].VR = "US"
    shown = levels(make_dicom(VALUES, syntax=syntax, VOILUTSequence=table))
    assert shown[0].tolist() == [0, 0, 0, 0]
    assert shown[1].tolist() == [102, 102, 102, 102]
    other = np.array([[100, 101, 102, 103]], np.uint16)
    assert levels(make_dicom(other, syntax=syntax, VOILUTSequence=table)).tolist() == [
        [0, 255, 51, 102]
    ]


def test_a_lookup_table_of_fewer_bits_than_it_says_is_not_dark() -> None:
    """DCMTK corrects it, too: 12 bits are written where the descriptor says 16."""
    table = make_item(LUTDescriptor=[4096, 0, 16], LUTData=list(range(4096)))
    table[0]["LUTDescriptor"].VR = table[0]["LUTData"].VR = "US"
    content = make_dicom(np.array([[0, 1024, 4095]], np.uint16), VOILUTSequence=table)
    assert levels(content).tolist() == [[0, 64, 255]]
    assert "is 4095, of 65535" in render_pixels(io.BytesIO(content), max_edge=9).notes[0]


def test_a_modality_table_comes_before_the_window() -> None:
    table = make_item(
        LUTDescriptor=[3, 10, 16], LUTData=b"\x00\x00\x64\x00\xc8\x00", ModalityLUTType="US"
    )
    table[0]["LUTDescriptor"].VR, table[0]["LUTData"].VR = "US", "OW"
    pixels = np.array([[9, 10, 11, 12, 13]], np.uint8)
    shown = levels_with(pixels, ModalityLUTSequence=table, WindowCenter=100.5, WindowWidth=201)
    assert shown == [[0, 0, 128, 255, 255]]


@pytest.mark.parametrize(
    "pixels",
    [
        SIGNED,
        VALUES.astype(np.uint32) * 65536,
        SIGNED.astype(np.int32) * 65536,
        np.linspace(-1e-6, 1e-6, 12, dtype=np.float32).reshape(3, 4),
    ],
    ids=["int16", "uint32", "int32", "float32"],
)
def test_every_width_of_value_is_shown_in_order(pixels: np.ndarray) -> None:
    for syntax in (uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian):
        shown = levels(make_dicom(pixels, syntax=syntax))
        assert (shown[0, 0], shown[-1, -1]) == (0, 255)
        assert (np.diff(shown.astype(int).ravel()) >= 0).all()


def test_floats_that_are_no_numbers_are_black() -> None:
    pixels = np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4)
    pixels[1] = [np.nan, np.inf, -np.inf, np.nan]
    assert levels(make_dicom(pixels))[1].tolist() == [0, 255, 0, 0]


# --- Color ---

COLORS = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [10, 20, 30]]], np.uint8)


def test_color_is_shown_as_it_is() -> None:
    assert levels(make_dicom(COLORS)).tolist() == COLORS.tolist()


def test_color_by_plane_is_color_all_the_same() -> None:
    planes = np.ascontiguousarray(COLORS.transpose(2, 0, 1)).tobytes()
    content = make_dicom(COLORS, PlanarConfiguration=1, PixelData=planes)
    assert levels(content).tolist() == COLORS.tolist()


def test_color_of_sixteen_bits_loses_the_lower_eight() -> None:
    wide = COLORS.astype(np.uint16) * 256 + 77
    assert levels(make_dicom(wide)).tolist() == COLORS.tolist()


def test_ybr_is_turned_into_rgb() -> None:
    pixels = np.array([[[76, 85, 255], [150, 44, 21]]], np.uint8)  # red and green
    shown = levels(make_dicom(pixels, PhotometricInterpretation="YBR_FULL")).astype(int)
    assert abs(shown - [[[254, 0, 0], [0, 255, 0]]]).max() <= 2


def test_a_palette_is_applied() -> None:
    content = make_dicom(
        np.array([[0, 1, 2, 200]], np.uint8),
        PhotometricInterpretation="PALETTE COLOR",
        RedPaletteColorLookupTableDescriptor=[3, 0, 16],
        GreenPaletteColorLookupTableDescriptor=[3, 0, 16],
        BluePaletteColorLookupTableDescriptor=[3, 0, 16],
        RedPaletteColorLookupTableData=b"\x00\x00\x00\xff\x00\x10",
        GreenPaletteColorLookupTableData=b"\x00\x00\x00\x00\x00\x20",
        BluePaletteColorLookupTableData=b"\x00\xff\x00\x00\x00\x30",
    )
    assert levels(content).tolist() == [[[0, 0, 255], [255, 0, 0], [16, 32, 48], [16, 32, 48]]]


# --- Frames and shapes ---


def test_the_middle_frame_is_shown() -> None:
    frames = np.zeros((5, 4, 4), np.uint8)
    frames[2] = np.arange(16).reshape(4, 4)
    assert levels(make_dicom(frames)).tolist() == levels(make_dicom(frames[2])).tolist()


def test_only_the_middle_frame_is_decoded() -> None:
    dataset = dcmread(ROOT / "test_files" / "rtdose_rle.dcm")
    content = write_dicom(dataset, uid.RLELossless)
    whole = levels(content)
    first = content.index(b"\xfe\xff\x00\xe0", content.index(b"\xe0\x7f\x10\x00") + 20) + 8
    damaged = content[:first] + b"\xff" * 64 + content[first + 64 :]
    assert (levels(damaged) == whole).all()


def test_a_file_with_fewer_frames_than_stated_is_shown() -> None:
    frames = np.zeros((3, 4, 4), np.uint8)
    frames[1] = np.arange(16).reshape(4, 4)
    content = make_dicom(frames, NumberOfFrames=2_000_000_000)
    assert levels(content).tolist() == levels(make_dicom(frames[1])).tolist()


def test_a_frame_has_its_own_window_and_spacing() -> None:
    frames = np.stack([VALUES] * 3)
    own = [Dataset() for _ in frames]
    for index, item in enumerate(own):
        item.FrameVOILUTSequence = make_item(WindowCenter=50 + 50 * index, WindowWidth=101)
    shared = make_item(PixelMeasuresSequence=make_item(PixelSpacing=[2, 1]))
    content = make_dicom(
        frames,
        PerFrameFunctionalGroupsSequence=Sequence(own),
        SharedFunctionalGroupsSequence=shared,
    )
    assert levels(content).shape == (3, 2)
    square = make_item(PixelMeasuresSequence=make_item(PixelSpacing=[1, 1]))
    content = make_dicom(
        frames,
        PerFrameFunctionalGroupsSequence=Sequence(own),
        SharedFunctionalGroupsSequence=square,
    )
    assert levels(content).tolist() == levels_with(WindowCenter=100, WindowWidth=101)


@pytest.mark.parametrize(
    ("elements", "max_edge", "size"),
    [
        ({}, 1000, (60, 40)),
        ({}, 30, (30, 20)),
        ({}, 1, (1, 1)),
        ({"PixelSpacing": [0.5, 0.5]}, 60, (60, 40)),
        ({"PixelSpacing": [2, 1]}, 60, (30, 40)),
        ({"PixelSpacing": [1, 2]}, 60, (60, 20)),
        ({"PixelAspectRatio": [1, 2]}, 30, (30, 10)),
        ({"ImagerPixelSpacing": [2, 1]}, 20, (15, 20)),
        ({"PixelSpacing": [0, 0]}, 60, (60, 40)),
        ({"PixelSpacing": [1, 10_000]}, 60, (60, 40)),
    ],
)
def test_shapes_are_kept_and_nothing_is_enlarged(
    elements: dict[str, Any], max_edge: int, size: tuple[int, int]
) -> None:
    content = make_dicom(np.zeros((40, 60), np.uint8), **elements)
    assert render_pixels(io.BytesIO(content), max_edge=max_edge).image.size == size


# --- Transfer syntaxes, by pydicom's own files ---


@pytest.mark.parametrize(
    "name",
    ["bigendian", "implicit", "RLE", "jp2klossless", "jpeg_ls_lossless", "padded"],
)
def test_lossless_encodings_of_one_image_give_one_picture(name: str) -> None:
    plain = levels(read_shipped("MR_small.dcm"))
    assert (levels(read_shipped(f"MR_small_{name}.dcm")) == plain).all()


def test_jpeg_of_twelve_bits_has_the_values_that_its_makers_publish() -> None:
    dataset = dcmread(ROOT / "test_files" / "JPGExtended.dcm")
    dataset.WindowCenter, dataset.WindowWidth = 128, 256
    dataset.VOILUTFunction = "LINEAR_EXACT"
    shown = levels(write_dicom(dataset, uid.JPEGExtended12Bit))
    assert shown[420, 140] == round(244 / 256 * 255)
    assert shown[230, 120] == round(95 / 256 * 255)


def test_pixels_that_were_decompressed_under_their_old_name_are_shown() -> None:
    """Compressed pixel data have no length; these have one, and the length of plain pixels."""
    assert levels(read_shipped("SC_rgb_jpeg.dcm")).shape == (256, 256, 3)


# What no decoder can show: damaged on purpose, or without a header that says what it is.
BROKEN = {
    "JPEG2000-embedded-sequence-delimiter.dcm": "megapixels",
    "MR_truncated.dcm": "cut short",
    "meta_missing_tsyntax.dcm": "no rows or no columns",
    "nested_priv_SQ.dcm": "no rows or no columns",
}


@pytest.mark.parametrize("path", find_shipped(), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_shipped_file_with_pixels_is_shown_but_for_the_broken(path: Path) -> None:
    content = path.read_bytes()
    if path.name in BROKEN:
        with pytest.raises(NotReadable, match=BROKEN[path.name]):
            levels(content)
    elif has_pixels(content):
        shown = levels(content, max_edge=64)
        assert max(shown.shape) <= 64
        assert shown.min() < shown.max()
    else:
        with pytest.raises(NotReadable, match=r"no pixel data|cut short|DICOM directory"):
            levels(content)


def has_pixels(content: bytes) -> bool:
    try:
        return read_header(io.BytesIO(content)).has_pixels
    except NotReadable:
        return False


# --- Harm ---


@pytest.mark.parametrize(
    ("elements", "reason"),
    [
        ({"Rows": 60_000, "Columns": 60_000}, "60000×60000 pixels is over 100 megapixels"),
        ({"Rows": 0}, "no rows or no columns"),
        ({"Rows": 100}, "less than one frame"),
        ({"SamplesPerPixel": 9}, "9 samples"),
        ({"SamplesPerPixel": 2, "BitsAllocated": 8}, "cannot be decoded"),
        ({"BitsAllocated": 7}, "cannot be decoded"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "cannot be decoded"),
        ({"PixelData": b""}, "no pixel data"),
    ],
    ids=str,
)
def test_headers_that_cannot_be_true_are_refused(elements: dict[str, Any], reason: str) -> None:
    with pytest.raises(NotReadable, match=reason):
        levels_with(**elements)


def patch(content: bytes, marker: bytes, offset: int, data: bytes) -> bytes:
    """Overwrite bytes after the last place where `marker` is found."""
    at = content.rindex(marker) + offset
    return content[:at] + data + content[at + len(data) :]


@pytest.mark.parametrize(
    ("name", "marker", "offset", "data"),
    [
        ("MR_small_jp2klossless.dcm", b"\xff\x4f\xff\x51", 8, b"\0\1\0\0\0\1\0\0"),
        ("SC_rgb_small_odd_jpeg.dcm", b"\xff\xc0\x00\x11", 5, b"\xff\xff\xff\xff"),
        ("MR_small_jpeg_ls_lossless.dcm", b"\xff\xf7", 5, b"\xff\xff\xff\xff"),
    ],
)
def test_a_small_frame_that_would_unpack_to_a_giant_one_is_refused(
    name: str, marker: bytes, offset: int, data: bytes
) -> None:
    with pytest.raises(NotReadable, match="over 100 megapixels"):
        levels(patch(read_shipped(name), marker, offset, data))


@pytest.mark.parametrize(
    ("name", "changes"),
    [("JPGExtended.dcm", {84: 242}), ("SC_rgb_jpeg_gdcm.dcm", {22: 69, 127: 150})],
)
def test_a_frame_that_makes_the_decoder_abort_is_refused(
    name: str, changes: dict[int, int]
) -> None:
    """GDCM ends its process on the first of these and overruns its memory on the second."""
    content = read_shipped(name)
    start = content.rindex(b"\xfe\xff\x00\xe0", 0, content.rindex(b"\xff\xd8\xff")) + 8
    for place, value in changes.items():
        content = content[: start + place] + bytes([value]) + content[start + place + 1 :]
    with TemporaryFile() as file:
        file.write(content)
        with pytest.raises(CannotRender, match="decoder fail"):
            decoder.decode(file, name=name, max_edge=64)


def test_a_jpeg_2000_box_without_length_does_not_hang() -> None:
    content = read_shipped("GDCMJ2K_TextGBR.dcm")
    at = content.index(b"jp2h") - 4
    started = time.monotonic()
    with pytest.raises(NotReadable, match="does not state its size"):
        levels(content[:at] + bytes(4) + content[at + 4 :])
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    "frame", [b"", b"\xff", b"\xff\xd8", b"\xff\xd8\xff\xe0\0\0" * 9, b"\xff" * 99, bytes(99)]
)
def test_a_frame_that_states_no_size_has_none(frame: bytes) -> None:
    for syntax in (uid.JPEGBaseline8Bit, uid.JPEGLSLossless, uid.JPEG2000):
        assert read_frame_size(frame, syntax) == (0, 0)
    assert read_frame_size(frame, uid.RLELossless) is None
