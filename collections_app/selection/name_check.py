"""A fast check whether proposed names can stay as they are.

Django-free. Names that pass would come back unchanged from ``safe_name`` and ``UniqueNames``. If
some do not pass, those two decide.
"""

import string
from array import array

import numpy as np

from collections_app.archive import safe_name

_PLAIN = (string.ascii_letters + string.digits + "_./-\n").encode()
# Names of devices on Windows begin like these; the folder "images" comes before every name.
_RISKY = (b"//", b"/.", b"./", b".\n", b"-\n", b"/\n", b"/con", b"/prn", b"/aux", b"/nul",
          b"/clock", b"/com", b"/lpt", b"/head\n")  # fmt: skip
_SHORT = 120


class NameCheck:
    """Receives all names, empty for images without a file, and decides whether any must change.

    Holds eight bytes for each name. Two equal hashes of different names only make it slower.
    """

    def __init__(self) -> None:
        self._files = array("q")
        self._folders: set[bytes] = set()
        self._is_unsafe = False

    def look_at(self, names: list[bytes]) -> None:
        """Check the next names, in UTF-8."""
        lines = b"\n".join(filter(None, names)) + b"\n"
        folded = lines.lower()
        folded_names = folded.split(b"\n")[:-1]
        if lines == b"\n":
            return
        self._files.extend(map(hash, folded_names))
        self._folders.update(name.rpartition(b"/")[0] for name in folded_names)
        if not self._is_unsafe and not _is_plain(folded, folded_names):
            # Only `UniqueNames` knows how file systems fold letters outside ASCII.
            self._is_unsafe = not lines.isascii() or any(
                safe_name(name) != name for name in lines.decode().split("\n")[:-1]
            )

    @property
    def must_change(self) -> bool:
        """Whether a name is unsafe, not unique, or also the name of a folder."""
        files = np.frombuffer(self._files, np.int64)
        if self._is_unsafe or len(np.unique(files)) < len(files):
            return True
        folders = {hash(folder) for each in self._folders for folder in _with_parents(each)}
        return bool(np.isin(np.array(list(folders), np.int64), files).any())


def _is_plain(folded: bytes, names: list[bytes]) -> bool:
    if folded.translate(None, _PLAIN) or any(risk in folded for risk in _RISKY):
        return False
    return max(map(len, names), default=0) <= _SHORT


def _with_parents(folder: bytes) -> list[bytes]:
    parts = folder.split(b"/")
    return [b"/".join(parts[:length]) for length in range(1, len(parts) + 1)]
