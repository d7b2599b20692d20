"""Checking the foreign keys of many new rows at once instead of one by one.

PostgreSQL checks them for each row, which takes as long as writing the rows. Where the role may
switch that off, whoever writes them locks and counts all that they point at, to the same effect.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db.backends.utils import CursorWrapper

_MAY_SKIP_CHECKS = "SELECT rolsuper FROM pg_roles WHERE rolname = current_user"


def may_skip_checks(cursor: CursorWrapper) -> bool:
    """Whether the database's role may write rows whose foreign keys nobody checks."""
    cursor.execute(_MAY_SKIP_CHECKS)
    return bool(cursor.fetchone()[0])


@contextmanager
def unchecked(cursor: CursorWrapper) -> Iterator[None]:
    """Inside the block, and within the transaction, no foreign key is checked, no trigger fires.

    An error in the block leaves the role as it is: the transaction is lost with it anyway.
    """
    cursor.execute("SET LOCAL session_replication_role = replica")
    yield
    cursor.execute("SET LOCAL session_replication_role = origin")
