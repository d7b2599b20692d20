"""Pictures of less common kinds are right to the eye, and what is not as in the file is said."""

import gzip
import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from catalog.imaging import tiff_pages
from catalog.imaging.content import FileContent, read_content
from catalog.imaging.preview import Preview
from catalog.imaging.problems import CannotRender, UnusableFile
from catalog.imaging.rendering import render_preview

RAMP = np.tile(np.linspace(0, 4000, 120).astype(np.uint16), (80, 1))
MASK = np.zeros((80, 120), np.uint8)
MASK[20:60, 10:40] = 1


def encode(pixels: np.ndarray | Image.Image, kind: str, **options: Any) -> bytes:
    picture = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def render(content: bytes, *, max_edge: int = 1024, name: str = "x.png") -> Preview:
    return render_preview(io.BytesIO(content), name=name, max_edge=max_edge)


def grey(preview: Preview) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(preview.body)).convert("L")).astype(int)


def turn(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


# --- Polarity, orientation, masks ---


@pytest.mark.parametrize(
    "pixels",
    [RAMP, (RAMP // 16).astype(np.uint8), RAMP.astype(np.float32)],
    ids=["uint16", "uint8", "float32"],
)
@pytest.mark.parametrize("options", [{}, {"compression": "tiff_lzw"}], ids=["plain", "lzw"])
def test_where_the_lowest_value_is_white_it_is_shown_white(
    pixels: np.ndarray, options: dict[str, str]
) -> None:
    content = encode(pixels, "TIFF", tiffinfo={262: 0}, **options)
    if pixels.dtype == np.uint8:
        # Pillow writes the values inverted where it is told that the lowest is white.
        content = encode(255 - pixels, "TIFF", tiffinfo={262: 0}, **options)
    shown = grey(render(content))
    assert shown[:, :5].min() > 240
    assert shown[:, -5:].max() < 20
    upright = grey(render(encode(pixels, "TIFF", **options)))
    assert upright[:, :5].max() < 20


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_grey_of_sixteen_bits_stands_upright(kind: str) -> None:
    shown = grey(render(encode(RAMP, kind, exif=turn(6))))
    assert shown.shape == (120, 80)
    assert shown[:5].max() < 20
    assert shown[-5:].min() > 230


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_picture_that_is_not_shown_as_wide_as_it_is_stored_says_so(kind: str) -> None:
    content = encode(MASK * 255, kind, exif=turn(6))
    found, shown = read_content(io.BytesIO(content), "x"), render(content)
    assert grey(shown).shape == (120, 80)
    assert (found.width, found.height) == (120, 80)
    assert [note for note in shown.notes if "turned" in note and "120×80" in note]
    assert not render(encode(MASK * 255, kind, exif=turn(3))).notes


def test_of_a_turned_tiff_the_size_is_that_which_is_shown() -> None:
    content = encode(MASK * 255, "TIFF", exif=turn(6))
    found, shown = read_content(io.BytesIO(content), "x"), render(content)
    assert (found.height, found.width) == grey(shown).shape == (120, 80)
    assert not shown.notes


def as_palette() -> Image.Image:
    picture = Image.fromarray(MASK, "L").convert("P")
    picture.putpalette([level for index in range(256) for level in (index, index, index)])
    return picture


@pytest.mark.parametrize(
    ("content", "has_note"),
    [
        (encode(MASK, "PNG"), True),
        (encode(MASK, "TIFF"), True),
        (encode(MASK * 4, "PNG"), True),
        (encode(MASK.astype(np.uint16), "PNG"), False),
        (encode(MASK.astype(np.uint16), "TIFF"), False),
        (encode(np.stack([MASK] * 3, axis=-1), "PNG"), True),
        (encode(as_palette(), "PNG"), True),
        (encode(Image.fromarray(MASK * 255).convert("1"), "PNG"), False),
        # Pillow writes these values inverted: 0 and 1, then 255 and 254.
        (encode(255 - MASK, "TIFF", tiffinfo={262: 0}), True),
        (encode(MASK, "TIFF", tiffinfo={262: 0}), True),
    ],
    ids=[
        "png",
        "tiff",
        "four",
        "png16",
        "tiff16",
        "rgb",
        "palette",
        "bits",
        "negative",
        "inverted",
    ],
)
def test_a_mask_of_low_values_is_seen(content: bytes, has_note: bool) -> None:
    preview = render(content)
    shown = grey(preview)
    assert abs(shown[40, 20] - shown[70, 100]) > 230
    assert bool(preview.notes) == has_note


def test_labels_of_a_map_keep_their_order_and_colors_their_hue() -> None:
    labels = np.repeat(np.arange(5, dtype=np.uint8), 20)[np.newaxis].repeat(20, axis=0)
    shown = grey(render(encode(labels, "PNG")))
    assert abs(shown[10, 10::20] - [0, 64, 128, 191, 255]).max() <= 4
    red = np.zeros((20, 20, 3), np.uint8)
    red[..., 0] = 2
    color = Image.open(io.BytesIO(render(encode(red, "PNG")).body)).getpixel((10, 10))
    assert isinstance(color, tuple)
    assert color[0] > 200 > 60 > max(color[1:])


@pytest.mark.parametrize("level", [0, 32, 200])
def test_a_picture_that_is_not_nearly_black_is_shown_as_it_is(level: int) -> None:
    preview = render(encode(np.full((20, 20), level, np.uint8), "PNG"))
    assert abs(grey(preview) - level).max() <= 4
    assert preview.notes == ()


def test_avif_has_a_preview() -> None:
    shown = grey(render(encode((RAMP // 16).astype(np.uint8), "AVIF", quality=100), name="x.avif"))
    assert shown[:, :5].max() < 20
    assert shown[:, -5:].min() > 230


# --- Pages and frames ---


def test_a_file_of_several_frames_says_that_the_first_is_shown() -> None:
    frames = [Image.fromarray(MASK * level) for level in (255, 100, 50)]
    content = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert "the first is shown" in render(content).notes[0]
    assert render(encode(frames[0], "GIF")).notes == ()


def write_pages(*pages: np.ndarray, **options: Any) -> bytes:
    pictures = [Image.fromarray(page) for page in pages]
    return encode(pictures[0], "TIFF", save_all=True, append_images=pictures[1:], **options)


def test_a_page_that_shows_something_is_chosen_and_named() -> None:
    full, empty = RAMP, np.zeros_like(RAMP)
    assert render(write_pages(full, empty)).notes == ("Page 1 of 2 is shown.",)
    preview = render(write_pages(empty, empty, full))
    assert preview.notes[0] == "Page 3 of 3 is shown."
    assert "empty" in preview.notes[1]
    assert grey(preview)[:, -5:].min() > 230
    assert render(write_pages(empty, empty)).notes[0] == "Page 1 of 2 is shown."


def test_a_stack_of_many_pages_is_not_walked_to_its_end() -> None:
    preview = render(write_pages(*[RAMP[:4, :4]] * (tiff_pages.MAX_PAGES + 9)))
    assert preview.notes == (f"Page 1 of at least {tiff_pages.MAX_PAGES} is shown.",)


def make_pyramid(*levels: tuple[int, int, int], reduced: int = 1, tags: Any = ()) -> bytes:
    """A TIFF of uncompressed grey pages, each (width, height, level); the first may lack pixels.

    All but the first say `reduced` as their NewSubfileType.
    """
    out = bytearray(b"II*\0" + struct.pack("<I", 8))
    for number, (width, height, level) in enumerate(levels):
        size = width * height if width * height < 10**7 else 0
        entries = [
            (254, 4, reduced if number else 0), (256, 4, width), (257, 4, height), (258, 3, 8),
            (259, 3, 1), (262, 3, 1), (273, 4, 0), (277, 3, 1), (278, 4, height), (279, 4, size),
            *tags,
        ]  # fmt: skip
        start = len(out) + 2 + 12 * len(entries) + 4
        after = start + size if number + 1 < len(levels) else 0
        out += struct.pack("<H", len(entries))
        for tag, kind, value in entries:
            out += struct.pack("<HHII", tag, kind, 1, start if tag == 273 else value)
        out += struct.pack("<I", after) + bytes([level]) * size
    return bytes(out)


def test_a_small_copy_is_drawn_instead_of_a_giant_page() -> None:
    """The first page alone has 6 gigapixels, and none of them is in the file."""
    content = make_pyramid((100_000, 60_000, 0), (1000, 600, 90), (500, 300, 180), (50, 30, 250))
    preview = render(content, max_edge=400)
    assert grey(preview).shape == (240, 400)
    assert abs(grey(preview) - 180).max() <= 4
    assert preview.notes == ("It is drawn from the file's own copy of 500×300 pixels.",)
    assert abs(grey(render(content, max_edge=600)) - 90).max() <= 4
    assert abs(grey(render(content, max_edge=2000)) - 90).max() <= 4


def test_tiles_of_the_same_shape_are_a_pyramid_without_saying_so() -> None:
    tiles = [(322, 3, 16), (323, 3, 16)]
    content = make_pyramid((100_000, 60_000, 0), (500, 300, 90), reduced=0, tags=tiles)
    assert abs(grey(render(content)) - 90).max() <= 4


@pytest.mark.parametrize(
    "levels",
    [
        ((100_000, 60_000, 0),),
        ((100_000, 60_000, 0), (500, 500, 90)),  # another shape: the label of a slide
    ],
)
def test_a_giant_page_without_a_copy_is_refused(levels: tuple[tuple[int, int, int], ...]) -> None:
    with pytest.raises(CannotRender, match="100000×60000 pixels are too many"):
        render(make_pyramid(*levels))


def test_a_smaller_page_that_does_not_say_it_is_a_copy_is_another_picture() -> None:
    preview = render(make_pyramid((400, 200, 90), (200, 100, 250), reduced=0), max_edge=100)
    assert abs(grey(preview) - 90).max() <= 4
    assert preview.notes == ("Page 1 of 2 is shown.",)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_pages_that_lead_in_a_circle_or_nowhere_come_to_an_end() -> None:
    content = bytearray(make_pyramid((40, 20, 90)))
    at = 8 + 2 + 12 * 10
    for target in (8, 60, 10**9):
        content[at : at + 4] = struct.pack("<I", target)
        assert abs(grey(render(bytes(content))) - 90).max() <= 4


def make_nested(
    main: tuple[int, int], *copies: tuple[int, int], big: bool = False, order: str = "<"
) -> bytes:
    """An OME-TIFF: tiled pages, of which the first has the others as its sub-pages (SubIFDs).

    The first has no pixels if it is large; each copy is lighter than the last.
    """
    number, entry = ("Q", 20) if big else ("I", 12)
    mark = b"II" if order == "<" else b"MM"
    head = struct.pack(f"{order}HHH", 43, 8, 0) if big else struct.pack(f"{order}H", 42)
    out = bytearray(mark + head + struct.pack(order + number, 16 if big else 8))
    place = 0
    offsets: list[int] = []
    for index, (width, height) in enumerate([main, *copies]):
        size = 16 * 16 if width * height < 10**7 else 0
        tags = [
            (256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, 1),
            (262, 3, 1, 1), (277, 3, 1, 1), (322, 3, 1, 16), (323, 3, 1, 16), (324, 4, 1, 0),
            (325, 4, 1, size), *([] if index else [(330, 18 if big else 13, len(copies), 0)]),
        ]  # fmt: skip
        start = len(out)
        offsets.append(start)
        end = start + (8 if big else 2) + entry * len(tags) + (8 if big else 4)
        out += struct.pack(order + ("Q" if big else "H"), len(tags))
        for tag, kind, count, value in tags:
            if tag == 330:
                place = len(out) + 4 + (8 if big else 4)
            form = "H" if kind == 3 else "Q" if kind == 18 else "I"
            packed = struct.pack(order + form, end if tag == 324 else value)
            out += struct.pack(f"{order}HH{number}", tag, kind, count)
            out += packed.ljust(8 if big else 4, b"\0")
        out += bytes(8 if big else 4) + bytes([40 * index]) * size
    listed = struct.pack(f"{order}{len(copies)}{number}", *offsets[1:])
    if len(copies) > 1:
        out[place : place + len(listed) // len(copies)] = struct.pack(order + number, len(out))
        out += listed
    else:
        out[place : place + len(listed)] = listed
    return bytes(out)


@pytest.mark.parametrize(("big", "order"), [(False, "<"), (False, ">"), (True, "<")])
@pytest.mark.parametrize("copies", [((16, 12),), ((16, 12), (8, 6))], ids=["one", "two"])
def test_sub_pages_are_copies_of_their_page(
    copies: tuple[tuple[int, int], ...], big: bool, order: str
) -> None:
    content = make_nested((160_000, 120_000), *copies, big=big, order=order)

    preview = render(content, max_edge=16)

    assert grey(preview).shape == (12, 16)
    assert abs(grey(preview) - 40).max() <= 4
    assert preview.notes == ("It is drawn from the file's own copy of 16×12 pixels.",)
    if len(copies) > 1:
        assert abs(grey(render(content, max_edge=8)) - 80).max() <= 4
    assert read_content(io.BytesIO(content), "x") == FileContent(160_000, 120_000)
    with pytest.raises(UnusableFile, match="cut short"):
        read_content(io.BytesIO(content[: -200 if len(copies) == 1 else -80]), "x")


def test_sub_pages_that_pillow_compresses_are_read_through_a_file(tmp_path: Path) -> None:
    """libtiff reads the file itself, by the offset of the page."""
    small = encode(np.full((16, 16), 90, np.uint8), "TIFF", compression="tiff_lzw")
    (directory,) = struct.unpack("<I", small[4:8])
    first = len(small)
    tags = [(256, 4, 64_000), (257, 4, 64_000), (258, 3, 8), (259, 3, 1), (262, 3, 1),
            (273, 4, 8), (277, 3, 1), (279, 4, 0), (330, 4, directory)]  # fmt: skip
    page = struct.pack("<H", len(tags))
    page += b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    content = small[:4] + struct.pack("<I", first) + small[8:] + page + bytes(4)
    (tmp_path / "x.ome.tif").write_bytes(content)

    with (tmp_path / "x.ome.tif").open("rb") as file:
        preview = render_preview(file, name="x", max_edge=100)

    assert abs(grey(preview) - 90).max() <= 4
    assert abs(grey(render(content)) - 90).max() <= 4


def test_the_main_page_is_the_first_that_is_not_reduced() -> None:
    content = make_pyramid((400, 300, 90), (40, 30, 250))
    first = bytearray(make_pyramid((40, 30, 250), (400, 300, 90), reduced=0))
    first[8 + 2 + 8 : 8 + 2 + 12] = struct.pack("<I", 1)

    for whole in (content, bytes(first)):
        assert read_content(io.BytesIO(whole), "x") == FileContent(400, 300)
        assert abs(grey(render(whole)) - 90).max() <= 4


# --- Cut short ---

NOISE = np.random.default_rng(1).integers(0, 255, (80, 120, 3), np.uint8)


@pytest.mark.parametrize(
    "kind", ["JPEG", "PNG", "TIFF", "BMP", "GIF", "WEBP", "AVIF", "JPEG2000", "PPM"]
)
@pytest.mark.parametrize("options", [{}, {"progressive": True}], ids=["plain", "progressive"])
def test_a_picture_that_is_cut_short_is_said_to_be(kind: str, options: dict[str, bool]) -> None:
    content = encode(NOISE, kind, **(options if kind == "JPEG" else {}))
    for length in (len(content) // 2, len(content) - 30):
        with pytest.raises(CannotRender, match="cut short"):
            render(content[:length], name=f"x.{kind}")


def make_nifti(edges: tuple[int, int, int] = (40, 30, 20)) -> bytes:
    header = bytearray(352)
    struct.pack_into("<i", header, 0, 348)
    struct.pack_into("<8h", header, 40, 3, *edges, 1, 1, 1, 1)
    struct.pack_into("<hh", header, 70, 2, 8)
    struct.pack_into("<f", header, 108, 352)
    header[344:348] = b"n+1\0"
    voxels = np.random.default_rng(1).integers(0, 255, edges, np.uint8)
    return bytes(header) + voxels.tobytes()


@pytest.mark.parametrize("name", ["x.nii", "x.nii.gz"])
def test_a_volume_has_no_preview_and_one_cut_short_is_said_to_be(name: str) -> None:
    content = make_nifti() if name == "x.nii" else gzip.compress(make_nifti())
    with pytest.raises(CannotRender, match="Volumes in NIfTI files have no preview"):
        render(content, name=name)
    with pytest.raises(CannotRender, match="cut short"):
        render(content[: len(content) // 2], name=name)


def test_a_picture_is_shown_whatever_its_name() -> None:
    assert grey(render(encode(NOISE, "PNG"), name="x.nii.gz")).shape == (80, 120)


@pytest.mark.parametrize(("name", "kind"), [("x.png", "A .png file"), ("IM0001", "A file")])
def test_what_is_no_picture_is_named_by_its_ending(name: str, kind: str) -> None:
    with pytest.raises(CannotRender, match=f"^{kind} like this cannot be shown"):
        render(b"not a picture", name=name)
