"""One worker at a time reads an archive, on whichever host."""

from contextlib import AbstractContextManager

from catalog.bulk.session_lock import session_lock


def archive_lock(relative: str) -> AbstractContextManager[bool]:
    """Whether nobody else reads it; then nobody does until the block or the connection ends."""
    return session_lock(f"archive {relative}")
