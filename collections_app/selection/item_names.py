"""The name of an image's file in the archive: ``images/<dataset>/<path in the dataset's folder>``.

A DICOM file without an ending gets ``.dcm``. A series is a folder, and what is to be fetched has a
name of its own (``to_fetch.py``). The freeze (``queries.py``) writes
these names. If ``NameCheck`` finds that some are unsafe or not unique, ``safe_name`` and
``UniqueNames`` of the archive change those.
"""

from collections.abc import Iterator
from typing import Any

from catalog.storage.series import HAS_ENDING
from collections_app.archive import UniqueNames, safe_name
from collections_app.models import Collection

BATCH = 2000


def iter_renamed(collection: Collection) -> Iterator[tuple[int, str]]:
    """(position, new name) of each file that must be renamed."""
    names = UniqueNames()
    files = collection.items.exclude(file_name="").order_by("position")
    rows = files.values_list("position", "file_name", "metadata_json")
    for position, given, metadata in rows.iterator(chunk_size=BATCH):
        name = names.take(safe_name(_find_path(metadata) or given))
        if name != given:
            yield position, name


def _find_path(metadata: dict[str, Any]) -> str:
    """The whole path, as the freeze cuts it off; "" for a folder, and for what is not here."""
    path, source = metadata.get("file_path"), metadata.get("source", {})
    if not path or ("num_files" in metadata and "SeriesInstanceUID" in source):
        return ""
    is_dicom = "TransferSyntaxUID" in source
    ending = ".dcm" if is_dicom and not HAS_ENDING.search(path) else ""
    return f"images/{metadata['dataset']}/{path}{ending}"
