"""Files that state the same SOP Instance UID: copies of one DICOM instance, or a mistake."""

from collections.abc import Callable, Iterable, Iterator
from hashlib import blake2b

from catalog.importers.rows import BadRow, FileNote, ImageRow, ImportReport

COPY = "an exact copy of another DICOM file, left out"
SHARED = "the SOP Instance UID of another file, but other bytes"


def keep_instances_once(
    rows: Iterable[ImageRow | BadRow], report: ImportReport, on_file: Callable[[FileNote], None]
) -> Iterator[ImageRow | BadRow]:
    """Leave out files of a folder that repeat a DICOM instance byte for byte.

    Of a table they stay, as its rows may say different things. Files that differ under one UID
    stay, and are counted in the report. ``on_file`` gets both. About 200 bytes are in memory for
    each instance.
    """
    uids: set[bytes] = set()
    instances: set[bytes] = set()
    for row in rows:
        if isinstance(row, BadRow) or not row.sop_uid or row.facts is None:
            yield row
            continue
        uid, instance = _shorten(row.sop_uid), _shorten(row.sop_uid + row.facts.sha256)
        is_copy = instance in instances
        if is_copy and not row.line:
            report.copies.add(row.file_path)
            on_file(FileNote(COPY, row.file_path, 0, "", "nothing; or remove the copy"))
            continue
        if uid in uids and not is_copy:
            report.shared_uids.add(row.file_path)
            remedy = "find out which of the files is right; all were kept"
            on_file(FileNote(SHARED, row.file_path, row.line, "", remedy))
        uids.add(uid)
        instances.add(instance)
        yield row


def _shorten(text: str) -> bytes:
    return blake2b(text.encode(), digest_size=16).digest()
