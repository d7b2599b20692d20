"""From a frozen collection to the entries of its archive, in their fixed order."""

import os
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path

from catalog.imaging.files import UnsafePath, open_beneath
from catalog.local import dataset_root
from catalog.models import Dataset, Image
from collections_app.archive import BadEntry, Entry, FileEntry, TextEntry, check_entry
from collections_app.contents import (
    FrozenItem,
    checksums,
    collection_json,
    iter_items,
    licenses_csv,
    metadata_csv,
    missing_csv,
    remote_csv,
)
from collections_app.data_card import data_card
from collections_app.models import Collection

BATCH = 1000


def count_texts(collection: Collection) -> int:
    """How many entries come before the first image."""
    return len(_texts(collection, ""))


def iter_entries(collection: Collection, fingerprint: str) -> Iterator[Entry]:
    """Texts, then images, then SHA256SUMS over all of them.

    Writing them raises BadEntry when an image's file is not what was frozen.
    """
    texts = _texts(collection, fingerprint)
    yield from texts
    for _item, entry in _iter_files(collection):
        yield entry
    prefix = f"{collection.slug}/"
    known = ((text.name.removeprefix(prefix), text.sha256) for text in texts)
    yield TextEntry(f"{prefix}SHA256SUMS", checksums(lambda: iter_items(collection), known))


def find_bad_files(
    collection: Collection, *, on_next: Callable[[int], None]
) -> Iterator[tuple[int, str]]:
    """Position and reason of every item whose file is not what was frozen.

    Looks without copying; only a file whose size is right but whose time differs is read.
    """
    for item, entry in _iter_files(collection):
        on_next(entry.size)
        if problem := check_entry(entry):
            yield item.position, problem.reason


def find_position(collection: Collection, entry_name: str) -> int:
    """The position of the item that an entry of the archive belongs to."""
    name = entry_name.removeprefix(f"{collection.slug}/")
    return next(item.position for item in iter_items(collection) if item.name == name)


def _texts(collection: Collection, fingerprint: str) -> list[TextEntry]:
    def items() -> Iterator[FrozenItem]:
        return iter_items(collection)

    texts: dict[str, bytes | Iterator[bytes]] = {
        "README.md": data_card(collection, fingerprint),
        "collection.json": collection_json(collection, fingerprint),
        "licenses.csv": licenses_csv(collection),
        "metadata.csv": metadata_csv(items),
    }
    if collection.num_images > collection.num_files:
        texts["remote.csv"] = remote_csv(items)
    if collection.num_left_out:
        texts["missing.csv"] = missing_csv(items)
    return [TextEntry(f"{collection.slug}/{name}", data) for name, data in texts.items()]


def _iter_files(collection: Collection) -> Iterator[tuple[FrozenItem, FileEntry]]:
    roots = _Roots()
    with_file = (item for item in iter_items(collection) if item.has_file)
    while batch := list(islice(with_file, BATCH)):
        images = Image.objects.in_bulk([item.image_id for item in batch])
        for item in batch:
            yield item, _file_entry(collection, item, images[item.image_id], roots)


def _file_entry(
    collection: Collection, item: FrozenItem, image: Image, roots: "_Roots"
) -> FileEntry:
    name = f"{collection.slug}/{item.name}"
    # Size and time tell an unchanged file only as long as the catalog means the same file.
    is_same = image.sha256 == item.sha256
    return FileEntry(
        name=name,
        open_fd=partial(_open, name, item, image, roots),
        size=item.size_bytes or 0,
        crc32=image.crc32 if is_same else None,
        sha256=item.sha256,
        mtime_ns=image.mtime_ns if is_same else None,
    )


def _open(name: str, item: FrozenItem, image: Image, roots: "_Roots") -> int:
    if not image.file_path:
        raise BadEntry(name, "missing", "the catalog no longer has a file for this image")
    if image.sha256 != item.sha256:
        raise BadEntry(name, "changed", "the catalog has another file for this image by now")
    try:
        with open_beneath(roots.of(image.dataset_id), image.file_path) as file:
            return os.dup(file.fileno())
    except UnsafePath as error:
        raise BadEntry(name, "unsafe", str(error)) from error


class _Roots:
    """Folders of the datasets' local copies, each looked up once."""

    def __init__(self) -> None:
        self._known: dict[int, Path] = {}

    def of(self, dataset_id: int) -> Path:
        if dataset_id not in self._known:
            self._known[dataset_id] = dataset_root(Dataset.objects.get(pk=dataset_id))
        return self._known[dataset_id]
