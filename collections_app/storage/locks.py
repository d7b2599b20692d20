"""One worker at a time reads an archive, on whichever host: a lock in PostgreSQL."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from django.db import Error, connection

CLAIM = "SELECT pg_try_advisory_lock(hashtextextended('archive ' || %s, 0))"
_RELEASE = "SELECT pg_advisory_unlock(hashtextextended('archive ' || %s, 0))"


@contextmanager
def archive_lock(relative: str) -> Iterator[bool]:
    """Whether nobody else reads it; then nobody does until the block or the connection ends."""
    is_ours = _ask(CLAIM, relative)
    try:
        yield is_ours
    finally:
        if is_ours:
            with suppress(Error):  # a connection that is lost has no lock any more
                _ask(_RELEASE, relative)


def _ask(statement: str, relative: str) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(statement, [relative])
        (answer,) = cursor.fetchone()
    return bool(answer)
