"""Files that are made to hang a reader or to fill its memory, each of a few megabytes at most."""

import gzip
import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image
from pydicom import uid
from pydicom.encaps import encapsulate

from catalog.tests.imaging.dicom_files import make_dicom, make_item, read_shipped

FILES: dict[str, Callable[[], bytes]] = {}
PNG = b"\x89PNG\r\n\x1a\n"
SMALL = np.arange(64, dtype=np.uint8).reshape(8, 8)


def hostile(name: str) -> Callable[[Callable[[], bytes]], Callable[[], bytes]]:
    """Register the maker of the file ``name``."""

    def add(maker: Callable[[], bytes]) -> Callable[[], bytes]:
        FILES[name] = maker
        return maker

    return add


def save(kind: str, size: tuple[int, int] = (64, 48), mode: str = "L", **options: Any) -> bytes:
    out = io.BytesIO()
    ramp = np.arange(size[0] * size[1], dtype=np.uint32).reshape(size[1], size[0]) * 255
    levels = Image.fromarray((ramp // ramp.max()).astype(np.uint8)).convert(mode)
    levels.save(out, kind, **options)
    return out.getvalue()


def deflate_zeros(length: int, window: int = zlib.MAX_WBITS) -> bytes:
    """So many zeros, compressed: one block again and again, which costs nothing to make."""
    block = 1 << 22
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    part = packer.compress(bytes(block)) + packer.flush(zlib.Z_FULL_FLUSH)
    rest = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    raw = part * (length // block) + rest.compress(bytes(length % block)) + rest.flush()
    if window < 0:
        return raw
    return b"\x78\xda" + raw + struct.pack(">I", (length % 65521) << 16 | 1)


# --- PNG ---


def chunk(kind: bytes, data: bytes = b"") -> bytes:
    head, check = struct.pack(">I", len(data)), struct.pack(">I", zlib.crc32(kind + data))
    return head + kind + data + check


def make_png(
    width: int, height: int, *, bits: int = 8, kind: int = 0, extra: bytes = b"", body: bytes = b""
) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)
    return PNG + chunk(b"IHDR", head) + extra + chunk(b"IDAT", body) + chunk(b"IEND")


@hostile("pixels.png")
def _() -> bytes:
    return make_png(60_000, 60_000)


@hostile("rgba-99-megapixels.png")
def _() -> bytes:
    return make_png(9_900, 10_000, kind=6, body=deflate_zeros(10_000 * (4 * 9_900 + 1)))


@hostile("grey-16-bits-99-megapixels.png")
def _() -> bytes:
    return make_png(9_900, 10_000, bits=16, body=deflate_zeros(10_000 * (2 * 9_900 + 1)))


@hostile("chunks.png")
def _() -> bytes:
    return make_png(8, 8, extra=chunk(b"tEXt", b"a\0b") * 400_000)


@hostile("empty-parts.png")
def _() -> bytes:
    return make_png(8, 8, extra=chunk(b"IDAT") * 400_000)


@hostile("text.png")
def _() -> bytes:
    text = chunk(b"zTXt", b"a\0\0" + deflate_zeros(1 << 28))
    return make_png(8, 8, extra=text * 4, body=zlib.compress(bytes(72)))


@hostile("profile.png")
def _() -> bytes:
    profile = chunk(b"iCCP", b"a\0\0" + deflate_zeros(1 << 30))
    return make_png(8, 8, extra=profile, body=zlib.compress(bytes(72)))


@hostile("frames.apng")
def _() -> bytes:
    extra = chunk(b"acTL", struct.pack(">II", 2**31 - 1, 0))
    extra += chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, 9_900, 10_000, 0, 0, 1, 1, 0, 0))
    return make_png(9_900, 10_000, kind=6, extra=extra, body=deflate_zeros(1 << 20))


@hostile("no-pixels.png")
def _() -> bytes:
    return make_png(9_900, 10_000, body=zlib.compress(b"\0"))


# --- JPEG ---


def repeat_scan(content: bytes, times: int) -> bytes:
    """The JPEG with its last scan so many times."""
    last, end = content.rindex(b"\xff\xda"), content.rindex(b"\xff\xd9")
    return content[:last] + content[last:end] * times + content[end:]


def resize_jpeg(content: bytes, width: int, height: int) -> bytes:
    at = max(content.find(b"\xff\xc0"), content.find(b"\xff\xc2"))
    return content[: at + 5] + struct.pack(">HH", height, width) + content[at + 9 :]


@hostile("thousand-scans.jpg")
def _() -> bytes:
    flat = io.BytesIO()
    Image.new("L", (4096, 4096), 90).save(flat, "JPEG", progressive=True)
    return repeat_scan(flat.getvalue(), 1000)


@hostile("small-scans.jpg")
def _() -> bytes:
    return repeat_scan(save("JPEG", progressive=True), 20_000)


@hostile("fill-bytes.jpg")
def _() -> bytes:
    return b"\xff\xd8" + b"\xff" * (6 << 20) + b"\xff\xd9"


@hostile("segments.jpg")
def _() -> bytes:
    content = save("JPEG")
    return content[:2] + b"\xff\xfe\0\2" * 1_000_000 + content[2:]


@hostile("pixels.jpg")
def _() -> bytes:
    return resize_jpeg(save("JPEG"), 65_500, 65_500)


@hostile("progressive-99-megapixels.jpg")
def _() -> bytes:
    return resize_jpeg(save("JPEG", mode="RGB", progressive=True), 9_900, 10_000)


@hostile("no-height.jpg")
def _() -> bytes:
    return resize_jpeg(save("JPEG"), 65_500, 0)


# --- JPEG 2000, JPEG-LS, JPEG XL ---


def make_j2k(
    width: int, height: int, *, components: int = 1, tile: tuple[int, int] | None = None
) -> bytes:
    """A codestream without a picture."""
    tile = tile or (width, height)
    siz = struct.pack(">HIIIIIIII", 0, width, height, 0, 0, *tile, 0, 0)
    siz += struct.pack(">H", components) + b"\7\1\1" * components
    cod = b"\0\0\0\1\0\5\4\4\0\1"
    qcd = b"\x40" + bytes([72] * 16)
    out = b"\xff\x4f"
    for marker, data in ((0x51, siz), (0x52, cod), (0x5C, qcd)):
        out += struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data
    return out + b"\xff\x90\0\x0a\0\0\0\0\0\x0e\0\1\xff\x93\xff\xd9"


def box(kind: bytes, data: bytes = b"") -> bytes:
    return struct.pack(">I", len(data) + 8) + kind + data


def make_jp2(before: bytes, codestream: bytes) -> bytes:
    start = box(b"jP  ", b"\r\n\x87\n") + box(b"ftyp", b"jp2 \0\0\0\0jp2 ")
    return start + before + box(b"jp2c", codestream)


@hostile("components.j2k")
def _() -> bytes:
    return make_j2k(4000, 4000, components=200)


@hostile("most-components.j2k")
def _() -> bytes:
    return make_j2k(64, 64, components=16_384)


@hostile("tiles.j2k")
def _() -> bytes:
    return make_j2k(255, 255, tile=(1, 1))


@hostile("pixels.j2k")
def _() -> bytes:
    return make_j2k(2**32 - 1, 2**32 - 1)


@hostile("rgb-99-megapixels.j2k")
def _() -> bytes:
    return make_j2k(9_900, 10_000, components=3)


@hostile("boxes.jp2")
def _() -> bytes:
    return make_jp2(box(b"free") * 600_000, save("JPEG2000", no_jp2=True))


@hostile("boxes-behind.jp2")
def _() -> bytes:
    return make_jp2(b"", save("JPEG2000", no_jp2=True)) + box(b"free") * 600_000


@hostile("giant-header.jp2")
def _() -> bytes:
    return make_jp2(struct.pack(">I4s", 0xFFFFFFF0, b"jp2h"), save("JPEG2000", no_jp2=True))


@hostile("pixels.jls")
def _() -> bytes:
    return b"\xff\xd8\xff\xf7\0\x0b\x08\xff\xff\xff\xff\1\1\x11\0\xff\xda\0\x08\1\1\0\0\0\0\xff\xd9"


@hostile("pixels.jxl")
def _() -> bytes:
    return b"\0\0\0\x0cJXL \r\n\x87\n\0\0\0\x14ftypjxl \0\0\0\0jxl \xff\x0a" + b"\xff" * 4096


# --- GIF, BMP, PNM ---


def make_gif(before: bytes, image: bytes, size: tuple[int, int] = (8, 8)) -> bytes:
    screen = b"GIF89a" + struct.pack("<HHBBB", *size, 0x80, 0, 0) + bytes(6)
    return screen + before + b"," + struct.pack("<HHHHB", 0, 0, *size, 0) + image + b";"


@hostile("comment.gif")
def _() -> bytes:
    return make_gif(b"!\xfe" + (b"\xff" + bytes(255)) * 30_000 + b"\0", b"\2\2\x44\1\0")


@hostile("pixels.gif")
def _() -> bytes:
    return make_gif(b"", b"\2\2\x44\1\0", (65_535, 65_535))


@hostile("small-blocks.gif")
def _() -> bytes:
    return make_gif(b"", b"\2" + b"\1\x44" * 3_000_000 + b"\0")


@hostile("extensions.gif")
def _() -> bytes:
    return make_gif(b"!\xfe\1a\0" * 1_000_000, b"\2\2\x44\1\0")


def make_bmp(header: int, width: int, height: int, *, kind: int = 0, body: bytes = b"") -> bytes:
    info = struct.pack("<IiiHHIIiiII", header, width, height, 1, 8, kind, len(body), 1, 1, 256, 0)
    palette = bytes(1024)
    start = 14 + len(info) + len(palette)
    return struct.pack("<2sIII", b"BM", start + len(body), 0, start) + info + palette + body


@hostile("giant-header.bmp")
def _() -> bytes:
    return make_bmp(0xFFFFFFF0, 8, 8, body=bytes(64))


@hostile("run-lengths.bmp")
def _() -> bytes:
    return make_bmp(40, 9_900, 10_000, kind=1, body=b"\1\1" * 1_000_000)


@hostile("overflow.bmp")
def _() -> bytes:
    return make_bmp(40, 2**31 - 1, -(2**31), body=bytes(64))


@hostile("blanks.ppm")
def _() -> bytes:
    return b"P6" + b" " * 8_000_000


@hostile("comment.pgm")
def _() -> bytes:
    return b"P5 #" + b"x" * 8_000_000


@hostile("pixels.ppm")
def _() -> bytes:
    return b"P6 99999999 99999999 255\n"


@hostile("plain.ppm")
def _() -> bytes:
    return b"P3 5000 5000 255\n" + b"1 " * 1_000_000


# --- TIFF ---


def make_tiff(entries: list[tuple[int, int, int, int]], *, data: bytes = b"", big: bool = False,
              following: int = 0) -> bytes:  # fmt: skip
    """A directory of (tag, type, count, value or offset), then data, to which offset 0 leads."""
    form, head, size = ("<HHQQ", b"II+\0\x08\0\0\0", 20) if big else ("<HHII", b"II*\0", 12)
    start, number = (16, "<Q") if big else (8, "<I")
    count = struct.pack("<Q" if big else "<H", len(entries))
    after = start + len(count) + size * len(entries) + struct.calcsize(number)
    out = head + struct.pack(number, start) + count
    places = [(*entry[:3], after if entry[3] == DATA else entry[3]) for entry in entries]
    out += b"".join(struct.pack(form, *entry) for entry in places)
    return out + struct.pack(number, following) + data


DATA = -1
PLAIN = [(256, 3, 1, 8), (257, 3, 1, 8), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1),
         (273, 4, 1, DATA), (277, 3, 1, 1), (278, 3, 1, 8), (279, 4, 1, 64)]  # fmt: skip


def change(*entries: tuple[int, int, int, int]) -> list[tuple[int, int, int, int]]:
    changed = {entry[0]: entry for entry in (*PLAIN, *entries)}
    return [changed[tag] for tag in sorted(changed)]


@hostile("tile.tif")
def _() -> bytes:
    tiled = [entry for entry in PLAIN if entry[0] not in (273, 278, 279)]
    tiled += [(322, 4, 1, 1 << 15), (323, 4, 1, 1 << 15), (324, 4, 1, DATA), (325, 4, 1, 64)]
    packed = [(259, 3, 1, 8) if entry[0] == 259 else entry for entry in tiled]
    return make_tiff(packed, data=zlib.compress(bytes(4096)))


@hostile("entries.tif")
def _() -> bytes:
    return make_tiff([*PLAIN, *[(50_000, 1, 1 << 20, DATA)] * 65_000], data=bytes(1 << 20))


@hostile("big-entries.tif")
def _() -> bytes:
    return make_tiff([*PLAIN, *[(50_000, 1, 1, 0)] * 200_000], data=bytes(64), big=True)


@hostile("shared-values.tif")
def _() -> bytes:
    many = [(50_000 + number, 1, 1 << 20, DATA) for number in range(4_000)]
    return make_tiff([*PLAIN, *many], data=bytes(1 << 20))


@hostile("fractions.tif")
def _() -> bytes:
    return make_tiff(change((282, 5, 900_000, DATA)), data=bytes(900_000 * 8))


@hostile("strips.tif")
def _() -> bytes:
    parts = change((273, 4, 2_000_000, DATA), (279, 4, 2_000_000, DATA), (278, 3, 1, 1))
    return make_tiff(parts, data=bytes(8_000_000))


@hostile("circle.tif")
def _() -> bytes:
    return make_tiff(PLAIN, data=bytes(64), following=8)


@hostile("sub-pages.ome.tif")
def _() -> bytes:
    """Sixty sub-pages, and each has the same millions of values."""
    inner = make_tiff(change((282, 5, 60_000, 8), (257, 3, 1, 4)))[8:]
    start = 8 + 2 + 12 * 10 + 4 + 64
    offsets = struct.pack("<60I", *[start + 240] * 60)
    head = make_tiff([*PLAIN, (330, 4, 60, start)], data=bytes(64))
    return head + offsets + inner + bytes(500_000)


@hostile("rgba-99-megapixels.tif")
def _() -> bytes:
    bits = struct.pack("<4H", 8, 8, 8, 8)
    large = change((256, 4, 1, 9_900), (257, 4, 1, 10_000), (258, 3, 4, DATA), (259, 3, 1, 8),
                   (262, 3, 1, 2), (277, 3, 1, 4), (278, 4, 1, 10_000), (338, 3, 1, 2))  # fmt: skip
    return make_tiff(large, data=bits + deflate_zeros(1 << 24))


@hostile("samples.tif")
def _() -> bytes:
    return make_tiff(change((277, 3, 1, 65_535), (258, 3, 65_535, DATA)), data=b"\x08\0" * 65_535)


@hostile("offsets.tif")
def _() -> bytes:
    return make_tiff(change((273, 4, 1, 2**32 - 1), (279, 4, 1, 2**32 - 1)), following=2**32 - 1)


# --- WebP, AVIF ---


@hostile("canvas.webp")
def _() -> bytes:
    chunk_ = b"VP8X" + struct.pack("<I", 10) + b"\2\0\0\0" + b"\xff\x3f\0" * 2
    anim = b"ANIM" + struct.pack("<IIH", 6, 0, 0)
    body = b"WEBP" + chunk_ + anim + save("WEBP")[12:]
    return b"RIFF" + struct.pack("<I", len(body)) + body


@hostile("pixels.webp")
def _() -> bytes:
    chunk_ = b"VP8L" + struct.pack("<I", 16) + b"\x2f\xff\xff\xff\x0f" + bytes(11)
    return b"RIFF" + struct.pack("<I", 4 + len(chunk_)) + b"WEBP" + chunk_


@hostile("pixels.avif")
def _() -> bytes:
    content = save("AVIF")
    at = content.index(b"ispe") + 8
    return content[:at] + struct.pack(">II", 16_000, 16_000) + content[at + 8 :]


@hostile("items.avif")
def _() -> bytes:
    items = b"".join(
        box(b"infe", b"\2\0\0\0" + struct.pack(">HH", number, 0) + b"av01\0")
        for number in range(1, 45_000)
    )
    meta = bytes(4) + box(b"pitm", bytes(4) + b"\0\1")
    meta += box(b"iinf", bytes(4) + struct.pack(">H", 44_999) + items)
    return box(b"ftyp", b"avif\0\0\0\0avifmif1") + box(b"meta", meta)


# --- DICOM ---


def make_packed(frames: list[bytes], syntax: str, **elements: Any) -> bytes:
    return make_dicom(SMALL, syntax=syntax, PixelData=encapsulate(frames), **elements)


def make_palette(**elements: Any) -> bytes:
    found: dict[str, Any] = {"PhotometricInterpretation": "PALETTE COLOR"}
    for color in ("Red", "Green", "Blue"):
        found[f"{color}PaletteColorLookupTableDescriptor"] = [256, 0, 16]
        found |= {name.replace("Color", color, 1): value for name, value in elements.items()}
    return make_dicom(SMALL, **found)


def add_element(content: bytes, element: bytes, before: bytes = b"\xe0\x7f\x10\0") -> bytes:
    at = content.rindex(before)
    return content[:at] + element + content[at:]


@hostile("segmented-palette.dcm")
def _() -> bytes:
    lines = struct.pack("<3H", 0, 1, 0) + struct.pack("<3H", 1, 65_535, 9) * 600
    repeats = struct.pack("<4H", 2, 600, 0, 0) * 400
    return make_palette(SegmentedColorPaletteColorLookupTableData=lines + repeats)


@hostile("palette-of-palettes.dcm")
def _() -> bytes:
    nested = struct.pack("<3H", 0, 1, 0) + struct.pack("<4H", 2, 65_535, 3, 0) * 200
    return make_palette(SegmentedColorPaletteColorLookupTableData=nested)


@hostile("giant-palette.dcm")
def _() -> bytes:
    return make_palette(ColorPaletteColorLookupTableData=bytes(2 << 20))


@hostile("99-megapixels-deflated.dcm")
def _() -> bytes:
    """Two gigabytes of memory, in a hundred kilobytes."""
    content = make_dicom(SMALL, syntax=uid.ExplicitVRLittleEndian, Rows=9_900, Columns=10_000)
    meta, body = (
        content[: content.index(b"\x08\0\x16\0UI")],
        content[content.index(b"\x08\0\x16\0UI") :],
    )
    at = body.rindex(b"\xe0\x7f\x10\0")
    head = body[:at] + b"\xe0\x7f\x10\0OB\0\0" + struct.pack("<I", 99_000_000)
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    start = packer.compress(head) + packer.flush(zlib.Z_FULL_FLUSH)
    meta = meta.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.1.99", 1)
    at = meta.index(b"\x02\0\x10\0UI") + 6
    meta = meta[:at] + struct.pack("<H", 22) + meta[at + 2 :]
    return meta + start + deflate_zeros(99_000_000, -zlib.MAX_WBITS)


@hostile("deflate-bomb.dcm")
def _() -> bytes:
    content = FILES["99-megapixels-deflated.dcm"]()
    return content[: -len(deflate_zeros(99_000_000, -zlib.MAX_WBITS))] + deflate_zeros(
        1 << 31, -zlib.MAX_WBITS
    )


@hostile("99-megapixels.dcm")
def _() -> bytes:
    return make_packed([make_j2k(9_900, 10_000)], uid.JPEG2000Lossless, Rows=10_000, Columns=9_900,
                       BitsAllocated=16, BitsStored=16, HighBit=15)  # fmt: skip


@hostile("nested.dcm")
def _() -> bytes:
    part = b"\x40\0\x75\x02SQ\0\0\xff\xff\xff\xff\xfe\xff\0\xe0\xff\xff\xff\xff"
    return add_element(make_dicom(SMALL), part * 100_000)


@hostile("elements.dcm")
def _() -> bytes:
    return add_element(make_dicom(SMALL), b"\x29\0\1\1LO\0\0" * 1_000_000)


@hostile("items.dcm")
def _() -> bytes:
    items = b"\xfe\xff\0\xe0\0\0\0\0" * 1_000_000
    sequence = b"\x40\0\x75\x02SQ\0\0\xff\xff\xff\xff" + items + b"\xfe\xff\xdd\xe0\0\0\0\0"
    return add_element(make_dicom(SMALL), sequence)


@hostile("elements-of-frames.dcm")
def _() -> bytes:
    item = b"".join(struct.pack("<HH2sH", 0x29, 0x1000 + n, b"LO", 0) for n in range(1000))
    items = (b"\xfe\xff\0\xe0" + struct.pack("<I", len(item)) + item) * 500
    sequence = b"\x00\x52\x30\x92SQ\0\0" + struct.pack("<I", len(items)) + items
    return add_element(make_dicom(SMALL), sequence)


@hostile("overlays.dcm")
def _() -> bytes:
    overlays = b"".join(
        struct.pack("<HH2sHH", group, element, b"US", 2, 65_535)
        for group in range(0x6000, 0x6020, 2) for element in (0x10, 0x11)
    )  # fmt: skip
    giant = struct.pack("<HH2sHI", 0x6000, 0x3000, b"OW", 0, 0xFFFFFFFF)
    return add_element(make_dicom(SMALL), overlays + giant)


@hostile("fragments.dcm")
def _() -> bytes:
    content = make_packed([save("JPEG")], uid.JPEGBaseline8Bit, NumberOfFrames=1_000_000)
    return content[:-8] + b"\xfe\xff\0\xe0\0\0\0\0" * 1_000_000 + content[-8:]


@hostile("frames.dcm")
def _() -> bytes:
    return make_dicom(SMALL, NumberOfFrames=2**31 - 1)


@hostile("windows.dcm")
def _() -> bytes:
    values = b"40.5\\" * 2_000_000
    element = b"\x28\0\x50\x10UT\0\0" + struct.pack("<I", len(values)) + values
    return add_element(make_dicom(SMALL), element)


@hostile("lookup-table.dcm")
def _() -> bytes:
    table = make_item(LUTDescriptor=[0, 0, 16], LUTData=bytes(8 << 20))
    return make_dicom(SMALL.astype(np.uint16), VOILUTSequence=table)


@hostile("length.dcm")
def _() -> bytes:
    return add_element(make_dicom(SMALL), b"\x28\0\x50\x10UT\0\0\xfe\xff\xff\xff")


@hostile("components-of-j2k.dcm")
def _() -> bytes:
    return make_packed([make_j2k(64, 64, components=16_384)], uid.JPEG2000)


@hostile("tiles.htj2k.dcm")
def _() -> bytes:
    return make_packed([make_j2k(255, 255, tile=(1, 1))], uid.HTJ2K)


@hostile("scans.jpeg.dcm")
def _() -> bytes:
    frame = repeat_scan(save("JPEG", progressive=True), 20_000)
    return make_packed([frame], uid.JPEGBaseline8Bit)


@hostile("pixels.jls.dcm")
def _() -> bytes:
    return make_packed([FILES["pixels.jls"]()], uid.JPEGLSLossless)


@hostile("99-megapixels.lossless.dcm")
def _() -> bytes:
    frame = resize_jpeg(save("JPEG"), 9_900, 10_000).replace(b"\xff\xc0", b"\xff\xc3", 1)
    return make_packed([frame], uid.JPEGLosslessSV1, Rows=10_000, Columns=9_900,
                       BitsAllocated=16, BitsStored=16, HighBit=15)  # fmt: skip


@hostile("run-lengths.dcm")
def _() -> bytes:
    runs = struct.pack("<16I", 1, 64, *[0] * 14) + b"\x81\0" * 3_000_000
    return make_packed([runs], uid.RLELossless)


@hostile("extended-offsets.dcm")
def _() -> bytes:
    offsets = struct.pack("<QQ", 2**64 - 16, 2**63)
    return make_packed([save("JPEG")], uid.JPEGBaseline8Bit, NumberOfFrames=2,
                       ExtendedOffsetTable=offsets, ExtendedOffsetTableLengths=offsets)  # fmt: skip


@hostile("big-endian.dcm")
def _() -> bytes:
    return make_dicom(SMALL, syntax=uid.ExplicitVRBigEndian, Rows=65_535, Columns=65_535)


@hostile("implicit.dcm")
def _() -> bytes:
    return make_dicom(SMALL, syntax=uid.ImplicitVRLittleEndian, SamplesPerPixel=65_535)


@hostile("aborts.dcm")
def _() -> bytes:
    content = read_shipped("JPGExtended.dcm")
    at = content.rindex(b"\xfe\xff\0\xe0", 0, content.rindex(b"\xff\xd8\xff")) + 8 + 84
    return content[:at] + b"\xf2" + content[at + 1 :]


# --- NIfTI, and others ---


def make_nifti(*edges: int, offset: float = 352, datatype: int = 2) -> bytes:
    head = bytearray(352)
    struct.pack_into("<i", head, 0, 348)
    struct.pack_into("<8h", head, 40, len(edges), *edges, *[1] * (7 - len(edges)))
    struct.pack_into("<hh", head, 70, datatype, 8)
    struct.pack_into("<f", head, 108, offset)
    head[344:348] = b"n+1\0"
    return bytes(head)


@hostile("bomb.nii.gz")
def _() -> bytes:
    start = gzip.compress(make_nifti(32_767, 32_767, 32_767))
    return start + b"\x1f\x8b\x08\0\0\0\0\0\0\3" + deflate_zeros(1 << 32, -zlib.MAX_WBITS)


@hostile("members.nii.gz")
def _() -> bytes:
    return gzip.compress(make_nifti(100, 100, 100)) + gzip.compress(b"", mtime=0) * 150_000


@hostile("overflow.nii")
def _() -> bytes:
    return make_nifti(*[32_767] * 7, datatype=2048)


@hostile("offset.nii")
def _() -> bytes:
    return make_nifti(4, 4, 4, offset=float("inf"))


@hostile("comments.png")
def _() -> bytes:
    return b"<!---->" * 140 + b"."


# --- Boxes that end where no file does ---


@hostile("box-of-64-bits.avif")
def _() -> bytes:
    return struct.pack(">I4s4sI", 16, b"ftyp", b"avif", 0) + struct.pack(
        ">I4sQ", 1, b"meta", 2**64 - 1
    ) + bytes(100)  # fmt: skip


@hostile("box-of-64-bits.jp2")
def _() -> bytes:
    return b"\0\0\0\x0cjP  \r\n\x87\n" + struct.pack(">I4sQ", 1, b"jp2h", 2**64 - 1) + bytes(100)
