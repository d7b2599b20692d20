"""Decode one compressed frame with GDCM, in a separate process that `gdcm_process` starts.

stdin: one line of JSON with the frame's properties, then the frame. stdout: the pixels as GDCM lays
them out, little-endian. GDCM aborts its process on some damaged frames: only this one ends.
"""

import json
import resource
import sys

import gdcm

MEMORY_BYTES = 4 << 30
CPU_SECONDS = 60


def decode(frame: bytes, size: list[int], syntax: str, photometric: str, pixel: list[int]) -> bytes:
    """Return the pixels of `frame`.

    `size` is [columns, rows]; `pixel` is [samples, bits allocated, bits stored, high bit, signed].
    Raises `ValueError` when GDCM gives nothing back.
    """
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((*size, 1))
    image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(syntax)))
    kind = gdcm.PhotometricInterpretation.GetPIType(photometric)
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(kind))
    if pixel[0] > 1:
        image.SetPlanarConfiguration(0)
    image.SetPixelFormat(gdcm.PixelFormat(*pixel))
    image.SetDataElement(wrap(frame))
    pixels = image.GetBuffer()
    if pixels is None:
        raise ValueError("GDCM cannot decode this frame.")
    # The binding returns bytes as text, with undecodable ones as surrogates.
    return pixels.encode("utf-8", "surrogateescape")


def wrap(frame: bytes) -> gdcm.DataElement:
    """The frame as a Pixel Data element, as GDCM needs it."""
    fragment = gdcm.Fragment()
    fragment.SetByteStringValue(frame)
    fragments = gdcm.SequenceOfFragments.New()
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())
    return element


def main() -> None:
    """Decode the frame from stdin, with limits on memory and time."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    properties = json.loads(sys.stdin.buffer.readline())
    sys.stdout.buffer.write(decode(sys.stdin.buffer.read(), **properties))


if __name__ == "__main__":
    main()
