"""DICOM files that tell who somebody is: listed, refused unless that is allowed, and counted.

Rows come in and go out; the counts are kept for the dataset's page. Which attributes count is
decided in ``catalog.imaging.dicom.identifying``.
"""

from collections.abc import Callable, Iterable, Iterator

from catalog.importers.rows import (
    BURNED_IN,
    BadRow,
    FileNote,
    ImageRow,
    ImportReport,
    ImportStopped,
)
from catalog.importers.tables.lines import show
from catalog.querysets import MAX_ATTRIBUTES

PROBLEM = "attributes that may tell who somebody is"
_REMEDY = "de-identify it (DICOM PS3.15 annex E), or import with --allow-identifying"


class IdentifyingFiles(ImportStopped):
    """Files tell who somebody is, and nobody has allowed that."""


def check_identifying(
    rows: Iterable[ImageRow | BadRow],
    report: ImportReport,
    on_file: Callable[[FileNote], None],
    *,
    is_allowed: bool,
) -> Iterator[ImageRow | BadRow]:
    """The same rows; raises IdentifyingFiles after the last one, unless ``is_allowed``."""
    for row in rows:
        if isinstance(row, ImageRow) and row.file_path and row.identifying is not None:
            _count(row, row.identifying, report, on_file)
        yield row
    if report.identifying.count and not is_allowed:
        raise IdentifyingFiles(_explain(report))


def _count(
    row: ImageRow,
    found: tuple[str, ...],
    report: ImportReport,
    on_file: Callable[[FileNote], None],
) -> None:
    if says_burned_in(row):
        report.burned_in.add(row.file_path)
    if found:
        report.identifying.add(row.file_path)
        report.identifying_by.update(found)
        on_file(FileNote(PROBLEM, row.file_path, row.line, " | ".join(found), _REMEDY))


def says_burned_in(row: ImageRow) -> bool:
    """Whether the file says that its pixels show text that may tell who somebody is."""
    return row.metadata.get(BURNED_IN) == "YES"


def describe_identifying(report: ImportReport) -> str:
    """``"3 DICOM files carry …: PatientName (3), PatientBirthDate (1)"``."""
    count = report.identifying.count
    files = "1 DICOM file carries" if count == 1 else f"{count:,} DICOM files carry"
    most = report.identifying_by.most_common(MAX_ATTRIBUTES)
    by = ", ".join(f"{show(name)} ({each:,})" for name, each in most)
    by += ", and others" if len(report.identifying_by) > len(most) else ""
    return f"{files} {PROBLEM}, without PatientIdentityRemoved: {by}"


def _explain(report: ImportReport) -> str:
    more = ", …" if report.identifying.count > len(report.identifying.first) else ""
    shown = ", ".join(map(show, report.identifying.first)) + more
    return (
        f"{describe_identifying(report)}; nothing was changed. The first: {shown}. De-identify "
        "them first (DICOM PS3.15 annex E), or import with --allow-identifying: then the "
        "dataset's pages and archives say so, and the files themselves need a signed-in user."
    )
