"""The tables of an archive: one row for each image, read from the frozen items in chunks.

The database writes the rows, and Python only turns tabs into commas.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence

from django.db import connection

from catalog.bulk.csv_text import csv_text, lines_to_csv
from catalog.deidentification import deidentifies_on_delivery
from catalog.search.availability import AvailabilityCounts
from collections_app.archive import TextEntry, checksum_line
from collections_app.contents.elsewhere import (
    HAS_ADDRESS,
    IS_ELSEWHERE,
    NamesElsewhere,
    fetch_py,
    iter_fetch_sh,
    select_items,
)
from collections_app.models import Collection
from collections_app.provenance_keys import DATASETS, IDENTIFYING, NUM_ELSEWHERE, NUM_FILES
from collections_app.selection import queries
from collections_app.selection.copying import iter_lines
from collections_app.selection.to_fetch import FETCH

# The titles of a table's columns, and the SQL of their values.
Columns = Mapping[str, str]

METADATA_COLUMNS = (
    "file_name", "dataset", "source_id", "subject_id", "sex", "age_years", "modality", "area",
    "view", "labels", "uncertain_labels", "negative_labels", "label_confidence", "width", "height",
    "size_bytes", "sha256", "license", "labels_unreviewed", "label_words",
)  # fmt: skip
# The DICOM attributes by which a file tells who somebody is, or that it was not checked; only where
# that is so of one of the files.
IDENTIFYING_COLUMNS = ("identifying",)
REMOTE_COLUMNS = (
    "dataset", "source_id", "url", "subject_id", "sex", "age_years", "modality", "area", "view",
    "labels", "uncertain_labels", "negative_labels", "label_confidence", "license",
    "labels_unreviewed", "label_words", "size_bytes", "num_files", "study_uid",
)  # fmt: skip
UNAVAILABLE_COLUMNS = tuple(column for column in REMOTE_COLUMNS if column != "url")
# Where to ask for them; what of it was frozen.
DATASET_COLUMNS = ("source_url", "access")
# Collections of earlier versions did not freeze these.
_LATER_COLUMNS = frozenset({"license", "labels_unreviewed", "label_words"})
FILE_COLUMNS = ("path", "file_name", "size_bytes", "sha256")
MISSING_COLUMNS = ("dataset", "source_id", "file_path", "sha256", "reason")

HAS_FILE = "file_name <> '' AND NOT is_excluded"
HAS_NO_ADDRESS = f"{IS_ELSEWHERE} AND NOT metadata_json ? 'remote_url'"
IS_EXCLUDED = "is_excluded"

_FIELDS = {"file_name": "file_name", "size_bytes": "size_bytes", "sha256": "sha256",
           "reason": "problem", "url": "metadata_json ->> 'remote_url'",
           "num_files": "source ->> 'instances'",
           "study_uid": "source ->> 'StudyInstanceUID'"}  # fmt: skip
# Of a file that was de-identified on its way into the archive.
_DELIVERED = {"size_bytes": "coalesce(metadata_json -> 'delivered' ->> 'size', size_bytes::text)",
              "sha256": "coalesce(metadata_json -> 'delivered' ->> 'sha256', sha256)"}  # fmt: skip
# PostgreSQL returns at most 1,664 columns. What is in fewer images than these is in one column.
MAX_SOURCE_COLUMNS = 1_000


class FilesReplaced(Exception):
    """The catalog has other files by now for an image that has several."""


def make_tables(collection: Collection, texts: Sequence[TextEntry]) -> list[TextEntry]:
    """metadata.csv; remote.csv, unavailable.csv and missing.csv if they have rows; SHA256SUMS.

    With remote.csv there are the programs that fetch what it lists. ``texts`` are those before the
    images. They must be written first, because SHA256SUMS lists their checksums; its chunks raise
    FilesReplaced.
    """
    prefix = f"{collection.slug}/"
    tables = [TextEntry(prefix + name, chunks) for name, chunks in _wanted_tables(collection)]
    if has_series(collection):
        tables.append(TextEntry(f"{prefix}files.csv", _table_of_files(collection)))
    checksums = _checksums(collection, [*texts, *tables])
    return [*tables, TextEntry(f"{prefix}SHA256SUMS", checksums)]


def has_series(collection: Collection) -> bool:
    """Whether an item may have several files."""
    return bool(collection.options.get(FETCH)) or NUM_FILES in collection.provenance


def _wanted_tables(collection: Collection) -> Iterator[tuple[str, Iterable[bytes]]]:
    source = _source_columns(collection)
    identifying = IDENTIFYING_COLUMNS if collection.provenance.get(IDENTIFYING) else ()
    names = [*METADATA_COLUMNS, *identifying]
    columns = _columns(collection, names)
    if has_series(collection):
        columns = {**columns, "num_files": "coalesce(metadata_json ->> 'num_files', '1')"}
    if deidentifies_on_delivery():
        columns = {**columns, **_DELIVERED, "source_sha256": "sha256"}
    yield "metadata.csv", _table(collection, {**columns, **source}, HAS_FILE)
    files = count_availability(collection)
    if files.elsewhere:
        names_elsewhere = NamesElsewhere(collection)
        columns = {**_columns(collection, [*REMOTE_COLUMNS, *identifying]), **source}
        yield "remote.csv", _table_of_addresses(names_elsewhere, columns)
        yield "fetch.sh", iter_fetch_sh(names_elsewhere)
        yield "fetch.py", [fetch_py()]
    if files.listed:
        columns = {**_columns(collection, UNAVAILABLE_COLUMNS), **_dataset_columns(collection)}
        yield "unavailable.csv", _table(collection, {**columns, **source}, HAS_NO_ADDRESS)
    if collection.num_excluded:
        columns = _columns(collection, MISSING_COLUMNS)
        yield "missing.csv", _table(collection, columns, IS_EXCLUDED)


def count_availability(collection: Collection) -> AvailabilityCounts:
    """The images in the archive by where their files were at the freeze."""
    num_not_here = collection.num_images - collection.num_files
    if not num_not_here:
        return AvailabilityCounts(here=collection.num_files)
    elsewhere = collection.provenance.get(NUM_ELSEWHERE)
    if elsewhere is None:  # frozen before it was counted then
        counts = iter_lines(select_items("count(*)", HAS_ADDRESS), collection=collection)
        elsewhere = sum(map(int, counts))
    return AvailabilityCounts(collection.num_files, elsewhere, num_not_here - elsewhere)


def has_later_columns(collection: Collection) -> bool:
    """Whether the licence of each image and the source's words for labels were frozen."""
    return all("licenses" in dataset for dataset in collection.provenance[DATASETS])


def _columns(collection: Collection, names: Sequence[str]) -> Columns:
    if not has_later_columns(collection):
        names = [name for name in names if name not in _LATER_COLUMNS]
    return {name: _FIELDS.get(name, f"metadata_json ->> '{name}'") for name in names}


def _dataset_columns(collection: Collection) -> Columns:
    """What was frozen of each item's dataset."""
    datasets = collection.provenance[DATASETS]
    columns = {}
    for name in DATASET_COLUMNS:
        if all(name in dataset for dataset in datasets):
            of_dataset = json.dumps({dataset["slug"]: dataset[name] for dataset in datasets})
            columns[name] = f"{_literal(of_dataset)}::jsonb ->> (metadata_json ->> 'dataset')"
    return columns


def _source_columns(collection: Collection) -> Columns:
    """What the sources say besides: ``source.`` and the source's name, in the order of the names.

    What few images have is left to the last column, ``source``, as JSON.
    """
    with connection.cursor() as cursor:
        cursor.execute(queries.SOURCE_NAMES, [collection.pk])
        names = [name for (name,) in cursor.fetchall()]
    own, rest = sorted(names[:MAX_SOURCE_COLUMNS]), names[MAX_SOURCE_COLUMNS:]
    columns = {f"source.{name}": f"source ->> {_literal(name)}" for name in own}
    if rest:
        columns["source"] = f"nullif(source - {_literal(own)}::text[], '{{{{}}}}')"
    return columns


def _literal(value: str | list[str]) -> str:
    """The value in the SQL of ``iter_lines``, where braces are doubled."""
    with connection.cursor() as cursor:
        text: str = cursor.mogrify("%s", [value]).decode()
    return text.replace("{", "{{").replace("}", "}}")


def _table(collection: Collection, columns: Columns, whose: str) -> Iterator[bytes]:
    yield csv_text([columns])
    fields = ", ".join(f"coalesce(({field})::text, '')" for field in columns.values())
    rows = f"{select_items(fields, whose)} ORDER BY position"
    lines = iter_lines(rows, collection=collection, num_columns=len(columns))
    yield from map(lines_to_csv, lines)


def _table_of_addresses(names: NamesElsewhere, columns: Columns) -> Iterator[bytes]:
    """Items that lie elsewhere, each with the name that its file, or its folder, is to get."""
    yield csv_text([("file_name", *columns)])
    yield from map(lines_to_csv, names.iter_rows(columns.values()))


def _table_of_files(collection: Collection) -> Iterator[bytes]:
    """The files of items that have several, each with the item's name in metadata.csv.

    Slices are in their order, what was fetched by name.
    """
    yield csv_text([FILE_COLUMNS])
    rows = (
        f"SELECT file_name, item_name, size_bytes, sha256 FROM ({_many_files()}) files "  # noqa: S608  # nosec
        'WHERE is_one_of_many ORDER BY position, number, file_name COLLATE "C"'
    )
    yield from map(lines_to_csv, iter_lines(rows, collection=collection))


def _many_files() -> str:
    return queries.DELIVERED_FILES if deidentifies_on_delivery() else queries.MANY_FILES


def _checksums(collection: Collection, texts: Sequence[TextEntry]) -> Iterator[bytes]:
    """Lines for ``sha256sum -c``: the texts, then every file."""
    prefix = f"{collection.slug}/"
    for text in texts:
        yield checksum_line(text.sha256, text.name.removeprefix(prefix)).encode()
    sha256 = _DELIVERED["sha256"] if deidentifies_on_delivery() else "sha256"
    is_one_file = f"{HAS_FILE} AND NOT ({queries.HAS_MANY})"
    one_file = select_items(f"{sha256}, file_name, position", is_one_file)
    many = f"SELECT sha256, file_name, position FROM ({_many_files()}) many"  # noqa: S608  # nosec
    rows = (
        f"SELECT sha256, file_name FROM ({one_file} UNION ALL {many}) "  # noqa: S608 - ours  # nosec
        'files (sha256, file_name, position) ORDER BY position, file_name COLLATE "C"'
    )
    for lines in iter_lines(rows, collection=collection):
        if b"\\" in lines:
            raise ValueError("a name in the archive has a backslash or a line break")
        if lines.startswith(b"\t") or b"\n\t" in lines:
            raise FilesReplaced
        yield lines.replace(b"\t", b"  ")
