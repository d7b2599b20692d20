"""Room in the database: a collection that has none is refused before a row is written.

The rows may become larger than was thought, and others write, too: so a freeze looks again for
each megabyte, and at its end.
"""

from django.db.backends.utils import CursorWrapper
from django.db.models import F, Func, IntegerField, Sum

from catalog.bulk.database_space import free_database_bytes, free_disk_bytes
from catalog.search.filters import ImageFilterSet
from catalog.wording.formats import file_size

# An item with its indexes, and as much again in the WAL.
BYTES_PER_ITEM = 3_000
# What the source says of an image is copied into its item and into the WAL, and that into pages.
GROWTH = 3
METADATA_SIZE = Sum(
    Func(F("metadata_json"), function="pg_column_size", output_field=IntegerField())
)


class DatabaseIsFull(Exception):
    """A freeze would have taken the reserve."""


def explain_room(filters: ImageFilterSet) -> list[str]:
    """A sentence if the database has no room for the selected images, with what to do."""
    free = free_database_bytes()
    if free is None:
        return []
    sums = filters.images().order_by().aggregate(metadata=METADATA_SIZE)
    needed = filters.total * BYTES_PER_ITEM + (sums["metadata"] or 0) * GROWTH
    if needed <= free:
        return []
    return [
        f"The server's database has no room for this collection: it needs about "
        f"{file_size(needed)}, and {file_size(max(0, free))} are free. Choose fewer images, or ask "
        "the operator for more space."
    ]


def require_room(num_bytes: int = 0) -> None:
    """Raises DatabaseIsFull if what was written, or so much more, takes the reserve."""
    _refuse_if_full(free_database_bytes(), num_bytes)


def require_room_meanwhile(cursor: CursorWrapper) -> None:
    """As ``require_room``, while the cursor's statement writes, which it ends."""
    try:
        _refuse_if_full(free_disk_bytes())
    except DatabaseIsFull:
        # Or else the rollback would wait until all of it is written.
        cursor.connection.cancel()
        raise


def _refuse_if_full(free: int | None, num_bytes: int = 0) -> None:
    if free is not None and free < num_bytes:
        raise DatabaseIsFull
