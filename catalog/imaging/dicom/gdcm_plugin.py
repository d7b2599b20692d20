"""GDCM as a pydicom decoder plugin.

Of the available decoders only GDCM reads lossless JPEG, JPEG-LS and JPEG of 12 bits. It aborts its
process on some damaged frames: ``catalog.imaging.decoding`` has one for each picture. pydicom's own
plugin refuses 12 bits, which GDCM decodes correctly.

The names `DECODER_DEPENDENCIES` and `is_available` are what pydicom looks for in a plugin.
"""

import gdcm
from pydicom import uid
from pydicom.pixels.decoders.base import DecodeRunner, get_decoder

PLUGIN = "gdcm-twelve-bits"
DECODER_DEPENDENCIES = dict.fromkeys(
    (
        uid.JPEGExtended12Bit,
        uid.JPEGLossless,
        uid.JPEGLosslessSV1,
        uid.JPEGLSLossless,
        uid.JPEGLSNearLossless,
    ),
    ("python-gdcm",),
)


def is_available(transfer_syntax: str) -> bool:
    """Whether this plugin decodes `transfer_syntax`; called by pydicom."""
    return transfer_syntax in DECODER_DEPENDENCIES


def register() -> None:
    """Register the plugin with pydicom, once in a process."""
    for syntax in DECODER_DEPENDENCIES:
        decoder = get_decoder(syntax)
        if PLUGIN not in decoder.available_plugins:
            decoder.add_plugin(PLUGIN, (__name__, decode_frame.__name__))


def decode_frame(frame: bytes, runner: DecodeRunner) -> bytes:
    """Decode one compressed frame to little-endian samples, colour by pixel.

    Raises `ValueError` for a frame that cannot be decoded.
    """
    stored = _choose_depth(runner)
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((runner.columns, runner.rows, 1))
    syntax = gdcm.TransferSyntax.GetTSType(str.__str__(runner.transfer_syntax))
    image.SetTransferSyntax(gdcm.TransferSyntax(syntax))
    kind = gdcm.PhotometricInterpretation.GetPIType(str(runner.photometric_interpretation))
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(kind))
    if runner.samples_per_pixel > 1:
        image.SetPlanarConfiguration(0)
    image.SetPixelFormat(
        gdcm.PixelFormat(
            runner.samples_per_pixel,
            runner.bits_allocated,
            stored,
            stored - 1,
            runner.pixel_representation,
        )
    )
    image.SetDataElement(_wrap(frame))
    pixels = image.GetBuffer()
    if pixels is None:
        raise ValueError("The frame is damaged, or of a kind that GDCM does not know.")
    # The binding returns bytes as text, with undecodable ones as surrogates.
    return pixels.encode("utf-8", "surrogateescape")


def _wrap(frame: bytes) -> gdcm.DataElement:
    """The frame as a Pixel Data element, as GDCM needs it."""
    fragment = gdcm.Fragment()
    fragment.SetByteStringValue(frame)
    fragments = gdcm.SequenceOfFragments.New()
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())
    return element


def _choose_depth(runner: DecodeRunner) -> int:
    """The bits that are stored. A depth stated by the frame overrides the header."""
    stored = runner.bits_stored
    if runner.transfer_syntax in uid.JPEGLSTransferSyntaxes:
        stored = runner.get_option("jls_precision", stored)
        _check_jpeg_ls(runner, stored)
        runner.set_option("planar_configuration", 0)
        runner.set_option("bits_allocated", 8 if stored <= 8 else 16)
    return int(stored)


def _check_jpeg_ls(runner: DecodeRunner, stored: int) -> None:
    """Refuse frames that GDCM decodes to wrong values, as known from pydicom."""
    near_signed = runner.transfer_syntax == uid.JPEGLSNearLossless and runner.pixel_representation
    if stored in (6, 7) or (near_signed and stored < 8):
        raise ValueError(f"JPEG-LS of {stored} bits cannot be decoded reliably.")
