"""How much the database may still grow."""

import shutil

from django.conf import settings
from django.db import connection

_SIZE = "SELECT pg_database_size(current_database())"


def free_database_bytes() -> int | None:
    """Bytes that the database may still grow by, without the reserve; None if that is not known.

    Of the embedded PostgreSQL the disk is known, of another one only what the operator allows it.
    """
    free = [] if (of_disk := free_disk_bytes()) is None else [of_disk]
    if settings.DATABASE_MAX_BYTES:
        with connection.cursor() as cursor:
            cursor.execute(_SIZE)
            free.append(settings.DATABASE_MAX_BYTES - cursor.fetchone()[0])
    return min(free, default=None)


def free_disk_bytes() -> int | None:
    """As ``free_database_bytes``, of the disk only: also while a statement runs."""
    if not settings.DATABASE_FOLDER:
        return None
    return shutil.disk_usage(settings.DATABASE_FOLDER).free - settings.DATABASE_RESERVE_BYTES
