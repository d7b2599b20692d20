"""What was found of each entry of an archive, for a million entries in 60 MB.

Lists that an archive holds of itself are held against this table, in whatever order they have.
"""

import hashlib
import os
import struct
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

Flags = npt.NDArray[np.bool_]

_FACT = struct.Struct("<QQ32s")
_DTYPE = np.dtype([("key", "<u8"), ("size", "<u8"), ("sha256", "V32")])
_UNREAD = bytes(32)


class Facts:
    """Size and SHA-256 of entries by name. Fill it with `add`, then `sort` it, then ask it."""

    def __init__(self) -> None:
        self._raw = bytearray()
        self._table = np.empty(0, _DTYPE)
        self._order = np.empty(0, np.intp)
        self._keys = np.empty(0, np.uint64)
        # Secret, so that nobody can make up two names that this table cannot tell apart.
        self._secret = os.urandom(16)

    def add(self, name: str, size: int, sha256: str) -> None:
        """The next entry; `sha256` in hex, or empty where the contents could not be read."""
        digest = bytes.fromhex(sha256) if sha256 else _UNREAD
        self._raw += _FACT.pack(self._key(name), size, digest)

    def sort(self) -> None:
        """Call it once, after the last `add`."""
        self._table = np.frombuffer(self._raw, _DTYPE)
        self._order = np.argsort(self._table["key"], kind="stable")
        self._keys = self._table["key"][self._order]

    def __len__(self) -> int:
        return len(self._raw) // _FACT.size

    def find(self, names: Sequence[str]) -> list[int]:
        """The number of each name's entry, counted from 0 in the order of `add`; -1 for none."""
        if not len(self._keys):
            return [-1] * len(names)
        keys = np.fromiter(map(self._key, names), np.uint64, len(names))
        places = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
        found: list[int] = np.where(self._keys[places] == keys, self._order[places], -1).tolist()
        return found

    def size(self, number: int) -> int:
        """In bytes, as it was read."""
        return int(self._table[number]["size"])

    def sha256(self, number: int) -> str:
        """In hex; empty where the contents could not be read."""
        digest: bytes = self._table[number]["sha256"].tobytes()
        return "" if digest == _UNREAD else digest.hex()

    def flags(self) -> Flags:
        """(entries,) of False, for the caller to tick."""
        return np.zeros(len(self), np.bool_)

    def _key(self, name: str) -> int:
        data = name.encode("utf-8", "surrogatepass")
        digest = hashlib.blake2b(data, digest_size=8, key=self._secret).digest()
        return int.from_bytes(digest, "little")


def iter_lines(chunks: Iterator[bytes], *, limit: int) -> Iterator[bytes]:
    """The lines of a text with their line feeds; raises ValueError for one over `limit` bytes."""
    rest = b""
    for chunk in chunks:
        lines = (rest + chunk).split(b"\n")
        rest = lines.pop()
        if max(map(len, lines), default=0) > limit or len(rest) > limit:
            raise ValueError(f"a line is longer than {limit:,} bytes")
        for line in lines:
            yield line + b"\n"
    if rest:
        yield rest


class RowLines:
    """Lines for a CSV reader, which by itself gathers cells until the quotes of a row close.

    Call `begin_row` after each row. Raises ValueError for one over `limit` characters.
    """

    def __init__(self, lines: Iterator[str], *, limit: int) -> None:
        self._lines = lines
        self._limit = self._room = limit

    def begin_row(self) -> None:
        """What comes now belongs to another row."""
        self._room = self._limit

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self._room -= len(line)
        if self._room < 0:
            raise ValueError(
                f"a row is too long: {self._limit:,} characters, and it goes on with {line[:80]!r}"
            )
        return line
