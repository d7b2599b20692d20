"""Reads the size that a compressed frame states, before it is given to a decoder.

The DICOM header may state 10×10 pixels while the frame makes a decoder allocate 60,000×60,000.
"""

from pydicom import uid

# Start-of-frame markers of JPEG (ITU-T T.81 table B.1) and JPEG-LS (ITU-T T.87 C.1).
_FRAME_MARKERS = frozenset({*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC})
_BARE_MARKERS = frozenset({0x01, *range(0xD0, 0xD9)})  # no length follows these
# JPEG 2000 (ITU-T T.800): a codestream begins with SOC and SIZ (A.4.1, A.5.1). In a stored JP2 file
# it is in one of several boxes; a box begins with its length in 4 bytes, then its type (I.4).
_CODESTREAM_START = b"\xff\x4f\xff\x51"
_FILE_START = b"\x00\x00\x00\x0cjP  "
_BOX_HEADER = 8
_HTJ2K = (uid.HTJ2KLossless, uid.HTJ2KLosslessRPCL, uid.HTJ2K)


def read_frame_size(frame: bytes, transfer_syntax: str) -> tuple[int, int] | None:
    """Return (width, height) in pixels as `frame` itself states them.

    None for transfer syntaxes whose decoders use only the DICOM header. (0, 0) if the frame should
    state its size but does not.
    """
    if transfer_syntax in (*uid.JPEGTransferSyntaxes, *uid.JPEGLSTransferSyntaxes):
        return _read_jpeg_size(frame)
    if transfer_syntax in (*uid.JPEG2000TransferSyntaxes, *_HTJ2K):
        return _read_jpeg_2000_size(frame)
    return None


def _read_jpeg_size(frame: bytes) -> tuple[int, int]:
    at = frame.find(b"\xff\xd8") + 2
    while 2 <= at < len(frame) - 8:
        marker = frame[at + 1]
        if frame[at] != 0xFF:
            break
        if marker in _FRAME_MARKERS:  # length 2, precision 1, height 2, width 2
            return _read_int(frame, at + 7, 2), _read_int(frame, at + 5, 2)
        if marker == 0xFF:  # a fill byte
            at += 1
        else:
            at += 2 if marker in _BARE_MARKERS else 2 + _read_int(frame, at + 2, 2)
    return 0, 0


def _read_jpeg_2000_size(frame: bytes) -> tuple[int, int]:
    at = _find_codestream(frame)
    if frame[at : at + 4] != _CODESTREAM_START:
        return 0, 0
    right, bottom, left, top = (_read_int(frame, at + offset, 4) for offset in (8, 12, 16, 20))
    return max(0, right - left), max(0, bottom - top)


def _find_codestream(frame: bytes) -> int:
    """The offset of the codestream; beyond the end if the boxes before it are damaged.

    pydicom reads these boxes too, and would loop for ever at one of length 0.
    """
    if not frame.startswith(_FILE_START):
        return 0
    at = 12
    while at < len(frame) and frame[at + 4 : at + 8] != b"jp2c":
        length = _read_int(frame, at, 4)
        at = at + length if length >= _BOX_HEADER else len(frame)
    return at + _BOX_HEADER


def _read_int(frame: bytes, at: int, size: int) -> int:
    return int.from_bytes(frame[at : at + size], "big")
