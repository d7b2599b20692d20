"""Writes an archive: entries in their order, each file checked against the catalog."""

import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO

from collections_app.archive import records
from collections_app.archive.checked_file import CheckedFile
from collections_app.archive.digest import Digest
from collections_app.archive.entries import (
    ArchiveSummary,
    Entry,
    FileEntry,
    TextEntry,
)
from collections_app.archive.parts import PartSink
from collections_app.archive.sink import BUFFER, Sink

WRITER_VERSION = "medagg-zip/2"
"""Part of every fingerprint. Raise it when equal entries will give other bytes."""

ProgressCallback = Callable[[int, int], None]

_KERNEL_FROM = 128 << 10  # smaller files share one write, which is faster than a kernel copy
_CHUNK = 16 << 20
_PROGRESS_SECONDS = 0.2
_PROGRESS_BYTES = 64 << 20
_SLASH = ord("/")


def write_archive(
    out: BinaryIO | PartSink,
    entries: Iterable[Entry],
    *,
    on_progress: ProgressCallback | None = None,
) -> ArchiveSummary:
    """Write a ZIP of `entries` to `out`, in their order, and return its number of entries and size.

    `out` is a real, empty file, open for binary writing but not for appending, or an upload, which
    gets the same bytes. Files are copied by the kernel when size and mtime are those of the
    catalog; others are read, hashed and compared.
    Names must be relative, without `..` and backslashes (see `safe_name`), and distinct (see
    `UniqueNames`).

    `on_progress(entries_done, bytes_done)` counts bytes of contents. It is called every 0.2
    seconds and every 64 MiB, also within large files, and at the end. It may raise to stop the
    writing.

    Raises BadEntry for the first file that is not as the catalog says, ValueError for a name that
    is not allowed or a text of 4 GiB or more, and OSError when `out` cannot be written. After any
    error `out` is an unfinished archive, which the caller deletes. `out` is not synced to the disk.
    """
    sink = out if isinstance(out, PartSink) else Sink(out.fileno())
    writer = _Writer(sink, _Progress(on_progress))
    writer.add_all(entries)
    summary = writer.finish()
    if not isinstance(out, PartSink):
        out.seek(summary.size)
    return summary


class _Writer:
    def __init__(self, sink: Sink, progress: "_Progress") -> None:
        self._sink = sink
        self._progress = progress
        self._directory = records.CentralDirectory()

    def add_all(self, entries: Iterable[Entry]) -> None:
        rest = iter(entries)
        while (entry := self.add_small_files(rest)) is not None:
            self._add(entry)

    def _add(self, entry: Entry) -> None:
        if isinstance(entry, FileEntry):
            self._add_file(entry)
        else:
            self._add_text(entry)
        self._progress.entry_done()

    def add_small_files(self, entries: Iterator[Entry]) -> Entry | None:
        """Add small files that are as the catalog says; return the first other entry.

        Each file is read into the buffer and its size and mtime are checked afterwards. If they
        are those in the catalog, so are the bytes. Any other file is left to `_add_file`.

        This is one loop, because function calls would be a noticeable part of the few
        microseconds that a small file takes.
        """
        sink, view, pack = self._sink, self._sink.view, records.pack_small_file
        for entry in entries:
            if type(entry) is not FileEntry:
                return entry
            size, crc = entry.size, entry.crc32
            if size >= _KERNEL_FROM or crc is None or entry.mtime_ns is None:
                return entry
            name = _encode_name(entry.name)
            start = sink.used + records.LOCAL_SIZE + len(name)
            if start + size > BUFFER:
                sink.flush()
                start = records.LOCAL_SIZE + len(name)
            try:
                fd = entry.open_fd(entry.path)
                try:
                    count = os.readv(fd, (view[start : start + size],))
                    status = os.fstat(fd)
                finally:
                    os.close(fd)
            except (OSError, ValueError):
                return entry  # `_add_file` meets the error again and explains it
            if (
                count != size
                or status.st_size != size
                or status.st_mtime_ns != entry.mtime_ns
                or stat.S_IFMT(status.st_mode) != stat.S_IFREG
            ):
                return entry
            self._directory.add(pack(view, sink.used, name, crc, size, sink.flushed + sink.used))
            sink.used = start + size
            self._progress.small_done(size)
        return None

    def _add_file(self, entry: FileEntry) -> None:
        name, offset, size = _encode_name(entry.name), self._sink.position, entry.size
        source = CheckedFile(entry)
        try:
            header = records.local_header(name, entry.crc32 or 0, size)
            self._sink.hold(0 if source.is_known else records.LOCAL_SIZE)
            self._sink.write(header)
            crc = self._copy_known(source) if source.is_known else self._copy_hashed(source)
            source.confirm_untouched()
        finally:
            source.close()
        if crc != entry.crc32:
            self._sink.patch(offset + records.LOCAL_CRC_OFFSET, records.pack_crc(crc))
        self._sink.release()
        self._directory.add(records.central_record(name, crc, size, offset))

    def _copy_known(self, source: CheckedFile) -> int:
        """Copy the contents; return the catalog's CRC-32, valid because size and mtime match."""
        done = 0
        for start, end in source.extents():
            self._sink.skip(start - done)
            for count in self._copy(source, start, end):
                self._progress.bytes_done(count)
            done = end
        self._sink.skip(source.entry.size - done)
        return source.entry.crc32 or 0

    def _copy(self, source: CheckedFile, start: int, end: int) -> Iterator[int]:
        """Append these bytes of a file; yield the number of bytes of each step."""
        while start < end:
            count = self._sink.copy_from(source.fd, start, min(end - start, _CHUNK))
            count = count or self._read(source, start, end - start)
            yield count
            start += count

    def _read(self, source: CheckedFile, offset: int, size: int) -> int:
        room = self._sink.room(size)
        count = source.read_into(room, offset)
        self._sink.advance(count)
        return count

    def _copy_hashed(self, source: CheckedFile) -> int:
        """Read the contents, hash and append them; return their CRC-32."""
        size, digest = source.entry.size, Digest()
        while digest.size < size:
            room = self._sink.room(size - digest.size)
            count = source.read_into(room, digest.size)
            digest.update(room[:count])
            self._sink.advance(count)
            self._progress.bytes_done(count)
        source.confirm_digest(digest)
        return digest.crc32

    def _add_text(self, entry: TextEntry) -> None:
        name, offset, digest = _encode_name(entry.name), self._sink.position, Digest()
        self._sink.hold(records.LOCAL_SIZE)
        self._sink.write(records.local_header(name, 0, 0))
        for chunk in entry.chunks:
            digest.update(chunk)
            if digest.size >= records.MAX_32:
                raise ValueError(f"{entry.name}: a text of 4 GiB or more cannot be written")
            self._sink.write(chunk)
            self._progress.bytes_done(len(chunk))
        sums = records.pack_crc_and_size(digest.crc32, digest.size)
        self._sink.patch(offset + records.LOCAL_CRC_OFFSET, sums)
        self._sink.release()
        self._directory.add(records.central_record(name, digest.crc32, digest.size, offset))
        entry.sha256 = digest.sha256

    def finish(self) -> ArchiveSummary:
        for block in self._directory.end_of_archive(self._sink.position):
            self._sink.write(block)
        self._sink.finish()
        self._progress.report()
        return ArchiveSummary(self._directory.count, self._sink.position)


def _encode_name(name: str) -> bytes:
    """The name's bytes; ValueError for a name that leaves the folder or is read differently.

    This is a last check only. `safe_name` makes valid names.
    """
    encoded = name.encode()
    # A quick test accepts nearly every name; only suspicious ones are checked part by part.
    if (
        not encoded
        or encoded[0] in b"/."
        or encoded[-1] == _SLASH
        or "/." in name
        or "//" in name
        or "\\" in name
        or "\0" in name
    ):
        _refuse_bad_parts(name)
    if len(encoded) > records.MAX_16:
        raise ValueError(f"the name is too long: {name[:80]!r}…")
    return encoded


def _refuse_bad_parts(name: str) -> None:
    if not {"", ".", ".."}.isdisjoint(name.split("/")) or "\\" in name or "\0" in name:
        raise ValueError(f"not a valid name in an archive: {name!r}")


class _Progress:
    """Reports the progress to the callback, once in _PROGRESS_SECONDS or _PROGRESS_BYTES."""

    def __init__(self, callback: ProgressCallback | None) -> None:
        self._callback = callback
        self._entries = 0
        self._bytes = 0
        self._due = 0.0
        self._due_bytes = 0

    def bytes_done(self, count: int) -> None:
        self._bytes += count
        if self._is_due():
            self.report()

    def entry_done(self) -> None:
        self._entries += 1
        if time.monotonic() >= self._due:
            self.report()

    def small_done(self, size: int) -> None:
        """Count a small file. The clock is read for every 32nd only, as reading it takes time."""
        self._entries += 1
        self._bytes += size
        if not self._entries & 31 and self._is_due():
            self.report()

    def _is_due(self) -> bool:
        return self._bytes >= self._due_bytes or time.monotonic() >= self._due

    def report(self) -> None:
        self._due = time.monotonic() + _PROGRESS_SECONDS
        self._due_bytes = self._bytes + _PROGRESS_BYTES
        if self._callback:
            self._callback(self._entries, self._bytes)
