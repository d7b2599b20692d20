"""GDCM as a pydicom decoder plugin that runs in a separate process.

Of the available decoders only GDCM reads lossless JPEG, JPEG-LS and JPEG of 12 bits. It aborts its
process on some damaged frames, which must not end the web server. pydicom's own plugin refuses 12
bits, which GDCM decodes correctly. Starting the process costs about 60 ms for each frame.

The names `DECODER_DEPENDENCIES` and `is_available` are what pydicom looks for in a plugin.
"""

import json
import subprocess
import sys
from pathlib import Path

from pydicom import uid
from pydicom.pixels.decoders.base import DecodeRunner, get_decoder

PLUGIN = "gdcm-process"
TIMEOUT_SECONDS = 60
CHILD = Path(__file__).with_name("gdcm_child.py")
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

    Raises `ValueError` for a frame that cannot be decoded and `subprocess.TimeoutExpired` for one
    that takes over a minute.
    """
    child = subprocess.run(
        [sys.executable, "-I", str(CHILD)],
        input=json.dumps(_describe(runner)).encode() + b"\n" + frame,
        capture_output=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    if child.returncode:
        raise ValueError("The frame is damaged, or of a kind that GDCM does not know.")
    return child.stdout


def _describe(runner: DecodeRunner) -> dict[str, object]:
    """The properties that GDCM needs. A depth stated by the frame overrides the header."""
    stored = runner.bits_stored
    if runner.transfer_syntax in uid.JPEGLSTransferSyntaxes:
        stored = runner.get_option("jls_precision", stored)
        _check_jpeg_ls(runner, stored)
        runner.set_option("planar_configuration", 0)
        runner.set_option("bits_allocated", 8 if stored <= 8 else 16)
    signed = runner.pixel_representation
    return {
        "size": [runner.columns, runner.rows],
        "syntax": str.__str__(runner.transfer_syntax),
        "photometric": str(runner.photometric_interpretation),
        "pixel": [runner.samples_per_pixel, runner.bits_allocated, stored, stored - 1, signed],
    }


def _check_jpeg_ls(runner: DecodeRunner, stored: int) -> None:
    """Refuse frames that GDCM decodes to wrong values, as known from pydicom."""
    near_signed = runner.transfer_syntax == uid.JPEGLSNearLossless and runner.pixel_representation
    if stored in (6, 7) or (near_signed and stored < 8):
        raise ValueError(f"JPEG-LS of {stored} bits cannot be decoded reliably.")
