"""Series that ``fetch_images`` has copied into the dataset's folder: rows of their files come out.

The source says of such a series only where it lies elsewhere. Its files here are opened, and
``catalog.importers.series`` makes one image of them again.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from catalog.imaging.content import find_pixel_problem
from catalog.imaging.dicom.header import DicomHeader, read_header
from catalog.imaging.paths import open_beneath, safe_part
from catalog.imaging.problems import MALFORMED, FileProblem, NotReadable
from catalog.importers.rows import BadRow, FileNote, ImageRow, Slice, join_metadata
from catalog.storage.mirror import find_parts, read_source

IN_PART = "fetched in part"
TOO_MANY = "in the folder of a series that has fewer files"
OUTDATED = "fetched from an earlier address"
UNREADABLE = "fetched, but not whole"
FOREIGN = "in the folder of another series"
_FETCH = "fetch it again with fetch_images, and import again; until then its series is elsewhere"
_REMOVE = "remove what is not of the series, and import again; until then it is elsewhere"
_CUT = (FileProblem.SHORT_PIXELS, FileProblem.UNENDED_PIXELS)


def with_mirrored(
    rows: Iterable[ImageRow | BadRow],
    root: Path,
    *,
    on_file: Callable[[FileNote], None],
    check_stopped: Callable[[], None],
) -> Iterator[ImageRow | BadRow]:
    """The rows; of a series whose files are all below ``root`` a row for each of these files.

    A series of which files are missing, cut short or not its own stays elsewhere, and is noted.
    """
    for row in rows:
        if isinstance(row, BadRow) or row.file_path or not row.remote_url.endswith("/*"):
            yield row
        elif paths := _list_files(root, row):
            found, note = _read_files(root, row, paths, check_stopped)
            if note:
                on_file(note)
            yield from found or [row]
        else:
            yield row


def _list_files(root: Path, row: ImageRow) -> list[str]:
    """The paths of the files of a series, sorted; those that are not whole begin with a dot."""
    study = row.metadata.get("StudyInstanceUID", "")
    above = root.joinpath(*find_parts(row.subject_id, study, "", row.source_id)[:-1])
    folder = next((each for each in _folders(above) if _is_of(each.name, row.source_id)), None)
    if folder is None:
        return []
    return sorted(
        str(each.relative_to(root))
        for each in folder.iterdir()
        if each.is_file() and not each.is_symlink() and not each.name.startswith(".")
    )


def _folders(above: Path) -> list[Path]:
    return sorted(each for each in above.iterdir() if each.is_dir()) if above.is_dir() else []


def _is_of(name: str, source_id: str) -> bool:
    """Whether a folder is named after a series: the modality before it was a code or a word."""
    modality = name.partition("_")[0]
    return name in (safe_part(source_id), safe_part(f"{modality}_{source_id}"))


def _read_files(
    root: Path, row: ImageRow, paths: list[str], check_stopped: Callable[[], None]
) -> tuple[list[ImageRow], FileNote | None]:
    """The rows of all files, or the reason why there are none."""
    if (source := read_source(root.joinpath(paths[0]).parent)) != row.remote_url:
        return [], FileNote(OUTDATED, paths[0], row.line, source or "not known", _FETCH)
    if len(paths) != row.num_files:
        some = f"{len(paths):,} of {row.num_files:,} files are here"
        if len(paths) < row.num_files:
            return [], FileNote(IN_PART, paths[0], row.line, some, _FETCH)
        return [], FileNote(TOO_MANY, paths[0], row.line, some, _REMOVE)
    found = []
    for path in paths:
        check_stopped()
        try:
            with open_beneath(root, path) as file:
                header = read_header(file)
        except (*MALFORMED, NotReadable, OSError) as error:
            return [], FileNote(UNREADABLE, path, row.line, str(error), _FETCH)
        if header.series_uid != row.source_id:
            other = header.series_uid or "it names no series"
            return [], FileNote(FOREIGN, path, row.line, other, _REMOVE)
        if (problem := find_pixel_problem(header)) in _CUT:
            return [], FileNote(UNREADABLE, path, row.line, problem.plural, _FETCH)
        found.append(_describe(row, path, header, problem))
    if len(found) == 1:
        return [replace(row, file_path=paths[0])], None
    return found, None


def _describe(
    row: ImageRow, path: str, header: DicomHeader, problem: FileProblem | None
) -> ImageRow:
    """The row of one file; the source's own words come before those of the file."""
    return replace(
        row,
        file_path=path,
        width=header.width,
        height=header.height,
        metadata=join_metadata(header.metadata, row.metadata),
        slice=Slice(
            row.metadata.get("StudyInstanceUID", ""),
            row.source_id,
            header.position,
            header.orientation,
            header.instance_number,
        ),
        sop_uid=header.sop_uid,
        identifying=header.identifying,
        problem=(problem, path) if problem else None,
        is_opened=True,
    )
