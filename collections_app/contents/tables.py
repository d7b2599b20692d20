"""The tables of an archive: one row for each image, read from the frozen items in chunks.

The database writes the rows, and Python only turns tabs into commas.
"""

from collections.abc import Iterator, Sequence

from catalog.csv_text import csv_text, lines_to_csv
from collections_app.archive import TextEntry, checksum_line
from collections_app.models import Collection
from collections_app.selection.copying import iter_lines

Columns = tuple[str, ...]

METADATA_COLUMNS = (
    "file_name", "dataset", "source_id", "subject_id", "sex", "age_years", "modality", "area",
    "labels", "uncertain_labels", "negative_labels", "label_confidence", "width", "height",
    "size_bytes", "sha256", "license", "labels_unreviewed", "label_words",
)  # fmt: skip
REMOTE_COLUMNS = (
    "dataset", "source_id", "url", "subject_id", "sex", "age_years", "modality", "area", "labels",
    "uncertain_labels", "negative_labels", "label_confidence", "license",
    "labels_unreviewed", "label_words",
)  # fmt: skip
# Collections of earlier versions did not freeze these.
_LATER_COLUMNS = frozenset({"license", "labels_unreviewed", "label_words"})
MISSING_COLUMNS = ("dataset", "source_id", "file_path", "sha256", "reason")

HAS_FILE = "file_name <> '' AND NOT is_excluded"
IS_REMOTE = "file_name = '' AND NOT is_excluded"
IS_EXCLUDED = "is_excluded"

_FIELDS = {"file_name": "file_name", "size_bytes": "size_bytes", "sha256": "sha256",
           "reason": "problem", "url": "metadata_json ->> 'remote_url'"}  # fmt: skip


def make_tables(collection: Collection, texts: Sequence[TextEntry]) -> list[TextEntry]:
    """metadata.csv; remote.csv and missing.csv if they have rows; SHA256SUMS.

    ``texts`` are those before the images. They must be written first, because SHA256SUMS lists
    their checksums.
    """
    prefix = f"{collection.slug}/"
    tables = [
        TextEntry(prefix + name, _table(collection, columns, whose))
        for name, columns, whose in _wanted_tables(collection)
    ]
    checksums = _checksums(collection, [*texts, *tables])
    return [*tables, TextEntry(f"{prefix}SHA256SUMS", checksums)]


def _wanted_tables(collection: Collection) -> Iterator[tuple[str, Columns, str]]:
    yield "metadata.csv", _known_columns(collection, METADATA_COLUMNS), HAS_FILE
    if collection.num_images > collection.num_files:
        yield "remote.csv", _known_columns(collection, REMOTE_COLUMNS), IS_REMOTE
    if collection.num_excluded:
        yield "missing.csv", MISSING_COLUMNS, IS_EXCLUDED


def _known_columns(collection: Collection, columns: Columns) -> Columns:
    if all("licenses" in dataset for dataset in collection.provenance["datasets"]):
        return columns
    return tuple(column for column in columns if column not in _LATER_COLUMNS)


def _table(collection: Collection, columns: Columns, whose: str) -> Iterator[bytes]:
    yield csv_text([columns])
    fields = ", ".join(f"coalesce({_field(column)}::text, '')" for column in columns)
    yield from map(lines_to_csv, iter_lines(_rows(fields, whose), collection=collection))


def _rows(fields: str, whose: str) -> str:
    return (
        f"SELECT {fields} FROM collections_app_collectionitem "  # noqa: S608 - our own words
        "WHERE collection_id = {collection} AND position BETWEEN {first} AND {last} "
        f"AND {whose} ORDER BY position"
    )


def _field(column: str) -> str:
    return _FIELDS.get(column, f"metadata_json ->> '{column}'")


def _checksums(collection: Collection, texts: Sequence[TextEntry]) -> Iterator[bytes]:
    """Lines for ``sha256sum -c``: the texts, then every file."""
    prefix = f"{collection.slug}/"
    for text in texts:
        yield checksum_line(text.sha256, text.name.removeprefix(prefix)).encode()
    rows = _rows("sha256, file_name", HAS_FILE)
    for lines in iter_lines(rows, collection=collection):
        if b"\\" in lines:
            raise ValueError("a name in the archive has a backslash or a line break")
        yield lines.replace(b"\t", b"  ")
