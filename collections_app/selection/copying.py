"""Reading rows from PostgreSQL as text with COPY, several times as fast as Python objects."""

import io
from collections.abc import Iterator
from typing import Protocol

from django.db import connection
from django.db.backends.utils import CursorWrapper

from collections_app.models import Collection
from collections_app.provenance_keys import NUM_FILES

# Rows per query. Queries stay short even if their reader takes minutes.
ROWS_AT_ONCE = 10_000
# Fewer rows of many columns: all of a query's are in memory, of 500 columns 10,000 take 200 MB.
VALUES_AT_ONCE = 500_000


class Lines(Protocol):
    """Receives rows: whole lines, one or several at a time."""

    def write(self, lines: bytes, /) -> object: ...


def copy_rows(cursor: CursorWrapper, statement: bytes, lines: Lines) -> None:
    """Run a statement without parameters and write its rows to ``lines``."""
    with connection.wrap_database_errors:  # Django wraps its own methods only
        cursor.copy_expert(b"COPY (" + statement + b") TO STDOUT", lines)


def copy_lines(query: str) -> bytes:
    """The rows of a query without parameters, one line each."""
    lines = io.BytesIO()
    with connection.cursor() as cursor:
        copy_rows(cursor, query.encode(), lines)
    return lines.getvalue()


def iter_positions(collection: Collection, num_columns: int = 1) -> Iterator[tuple[int, int]]:
    """The first and the last position of each part of a collection's items."""
    num_items = collection.num_images + collection.num_excluded
    # A series is one item, and may be hundreds of rows.
    num_rows = max(num_items, collection.provenance.get(NUM_FILES, 0))
    rows_at_once = min(ROWS_AT_ONCE, VALUES_AT_ONCE // max(1, num_columns))
    at_once = max(1, rows_at_once * num_items // max(1, num_rows))
    for first in range(1, num_items + 1, at_once):
        yield first, first + at_once - 1


def iter_lines(query: str, *, collection: Collection, num_columns: int = 1) -> Iterator[bytes]:
    """The rows of a collection's items in chunks of whole lines, fewer of many columns.

    ``query`` has the placeholders ``{collection}``, ``{first}`` and ``{last}`` (positions, both
    inclusive) and is ordered by position.
    """
    for first, last in iter_positions(collection, num_columns):
        yield copy_lines(query.format(collection=int(collection.pk), first=first, last=last))
