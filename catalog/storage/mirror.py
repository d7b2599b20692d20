"""A local copy of what lies elsewhere: a folder for each image, in the folder of its dataset."""

import errno
import os
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from catalog.bulk.whole_file import remove_old_partials, replacing
from catalog.imaging.paths import open_beneath, safe_part
from catalog.limits import MAX_URL
from catalog.storage.ahead import WAIT_SECONDS, FetchAhead
from catalog.storage.disk import count_bytes, has_room
from catalog.storage.download import download
from catalog.storage.problems import (
    Changed,
    ListedFile,
    NotAllowed,
    SourceProblem,
    require_bytes,
)
from catalog.storage.retries import try_again
from catalog.storage.sources import list_files
from catalog.wording.formats import file_size

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
        self._lock = threading.Lock()
        self._disk = _Disk(root)
        self._ahead = FetchAhead(self._fetch)

    def run(self, images: Iterable[RemoteImage]) -> MirrorReport:
        try:
            for image, problem in self._ahead.run(images, self._tell):
                self._report.images += 1
                if problem:
                    self._report.problems.append((image, problem))
        finally:
            self._ahead.close()
        return self._report

    def _tell(self) -> None:
        self._on_progress(self._report.size + self._here)

    def _fetch(self, image: RemoteImage) -> None:
        try:
            self._ahead.ask(image.address, lambda: self._fetch_listed(image))
        except IsADirectoryError as error:
            raise NotAllowed("a folder lies where a file is to be; remove it") from error

    def _fetch_listed(self, image: RemoteImage) -> None:
        listed = try_again(lambda: list_files(image.address, on_page=self._ahead.admit), self._add)
        if image.address.endswith("/*"):
            require_bytes(listed)
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
        with self._disk.reserve([file.size for file in missing], self._ahead.check_stopped):
            self._fetch_missing(image, folder, missing)

    def _fetch_missing(self, image: RemoteImage, folder: Path, missing: list[ListedFile]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        remove_old_partials(folder)
        futures = [
            self._ahead.files.submit(self._fetch_file, image, folder, file) for file in missing
        ]
        try:
            for future in futures:
                future.result()
        finally:
            # Nothing of an image is written after its end.
            wait([future for future in futures if not future.cancel()])

    def _fetch_file(self, image: RemoteImage, folder: Path, file: ListedFile) -> None:
        def fetch_once() -> None:
            with replacing(folder / image.find_name(file)) as output:
                download(output, image.address, file, on_bytes=self._add)

        try_again(fetch_once, self._add)
        with self._lock:
            self._report.fetched += 1

    def _add(self, count: int) -> None:
        self._ahead.check_stopped()
        with self._lock:
            self._report.size += count


class _Disk:
    """Promises its room to transfers, of which several are on their way."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._bytes = self._files = 0
        self._changed = threading.Condition()

    @contextmanager
    def reserve(self, sizes: Sequence[int], check_stopped: Callable[[], None]) -> Iterator[None]:
        """Room for files of these sizes until the block ends; others are waited for.

        Raises:
            Changed: the disk is smaller.
            OSError: it has no room, whatever others leave.
        """
        if sum(sizes) > shutil.disk_usage(self._root).total:
            size = file_size(sum(sizes))
            raise Changed(f"the source says that it has {size}, more than this disk")
        num_bytes, num_files = count_bytes(sizes), len(sizes)
        with self._changed:
            while not has_room(self._root, self._bytes + num_bytes, self._files + num_files):
                if not self._files:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._root))
                self._changed.wait(WAIT_SECONDS)
                check_stopped()
            self._bytes += num_bytes
            self._files += num_files
        try:
            yield
        finally:
            with self._changed:
                self._bytes -= num_bytes
                self._files -= num_files
                self._changed.notify_all()


def _is_here(path: Path, file: ListedFile) -> bool:
    try:
        # A link is not it, as nothing of a dataset is opened through one.
        return path.lstat().st_size == file.size and not path.is_symlink()
    except FileNotFoundError:
        return False
