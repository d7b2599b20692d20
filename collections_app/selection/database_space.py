"""Room in the database: a collection that has none is refused before a row is written."""

from catalog.bulk.database_space import free_database_bytes
from catalog.wording.formats import file_size

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
