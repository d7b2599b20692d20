"""Writes an archive: entries in their order, each checked against what the catalog knows of it."""

import os
import time
from collections.abc import Callable, Iterable
from typing import BinaryIO

from collections_app.archive import records
from collections_app.archive.deflate import END, deflate_block, split_blocks
from collections_app.archive.entries import ArchiveSummary, Entry, FileEntry, TextEntry
from collections_app.archive.sink import Sink
from collections_app.archive.source import Digest, Source

WRITER_VERSION = "medagg-zip/1"
"""Part of every fingerprint. Whoever changes one byte of what equal entries give, raises it."""

ProgressCallback = Callable[[int, int], None]

_KERNEL_FROM = 128 << 10  # smaller files share a write, which saves more than a kernel copy
_CHUNK = 16 << 20
_PROGRESS_SECONDS = 0.2


def write_archive(
    out: BinaryIO, entries: Iterable[Entry], *, on_progress: ProgressCallback | None = None
) -> ArchiveSummary:
    """Write a ZIP of `entries` to `out`, in their order, and return its number of entries and size.

    `out` is a real file, open for binary writing but not for appending; what it holds is
    discarded. Files are stored: copied by the kernel when size and mtime are those of the
    catalog, else read, hashed and compared. Names must be relative, without `..` and backslashes
    (`safe_name` makes such), and differ from each other (`UniqueNames`).

    `on_progress(entries_done, bytes_done)`, in bytes of contents, is called every 0.2 seconds of
    work, inside large files too, and at the end. It may raise to stop the writing.

    Raises BadEntry for the first file that cannot go in as the catalog knows it, ValueError for a
    name that is not allowed or a text over 4 GiB, and OSError when `out` cannot be written. After
    any error `out` is an unfinished archive, to be deleted by the caller. Nothing is synced.
    """
    if out.seek(0, os.SEEK_END):
        # Not for an empty file: ext4 writes truncated files to disk at close, and the caller waits.
        out.seek(0)
        out.truncate()
    writer = _Writer(Sink(out.fileno()), _Progress(on_progress))
    for entry in entries:
        writer.add(entry)
    summary = writer.finish()
    out.seek(summary.size)
    if os.fstat(out.fileno()).st_size != summary.size:
        raise OSError("the archive's size differs from what was written: is the file shared?")
    return summary


class _Writer:
    def __init__(self, sink: Sink, progress: "_Progress") -> None:
        self._sink = sink
        self._progress = progress
        self._directory = records.CentralDirectory()

    def add(self, entry: Entry) -> None:
        if isinstance(entry, FileEntry):
            self._add_file(entry)
        else:
            self._add_text(entry)
        self._progress.entry_done()

    def _add_file(self, entry: FileEntry) -> None:
        name, offset, size = _encode_name(entry.name), self._sink.position, entry.size
        source = Source(entry)
        try:
            header = records.local_header(name, records.STORED, entry.crc32 or 0, size, size)
            self._sink.write(header)
            crc = self._copy_known(source) if source.is_known else self._copy_hashed(source)
            source.confirm_untouched()
        finally:
            source.close()
        if crc != entry.crc32:
            self._sink.patch(offset + records.LOCAL_CRC_OFFSET, records.pack_crc(crc))
        self._directory.add(records.central_record(name, records.STORED, crc, size, size, offset))

    def _copy_known(self, source: Source) -> int:
        """Copy the body and return the catalog's CRC-32, which size and mtime vouch for."""
        size = source.entry.size
        if size < _KERNEL_FROM:
            self._read(source, size)
        else:
            self._copy_extents(source, size)
        return source.entry.crc32 or 0

    def _copy_extents(self, source: Source, size: int) -> None:
        done = 0
        for start, end in source.extents():
            self._sink.skip(start - done)
            os.lseek(source.fd, start, os.SEEK_SET)
            self._copy(source, end - start)
            done = end
        self._sink.skip(size - done)

    def _copy(self, source: Source, size: int) -> None:
        while size:
            part = min(size, _CHUNK)
            copied = self._sink.copy_from(source.fd, part)
            self._progress.bytes_done(copied)
            size -= copied or self._read(source, part)

    def _copy_hashed(self, source: Source) -> int:
        """Copy the body through this process and return the CRC-32 that it really has."""
        digest = Digest()
        self._read(source, source.entry.size, digest)
        digest.confirm(source)
        return digest.crc32

    def _read(self, source: Source, size: int, digest: Digest | None = None) -> int:
        left = size
        while left:
            room = self._sink.room(left)
            count = source.read_into(room)
            if digest:
                digest.update(room[:count])
            self._sink.advance(count)
            self._progress.bytes_done(count)
            left -= count
        return size

    def _add_text(self, entry: TextEntry) -> None:
        name, offset, digest = _encode_name(entry.name), self._sink.position, Digest()
        self._sink.write(records.local_header(name, records.DEFLATED, 0, 0, 0))
        start = self._sink.position
        chunks = (entry.data,) if isinstance(entry.data, bytes) else entry.data
        for block in split_blocks(chunks):
            digest.update(block)
            self._sink.write(deflate_block(block))
            self._progress.bytes_done(len(block))
        self._sink.write(END)
        crc, packed, size = digest.crc32, self._sink.position - start, digest.size
        if max(packed, size) >= records.MAX_32:
            raise ValueError(f"{entry.name}: a text of 4 GiB or more cannot be written")
        sizes = records.local_sizes(crc, packed, size)
        self._sink.patch(offset + records.LOCAL_CRC_OFFSET, sizes)
        self._directory.add(
            records.central_record(name, records.DEFLATED, crc, packed, size, offset)
        )
        entry.size, entry.sha256 = size, digest.sha256

    def finish(self) -> ArchiveSummary:
        offset, directory = self._sink.position, self._directory
        for piece in directory.pieces():
            self._sink.write(piece)
        self._sink.write(records.end_records(directory.count, directory.size, offset))
        self._sink.flush()
        self._progress.report()
        return ArchiveSummary(directory.count, self._sink.position)


def _encode_name(name: str) -> bytes:
    """The name's bytes. Refuses what could leave the folder or means different things to readers.

    Only a last line of defence: making good names is the work of `safe_name`.
    """
    probe = f"/{name}/"
    if "//" in probe or "/./" in probe or "/../" in probe or "\\" in name or "\0" in name:
        raise ValueError(f"not a name for an archive: {name!r}")
    encoded = name.encode()
    if len(encoded) > records.MAX_16:
        raise ValueError(f"the name is too long: {name[:80]!r}…")
    return encoded


class _Progress:
    """Passes on how far the writing is, but not so often that telling costs time."""

    def __init__(self, callback: ProgressCallback | None) -> None:
        self._callback = callback
        self._entries = 0
        self._bytes = 0
        self._due = 0.0

    def bytes_done(self, count: int) -> None:
        self._bytes += count
        if time.monotonic() >= self._due:
            self.report()

    def entry_done(self) -> None:
        self._entries += 1

    def report(self) -> None:
        self._due = time.monotonic() + _PROGRESS_SECONDS
        if self._callback:
            self._callback(self._entries, self._bytes)
