"""The files of a frozen collection, as its archive and the look for bad ones want them."""

from collections.abc import Callable, Generator, Iterator
from functools import partial

from catalog.bulk.copy_text import unescape_field
from catalog.imaging.paths import BeneathOpener
from catalog.models import Dataset
from catalog.storage.roots import dataset_root
from collections_app.archive import BadEntry, FileEntry, check_entry
from collections_app.builds.queries import FILES
from collections_app.models import Collection
from collections_app.selection.copying import iter_lines


def iter_files(
    collection: Collection, *, on_step: Callable[[], None] = lambda: None
) -> Generator[tuple[str, FileEntry], None, None]:
    """(position, entry) of every item that has a file here, in order.

    ``on_step`` is called now and then, also where no item has a file. Opening a file raises
    BadEntry, ValueError or OSError when it is not what was frozen.
    """
    with _EntryMaker(collection) as maker:
        for lines in iter_lines(FILES, collection=collection):
            yield from maker.entries(lines)
            on_step()


def _refuse(name: str, path: str) -> int:
    if not path:
        raise BadEntry(name, "missing", "the catalog no longer has a file for this image")
    raise BadEntry(name, "changed", "the catalog has another file for this image by now")


class _EntryMaker:
    """Makes entries of rows.

    Items come dataset by dataset: the folder of the one whose files are opened is kept open.
    """

    def __init__(self, collection: Collection) -> None:
        self._prefix = f"{collection.slug}/"
        self._dataset_id = ""
        self._folder: BeneathOpener | None = None
        self._open: Callable[[str], int] = self._open_first

    def __enter__(self) -> "_EntryMaker":
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def entries(self, lines: bytes) -> Iterator[tuple[str, FileEntry]]:
        # Fields one by one, and no function for each row: there may be a million.
        prefix, opener = self._prefix, self._opener
        for line in lines.decode().split("\n")[:-1]:
            position, name, size, sha256, is_same, crc32, mtime_ns, dataset, path = line.split("\t")
            if "\\" in path:
                path = unescape_field(path.encode()).decode()
            name = prefix + name
            yield position, FileEntry(
                name, opener(dataset) if is_same == "t" else partial(_refuse, name), path,
                int(size), int(crc32) if crc32 else None, sha256,
                int(mtime_ns) if mtime_ns else None,
            )  # fmt: skip

    def _opener(self, dataset_id: str) -> Callable[[str], int]:
        if dataset_id != self._dataset_id:
            self._close()
            self._dataset_id = dataset_id
            self._open = self._open_first
        return self._open

    def _open_first(self, path: str) -> int:
        """Only an opening may fail: what is wrong with the folder is wrong with each file."""
        if self._folder is None:
            root = dataset_root(Dataset.objects.get(pk=int(self._dataset_id)))
            self._folder = BeneathOpener(root)
            self._open = self._folder.open_fd
        return self._folder.open_fd(path)

    def _close(self) -> None:
        if self._folder:
            self._folder.close()
            self._folder = None


def find_bad_files(
    collection: Collection, *, on_step: Callable[[], None] = lambda: None
) -> Iterator[tuple[int, BadEntry]]:
    """Position of every item whose file is not what was frozen, and what is wrong with it.

    Looks without copying; only a file whose size is right but whose time differs is read.
    ``on_step`` is called for each file, and in large ones that are read for each megabyte.
    """
    for position, entry in iter_files(collection, on_step=on_step):
        on_step()
        if problem := check_entry(entry, on_step=on_step):
            yield int(position), problem
