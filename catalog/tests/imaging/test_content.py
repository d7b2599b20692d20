"""What a file is by its bytes: whole, cut short, or something else in its place."""

import errno
import io
import struct
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom import uid
from pydicom.encaps import encapsulate

from catalog.imaging.content import FileContent, find_link_problem, read_content
from catalog.imaging.problems import FileProblem, UnusableFile
from catalog.tests.imaging.dicom_files import make_dicom, read_shipped
from catalog.tests.importers.folder_files import make_nifti, make_scan

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
NOISE = np.random.default_rng(1).integers(0, 255, (200, 300), np.uint8)


def read(content: bytes, name: str = "a.png") -> FileContent | FileProblem:
    """What is found, or the problem of a file that is none."""
    try:
        return read_content(io.BytesIO(content), name)
    except UnusableFile as error:
        return error.problem


def element(tag: int, value: bytes) -> bytes:
    return struct.pack("<HHI", tag >> 16, tag & 0xFFFF, len(value)) + value


NAME = element(0x00100010, b"Doe^John")
LONG = element(0x00080008, b"ORIGINAL\\" + b"P" * 1101)


COMMAND = element(0x00000002, b"1.2.840.10008.5.1.4.1.1.7") + element(0x00000100, b"\1\0")


@pytest.mark.parametrize("name", ["a.ima", "a"])
@pytest.mark.parametrize(
    "start",
    [
        element(0x00080000, bytes(4)) + element(0x00080010, b"ACR-NEMA 2.0"),
        LONG + element(0x00080016, b"1.2.840.10008.5.1.4.1.1.7"),
        b"", bytes(128), element(0x00080060, b"CT") + element(0x00090010, b"ACME"),
        struct.pack("<HHI", 8, 0x1140, 0xFFFFFFFF) + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0),
        element(0x00080005, b"") + element(0x00080060, b""),
        bytes(128) + b"\2\0\0\0UL\4\0\x0a\0\0\0" + b"\2\0\x10\0UI\2\x001\0"
        + b"\2\0\x12\0UI\2\x001\0",
        b"\x08\0\x05\0CS\0\0" + b"\x08\0\x60\0CS\2\0CT" + b"\x10\0\x10\0PN\4\0Jane",
        element(0x00090010, b"ACME") + 2 * element(0x00090010, b"ACME"),
        struct.pack("<HHI", 8, 0x1140, 0xFFFFFFFF) + 2 * struct.pack("<HHI", 0xFFFE, 0xE000, 0)
        + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0),
        element(0x00000000, struct.pack("<I", len(COMMAND))) + COMMAND,
        element(0x00000000, bytes(4)) + COMMAND, COMMAND,
    ],
    ids=["ACR-NEMA", "late SOP class", "patient", "no mark", "private", "sequence", "empty",
         "only its mark is lost",
         "empty and explicit", "only private", "items", "behind the command of a message",
         "whose length is zero", "whose length lacks"],
)  # fmt: skip
def test_what_readers_of_dicom_open_is_no_unknown_format(start: bytes, name: str) -> None:
    rest = NAME + element(0x00280010, b"\4\0") + bytes(100)
    assert read(start + rest, name) is FileProblem.NO_SOP_CLASS


@pytest.mark.parametrize(
    "content",
    [
        np.arange(4000, dtype="<u2").tobytes(), np.full(4000, 8, "<u2").tobytes(),
        b"\x08\0\x05\0" + bytes(500), (np.arange(500, dtype="<u4") * 8).tobytes(),
        np.repeat(np.array([0, 8, 9, 60], "<u4"), 200).tobytes(), b"\x93NUMPY\1\0v\0" + bytes(400),
        element(0, b"\x10\0\0\0") + bytes(500),
        np.tile(np.array([0, 0, 4, 0, 2], "<u2"), 99).tobytes(),
    ],
)  # fmt: skip
def test_other_formats_are_not_taken_for_dicom(content: bytes) -> None:
    found = read(content, "volume.raw")
    assert isinstance(found, FileContent)
    assert found.problem is FileProblem.UNKNOWN_FORMAT


def test_volumes_of_small_numbers_are_not_taken_for_dicom() -> None:
    numbers = np.random.default_rng(1)
    volumes = [np.full(4000, value) for value in range(300)]
    volumes += [numbers.integers(8, 40, 4000) for _ in range(200)]
    volumes += [numbers.integers(0, 6, 40) for _ in range(400)]
    volumes += [np.tile(values, 1000) for values in ([16, 16, 0, 0], [8, 0, 4, 0], [16, 0, 0, 16])]
    for volume in volumes:
        for order in ("<i2", ">i2", "<i4", ">i4", "u1"):
            found = read(volume.astype(order).tobytes(), "volume.raw")
            assert isinstance(found, FileContent), volume[:8]


def save(form: str, **options: Any) -> bytes:
    out = io.BytesIO()
    Image.fromarray(NOISE).save(out, form, **options)
    return out.getvalue()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", FileProblem.EMPTY),
        (LFS, FileProblem.LFS_POINTER),
        (b"/annex/objects/SHA256E-s1678451--2659.png\n", FileProblem.ANNEX_POINTER),
        (b"../../.git/annex/objects/x1/Zz/SHA256E-s16", FileProblem.ANNEX_POINTER),
        (b".git/annex/objects/x1/Zz/SHA256E-s16", FileProblem.ANNEX_POINTER),
        (b"<!DOCTYPE html><html><body>404</body></html>", FileProblem.WEB_PAGE),
        (b"\xef\xbb\xbf \r\n<HTML lang='en'>", FileProblem.WEB_PAGE),
        (b"<!-- a proxy -->\n<html>", FileProblem.WEB_PAGE),
        (b'<?xml version="1.0"?>\n<Error><Code>AccessDenied</Code>', FileProblem.WEB_PAGE),
        (b'<?xml version="1.0"?>\n<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML"', FileProblem.WEB_PAGE),
    ],
)
@pytest.mark.parametrize("name", ["a.png", "a.dcm", "a.nii.gz", "a.mha", "a"])
def test_what_stands_in_the_place_of_an_image_is_named(
    content: bytes, problem: FileProblem, name: str
) -> None:
    assert read(content, name) is problem


def test_a_link_to_nothing_is_told_by_where_it_leads() -> None:
    assert find_link_problem("../.git/annex/objects/x") is FileProblem.ANNEX_POINTER
    assert find_link_problem("nowhere") is FileProblem.BROKEN_LINK


@pytest.mark.parametrize(
    ("form", "options"),
    [
        ("PNG", {}),
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
        ("JPEG", {"exif": b"Exif\0\0" + b"\xff\xd9" * 30_000}),
        ("TIFF", {}),
        ("TIFF", {"tile": (64, 64)}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("WEBP", {"lossless": True}),
        ("JPEG2000", {}),
        ("JPEG2000", {"no_jp2": True}),
        ("JPEG2000", {"tile_size": (64, 64), "irreversible": True, "quality_layers": [20]}),
        ("GIF", {}),
        ("BMP", {}),
        ("PPM", {}),
        ("AVIF", {}),
    ],
    ids=range(15),
)
def test_a_picture_that_is_cut_short_is_none(form: str, options: dict[str, object]) -> None:
    whole = save(form, **options)

    name = {"BMP": "x.bmp", "PPM": "x.pgm", "AVIF": "x.avif"}.get(form, "no suffix")
    assert read(whole, name) == FileContent(300, 200)
    if form != "AVIF":  # of boxes alone
        assert read(whole + b"appended by other software", name) == FileContent(300, 200)
        assert read(whole + NOISE.tobytes(), name) == FileContent(300, 200)
    for length in (
        len(whole) - (99 if form == "TIFF" else 1),
        len(whole) * 2 // 3,
        len(whole) // 2,
        30,
        12,
    ):
        problem = read(whole[:length], "x.png" if name == "no suffix" else name)
        assert problem in (FileProblem.CUT_SHORT, FileProblem.DAMAGED, FileProblem.NO_IMAGE), length
        if length > len(whole) // 3 and form != "TIFF":  # its header may be at its end
            assert problem is FileProblem.CUT_SHORT


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "I;16", "RGBA"])
@pytest.mark.parametrize("form", ["BMP", "PPM", "GIF", "JPEG2000"])
def test_other_pictures_of_any_depth_are_whole_and_cut_short(form: str, mode: str) -> None:
    out = io.BytesIO()
    try:
        Image.new(mode, (7, 5), 1).save(out, form)
    except (OSError, ValueError):
        pytest.skip(f"{form} has no {mode}")
    name = {"BMP": "a.bmp", "PPM": "a.ppm"}.get(form, "a")

    assert read(out.getvalue(), name) == FileContent(7, 5)
    assert read(out.getvalue()[:-1], name) is FileProblem.CUT_SHORT


def test_frames_of_a_gif_are_whole_and_cut_short() -> None:
    frames = [Image.fromarray(NOISE), Image.fromarray(255 - NOISE)]
    whole = save("GIF", save_all=True, append_images=frames, comment=b";" * 600)

    assert read(whole) == FileContent(300, 200)
    assert read(whole[:-1]) is FileProblem.CUT_SHORT
    assert read(whole[: len(whole) * 2 // 3]) is FileProblem.CUT_SHORT


def test_a_bitmap_is_whole_whatever_the_length_in_its_header() -> None:
    whole = bytearray(save("BMP"))
    whole[2:6] = bytes(4)
    assert read(bytes(whole), "a.bmp") == FileContent(300, 200)
    old = b"BM" + struct.pack("<IIIIHHHH", 0, 0, 26, 12, 4, 2, 1, 24) + bytes(24)
    assert read(old, "a.bmp") == FileContent(4, 2)
    assert read(old[:-1], "a.bmp") is FileProblem.CUT_SHORT


def test_plain_text_pictures_tell_their_size() -> None:
    assert read(b"P2 # a comment\n2 2 255\n0 9 9 0\n", "a.pgm") == FileContent(2, 2)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tiff", "a.bmp"])
def test_a_name_alone_makes_no_picture(name: str) -> None:
    assert read(b"this is no picture", name) is FileProblem.NO_IMAGE


@pytest.mark.parametrize("name", ["a.mha", "a", "a.npy", "a.mp4"])
def test_a_format_that_is_not_read_here_is_kept_and_said(name: str) -> None:
    assert read(b"some other format", name) == FileContent(problem=FileProblem.UNKNOWN_FORMAT)


@pytest.mark.parametrize("name", ["a.png", "IM000001", "a.dcm"])
def test_a_dicom_file_is_known_by_its_content(name: str) -> None:
    found = read(make_scan(Modality="CT", KVP="120", PatientName="Doe^Jane"), name)

    assert isinstance(found, FileContent)
    assert (found.width, found.height, found.modality, found.sop_uid) == (5, 4, "CT", "1.2.3.4")
    assert found.metadata["KVP"] == 120
    assert "Jane" not in repr(found)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (make_scan()[:-5], FileProblem.CUT_SHORT),
        (make_scan(PixelData=None), FileProblem.NO_IMAGE),
        (read_shipped("dicomdirtests/DICOMDIR"), FileProblem.NO_IMAGE),
        (b"text", FileProblem.NO_IMAGE),
    ],
    ids=range(4),
)
def test_a_dicom_file_without_an_image_is_none(content: bytes, problem: FileProblem) -> None:
    assert read(content, "a.dcm") is problem


@pytest.mark.parametrize(
    ("name", "modality"),
    [("rtplan.dcm", "RTPLAN"), ("reportsi.dcm", "SR"), ("rtstruct.dcm", "RTSTRUCT")],
)
def test_a_dicom_object_that_has_no_picture_is_kept_as_what_it_is(name: str, modality: str) -> None:
    found = read(read_shipped(name), name)

    assert isinstance(found, FileContent)
    assert (found.modality, found.problem) == (modality, FileProblem.NO_PIXELS)


@pytest.mark.parametrize("mark", [b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"])
def test_a_tiff_without_the_directory_at_its_end_is_cut_short(mark: bytes) -> None:
    order, is_big = ("little" if mark[:1] == b"I" else "big"), 43 in mark
    at = (900).to_bytes(8 if is_big else 4, order)  # type: ignore[arg-type]
    head = mark + ((8).to_bytes(2, order) + bytes(2) if is_big else b"") + at  # type: ignore[arg-type]

    for rest in (bytes(600), bytes(900 - len(head)) + b"\1\1"):
        assert read(head + rest, "a.tif") is FileProblem.CUT_SHORT
    assert read(mark, "a.tif") is FileProblem.CUT_SHORT


def test_short_pixel_data_are_reported_and_the_file_is_kept() -> None:
    found = read(make_dicom(np.zeros((4, 4), np.uint16), PixelData=bytes(8)), "a.dcm")

    assert isinstance(found, FileContent)
    assert (found.problem, found.width) == (FileProblem.SHORT_PIXELS, 4)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (make_nifti(4, 4)[:-4], FileProblem.CUT_SHORT),
        (make_nifti(64, 64, packed=True)[:-4], FileProblem.CUT_SHORT),
        (b"text", FileProblem.DAMAGED),
    ],
    ids=range(3),
)
def test_a_volume_that_is_damaged_is_none(content: bytes, problem: FileProblem) -> None:
    assert read(content, "a.nii.gz") is problem


def test_a_volume_tells_its_size() -> None:
    for name, content in (("a", make_nifti(4, 3, 2)), ("a.nii.gz", make_nifti(4, 3, 2))):
        found = read(content, name)
        assert isinstance(found, FileContent)
        assert (found.width, found.height) == (4, 3)
        assert found.metadata["dimensions"] == [4, 3, 2]


def test_a_picture_that_is_too_large_to_be_opened_is_kept_without_its_size() -> None:
    gif = bytearray(save("GIF"))
    gif[6:10] = struct.pack("<HH", 60_000, 60_000)

    assert read(bytes(gif)) == FileContent()


def make_compressed(*frames: bytes, stated: int = 1, syntax: str = uid.JPEG2000Lossless) -> bytes:
    return make_dicom(NOISE, syntax=syntax, PixelData=encapsulate([*frames]), NumberOfFrames=stated)


@pytest.mark.parametrize(
    ("syntax", "frame"),
    [
        (uid.JPEG2000Lossless, save("JPEG2000", no_jp2=True)),
        (uid.JPEGBaseline8Bit, save("JPEG")),
        (uid.RLELossless, bytes(64) + NOISE.tobytes()),
    ],
    ids=range(3),
)
def test_compressed_pixels_that_are_cut_short_are_named(syntax: str, frame: bytes) -> None:
    whole = make_compressed(frame, frame, stated=2, syntax=syntax)

    assert isinstance(found := read(whole, "a.dcm"), FileContent)
    assert found.problem is None
    for length in (len(whole) - 20, len(whole) * 2 // 3, len(whole) - len(frame) - 20):
        assert read(whole[:length], "a.dcm") is FileProblem.CUT_SHORT
    assert isinstance(read(whole[:-8], "a.dcm"), FileContent), "only the delimiter is missing"
    fewer = read(make_compressed(frame, stated=2, syntax=syntax), "a.dcm")
    assert isinstance(fewer, FileContent)
    assert fewer.problem is FileProblem.SHORT_PIXELS
    half = read(make_compressed(frame[: len(frame) // 2], syntax=syntax), "a.dcm")
    assert isinstance(half, FileContent)
    assert half.problem is (None if syntax == uid.RLELossless else FileProblem.UNENDED_PIXELS)


@pytest.mark.parametrize("form", ["dicom", "JPEG", "PNG"])
def test_a_disk_that_fails_is_no_fault_of_the_file(form: str) -> None:
    class Failing(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell() > 100_000:
                raise OSError(errno.EIO, "Input/output error")
            return super().read(min(size or 0, 100_000))

    large = np.random.default_rng(1).integers(0, 255, (600, 600), np.uint8)
    if form == "dicom":
        content = make_dicom(large, EncapsulatedDocument=bytes(200_000))
    else:
        out = io.BytesIO()
        Image.fromarray(large).save(out, form)
        content = out.getvalue()

    with pytest.raises(OSError, match="Input/output"):
        read_content(Failing(content), "a")


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from([save("PNG"), save("JPEG"), save("TIFF"), save("WEBP"), save("GIF"),
                     save("BMP"), save("JPEG2000"), save("JPEG2000", no_jp2=True), save("AVIF"),
                     save("PPM"), make_scan(), make_nifti(4, 4, packed=True)]),
    st.lists(st.tuples(st.integers(0, 700), st.binary(min_size=1, max_size=8)), max_size=6),
    st.integers(0, 2000),
    st.sampled_from(["a.png", "a.dcm", "a.nii.gz", "a.bmp", "a"]),
)  # fmt: skip
def test_no_bytes_stop_an_import(
    content: bytes, changes: list[tuple[int, bytes]], length: int, name: str
) -> None:
    damaged = bytearray(content)
    for place, data in changes:
        damaged[place : place + len(data)] = data
    for version in (bytes(damaged), bytes(damaged[:length])):
        with suppress(UnusableFile):
            read_content(io.BytesIO(version), name)
