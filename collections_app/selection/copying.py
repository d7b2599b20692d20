"""Rows out of PostgreSQL as text, by COPY: several times as fast as one Python object each."""

import io
from collections.abc import Iterator
from typing import Protocol

from django.db import connection
from django.db.backends.utils import CursorWrapper

from collections_app.models import Collection

# So many items a query: short queries let nothing wait for a reader who takes minutes.
ITEMS_AT_ONCE = 10_000


class Lines(Protocol):
    """What takes the rows: whole lines, one or several at a time."""

    def write(self, lines: bytes, /) -> object: ...


def copy_rows(cursor: CursorWrapper, statement: bytes, lines: Lines) -> None:
    """Run a statement that has its values in it, and write the rows that it gives to ``lines``."""
    with connection.wrap_database_errors:  # Django does that for its own methods only
        cursor.copy_expert(b"COPY (" + statement + b") TO STDOUT", lines)


def copy_lines(query: str) -> bytes:
    """The rows of a query without parameters, each as one line."""
    lines = io.BytesIO()
    with connection.cursor() as cursor:
        copy_rows(cursor, query.encode(), lines)
    return lines.getvalue()


def iter_lines(query: str, *, collection: Collection) -> Iterator[bytes]:
    """The rows of a collection's items, many at a time, as whole lines.

    ``query`` asks for ``{collection}`` and for positions ``BETWEEN {first} AND {last}``, in their
    order.
    """
    num_items = collection.num_images + collection.num_excluded
    for first in range(1, num_items + 1, ITEMS_AT_ONCE):
        last = first + ITEMS_AT_ONCE - 1
        yield copy_lines(query.format(collection=int(collection.pk), first=first, last=last))
