"""Room in the database: a collection that has none is refused before a row is written."""

import shutil

from django.conf import settings
from django.db import connection

from catalog.wording.formats import file_size
from collections_app.selection import queries

# An item with its indexes, and as much again in the WAL. Sources that say much take more, which
# the reserve is for.
BYTES_PER_ITEM = 2_000


def explain_room(*, num_images: int) -> list[str]:
    """A sentence if the database has no room for so many items, with what to do."""
    needed, free = num_images * BYTES_PER_ITEM, free_database_bytes()
    if free is None or needed <= free:
        return []
    return [
        f"The server's database has no room for this collection: it needs about "
        f"{file_size(needed)}, and {file_size(max(0, free))} are free. Choose fewer images, or ask "
        "the operator for more space."
    ]


def free_database_bytes() -> int | None:
    """Bytes that the database may still grow by, without the reserve; None if that is not known.

    Of the embedded PostgreSQL the disk is known, of another one only what the operator allows it.
    """
    free = []
    if settings.DATABASE_FOLDER:
        disk = shutil.disk_usage(settings.DATABASE_FOLDER)
        free.append(disk.free - settings.DATABASE_RESERVE_BYTES)
    if settings.DATABASE_MAX_BYTES:
        with connection.cursor() as cursor:
            cursor.execute(queries.DATABASE_SIZE)
            free.append(settings.DATABASE_MAX_BYTES - cursor.fetchone()[0])
    return min(free, default=None)
