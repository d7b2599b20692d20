"""Series that ``fetch_images`` has copied into the dataset's folder: rows of their files come out.

The source says of such a series only where it lies elsewhere. Its files here are opened, and
``catalog.importers.series`` makes one image of them again.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from catalog.imaging.content import find_pixel_problem, quiet_parser
from catalog.imaging.dicom.header import DicomHeader, read_header
from catalog.imaging.paths import open_beneath
from catalog.imaging.problems import MALFORMED, NotReadable
from catalog.importers.rows import BadRow, FileNote, ImageRow, Slice
from catalog.storage.mirror import find_parts

IN_PART = "fetched in part"
UNREADABLE = "fetched, but not readable"
_FETCH = "fetch it again with fetch_images, and import again; until then it counts as elsewhere"


def with_mirrored(
    rows: Iterable[ImageRow | BadRow],
    root: Path,
    *,
    on_file: Callable[[FileNote], None],
    check_stopped: Callable[[], None],
) -> Iterator[ImageRow | BadRow]:
    """The rows; of a series whose files are all below ``root`` a row for each of these files.

    A series of which files are missing, or cannot be read, stays elsewhere, and is noted.
    """
    for row in rows:
        if isinstance(row, BadRow) or row.file_path or not row.remote_url.endswith("/*"):
            yield row
            continue
        paths = _list_files(root, row)
        if len(paths) == row.num_files == 1:
            yield replace(row, file_path=paths[0])
        elif paths and len(paths) == row.num_files:
            yield from _read_files(root, row, paths, on_file, check_stopped)
        else:
            if paths:
                some = f"{len(paths):,} of {row.num_files:,} files are here"
                on_file(FileNote(IN_PART, paths[0], row.line, some, _FETCH))
            yield row


def _list_files(root: Path, row: ImageRow) -> list[str]:
    """The paths of the files of a series, sorted; those that are not whole begin with a dot."""
    study = row.metadata.get("StudyInstanceUID", "")
    folder = root.joinpath(*find_parts(row.subject_id, study, row.modality, row.source_id))
    if not folder.is_dir():
        return []
    files = (each for each in folder.iterdir() if each.is_file() and not each.name.startswith("."))
    return sorted(str(each.relative_to(root)) for each in files)


def _read_files(
    root: Path,
    row: ImageRow,
    paths: list[str],
    on_file: Callable[[FileNote], None],
    check_stopped: Callable[[], None],
) -> Iterator[ImageRow]:
    found = []
    for path in paths:
        check_stopped()
        try:
            with open_beneath(root, path) as file, quiet_parser():
                found.append(_describe(row, path, read_header(file)))
        except (*MALFORMED, NotReadable, OSError) as error:
            on_file(FileNote(UNREADABLE, path, row.line, str(error), _FETCH))
            yield row
            return
    yield from found


def _describe(row: ImageRow, path: str, header: DicomHeader) -> ImageRow:
    """The row of one file; the source's own words come before those of the file."""
    return replace(
        row,
        file_path=path,
        width=header.width,
        height=header.height,
        metadata={**header.metadata, **row.metadata},
        slice=Slice(
            row.metadata.get("StudyInstanceUID", ""),
            row.source_id,
            header.position,
            header.orientation,
            header.instance_number,
        ),
        sop_uid=header.sop_uid,
        identifying=header.identifying,
        problem=(problem, path) if (problem := find_pixel_problem(header)) else None,
        is_opened=True,
    )
