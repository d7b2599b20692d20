"""How much the database may still grow."""

import shutil

from django.conf import settings
from django.db import connection

_SIZE = "SELECT pg_database_size(current_database())"


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
            cursor.execute(_SIZE)
            free.append(settings.DATABASE_MAX_BYTES - cursor.fetchone()[0])
    return min(free, default=None)
