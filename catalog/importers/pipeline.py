"""Imports a source: reads its rows and their files, then writes all in one transaction."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import Error, connection, transaction
from django.db.models import prefetch_related_objects

from catalog.imaging.paths import FileFacts
from catalog.importers.dataset_entries import Change, find_place, save_dataset
from catalog.importers.identifying_files import check_identifying
from catalog.importers.instances import keep_instances_once
from catalog.importers.local_files import KnownFiles, with_facts
from catalog.importers.mirrored import with_mirrored
from catalog.importers.options import (
    DEFAULT_LIMITS,
    NO_LISTENERS,
    ImportLimits,
    Listeners,
    ReportingSource,
)
from catalog.importers.refused_files import Marks, mark_files
from catalog.importers.rows import (
    BadRow,
    Examples,
    FiledSource,
    FileNote,
    ImageRow,
    ImportReport,
    ImportStopped,
    Source,
)
from catalog.importers.series import group_series
from catalog.importers.store import ROWS_BETWEEN_REPORTS, store_images
from catalog.models import Dataset, ImageFile
from catalog.storage.addresses import join_storage
from catalog.storage.roots import dataset_root

__all__ = ["ImportStopped", "import_source"]

MISSING = "missing"
_GET_MISSING = "put the file there, or correct its name in the table, and import again"
_KEEP_MASK = "nothing if it is one; else give the file or folder another name and import again"

# Of the session, as no transaction is open while the source is read.
_CLAIM = "SELECT pg_try_advisory_lock(hashtextextended('import of dataset ' || %s, 0))"
_RELEASE = "SELECT pg_advisory_unlock(hashtextextended('import of dataset ' || %s, 0))"

# If one of these fields changes during an import, the rows were read wrongly.
_READ_BY = ("area_id", "local_path", "storage")


def import_source(
    *,
    source: Source,
    dry_run: bool = False,
    limits: ImportLimits = DEFAULT_LIMITS,
    listeners: Listeners = NO_LISTENERS,
) -> ImportReport:
    """Make a dataset, its images and all derived data equal to the source.

    Everything is written, or nothing is, except that new labels may stay: see ``NewLabels``. A
    ``dry_run`` writes nothing and returns the same report. Files are read and hashed, and rows
    staged, before the one transaction begins.

    Raises:
        BadEntry, UnsafePath, ValidationError: as ``save_dataset``.
        ImportStopped: as ``store_images``; or another import of this dataset is running, it was
            edited meanwhile, it is imported from another place, or files tell who somebody is.
        OSError: the source cannot be read.
    """
    report = ImportReport()
    with _claim(source.entry["slug"]):
        if not limits.allow_move:
            _require_same_place(source.entry)
        planned, change = _plan_entry(source)
        own_paths = source.own_paths if isinstance(source, FiledSource) else ()
        rows = _read_files(
            _read_rows(source, listeners), planned, report, mark_files(own_paths), listeners
        )
        if planned.local_path:  # else no row has a file
            on_file = listeners.on_file
            rows = check_identifying(rows, report, on_file, is_allowed=limits.allow_identifying)
            rows = group_series(rows, report, on_file)
        return store_images(
            dataset=planned,
            rows=rows,
            num_rows=source.num_rows,
            limits=limits,
            listeners=listeners,
            dry_run=dry_run,
            save=partial(_save_entry, source, planned, is_new=change is Change.ADDED),
            report=report,
        )


@contextmanager
def _claim(slug: str) -> Iterator[None]:
    """Let no other import of the dataset begin until this one has ended."""
    with connection.cursor() as cursor:
        cursor.execute(_CLAIM, [slug])
        if not cursor.fetchone()[0]:
            raise ImportStopped(
                f"Another import of “{slug}” is running. Wait until it ends and import again."
            )
    try:
        yield
    finally:
        # Without its connection the lock is gone already.
        with suppress(Error), connection.cursor() as cursor:
            cursor.execute(_RELEASE, [slug])


def _require_same_place(entry: Mapping[str, Any]) -> None:
    """Refuse two descriptions with one slug: each import would remove the images of the other."""
    before, now = find_place(entry["slug"]), entry.get("imported_from", "")
    if now and before and now != before and Path(settings.DATASET_ROOTS[0], before).exists():
        raise ImportStopped(
            f"The dataset “{entry['slug']}” is imported from {before}, and this is {now}. Give one "
            "of the two another slug in its [dataset]. If this one takes the place of the other, "
            "import it with --moved."
        )


def _plan_entry(source: Source) -> tuple[Dataset, Change]:
    """The source's dataset as it will be, and what saving it does.

    It is saved and rolled back: ``_save_entry`` saves it just before the merge, so that its row is
    neither locked nor half made for the hours that reading may take.
    """
    with transaction.atomic():
        dataset, change = save_dataset(entry=source.entry, is_trial=True)
        prefetch_related_objects([dataset], "modalities")
        transaction.set_rollback(True)
    return dataset, change


def _save_entry(source: Source, planned: Dataset, *, is_new: bool) -> Dataset:
    dataset, change = save_dataset(entry=source.entry)
    has_changed = any(getattr(dataset, name) != getattr(planned, name) for name in _READ_BY)
    is_other = (change is Change.ADDED) != is_new or (not is_new and dataset.pk != planned.pk)
    if has_changed or is_other or set(dataset.modalities.all()) != set(planned.modalities.all()):
        raise ImportStopped(
            f"The dataset “{dataset.slug}” was edited while it was imported, so nothing was "
            "changed. Import it again."
        )
    return dataset


def _read_rows(source: Source, listeners: Listeners) -> Iterator[ImageRow | BadRow]:
    if isinstance(source, ReportingSource):
        source.listeners = listeners
    number = 0
    for number, row in enumerate(source.rows(), 1):
        listeners.check_stopped()
        yield row
        if not number % ROWS_BETWEEN_REPORTS:
            listeners.on_rows(number)
    listeners.on_rows(number)


def _read_files(
    rows: Iterable[ImageRow | BadRow],
    dataset: Dataset,
    report: ImportReport,
    own: Marks,
    listeners: Listeners,
) -> Iterator[ImageRow | BadRow]:
    """The rows with the facts of their files.

    If a file is not on this server, or is not the image that it should be, the path is cleared and
    the file is counted as missing, or by its problem. What has an address in the dataset's
    storage is not missing.
    """
    on_file, check_stopped = listeners.on_file, listeners.check_stopped
    if dataset.storage:
        rows = _with_addresses(rows, dataset.storage)

    def count_missing(row: ImageRow) -> None:
        if dataset.storage and row.remote_url:
            return
        report.missing_files += 1
        on_file(FileNote(MISSING, row.file_path, row.line, "", _GET_MISSING))

    if not dataset.local_path:
        return _without_files(rows, count_missing)
    known, root = _make_lookup(dataset), dataset_root(dataset)
    if not root.is_dir() and dataset.images.local().exclude(remote_url="").exists():
        raise ImportStopped(
            f"Files of “{dataset.slug}” were fetched into {root}, which is not there. Mount its "
            "disk and import again; or make that folder, if they are to count as elsewhere."
        )
    found = with_facts(
        with_mirrored(rows, root, on_file=on_file, check_stopped=check_stopped),
        root=root,
        known=known,
        own=own,
        on_missing=count_missing,
        check_stopped=check_stopped,
    )
    return keep_instances_once(_count_problems(found, report, on_file), report, on_file)


def _with_addresses(rows: Iterable[ImageRow | BadRow], storage: str) -> Iterator[ImageRow | BadRow]:
    """The rows with the addresses that files have in the dataset's storage by their paths."""
    for row in rows:
        if isinstance(row, ImageRow):
            if row.remote_url and "://" not in row.remote_url:
                row.remote_url = join_storage(storage, row.remote_url)
            elif row.file_path and not row.remote_url:
                row.remote_url = join_storage(storage, row.file_path)
        yield row


def _count_problems(
    rows: Iterable[ImageRow | BadRow], report: ImportReport, on_file: Callable[[FileNote], None]
) -> Iterator[ImageRow | BadRow]:
    for row in rows:
        if isinstance(row, ImageRow) and row.problem:
            problem, path = row.problem
            report.file_problems.setdefault(problem, Examples()).add(path)
            on_file(FileNote(problem.plural, path, row.line, "", problem.remedy))
        if isinstance(row, ImageRow) and row.mask and (path := _path_of(row)):
            report.masks[row.mask].add(path)
            if not row.problem:  # one line a file
                on_file(FileNote(f"taken for a mask by {row.mask}", path, row.line, "", _KEEP_MASK))
        yield row


def _path_of(row: ImageRow) -> str:
    """Also of a file that turned out to be none."""
    return row.file_path or (row.problem[1] if row.problem else "")


def _without_files(
    rows: Iterable[ImageRow | BadRow], on_missing: Callable[[ImageRow], None]
) -> Iterator[ImageRow | BadRow]:
    for row in rows:
        if isinstance(row, ImageRow) and row.file_path:
            on_missing(row)
            row = replace(row, file_path="", facts=None)
        yield row


def _make_lookup(dataset: Dataset) -> KnownFiles:
    """A lookup of the files that the catalog knows, so that unchanged ones are not read again."""
    local = dataset.images.local()
    if not local.exists():
        return lambda rows: {}
    files = ImageFile.objects.filter(image__dataset=dataset)

    def find_known(rows: Sequence[ImageRow]) -> dict[str, FileFacts]:
        ids = {row.slice.series_uid if row.slice else row.source_id for row in rows}
        parts = [path for row in rows if row.slice or row.beside
                 for path in (row.file_path, *row.beside)]  # fmt: skip
        names = ("size_bytes", "sha256", "crc32", "mtime_ns")
        found: list[tuple[Any, ...]] = list(
            local.filter(source_id__in=ids, num_files=1).values_list("file_path", *names)
        )
        if parts:
            of_many = files.filter(path__in=parts)
            found += of_many.values_list("path", *names)
        return {path: FileFacts(*facts) for path, *facts in found}

    return find_known
