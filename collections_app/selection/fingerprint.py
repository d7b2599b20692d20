"""What is settled once, when a collection is frozen: names in the archive, digest, fingerprint.

An archive's bytes follow from the versions of the program, the frozen head of the collection and
its items. The items are digested at the freeze, so that a fingerprint costs nothing later, however
many there are.
"""

import hashlib
import json
from collections.abc import Iterator
from typing import Any

from django.db import transaction

from collections_app.archive import WRITER_VERSION, UniqueNames, safe_name
from collections_app.models import Collection, CollectionItem
from collections_app.selection import queries
from collections_app.selection.copying import iter_lines
from collections_app.selection.item_texts import set_item_texts
from collections_app.selection.name_check import NameCheck

# Raise it whenever the same collection would give other texts than before.
CONTENTS_VERSION = "3"
BATCH = 2000
BYTES_AT_ONCE = 1 << 20


class ItemRows:
    """Takes the rows of all items, in their order and with the ITEM_FIELDS, as COPY writes them.

    A file to write to, as far as COPY needs one.
    """

    def __init__(self) -> None:
        self._count = 0
        self._digest = hashlib.sha256()
        self._names = NameCheck()
        self._waiting: list[bytes] = []
        self._bytes_waiting = 0

    def write(self, lines: bytes) -> None:
        """The next rows, whole lines: one as the database hands it over, or many."""
        self._waiting.append(lines)
        self._bytes_waiting += len(lines)
        if self._bytes_waiting >= BYTES_AT_ONCE:
            self._take()

    def _take(self) -> None:
        lines = b"".join(self._waiting)
        self._waiting.clear()
        self._bytes_waiting = 0
        self._digest.update(lines)
        names = [line.partition(b"\t")[0] for line in lines.split(b"\n")[:-1]]
        self._count += len(names)
        self._names.look_at(names)

    @property
    def count(self) -> int:
        """The number of rows."""
        self._take()
        return self._count

    @property
    def sha256(self) -> str:
        """Over all rows, in hex."""
        self._take()
        return self._digest.hexdigest()

    @property
    def must_be_renamed(self) -> bool:
        """Whether some of the names cannot stay as they are."""
        self._take()
        return self._names.must_change


def finalize_items(collection: Collection, rows: ItemRows | None = None) -> None:
    """Give every file its name in the archive and set the collection's ``items_sha256``.

    The freeze has proposed the paths of the catalog as names. Nearly always these are safe and
    unique as they are, which one look at all of them shows; else they are made so one by one.
    ``rows`` are those that the freeze has written; they are read when they are not given.
    """
    rows = rows or _read_rows(collection)
    if rows.must_be_renamed:
        set_item_texts(collection, "file_name", _renamed(collection))
        rows = _read_rows(collection)
    collection.items_sha256 = rows.sha256


def finalize_if_needed(collection: Collection) -> None:
    """Collections that were frozen by an earlier version have neither names nor digest yet."""
    if not collection.items_sha256:
        with transaction.atomic():
            finalize_items(collection)
            collection.save(update_fields=["items_sha256"])


def _read_rows(collection: Collection) -> ItemRows:
    rows = ItemRows()
    for lines in iter_lines(queries.ITEMS, collection=collection):
        rows.write(lines)
    return rows


def _renamed(collection: Collection) -> Iterator[tuple[int, str]]:
    """(position, name) of each file that cannot have the name which it has."""
    names = UniqueNames()
    files = collection.items.exclude(sha256="").order_by("position")
    rows = files.values_list("position", "file_name", "metadata_json")
    for position, given, metadata in rows.iterator(chunk_size=BATCH):
        wanted = f"images/{metadata['dataset']}/{metadata['file_path']}"
        name = names.take(safe_name(wanted))
        if name != given:
            yield position, name


def compute_fingerprint(collection: Collection) -> str:
    """SHA-256 (hex) over all that determines the archive's bytes; the items must be settled."""
    digest = hashlib.sha256()
    for part in (CONTENTS_VERSION, WRITER_VERSION, frozen_head(collection)):
        digest.update(_canonical(part) + b"\n")
    digest.update(collection.items_sha256.encode() + b"\n")
    excluded = CollectionItem.objects.filter(collection=collection, is_excluded=True)
    # Whatever is left out has a problem, and those have an index.
    rows = excluded.with_problems().order_by("position").values_list("position", "problem")
    for row in rows.iterator():
        digest.update(_canonical(row) + b"\n")
    return digest.hexdigest()


def frozen_head(collection: Collection) -> dict[str, Any]:
    """Of the collection itself what its archive tells, and what therefore tells archives apart."""
    return {
        "title": collection.title,
        "slug": collection.slug,
        "query": collection.query_text,
        "filters": collection.filter_snapshot,
        "options": collection.options,
        "provenance": collection.provenance,
    }


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()
