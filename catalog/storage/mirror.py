"""A local copy of what lies elsewhere: a folder for each image, in the folder of its dataset."""

import errno
import os
import shutil
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from django.conf import settings

from catalog.bulk.whole_file import remove_old_partials, replacing
from catalog.imaging.paths import open_beneath, safe_part
from catalog.limits import MAX_URL
from catalog.storage.download import download
from catalog.storage.problems import Changed, ListedFile, NotAllowed, SourceProblem, Unreachable
from catalog.storage.retries import try_again
from catalog.storage.sources import list_files
from catalog.wording.formats import file_size

AHEAD = 64
WAIT_SECONDS = 0.5
# So many in a row show that the source does not answer at all.
MAX_UNREACHABLE = 8
# In the folder of each series: the address that its files came from.
_SOURCE = ".source"


@dataclass(frozen=True, slots=True)
class RemoteImage:
    """An image that lies elsewhere, and the parts of the name of the folder that it gets.

    A single file gets ``file_name``, if it is given; both must be safe.
    """

    source_id: str
    address: str
    parts: tuple[str, ...]
    file_name: str = ""

    def find_name(self, file: ListedFile) -> str:
        """The name that a listed file gets."""
        return self.file_name or safe_part(file.name)


@dataclass(slots=True)
class MirrorReport:
    """What came, what was there, and whose files could not be had, with the reason."""

    images: int = 0
    fetched: int = 0
    here: int = 0
    size: int = 0
    problems: list[tuple[RemoteImage, SourceProblem]] = field(default_factory=list)


class _Stopped(Exception):
    """The run is over; a transfer ends here."""


def find_parts(subject: str, study: object, modality: str, source_id: str) -> tuple[str, ...]:
    """The folders of a series below that of its dataset, as in archives and in the IDC's tools.

    ``modality`` is a code of DICOM; a ``study`` that is no text is left out.
    """
    series = f"{modality.upper()}_{source_id}" if modality else source_id
    parts = (subject, study if isinstance(study, str) else "", series)
    return tuple(map(safe_part, filter(None, parts)))


def read_source(folder: Path) -> str:
    """The address that the files of a series' folder came from; empty if it is not known."""
    try:
        with open_beneath(folder, _SOURCE) as file:
            return file.read(MAX_URL * 4).decode()
    except (OSError, ValueError):
        return ""


def mirror_images(
    images: Iterable[RemoteImage],
    root: Path,
    *,
    on_progress: Callable[[int], None] = lambda size: None,
) -> MirrorReport:
    """Bring the files of the images into folders below ``root``, several at a time.

    A file that is there with the listed size is not fetched again. ``on_progress`` gets the bytes
    that are there, in the caller's thread.

    Raises:
        OSError: the disk.
    """
    return _Mirror(root, on_progress).run(images)


class _Mirror:
    def __init__(self, root: Path, on_progress: Callable[[int], None]) -> None:
        self._root, self._on_progress = root, on_progress
        self._report, self._here = MirrorReport(), 0
        self._lock, self._stopped = threading.Lock(), threading.Event()
        self._unreachable = 0
        self._files = ThreadPoolExecutor(settings.FETCH_PARALLEL, "fetch")

    def run(self, images: Iterable[RemoteImage]) -> MirrorReport:
        # As many images as files at a time, since an image may have a single file.
        with self._files, ThreadPoolExecutor(settings.FETCH_PARALLEL, "images") as pool:
            try:
                for image, future in _look_ahead(pool, self._fetch, images):
                    self._report.images += 1
                    self._await(image, future)
            except BaseException:
                self._stopped.set()
                pool.shutdown(cancel_futures=True)
                raise
        return self._report

    def _await(self, image: RemoteImage, future: "Future[None]") -> None:
        while True:
            self._on_progress(self._report.size + self._here)
            try:
                future.result(WAIT_SECONDS)
            except TimeoutError:
                if not future.done():
                    continue
                raise
            except SourceProblem as problem:
                self._report.problems.append((image, problem))
            return

    def _fetch(self, image: RemoteImage) -> None:
        if self._unreachable >= MAX_UNREACHABLE:
            raise Unreachable("the source did not answer, for this and for others before")
        try:
            self._fetch_listed(image)
        except Unreachable:
            self._unreachable += 1
            raise
        except IsADirectoryError as error:
            raise NotAllowed("a folder lies where a file is to be; remove it") from error
        self._unreachable = 0

    def _fetch_listed(self, image: RemoteImage) -> None:
        listed = try_again(lambda: list_files(image.address), self._add)
        folder = self._root.joinpath(*image.parts)
        if not folder.resolve().is_relative_to(self._root.resolve()):
            raise NotAllowed("a link on its way leads out of the dataset's folder; remove it")
        if image.address.endswith("/*") and read_source(folder) != image.address:
            # What is there came from another address, where the series had other bytes, perhaps.
            for file in listed:
                (folder / image.find_name(file)).unlink(missing_ok=True)
            folder.mkdir(parents=True, exist_ok=True)
            with replacing(folder / _SOURCE) as source:
                source.write(image.address.encode())
        missing = [file for file in listed if not _is_here(folder / image.find_name(file), file)]
        with self._lock:
            self._report.here += len(listed) - len(missing)
            self._here += sum(file.size for file in listed) - sum(file.size for file in missing)
        if not missing:
            return
        self._check_disk(sum(file.size for file in missing))
        folder.mkdir(parents=True, exist_ok=True)
        remove_old_partials(folder)
        futures = [self._files.submit(self._fetch_file, image, folder, file) for file in missing]
        try:
            for future in futures:
                future.result()
        finally:
            for future in futures:
                future.cancel()

    def _fetch_file(self, image: RemoteImage, folder: Path, file: ListedFile) -> None:
        def fetch_once() -> None:
            with replacing(folder / image.find_name(file)) as output:
                download(output, image.address, file, on_bytes=self._add)

        try_again(fetch_once, self._add)
        with self._lock:
            self._report.fetched += 1

    def _check_disk(self, size: int) -> None:
        usage = shutil.disk_usage(self._root)
        if size > usage.total:
            raise Changed(f"the source says that it has {file_size(size)}, more than this disk")
        if usage.free - size < settings.ARCHIVE_RESERVE_BYTES:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._root))

    def _add(self, count: int) -> None:
        if self._stopped.is_set():
            raise _Stopped
        with self._lock:
            self._report.size += count


def _is_here(path: Path, file: ListedFile) -> bool:
    try:
        # A link is not it, as nothing of a dataset is opened through one.
        return path.lstat().st_size == file.size and not path.is_symlink()
    except FileNotFoundError:
        return False


def _look_ahead(
    pool: ThreadPoolExecutor, function: Callable[[RemoteImage], None], images: Iterable[RemoteImage]
) -> Iterator[tuple[RemoteImage, "Future[None]"]]:
    """Each image with its future, in order; the next ones are on their way."""
    left = iter(images)
    waiting = deque((image, pool.submit(function, image)) for image in islice(left, AHEAD))
    while waiting:
        yield waiting.popleft()
        waiting.extend((image, pool.submit(function, image)) for image in islice(left, 1))
