"""Reads the facts of the files in a dataset's folder, in several threads."""

import logging
import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from threading import Event
from typing import BinaryIO, TypeVar, cast

from catalog.bulk.batches import in_batches
from catalog.imaging.content import FileContent, find_link_problem, read_content
from catalog.imaging.dicom.unmarked import may_be_dicom
from catalog.imaging.paths import (
    FileChanged,
    FileFacts,
    UnsafePath,
    open_beneath,
    read_facts,
    read_link,
)
from catalog.imaging.problems import MALFORMED, FileProblem, UnusableFile
from catalog.importers.refused_files import Marks, refuse_file
from catalog.importers.rows import BadRow, FileRow, ImageRow, join_metadata
from catalog.importers.series import join_files

logger = logging.getLogger(__name__)
UNEXPECTED = (
    "The file is malformed in a way that medagg does not know; the log says more. Get it again, or "
    "remove it, and tell medagg's makers."
)
BATCH = 1024
# Threads share a block: a future for each small file would cost more than reading it.
BLOCK = 64
BLOCKS_AHEAD = 8
# hashlib and zlib release the interpreter lock, so threads read and hash in parallel. More threads
# than processors keep a slow disk or a network share busy.
WORKERS = min(16, 2 * (os.cpu_count() or 1))

Row = ImageRow | BadRow
Item = TypeVar("Item")


# Facts that the catalog has of the files of these rows, by their paths.
KnownFiles = Callable[[Sequence[ImageRow]], Mapping[str, FileFacts]]


def with_facts(
    rows: Iterable[Row],
    *,
    root: Path,
    known: KnownFiles = lambda rows: {},
    own: Marks = frozenset(),
    on_missing: Callable[[ImageRow], None] = lambda row: None,
    check_stopped: Callable[[], None] = lambda: None,
    workers: int = WORKERS,
) -> Iterator[Row]:
    """Yield the rows in their order; those that name a file below ``root`` get its facts.

    The file is opened first, unless the source did that, and what it says fills in what the row
    does not. If it is no usable image, the row loses its path and gets the problem.

    ``known`` takes a batch of rows and returns what the catalog knows of their files: a file with
    the same path, size and time is not hashed again. Files of the import itself, by the marks
    ``own``, are no usable images. A row whose file is missing is yielded
    without its path, and ``on_missing`` gets it with its path. An unsafe path and an unreadable
    file become a BadRow. Rows that have facts already, or name no file, are not changed.
    ``rows``, ``known`` and ``on_missing`` are called only in the caller's thread.
    ``check_stopped`` is called, from any thread, before each part of a file; what it raises stops
    the iteration. At most 2,000 rows are in memory.
    """
    stop = Event()

    def check() -> None:
        check_stopped()
        if stop.is_set():
            raise _Stopped

    pool = ThreadPoolExecutor(max_workers=workers, thread_name_prefix="facts")
    try:
        with closing(_start_blocks(rows, root, known, own, check)) as blocks:
            begun = ((block, block.start(pool, workers)) for block in blocks)
            for block, readers in _look_ahead(begun, BLOCKS_AHEAD):
                for reader in readers:
                    reader.result()
                for row in block.missing:
                    on_missing(row)
                yield from block.rows
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)


@dataclass(slots=True)
class _Block:
    """A few rows that several threads complete; each thread takes the next waiting row."""

    rows: list[Row]
    waiting: deque[int]
    known: Mapping[str, FileFacts]
    root: Path
    own: Marks
    check: Callable[[], None]
    missing: list[ImageRow]

    def start(self, pool: ThreadPoolExecutor, workers: int) -> list[Future[None]]:
        count = min(workers, len(self.waiting))
        return [pool.submit(self.read) for _ in range(count)]

    def read(self) -> None:
        while True:
            self.check()
            try:
                index = self.waiting.popleft()
            except IndexError:
                return
            row = self.rows[index]
            if isinstance(row, ImageRow):
                self.rows[index] = self._complete(row)

    def _complete(self, row: ImageRow) -> Row:
        try:
            return _read_row(self.root, row, self.known, self.own, self.check)
        except UnusableFile as error:
            return _without_file(row, error.problem)
        except FileNotFoundError:
            if target := read_link(self.root, row.file_path):
                return _without_file(row, find_link_problem(target))
            self.missing.append(row)
            return replace(row, file_path="")
        except MALFORMED:
            logger.exception("a file could not be read: %r", row.file_path)
            return _reject(row, UNEXPECTED)


def _start_blocks(
    rows: Iterable[Row], root: Path, known: KnownFiles, own: Marks, check: Callable[[], None]
) -> Generator[_Block, None, None]:
    for batch in in_batches(rows, BATCH):
        wanted = [row for row in batch if isinstance(row, ImageRow) and _needs_facts(row)]
        files = known(wanted) if wanted else {}
        for start in range(0, len(batch), BLOCK):
            part = batch[start : start + BLOCK]
            waiting = deque(index for index, row in enumerate(part) if _needs_facts(row))
            yield _Block(part, waiting, files, root, own, check, missing=[])


def _needs_facts(row: Row) -> bool:
    return isinstance(row, ImageRow) and bool(row.file_path) and row.facts is None


def _look_ahead(items: Iterator[Item], count: int) -> Iterator[Item]:
    """The same items, but the next ``count`` are taken, and so started, before one is yielded."""
    ahead = deque(islice(items, count))
    while ahead:
        yield ahead.popleft()
        ahead.extend(islice(items, 1))


class _Stopped(Exception):
    """The facts are no longer needed."""


class _Stoppable:
    """A file whose reading can be stopped, however large it is."""

    def __init__(self, file: BinaryIO, check: Callable[[], None]) -> None:
        self.fileno, self.seek, self.tell, self._file = file.fileno, file.seek, file.tell, file
        self._check = check

    def read(self, size: int = -1) -> bytes:
        self._check()
        return self._file.read(size)

    def readinto(self, buffer: memoryview) -> int:
        self._check()
        return self._file.readinto(buffer)  # type: ignore[attr-defined]


def _read_row(
    root: Path, row: ImageRow, known: Mapping[str, FileFacts], own: Marks, check: Callable[[], None]
) -> Row:
    """The row with its facts, or a BadRow; raises FileNotFoundError and UnusableFile."""
    try:
        with open_beneath(root, row.file_path) as opened:
            refuse_file(opened, row.file_path, own)
            file = cast("BinaryIO", _Stoppable(opened, check))
            content = None if row.is_opened else read_content(file, row.file_path)
            facts = _unchanged(opened, known.get(row.file_path)) or read_facts(file)
    except FileNotFoundError:
        raise
    except (UnsafePath, FileChanged) as error:
        return _reject(row, str(error))
    except OSError as error:
        reason = f"The file cannot be read ({error.strerror or error}). Fix that and import again."
        return _reject(row, reason)
    row = _fill_in(row, facts, content) if content else replace(row, facts=facts)
    return _with_others(root, row, known, own, check) if row.beside else row


def _with_others(
    root: Path, row: ImageRow, known: Mapping[str, FileFacts], own: Marks, check: Callable[[], None]
) -> Row:
    """The row with the facts of the files beside its own, which has some already."""
    files = [FileRow(row.file_path, "", row.facts)] if row.facts else []
    for path in row.beside:
        try:
            with open_beneath(root, path) as opened:
                refuse_file(opened, path, own)
                file = cast("BinaryIO", _Stoppable(opened, check))
                if row.identifying is None and may_be_dicom(file):
                    return _reject(row, f"Its other file {path} is DICOM. Import that by itself.")
                facts = _unchanged(opened, known.get(path)) or read_facts(file)
        except (UnsafePath, FileChanged, OSError) as error:
            reason = f"Its other file {path} cannot be read: {error}. Fix that and import again."
            return _reject(row, reason)
        files.append(FileRow(path, "", facts))
    return join_files(row, files)


def _fill_in(row: ImageRow, facts: FileFacts, content: FileContent) -> ImageRow:
    """The row with what the file says and the source does not.

    A report or a plan is one, whatever the source says of all its rows.
    """
    modality = row.modality or content.modality
    if content.problem is FileProblem.NO_PIXELS:
        modality = content.modality or row.modality
    return replace(
        row,
        facts=facts,
        width=row.width or content.width,
        height=row.height or content.height,
        modality=modality,
        metadata=join_metadata(content.metadata, row.metadata),
        sop_uid=content.sop_uid,
        identifying=content.identifying,
        problem=(content.problem, row.file_path) if content.problem else None,
    )


def _without_file(row: ImageRow, problem: FileProblem) -> ImageRow:
    return replace(row, file_path="", problem=(problem, row.file_path))


def _unchanged(file: BinaryIO, known: FileFacts | None) -> FileFacts | None:
    if known is None:
        return None
    now = os.fstat(file.fileno())
    is_same = (now.st_size, now.st_mtime_ns) == (known.size_bytes, known.mtime_ns)
    return known if is_same else None


def _reject(row: ImageRow, reason: str) -> BadRow:
    # Undecodable characters could be neither stored nor printed.
    shown = row.file_path.encode("utf-8", "backslashreplace").decode()
    return BadRow(row.line, "file", shown, reason, source_id=row.source_id)
