"""The archive writer: entries in, the bytes of one ZIP out. Pure Python, no Django, no database.

The bytes are a function of the entries alone: their order, names, contents and `WRITER_VERSION`.
The clock, the time zone, the user's mask, the locale and the versions of the libraries that
happen to be installed have no part in them, so the same entries give the same file years later.

Format: PKWARE APPNOTE.TXT 6.3.10; ZIP64 (section 4.5.3) only where a number needs it.
"""

from collections_app.archive.entries import (
    ArchiveSummary,
    BadEntry,
    BadKind,
    Entry,
    FileEntry,
    PackedEntry,
    WrittenRun,
)
from collections_app.archive.names import UniqueNames, checksum_line, safe_name
from collections_app.archive.packing import pack_text
from collections_app.archive.records import stored_size
from collections_app.archive.source import check_entry
from collections_app.archive.writer import WRITER_VERSION, write_archive, write_run

__all__ = [
    "WRITER_VERSION",
    "ArchiveSummary",
    "BadEntry",
    "BadKind",
    "Entry",
    "FileEntry",
    "PackedEntry",
    "UniqueNames",
    "WrittenRun",
    "check_entry",
    "checksum_line",
    "pack_text",
    "safe_name",
    "stored_size",
    "write_archive",
    "write_run",
]
