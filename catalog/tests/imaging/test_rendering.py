"""Previews of files as datasets hold them, and of files made to do harm."""

import contextlib
import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom.data import get_testdata_file

from catalog.imaging.problems import CannotRender
from catalog.imaging.rendering import render_preview
from catalog.tests.imaging.dicom_files import damage


def preview(content: bytes, *, max_edge: int = 64, name: str = "x.png") -> Image.Image:
    body = render_preview(io.BytesIO(content), name=name, max_edge=max_edge).body
    picture = Image.open(io.BytesIO(body))
    assert picture.format == "WEBP"
    return picture


def encode(picture: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def gradient(size: tuple[int, int] = (200, 100)) -> Image.Image:
    ramp = np.tile(np.linspace(0, 255, size[0]).astype(np.uint8), (size[1], 1))
    return Image.fromarray(ramp)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP", "AVIF"])
def test_common_formats_are_shown_whatever_their_name(kind: str) -> None:
    shown = preview(encode(gradient(), kind), name="wrong.dcm")
    assert shown.size == (64, 32)
    grey = np.asarray(shown.convert("L"))
    assert grey[:, :4].mean() < 25
    assert grey[:, -4:].mean() > 230


def test_small_images_are_not_enlarged() -> None:
    assert preview(encode(gradient((16, 12)))).size == (16, 12)


def test_sixteen_bits_of_grey_are_spread_over_what_they_take() -> None:
    values = np.tile(np.linspace(30_000, 31_000, 200).astype(np.uint16), (100, 1))
    grey = np.asarray(preview(encode(Image.fromarray(values))).convert("L"))
    assert grey[:, :4].mean() < 25
    assert grey[:, -4:].mean() > 230


def test_a_photograph_stands_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # Orientation: turned by a quarter
    assert preview(encode(gradient(), "JPEG", exif=exif)).size == (32, 64)


def test_transparency_shows_a_dark_ground() -> None:
    clear = Image.new("RGBA", (20, 20), (255, 255, 255, 0))
    assert np.asarray(preview(encode(clear)).convert("L")).max() < 60


def test_nothing_but_pixels_comes_along() -> None:
    exif = Image.Exif()
    exif[0x010E] = "Patient: Doe, Jane"
    body = render_preview(
        io.BytesIO(encode(gradient(), "JPEG", exif=exif, comment=b"Jane Doe")),
        name="x.jpg", max_edge=64,
    ).body  # fmt: skip
    assert b"Doe" not in body
    assert not Image.open(io.BytesIO(body)).getexif()


def test_the_same_file_gives_the_same_preview() -> None:
    content = encode(gradient())
    bodies = {render_preview(io.BytesIO(content), name="x", max_edge=64).body for _ in range(3)}
    assert len(bodies) == 1


def dicom(**changed: Any) -> bytes:
    """A CT slice of pydicom's with a ramp for pixels, and whatever a test changes."""
    dataset = pydicom.dcmread(str(get_testdata_file("CT_small.dcm")))
    ramp = np.tile(np.arange(128, dtype=np.int16) * 10, (128, 1))
    dataset.PixelData = ramp.tobytes()
    for keyword in ("PixelPaddingValue", "WindowCenter", "WindowWidth"):
        if keyword in dataset:
            delattr(dataset, keyword)
    dataset.RescaleIntercept, dataset.RescaleSlope = 0, 1
    for keyword, value in changed.items():
        setattr(dataset, keyword, value)
    out = io.BytesIO()
    dataset.save_as(out)
    return out.getvalue()


def test_a_window_maps_values_to_grey_as_the_standard_says() -> None:
    """PS3.3 C.11.2.1.2.1: y = ((x − (c − 0.5)) / (w − 1) + 0.5) · 255 inside the window."""
    shown = preview(dicom(WindowCenter=640, WindowWidth=400), max_edge=128, name="x.dcm")
    grey = np.asarray(shown.convert("L")).astype(int)[64]
    for column in (10, 40, 50, 64, 75, 90, 120):
        value = column * 10
        expected = min(255, max(0, ((value - 639.5) / 399 + 0.5) * 255))
        assert abs(grey[column] - expected) <= 8, column


def test_monochrome1_is_shown_as_the_negative() -> None:
    first = np.asarray(preview(dicom(PhotometricInterpretation="MONOCHROME1")).convert("L"))
    second = np.asarray(preview(dicom()).convert("L"))
    assert abs(first.astype(int) - (255 - second.astype(int))).max() <= 6


def test_the_rescale_comes_before_the_window() -> None:
    plain = dicom(WindowCenter=300, WindowWidth=300)
    shifted = dicom(WindowCenter=1300, WindowWidth=300, RescaleIntercept=1000)
    assert preview(plain).tobytes() == preview(shifted).tobytes()


SHIPPED = sorted(
    path
    for part in ("test_files", "charset_files")
    for path in (Path(pydicom.__file__).parent / "data" / part).rglob("*.dcm")
)


# Cut short, and with another frame size inside than the header says.
BROKEN = {"MR_truncated.dcm", "JPEG2000-embedded-sequence-delimiter.dcm"}


def holds_an_image(path: Path) -> bool:
    with path.open("rb") as file:
        if file.read(132)[128:] != b"DICM" or path.name in BROKEN:
            return False
    header = pydicom.dcmread(path)
    return "PixelData" in header and "Rows" in header


@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_every_image_that_pydicom_ships_is_shown_but_for_broken_ones(path: Path) -> None:
    if holds_an_image(path):
        assert max(preview(path.read_bytes()).size) <= 64
    else:
        with pytest.raises(CannotRender) as error:
            preview(path.read_bytes())
        assert error.value.reason.endswith(".")


def bomb(width: int, height: int) -> bytes:
    """A PNG that claims a size and brings no pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(
            ">I", zlib.crc32(kind + data)
        )  # fmt: skip

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a picture",
        b"<svg xmlns='http://www.w3.org/2000/svg'><script/></svg>",
        b"%!PS-Adobe-3.0 EPSF-3.0\n",
        b"\x00" * 128 + b"DICM",
        b"\x00" * 128 + b"DICM" + b"\xff" * 200,
        encode(gradient())[:-50],
        encode(gradient(), "JPEG")[:30],
        bomb(60_000, 60_000),
        bomb(20_000, 20_000),
        bomb(4, 4),
        dicom()[:-9000],
        dicom(Rows=60_000, Columns=60_000),
    ],
    ids=range(13),
)
def test_what_cannot_be_shown_is_refused_with_a_reason(content: bytes) -> None:
    with pytest.raises(CannotRender) as error:
        preview(content)
    assert error.value.reason


def test_no_color_profile_or_xmp_comes_along() -> None:
    content = encode(
        gradient().convert("RGB"), "JPEG",
        icc_profile=b"profile of Jane Doe", xmp=b"<x:xmpmeta>Jane Doe</x:xmpmeta>",
    )  # fmt: skip
    body = render_preview(io.BytesIO(content), name="x.jpg", max_edge=64).body
    assert b"Doe" not in body


KINDS = ("PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP", "AVIF")
SEEDS = [encode(gradient((40, 30)), kind) for kind in KINDS]


@pytest.mark.filterwarnings("ignore::UserWarning")
@settings(max_examples=100, deadline=None)
@given(
    content=st.sampled_from(SEEDS),
    changes=st.lists(st.tuples(st.integers(0, 600), st.binary(min_size=1, max_size=4)), max_size=6),
    length=st.integers(0, 2000),
)
def test_damaged_files_are_shown_or_refused_and_nothing_else(
    content: bytes, changes: list[tuple[int, bytes]], length: int
) -> None:
    for version in damage(content, changes, length):
        with contextlib.suppress(CannotRender):
            assert max(preview(version).size) <= 64
