"""Setting a text of many items: the name in the archive, or the problem."""

from collections.abc import Iterable
from typing import Literal

from django.db import connection

from catalog.bulk.batches import in_batches
from collections_app.models import Collection
from collections_app.selection import queries
from collections_app.selection.database_space import require_room

BATCH = 2000
# For a few the reserve is enough.
FEW = 100


def set_item_texts(
    collection: Collection,
    column: Literal["file_name", "problem"],
    texts: Iterable[tuple[int, str]],
) -> None:
    """Set the column of the items to the texts, given as pairs of position and text.

    Raises DatabaseIsFull: another batch would take the reserve.
    """
    for batch in in_batches(texts, BATCH):
        if len(batch) > FEW:
            require_room()
        positions, values = zip(*batch, strict=True)
        with connection.cursor() as cursor:
            statement = queries.SET_TEXTS.format(column=column)
            cursor.execute(statement, [list(positions), list(values), collection.pk])
