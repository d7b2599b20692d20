"""The digest of the items, and the fingerprint.

An archive's bytes are determined by the versions of the program, the frozen metadata of the
collection and its items. The items are hashed when they are frozen, so that computing a fingerprint
later takes the same time for any number of items.
"""

import hashlib
import json
from collections.abc import Callable
from typing import Any

from django.db import transaction

from catalog.deidentification import deidentifies_on_delivery, describe_method
from collections_app.archive import WRITER_VERSION
from collections_app.models import Collection, CollectionItem
from collections_app.selection import queries
from collections_app.selection.copying import iter_lines
from collections_app.selection.item_names import iter_renamed
from collections_app.selection.item_texts import set_item_texts
from collections_app.selection.name_check import NameCheck

# Raise it with every change after which the same collection gives other texts.
CONTENTS_VERSION = "15"
BYTES_AT_ONCE = 1 << 20


class ItemRows:
    """Receives the rows of all items from COPY, in order and with the ITEM_FIELDS.

    COPY writes to it as to a file. ``on_step`` is called for each megabyte; it may raise to end
    that.
    """

    def __init__(self, on_step: Callable[[], None] = lambda: None) -> None:
        self._on_step = on_step
        self._count = 0
        self._digest = hashlib.sha256()
        self._names = NameCheck()
        self._waiting: list[bytes] = []
        self._bytes_waiting = 0
        self._has_many_files = False

    def write(self, lines: bytes) -> None:
        """Take the next rows: one whole line or several."""
        self._waiting.append(lines)
        self._bytes_waiting += len(lines)
        if self._bytes_waiting >= BYTES_AT_ONCE:
            self._take()
            self._on_step()

    def _take(self) -> None:
        lines = b"".join(self._waiting)
        self._waiting.clear()
        self._bytes_waiting = 0
        self._digest.update(lines)
        self._has_many_files = self._has_many_files or b'"num_files":' in lines
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
        """The SHA-256 of all rows, in hex."""
        self._take()
        return self._digest.hexdigest()

    @property
    def has_many_files(self) -> bool:
        """Whether an item may have several files; a source's own text can look the same."""
        self._take()
        return self._has_many_files

    @property
    def must_be_renamed(self) -> bool:
        """Whether some of the names must change."""
        self._take()
        return self._names.must_change


def finalize_items(collection: Collection, rows: ItemRows | None = None) -> None:
    """Give every file its name in the archive and set the collection's ``items_sha256``.

    The freeze proposes the paths in the catalog as names. Nearly always these are safe and unique,
    which ``NameCheck`` finds out for all at once. Otherwise they are changed one by one. ``rows``
    are those that the freeze has written; without them the items are read.
    """
    rows = rows or _read_rows(collection)
    if rows.must_be_renamed:
        set_item_texts(collection, "file_name", iter_renamed(collection))
        rows = _read_rows(collection)
    collection.items_sha256 = rows.sha256


def finalize_if_needed(collection: Collection) -> None:
    """Finalize a collection of an earlier version, which has neither names nor digest."""
    if not collection.items_sha256:
        with transaction.atomic():
            finalize_items(collection)
            collection.save(update_fields=["items_sha256"])


def _read_rows(collection: Collection) -> ItemRows:
    rows = ItemRows()
    for lines in iter_lines(queries.ITEMS, collection=collection):
        rows.write(lines)
    return rows


def describe_program() -> str:
    """What of the program and of its settings determines the bytes of archives, as a short text."""
    parts = [f"contents {CONTENTS_VERSION}", f"writer {WRITER_VERSION}"]
    return ", ".join([*parts, describe_method()] if deidentifies_on_delivery() else parts)


def compute_fingerprint(collection: Collection) -> str:
    """SHA-256 (hex) over all that determines the archive's bytes; items must be finalized."""
    digest = hashlib.sha256()
    for part in (CONTENTS_VERSION, WRITER_VERSION, frozen_head(collection)):
        digest.update(_canonical(part) + b"\n")
    if deidentifies_on_delivery():
        digest.update(_canonical(describe_method()) + b"\n")
    digest.update(collection.items_sha256.encode() + b"\n")
    excluded = CollectionItem.objects.filter(collection=collection, is_excluded=True)
    # Every excluded item has a problem, and items with a problem have an index.
    rows = excluded.with_problems().order_by("position").values_list("position", "problem")
    for row in rows.iterator():
        digest.update(_canonical(row) + b"\n")
    return digest.hexdigest()


def frozen_head(collection: Collection) -> dict[str, Any]:
    """The frozen metadata of the collection that its archive shows, and that identifies it."""
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
