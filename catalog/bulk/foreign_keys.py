"""Checks the foreign keys of many new rows at once instead of one by one.

PostgreSQL checks them for each row, which takes as long as writing the rows. If the role may switch
these checks off, the writer locks and counts the referenced rows instead, with the same effect. No
superuser is needed for that: GRANT SET ON PARAMETER session_replication_role TO medagg.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db.backends.utils import CursorWrapper

_MAY_SKIP_CHECKS = "SELECT has_parameter_privilege('session_replication_role', 'SET')"
_CHECK = "SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED"


def may_skip_checks(cursor: CursorWrapper) -> bool:
    """Whether the database role may switch the checks of foreign keys off."""
    cursor.execute(_MAY_SKIP_CHECKS)
    return bool(cursor.fetchone()[0])


@contextmanager
def unchecked(cursor: CursorWrapper) -> Iterator[None]:
    """Inside the block no foreign key is checked and no trigger fires; needs a transaction.

    After an error the checks stay off: the transaction has to be rolled back anyway.
    """
    cursor.execute("SET LOCAL session_replication_role = replica")
    yield
    cursor.execute("SET LOCAL session_replication_role = origin")


def check_foreign_keys(cursor: CursorWrapper) -> None:
    """Check what was written here, not at the end of the transaction. Raises IntegrityError."""
    cursor.execute(_CHECK)
