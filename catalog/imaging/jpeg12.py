"""JPEG with 12 bits a sample (transfer syntax JPEG Extended), decoded by GDCM.

pydicom's own GDCM plugin refuses this precision and Pillow cannot decode it, while GDCM can. This
is a pydicom decoder plugin; the two names that pydicom looks for are its interface.
"""

import gdcm
from pydicom import uid
from pydicom.pixels.decoders.base import DecodeRunner, JPEGExtended12BitDecoder

PLUGIN = "gdcm-12-bit"
DECODER_DEPENDENCIES = {uid.JPEGExtended12Bit: ("python-gdcm",)}


def is_available(transfer_syntax: str) -> bool:
    """Whether this plugin decodes `transfer_syntax`; pydicom asks."""
    return transfer_syntax in DECODER_DEPENDENCIES


def decode_frame(frame: bytes, runner: DecodeRunner) -> bytes:
    """Decode one compressed frame to little-endian 16-bit samples. Raises `ValueError`."""
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((runner.columns, runner.rows, 1))
    image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGExtendedProcess2_4))
    kind = gdcm.PhotometricInterpretation.GetPIType(str(runner.photometric_interpretation))
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(kind))
    stored = runner.bits_stored
    samples = runner.samples_per_pixel
    image.SetPixelFormat(gdcm.PixelFormat(samples, 16, stored, stored - 1, 0))
    image.SetDataElement(_wrap(frame))
    pixels = image.GetBuffer()
    if pixels is None:
        raise ValueError("GDCM cannot decode this JPEG frame")
    # The binding hands bytes out as text, undecodable ones as surrogates.
    return pixels.encode("utf-8", "surrogateescape")


def _wrap(frame: bytes) -> gdcm.DataElement:
    fragment = gdcm.Fragment()
    fragment.SetByteStringValue(frame)
    fragments = gdcm.SequenceOfFragments.New()
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())
    return element


def register() -> None:
    """Make the plugin known to pydicom, once in a process."""
    if PLUGIN not in JPEGExtended12BitDecoder.available_plugins:
        JPEGExtended12BitDecoder.add_plugin(PLUGIN, (__name__, decode_frame.__name__))
