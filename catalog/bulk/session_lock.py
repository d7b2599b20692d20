"""One at a time, on whichever host: a lock in PostgreSQL that waits for nobody."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from django.db import Error, connection

CLAIM = "SELECT pg_try_advisory_lock(hashtextextended(%s, 0))"
_RELEASE = "SELECT pg_advisory_unlock(hashtextextended(%s, 0))"


@contextmanager
def session_lock(name: str) -> Iterator[bool]:
    """Whether nobody else has it; then nobody does until the block or the connection ends."""
    is_ours = _ask(CLAIM, name)
    try:
        yield is_ours
    finally:
        if is_ours:
            with suppress(Error):  # a connection that is lost has no lock any more
                _ask(_RELEASE, name)


def _ask(statement: str, name: str) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(statement, [name])
        (answer,) = cursor.fetchone()
    return bool(answer)
