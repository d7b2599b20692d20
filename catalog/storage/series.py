"""The SHA-256 of an image that has several files, and what counts as an ending of their names.

The SHA-256 is that of the sorted lines "<SHA-256 of a file>  <name>", which are what
``LC_ALL=C sha256sum * | sha256sum`` hashes in the folder of a series.
"""

import hashlib
import re
from collections.abc import Iterable

# Of a file's name, as Python and PostgreSQL read it. A UID has dots, and no ending.
ENDING = r"\.[A-Za-z][A-Za-z0-9]{0,7}$"
HAS_ENDING = re.compile(ENDING)


def list_files_to_hash(files: Iterable[tuple[str, str]]) -> bytes:
    """The lines that are hashed, from pairs of name and SHA-256 (lower-case hex)."""
    # The order of the names, as the shell's * in the C locale has it.
    ordered = sorted((name.encode(), sha256) for name, sha256 in files)
    return b"".join(sha256.encode() + b"  " + name + b"\n" for name, sha256 in ordered)


def hash_files(files: Iterable[tuple[str, str]]) -> str:
    """The SHA-256 of the image, from pairs of name and SHA-256."""
    return hashlib.sha256(list_files_to_hash(files)).hexdigest()
