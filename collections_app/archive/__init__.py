"""The archive writer: entries in, the bytes of one ZIP out. No Django, no database.

The bytes are a function of the entries alone: their order, names, contents and `WRITER_VERSION`.
They do not depend on the clock, the time zone, the umask, the locale or the versions of installed
libraries, so the same entries give the same file years later.

Format: PKWARE APPNOTE.TXT 6.3.10. Entries are stored without compression. ZIP64
(section 4.5.3) is used only where a number needs it.
"""

from collections_app.archive.checked_file import check_entry, open_confirmed
from collections_app.archive.entries import (
    ArchiveSummary,
    BadEntry,
    BadKind,
    Entry,
    FileEntry,
    TextEntry,
)
from collections_app.archive.names import UniqueNames, checksum_line, fold_name, safe_name
from collections_app.archive.parts import PartSink
from collections_app.archive.reader import ArchiveDiffers, ArchiveReader
from collections_app.archive.writer import WRITER_VERSION, write_archive

__all__ = [
    "WRITER_VERSION",
    "ArchiveDiffers",
    "ArchiveReader",
    "ArchiveSummary",
    "BadEntry",
    "BadKind",
    "Entry",
    "FileEntry",
    "PartSink",
    "TextEntry",
    "UniqueNames",
    "check_entry",
    "checksum_line",
    "fold_name",
    "open_confirmed",
    "safe_name",
    "write_archive",
]
