"""DICOM files that say what they are badly are shown as a reference viewer shows them."""

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread, uid
from pydicom.encaps import encapsulate

from catalog.imaging.dicom import pixels
from catalog.imaging.dicom.frames import choose_frame
from catalog.imaging.dicom.header import render_pixels
from catalog.imaging.picture import Picture
from catalog.imaging.problems import NotReadable
from catalog.tests.imaging.dicom_files import make_dicom, read_shipped, write_dicom

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

# The mark of a JPEG whose colours are YCbCr.
ADOBE = b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0\x01"
RAMP = np.tile(np.arange(0, 4000, 40, dtype=np.uint16), (20, 1))


def render(content: bytes) -> Picture:
    return render_pixels(io.BytesIO(content), max_edge=4096)


def levels(content: bytes) -> list[Any]:
    return np.asarray(render(content).image).tolist()


# --- Where in its word a value lies ---


@pytest.mark.parametrize("syntax", [uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian])
@pytest.mark.parametrize("window", [{}, {"WindowCenter": 2000, "WindowWidth": 1000}])
def test_values_in_the_upper_bits_are_read_there(syntax: str, window: dict[str, Any]) -> None:
    upper = make_dicom(RAMP << 4, syntax=syntax, BitsStored=12, HighBit=15, **window)
    assert levels(upper) == levels(make_dicom(RAMP, BitsStored=12, HighBit=11, **window))


def test_values_between_unused_bits_are_read_there() -> None:
    middle = make_dicom((RAMP >> 2 << 2) | 1 << 15 | 3, BitsStored=10, HighBit=11)
    assert levels(middle) == levels(make_dicom(RAMP >> 2, BitsStored=10, HighBit=9))


def test_signed_values_in_the_upper_bits_keep_their_sign() -> None:
    signed = RAMP.astype(np.int16) - 2000
    plain = make_dicom(signed, BitsStored=12, HighBit=11, WindowCenter=0, WindowWidth=4000)
    upper = make_dicom(signed << 4, BitsStored=12, HighBit=15, WindowCenter=0, WindowWidth=4000)
    assert levels(upper) == levels(plain)


def test_values_in_the_upper_bits_of_run_length_encoding_are_read_there() -> None:
    dataset = dcmread(io.BytesIO(make_dicom(RAMP << 4, BitsStored=12, HighBit=15)))
    dataset.compress(uid.RLELossless)
    content = write_dicom(dataset, uid.RLELossless)
    assert levels(content) == levels(make_dicom(RAMP, BitsStored=12, HighBit=11))


@pytest.mark.parametrize("high_bit", [0, 16, 99, None])
def test_a_high_bit_that_cannot_be_is_ignored(high_bit: int | None) -> None:
    content = make_dicom(RAMP, BitsStored=12, HighBit=high_bit)
    assert levels(content) == levels(make_dicom(RAMP, BitsStored=12, HighBit=11))


# --- What the values mean ---


@pytest.mark.parametrize("written", ["monochrome1", "MONOCHROME 1", " Monochrome_1 "])
def test_monochrome1_is_known_however_it_is_written(written: str) -> None:
    shown = render(make_dicom(RAMP, PhotometricInterpretation=written))
    assert np.asarray(shown.image).tolist() == levels(
        make_dicom(RAMP, PhotometricInterpretation="MONOCHROME1")
    )
    assert np.asarray(shown.image)[0, 0] == 255
    assert shown.notes == ()


@pytest.mark.parametrize(("written", "term"), [("ybr full", "YBR_FULL"), ("rgb", "RGB")])
def test_color_is_known_however_it_is_written(written: str, term: str) -> None:
    colors = np.array([[[76, 85, 255], [150, 44, 21]]], np.uint8)
    assert levels(make_dicom(colors, PhotometricInterpretation=written)) == levels(
        make_dicom(colors, PhotometricInterpretation=term)
    )


@pytest.mark.parametrize("written", [None, "", "GREYSCALE"])
def test_grey_without_a_known_meaning_is_shown_and_said_to_be_a_guess(written: str | None) -> None:
    shown = render(make_dicom(RAMP, PhotometricInterpretation=written))
    assert np.asarray(shown.image).tolist() == levels(make_dicom(RAMP))
    (note,) = shown.notes
    assert "photometric interpretation: low values are shown dark" in note
    assert (written or "no photometric") in note


def test_color_without_a_known_meaning_is_shown_if_it_is_not_compressed() -> None:
    colors = np.array([[[255, 0, 0], [0, 255, 0]]], np.uint8)
    shown = render(make_dicom(colors, PhotometricInterpretation=None))
    assert np.asarray(shown.image).tolist() == colors.tolist()
    assert "red, green and blue" in shown.notes[0]
    dataset = dcmread(io.BytesIO(read_shipped("SC_rgb_small_odd_jpeg.dcm")))
    del dataset.PhotometricInterpretation
    with pytest.raises(NotReadable, match="no photometric interpretation"):
        render(write_dicom(dataset, uid.JPEGBaseline8Bit))


def test_rare_kinds_of_color_are_shown_as_near_as_they_can_be_or_not_at_all() -> None:
    """In YBR_PARTIAL_422 two pixels share their chroma, as in YBR_FULL_422."""
    black, red = np.zeros((1, 2, 3), np.uint8), bytes([76, 76, 85, 255])
    plain = make_dicom(black, PhotometricInterpretation="YBR_PARTIAL_422", PixelData=red)
    jpeg = dcmread(io.BytesIO(read_shipped("SC_rgb_jpeg_dcmtk.dcm")))
    expected = levels(write_dicom(jpeg, uid.JPEGBaseline8Bit))
    jpeg.PhotometricInterpretation = "YBR_PARTIAL_422"
    compressed = write_dicom(jpeg, uid.JPEGBaseline8Bit)
    assert levels(plain) == [[[254, 0, 0]] * 2]
    assert levels(compressed) == expected
    assert all("contrast" in render(each).notes[0] for each in (plain, compressed))
    for term in ("HSV", "CMYK", "YBR_PARTIAL_420"):
        with pytest.raises(NotReadable, match=f"given as {term} are not shown"):
            render(make_dicom(np.zeros((2, 2, 3), np.uint8), PhotometricInterpretation=term))


@pytest.mark.parametrize("term", ["YBR_FULL_422", "RGB"])
@pytest.mark.parametrize("marks", ["JFIF", "Adobe", "JFIF and Adobe"])
def test_colors_of_a_jpeg_are_converted_once(marks: str, term: str) -> None:
    """Pillow converts what has Adobe's mark by itself."""
    out = io.BytesIO()
    Image.new("RGB", (16, 16), (200, 30, 30)).save(out, "JPEG", quality=95)
    start, jfif, rest = out.getvalue()[:2], out.getvalue()[2:20], out.getvalue()[20:]
    frame = start + jfif * ("JFIF" in marks) + ADOBE * ("Adobe" in marks) + rest
    dataset = dcmread(io.BytesIO(read_shipped("SC_rgb_jpeg_dcmtk.dcm")))
    dataset.PhotometricInterpretation = term
    dataset.Rows = dataset.Columns = 16
    dataset.PixelData = encapsulate([frame])
    shown = np.array(levels(write_dicom(dataset, uid.JPEGBaseline8Bit)))
    assert abs(shown - [200, 30, 30]).max() <= 4


@pytest.mark.parametrize("term", ["YBR_FULL_422", "YBR_PARTIAL_422"])
def test_plain_pixels_that_share_no_chroma_are_read_so_whatever_the_header_says(term: str) -> None:
    """As software leaves the term that decompresses JPEG."""
    pixels = np.array([[[76, 85, 255], [150, 44, 21]]] * 2, np.uint8)
    expected = levels(make_dicom(pixels, PhotometricInterpretation="YBR_FULL"))
    content = make_dicom(pixels, PhotometricInterpretation=term)
    assert levels(content) == expected
    assert "do not share" in " ".join(render(content).notes)


def test_video_is_named_as_the_reason() -> None:
    dataset = dcmread(io.BytesIO(read_shipped("SC_rgb_jpeg_dcmtk.dcm")))
    dataset.PhotometricInterpretation = "YBR_PARTIAL_420"
    with pytest.raises(NotReadable, match=r"MPEG-4 .* cannot be decoded"):
        render(write_dicom(dataset, uid.MPEG4HP41))


def test_an_unknown_encoding_is_named() -> None:
    """JPEG XL is of DICOM 2024, and pydicom does not know it."""
    known, unknown = uid.HTJ2KLosslessRPCL, "1.2.840.10008.1.2.4.110"
    content = write_dicom(dcmread(io.BytesIO(read_shipped("SC_rgb_jpeg_dcmtk.dcm"))), known)
    with pytest.raises(NotReadable, match=f"transfer syntax {unknown} cannot be decoded"):
        render(content.replace(known.encode(), unknown.encode()))


# --- Padding ---


def pad(picture: np.ndarray, value: int) -> np.ndarray:
    """`picture` with margins of `value` at its left and right."""
    return np.pad(picture, ((0, 0), (20, 20)), constant_values=value)


TISSUE = RAMP.astype(np.int16) - 1000


def test_evident_padding_without_its_tag_does_not_whiten_the_rest() -> None:
    shown = render(make_dicom(pad(TISSUE, -32768)))
    grey = np.asarray(shown.image)
    assert grey[:, 20:-20].tolist() == levels(make_dicom(TISSUE))
    assert grey[:, :20].max() == 0
    (note,) = shown.notes
    assert "-32768" in note
    assert "padding" in note


@pytest.mark.parametrize(
    "values",
    [
        pad(TISSUE, -2000),  # near the other values
        np.where(pad(TISSUE, 5000) == 0, -32768, pad(TISSUE, 5000)),  # not at the border
        pad(RAMP.astype(np.int32) % 100 + 30_000, 0).astype(np.uint16),  # may be a background
        np.array([[-1, 0, 0], [0, 1, 1]], np.int16),  # labels
        np.array([[-9, -9, 7], [7, 7, 7]], np.int16),  # a mask
    ],
    ids=["near", "inside", "unsigned", "labels", "mask"],
)
def test_what_may_be_part_of_the_image_is_not_taken_for_padding(values: np.ndarray) -> None:
    assert render(make_dicom(values)).notes == ()


def test_a_window_of_the_file_stands_whatever_surrounds_the_image() -> None:
    window: dict[str, Any] = {"WindowCenter": 500, "WindowWidth": 1000}
    shown = render(make_dicom(pad(TISSUE, -32768), **window))
    assert np.asarray(shown.image)[:, 20:-20].tolist() == levels(make_dicom(TISSUE, **window))
    assert shown.notes == ()


def test_padding_that_is_written_without_its_sign_is_padding() -> None:
    """Signed pixels with a PixelPaddingValue of US: 63536 stands for −2000."""
    right = make_dicom(pad(TISSUE, -2000), PixelPaddingValue=-2000)
    dataset = dcmread(io.BytesIO(right))
    del dataset.PixelPaddingValue
    dataset.add_new("PixelPaddingValue", "US", 63536)
    assert levels(write_dicom(dataset, uid.ExplicitVRLittleEndian)) == levels(right)


# --- Which frame ---


def stack(count: int, filled: int) -> np.ndarray:
    frames = np.zeros((count, *RAMP.shape), np.uint16)
    frames[filled] = RAMP
    return frames


@pytest.mark.parametrize("filled", range(7))
def test_a_frame_that_shows_something_is_chosen_and_named(filled: int) -> None:
    shown = render(make_dicom(stack(7, filled)))
    assert np.asarray(shown.image).tolist() == levels(make_dicom(RAMP))
    assert shown.notes[0] == f"Frame {filled + 1} of 7 is shown."
    assert ("The middle frame is empty" in " ".join(shown.notes)) == (filled != 3)


def test_one_frame_of_one_is_not_worth_a_word() -> None:
    assert render(make_dicom(RAMP)).notes == ()
    assert render(make_dicom(RAMP[np.newaxis])).notes == ()


def test_a_file_of_empty_frames_shows_the_middle_one_and_says_that_it_is_empty() -> None:
    notes = render(make_dicom(np.zeros((3, 4, 4), np.uint8))).notes
    assert notes[0] == "Frame 2 of 3 is shown."
    assert "empty" in notes[1]


def test_frames_that_are_stated_and_missing_are_told() -> None:
    notes = render(make_dicom(stack(3, 1), NumberOfFrames=9)).notes
    assert notes[0] == "Frame 2 of 3 is shown."
    assert "states 9 frames" in notes[1]


def test_only_some_frames_are_looked_at() -> None:
    decoded: list[int] = []

    def decode(index: int) -> np.ndarray:
        decoded.append(index)
        return np.zeros((4, 4))

    assert choose_frame(decode, 2_000_000_000, tries=10_000)[0] == 1_000_000_000
    assert len(decoded) <= 16
    decoded.clear()
    choose_frame(decode, 100, tries=1)
    assert decoded == [50]


def test_of_large_compressed_files_only_the_middle_frame_is_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dataset = dcmread(io.BytesIO(make_dicom(stack(7, 0))))
    dataset.compress(uid.RLELossless)
    content = write_dicom(dataset, uid.RLELossless)
    assert render(content).notes[0] == "Frame 1 of 7 is shown."
    monkeypatch.setattr(pixels, "_MAX_SEARCHED_BYTES", len(content) - 1)
    assert render(content).notes[0] == "Frame 4 of 7 is shown."


def test_a_damaged_frame_ends_the_search_for_another() -> None:
    def decode(index: int) -> np.ndarray:
        if index != 2:
            raise RuntimeError("damaged")
        return np.zeros((4, 4))

    assert choose_frame(decode, 5, tries=9)[0] == 2
