"""File names that are valid and distinct on Windows, macOS and Linux.

The rules of Windows: "Naming Files, Paths, and Namespaces" in Microsoft's Win32 documentation.
macOS ignores case and treats composed and decomposed characters alike; so does UniqueNames.
"""

import hashlib
import itertools
import re
import unicodedata
from collections.abc import Iterator

MAX_SEGMENT = 120
"""Bytes of UTF-8 in one part of a path. Linux allows 255; encrypting file systems about 140."""
MAX_NAME = 240
"""Bytes of UTF-8 in a whole name. Windows allows 260 characters, the target folder included."""

_FORBIDDEN = re.compile(
    r"""[\x00-\x1f\x7f-\x9f<>:"\\|?*\u2028\u2029\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]"""
)
# Soft hyphen, zero-width and joining marks, directions, byte order marks, tags: they hide or
# reorder visible characters, and macOS skips many of them when it compares names.
_INVISIBLE = re.compile(
    r"[\xad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    r"\U000e0000-\U000e007f]"
)
_DEVICE = re.compile(
    r"(?:con|prn|aux|nul|conin\$|conout\$|clock\$|(?:com|lpt)[0-9¹²³]) *(?:\.|$)", re.IGNORECASE
)
# Most names are plain, and one match is faster than the rules one by one. Names that start like a
# device or with a dot go through the rules.
_PLAIN = re.compile(
    r"(?:(?!con|prn|aux|nul|clock|com|lpt|\.|head$)"
    r"[a-z0-9_.,+=@()\[\] -]{0,119}[a-z0-9_)-](?:/(?!$)|$))+",
    re.IGNORECASE | re.ASCII,
)
_EXTENSION = re.compile(
    r"(?<=.)(?:\.[a-z]{1,5}\.(?:gz|bz2|xz|zst)|\.(?=[0-9]*[a-z])[a-z0-9]{1,10})$", re.IGNORECASE
)
_SHA256 = re.compile(r"[0-9a-f]{64}")


def safe_name(path: str) -> str:
    """A name made from this relative path that is safe to unpack anywhere.

    Never empty, never absolute, no `..`, at most MAX_NAME bytes, each part at most MAX_SEGMENT. No
    part begins with a dot, and no file is called HEAD, as programs may obey what is named so.
    A safe path comes back unchanged. Each part that must change gets a short hash of its old
    text, so that different paths stay different. The extension stays.
    """
    if len(path) <= MAX_NAME and _PLAIN.fullmatch(path):
        return path
    given = path.split("/")
    parts = [part for part in given if part not in ("", ".")]
    safe = [_safe_segment(part) for part in parts] or ["_"]
    if safe[-1].lower() == "head":  # with config, objects and refs beside it, git obeys config
        safe[-1] = f"_{safe[-1]}{_hash_suffix(parts[-1])}"
    if len(parts) != len(given):
        safe[-1] = _add_suffix(safe[-1], _hash_suffix(path))
    name = "/".join(safe)
    return name if len(name.encode()) <= MAX_NAME else _shorten(safe, path)


def _safe_segment(segment: str) -> str:
    clean = segment
    if not segment.isascii():
        clean = unicodedata.normalize("NFC", _INVISIBLE.sub("", segment))
    clean = _FORBIDDEN.sub("_", clean).rstrip(" .")
    # Git obeys .git, editors .vscode, shells .envrc.
    if _DEVICE.match(clean) or clean.startswith("."):
        clean = f"_{clean}"
    if clean == segment and len(clean.encode()) <= MAX_SEGMENT:
        return segment
    return _add_suffix(clean or "_", _hash_suffix(segment))


def _shorten(parts: list[str], path: str) -> str:
    """As many leading folders as fit, and the last part with the path's hash as a suffix."""
    last = _add_suffix(parts[-1], _hash_suffix(path))
    room = MAX_NAME - len(last.encode())
    kept = ""
    for part in parts[:-1]:
        if len(f"{kept}{part}/".encode()) > room:
            break
        kept += f"{part}/"
    return kept + last


def _add_suffix(segment: str, suffix: str) -> str:
    """Put a suffix before the extension; the stem is cut so that the result fits MAX_SEGMENT."""
    found = _EXTENSION.search(segment)
    extension = found.group() if found else ""
    stem = segment.removesuffix(extension).encode()
    room = MAX_SEGMENT - len(suffix) - len(extension.encode())
    return stem[:room].decode(errors="ignore").rstrip(" .") + suffix + extension


def _hash_suffix(original: str) -> str:
    # Undecodable bytes of a file name arrive as lone surrogates.
    data = original.encode("utf-8", "surrogatepass")
    return "-" + hashlib.blake2b(data, digest_size=5).hexdigest()


def fold_name(name: str) -> str:
    """Equal for names that some file system treats as the same (Unicode 3.13, D145)."""
    if name.isascii():
        return name.lower()
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", name).casefold())


class UniqueNames:
    """Makes names distinct, also on file systems that ignore case or normalisation.

    A name that is taken gets `-2`, `-3` … before its extension. A file never has the name of a
    folder, and a folder never that of a file. The result depends only on the names and their
    order. A number may make it a few bytes longer than MAX_NAME.
    """

    def __init__(self) -> None:
        # Names as `fold_name` folds them.
        self._files: set[str] = set()
        self._folders: set[str] = set()
        self._next_numbers: dict[str, int] = {}
        self._last_folder = ("", "")

    def take(self, name: str) -> str:
        """This name, or the next free one after it. Names as `safe_name` makes them."""
        folder, slash, leaf = name.rpartition("/")
        if slash:
            name = f"{self._resolve_folder(folder)}/{leaf}"
        return name if self._take_file(name) else self._take_numbered(name)

    def _take_file(self, name: str) -> bool:
        folded = fold_name(name)
        if folded in self._files or folded in self._folders:
            return False
        self._files.add(folded)
        return True

    def _take_numbered(self, name: str) -> str:
        # Remembers the next number: a thousand equal names would otherwise need a million look-ups.
        folded = fold_name(name)
        start = self._next_numbers.get(folded, 2)
        number, free = next(
            (number, candidate)
            for number, candidate in _numbered(name, start)
            if self._take_file(candidate)
        )
        self._next_numbers[folded] = number + 1
        return free

    def _resolve_folder(self, folder: str) -> str:
        if folder == self._last_folder[0]:
            return self._last_folder[1]
        parent, slash, leaf = folder.rpartition("/")
        wanted = f"{self._resolve_folder(parent)}/{leaf}" if slash else leaf
        candidates = itertools.chain([wanted], (name for _, name in _numbered(wanted, 2)))
        free = next(name for name in candidates if fold_name(name) not in self._files)
        self._folders.add(fold_name(free))
        self._last_folder = (folder, free)
        return free


def _numbered(name: str, start: int) -> Iterator[tuple[int, str]]:
    folder, slash, leaf = name.rpartition("/")
    for number in itertools.count(start):
        yield number, folder + slash + _add_suffix(leaf, f"-{number}")


def checksum_line(sha256: str, name: str) -> str:
    """One line of SHA256SUMS as GNU `sha256sum -c` reads it, with its newline.

    Raises ValueError for a malformed hash, and for a name with a backslash or line break, which
    would need escapes. `safe_name` removes both.
    """
    if not _SHA256.fullmatch(sha256) or re.search(r"[\\\r\n]", name) or not name:
        raise ValueError(f"cannot be written to SHA256SUMS: {sha256!r} {name!r}")
    return f"{sha256}  {name}\n"
