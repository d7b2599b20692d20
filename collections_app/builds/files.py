"""The files of a frozen collection, for its archive and for the search for bad files."""

from collections.abc import Callable, Generator, Iterator
from functools import partial
from pathlib import Path

from catalog.bulk.copy_text import unescape_field
from catalog.deidentification import deidentifies_on_delivery
from catalog.imaging.paths import BeneathOpener
from catalog.models import Dataset
from catalog.storage.roots import dataset_root
from collections_app.archive import BadEntry, FileEntry, TextEntry, check_entry
from collections_app.builds.deidentified import OnMade, ignore_made, make_entry, must_change
from collections_app.builds.queries import FILES_OF_ITEMS, FROM_CACHE
from collections_app.models import Collection
from collections_app.selection.copying import iter_lines


def iter_files(
    collection: Collection,
    *,
    on_step: Callable[[], None] = lambda: None,
    on_made: OnMade = ignore_made,
    fetched_in: Path | None = None,
) -> Generator[tuple[str, FileEntry | TextEntry], None, None]:
    """(position, entry) of every file, in order; ``fetched_in`` has those from elsewhere.

    ``on_step`` is called after each query, also if no item has a file. Opening a file raises
    BadEntry, ValueError or OSError if it is not the file that was frozen. A file that is
    de-identified is a TextEntry, whose chunks raise BadEntry; ``on_made`` gets its position,
    name, size and SHA-256.
    """
    deidentifies = deidentifies_on_delivery()
    with _EntryMaker(collection, fetched_in) as maker:
        for lines in iter_lines(FILES_OF_ITEMS, collection=collection):
            for position, entry in maker.entries(lines):
                if deidentifies and must_change(entry):
                    yield position, make_entry(entry, int(position), on_made)
                else:
                    yield position, entry
            on_step()


def _refuse(name: str, path: str) -> int:
    if not path:
        raise BadEntry(name, "missing", "the catalog no longer has a file for this image")
    raise BadEntry(name, "changed", "the catalog now has another file for this image")


class _EntryMaker:
    """Makes entries from rows.

    Items are ordered by dataset, so the folder of the current dataset is kept open.
    """

    def __init__(self, collection: Collection, fetched_in: Path | None) -> None:
        self._fetched_in = fetched_in
        self._prefix = f"{collection.slug}/"
        self._dataset_id = ""
        self._folder: BeneathOpener | None = None
        self._open: Callable[[str], int] = self._open_first

    def __enter__(self) -> "_EntryMaker":
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def entries(self, lines: bytes) -> Iterator[tuple[str, FileEntry]]:
        # No function call for each row, as there may be a million rows.
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
        """Open the folder with its first file: a missing folder is an error of each file."""
        if self._folder is None:
            root = self._find_root()
            self._folder = BeneathOpener(root)
            self._open = self._folder.open_fd
        return self._folder.open_fd(path)

    def _find_root(self) -> Path:
        if self._dataset_id != str(FROM_CACHE):
            return dataset_root(Dataset.objects.get(pk=int(self._dataset_id)))
        if self._fetched_in is None:
            raise FileNotFoundError("The file was not fetched.")
        return self._fetched_in

    def _close(self) -> None:
        if self._folder:
            self._folder.close()
            self._folder = None


def find_bad_files(
    collection: Collection,
    *,
    on_step: Callable[[], None] = lambda: None,
    on_made: OnMade = ignore_made,
    fetched_in: Path | None = None,
) -> Iterator[tuple[int, BadEntry]]:
    """Position and problem of every item whose file is not the one that was frozen.

    A file is read only if its size is right and its mtime differs. ``on_step`` is called for each
    file, and for each megabyte that is read; ``on_made`` as by ``iter_files``.

    Raises OSError where the disk has no room for a file that is de-identified.
    """
    files = iter_files(collection, on_step=on_step, on_made=on_made, fetched_in=fetched_in)
    for position, entry in files:
        on_step()
        if problem := _check(entry, on_step):
            yield int(position), problem


def _check(entry: FileEntry | TextEntry, on_step: Callable[[], None]) -> BadEntry | None:
    if isinstance(entry, FileEntry):
        return check_entry(entry, on_step=on_step)
    try:
        for _ in entry.chunks:
            on_step()
    except BadEntry as bad:
        return bad
    return None
