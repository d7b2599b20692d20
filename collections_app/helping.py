"""What a second process does of a build: the tables first, then images from the end backwards."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import BinaryIO

from django.db import connection

from collections_app.archive import PackedEntry, WrittenRun, stored_size, write_run
from collections_app.archive.records import MAX_32
from collections_app.entries import iter_pieces
from collections_app.models import Collection
from collections_app.pieces import SharedPieces
from collections_app.tables import pack_tables

_SIZES = """
    SELECT (position - 1) / %(items)s, count(*),
           sum(%(prefix)s + octet_length(file_name))::bigint, sum(size_bytes)::bigint,
           count(*) FILTER (WHERE size_bytes >= %(large)s)
      FROM collections_app_collectionitem
     WHERE collection_id = %(id)s AND file_name <> '' AND NOT is_left_out
     GROUP BY 1
"""


@dataclass(frozen=True, slots=True)
class Help:
    """What the other process need not write any more: it follows its own images, in this order."""

    images: list[WrittenRun]
    tables: WrittenRun

    @property
    def runs(self) -> list[WrittenRun]:
        return [*self.images, self.tables]


def help_build(
    collection: Collection,
    texts: list[PackedEntry],
    spool: BinaryIO,
    pieces: SharedPieces,
    path: Path,
) -> Help:
    """Write the tables into the archive, then images from the last one on until none are left.

    Whatever it raises, the other process finds no more to do and learns of it.
    """
    try:
        offsets = _offsets(collection, pieces, start=sum(text.stored_size for text in texts))
        with path.open("r+b") as out:
            tables = write_run(out, pack_tables(collection, texts, spool), offset=offsets[-1])
            images = list(_write_from_back(collection, out, pieces, offsets))
    except BaseException:
        pieces.stop()
        raise
    return Help(images[::-1], tables)


def _write_from_back(
    collection: Collection, out: BinaryIO, pieces: SharedPieces, offsets: list[int]
) -> Iterator[WrittenRun]:
    for piece, entries in iter_pieces(collection, pieces.from_back()):
        offset = offsets[(piece.first - 1) // pieces.items]
        yield write_run(out, entries, offset=offset, on_progress=pieces.reporter())


def _offsets(collection: Collection, pieces: SharedPieces, *, start: int) -> list[int]:
    """Where in the archive the images of each piece begin, and where the last ones end."""
    prefix = len(f"{collection.slug}/".encode())
    with connection.cursor() as cursor:
        cursor.execute(
            _SIZES,
            {"items": pieces.items, "prefix": prefix, "large": MAX_32, "id": collection.pk},
        )
        sizes = {
            number: stored_size(count=count, name_bytes=names, size=size, num_large=large)
            for number, count, names, size, large in cursor
        }
    return list(accumulate((sizes.get(n, 0) for n in range(pieces.count)), initial=start))
