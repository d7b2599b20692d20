"""Texts deflated in one pass into a spool file, from which the writer copies them."""

import os
from collections.abc import Iterable
from typing import BinaryIO

from collections_app.archive.deflate import END, deflate_block, split_blocks
from collections_app.archive.digest import Digest
from collections_app.archive.entries import PackedEntry
from collections_app.archive.records import MAX_32


def pack_text(name: str, chunks: Iterable[bytes], spool: BinaryIO) -> PackedEntry:
    """Deflate a text to the end of `spool`, and return the entry that stands for it.

    Chunks are consumed once and never held together; how the text is cut into them does not show.
    `spool` is a real file, open for reading and writing; several texts may be packed into it one
    after another, also while the writer copies earlier ones from it in another thread. Nothing
    hangs on its position.

    Raises ValueError for a text of 4 GiB or more, packed or not, and OSError when `spool` cannot
    be written.
    """
    spool.flush()
    fd = spool.fileno()
    offset = end = os.fstat(fd).st_size
    digest = Digest()
    for block in split_blocks(chunks):
        digest.update(block)
        end = _write_at(fd, deflate_block(block), end)
        if max(digest.size, end + len(END) - offset) >= MAX_32:
            raise ValueError(f"{name}: a text of 4 GiB or more cannot be written")
    end = _write_at(fd, END, end)
    return PackedEntry(name, fd, offset, digest.size, end - offset, digest.crc32, digest.sha256)


class SpooledText:
    """A packed text as the writer copies it."""

    def __init__(self, entry: PackedEntry) -> None:
        self._name = entry.name
        self.fd = entry.spool_fd

    def read_into(self, room: memoryview, offset: int) -> int:
        """Fill `room` from `offset` of the spool; returns the number of bytes, never 0."""
        size = os.preadv(self.fd, [room], offset)
        if not size:
            raise OSError(f"{self._name}: its packed text is no longer in the spool")
        return size


def _write_at(fd: int, data: bytes, offset: int) -> int:
    """Write all of `data` at `offset`; returns where it ends."""
    view = memoryview(data)
    while view:
        written = os.pwrite(fd, view, offset)
        offset, view = offset + written, view[written:]
    return offset
