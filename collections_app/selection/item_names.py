"""The name of an image's file in the archive: ``images/<dataset>/<path in the dataset's folder>``.

What is to be fetched has a name of its own (``to_fetch.py``). The freeze (``queries.py``) writes
these names. If ``NameCheck`` finds that some are unsafe or not unique, ``safe_name`` and
``UniqueNames`` of the archive change those.
"""

from collections.abc import Iterator

from collections_app.archive import UniqueNames, safe_name
from collections_app.models import Collection

BATCH = 2000


def iter_renamed(collection: Collection) -> Iterator[tuple[int, str]]:
    """(position, new name) of each file that must be renamed."""
    names = UniqueNames()
    files = collection.items.exclude(file_name="").order_by("position")
    rows = files.values_list("position", "file_name", "metadata_json")
    for position, given, metadata in rows.iterator(chunk_size=BATCH):
        path = metadata.get("file_path")
        wanted = f"images/{metadata['dataset']}/{path}" if path else given
        name = names.take(safe_name(wanted))
        if name != given:
            yield position, name
