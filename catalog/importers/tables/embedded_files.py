"""Whether a text is a file of words, such as a report, as base64 writes it or a `data:` address."""

import re
from base64 import b64decode
from codecs import getincrementaldecoder

# Shorter ones are words.
SHORTEST_FILE = 40
_LOOKED_AT = 4_000
_BASE64 = re.compile(
    rf"[A-Za-z0-9+/_-]{{{SHORTEST_FILE},}}+(?:\r?\n[A-Za-z0-9+/_-]++)*+={{0,2}}\s*+"
)
_ADDRESS = re.compile(r"data:(?P<kind>[\w.+/-]{0,100}+)[^,]{0,200}?(?P<is_base64>;base64)?,")
_OTHER_SIGNS = str.maketrans("-_", "+/", "\r\n=")
_STARTS = (b"%PDF", b"{\\rtf")
_MARK_OF_DICOM, _PREAMBLE = b"DICM", 128


def is_file_of_words(text: str) -> bool:
    """Whether a text is a file that may have words of somebody: plain text, PDF, RTF, DICOM.

    A picture is none; nor are hashes, sequences and long names, which are the same letters.
    """
    if address := _ADDRESS.match(text):
        if not address["is_base64"]:
            return address["kind"].startswith("text/")
        text = text[address.end() :]
    elif not _BASE64.fullmatch(text):
        return False
    return _has_words(_decode(text))


def _decode(text: str) -> bytes:
    """The bytes of the first lines."""
    letters = text[:_LOOKED_AT].translate(_OTHER_SIGNS)
    try:
        return b64decode(letters[: len(letters) // 4 * 4], validate=True)
    except ValueError:
        return b""


def _has_words(content: bytes) -> bool:
    if content.startswith(_STARTS) or content[_PREAMBLE:].startswith(_MARK_OF_DICOM):
        return True
    try:
        # The last letter may be cut.
        words = getincrementaldecoder("utf-8")().decode(content).split()
    except UnicodeError:
        return False
    return len(words) > 1 and "".join(words).isprintable()
