"""The source that a `dataset.toml` describes: images from the rows of tables."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from django.conf import settings

from catalog.importers.dataset_entries import SHIPPED_DATASETS, read_datasets
from catalog.importers.options import NO_LISTENERS
from catalog.importers.refused_files import FILE_PROBLEMS, REJECTS
from catalog.importers.rows import BadRow, ImageRow, SourceError
from catalog.importers.tables.columns import add_samples, explain_bytes, explain_cut
from catalog.importers.tables.description import read_description
from catalog.importers.tables.files import FileFinder, StoredNames
from catalog.importers.tables.join import Join, WideTable, find_tables
from catalog.importers.tables.lines import show
from catalog.importers.tables.many import Piece, join_rows
from catalog.importers.tables.mapping import RowReader
from catalog.importers.tables.metadata import Gatherer
from catalog.importers.tables.specs import Description
from catalog.importers.tables.templates import NoColumn

_SAMPLED_ROWS = 1_000
SHIPPED_TABLES = Path(__file__).parents[2] / "data" / "tables"


def open_dataset_toml(
    path: Path, *, tables: Path | None = None, files: Path | None = None
) -> "TableSource":
    """The source that the file `path` describes, with its tables found and their columns checked.

    `tables` is the folder of the tables if it is not that of `path`; `files` is the folder of the
    images' files, instead of that in the description. Raises `SourceError`, as `rows` does later.
    """
    description = read_description(path)
    folder = files or description.files.folder
    if folder and not files and not _is_below(folder, path.parent):
        # A stranger's description could give out the files of other datasets.
        raise SourceError(
            f"{path.name}, [files] folder: {folder} is not below the folder of the description. If "
            f"it is the right one, name it yourself: --files {folder}"
        )
    if folder is not None and not folder.is_dir():
        raise SourceError(
            f"The folder {folder} does not exist. Put the files there, name another one, or remove "
            "folder from [files] to catalog only the table."
        )
    try:
        source = TableSource(description, tables or path.parent, folder)
    except NoColumn as error:
        lines = [f"{path.name}, {line}" for line in str(error).splitlines()]
        raise NoColumn("\n".join(lines)) from error
    source.own_paths += [path, *(path.with_name(name) for name in (REJECTS, FILE_PROBLEMS))]
    if path.parent != SHIPPED_TABLES:
        source.entry = {**source.entry, "imported_from": _name_place(path)}
    return source


def _is_below(folder: Path, home: Path) -> bool:
    return Path(os.path.realpath(folder)).is_relative_to(os.path.realpath(home))


@dataclass(slots=True)
class _Compiled:
    table: WideTable
    reader: RowReader
    gatherer: Gatherer


class TableSource:
    """One dataset from its tables; images come in the order of their first rows.

    Memory grows only with joined tables, with files (some hundred bytes each), and with several
    rows for an image that are not adjacent: then all images (2 KB each, and at most 500 MB of
    texts) are in memory until the end. `files` knows afterwards which ones are missing, and which
    ones no row names.
    """

    def __init__(self, description: Description, home: Path, folder: Path | None) -> None:
        self.entry: Mapping[str, Any] = _complete(description.entry, folder)
        self._description = description
        self.joins = [Join(home, spec) for spec in description.join]
        self.files = FileFinder(folder, description.files) if folder else None
        stored = StoredNames(description.files) if self.entry.get("storage") else None
        self._names = self.files or stored
        self._tables = [
            self._compile(WideTable(table, self.joins))
            for spec in description.table
            for table in find_tables(home, spec)
        ]
        if not self._tables:
            raise SourceError(f"None of the tables that the description names is in {home}.")
        self.own_paths = [each.table.place for each in self._tables]
        self.own_paths += [path for join in self.joins for path in join.paths]
        self.num_rows = self._count_rows()
        self.listeners = NO_LISTENERS
        # Columns that were left out, as they may identify people.
        self.excluded_columns = [
            name for each in self._tables for name in each.reader.excluded_columns
        ]
        masks = dict.fromkeys(name for each in self._tables for name in each.reader.mask_columns)
        self._notes = [_explain_masks([*masks])] if masks and self.files else []

    @property
    def notes(self) -> list[str]:
        """Sentences for the report, on the rows that were read."""
        cut = sorted(
            {
                name
                for each in self._tables
                for name in each.reader.cut_columns | each.gatherer.cut_columns
            }
        )
        of_files = frozenset().union(*(each.table.columns_of_files for each in self._tables))
        said = [explain_bytes(sorted(of_files))] if of_files else []
        return [*self._notes, *said, *([explain_cut(cut)] if cut else [])]

    def rows(self) -> Iterator[ImageRow | BadRow]:
        """Raises `SourceError` for a table that turns out to be damaged, or unclear at its end."""
        yield from self._rows()
        for compiled in self._tables:
            compiled.reader.check_meanings()

    def _rows(self) -> Iterator[ImageRow | BadRow]:
        if self.files:
            self.files.reset(self.listeners.check_stopped)
        for join in self.joins:
            for path, row in join.load(self.listeners.check_stopped):
                yield self._name_table(row, path)
        many = self._description.many
        if many is None:
            for compiled in self._tables:
                yield from self._read_single(compiled)
        elif many.adjacent:
            for compiled in self._tables:
                yield from join_rows(self._read_many(compiled), many.gather, adjacent=True)
        else:
            every = (pair for compiled in self._tables for pair in self._read_many(compiled))
            yield from join_rows(every, many.gather, adjacent=False)

    def describe_columns(self) -> Iterator[tuple[str, dict[str, str]]]:
        """For each table what becomes of its columns, with a value of those that are kept.

        Called after `rows`, when joined tables are in memory. Raises `SourceError`.
        """
        many = self._description.many
        for each in self._tables:
            rows = (row.cells for row in islice(each.table.rows(), _SAMPLED_ROWS)
                    if not isinstance(row, BadRow))  # fmt: skip
            yield (
                each.table.path,
                add_samples(
                    each.reader.fates,
                    each.table.header,
                    rows,
                    keep=self._description.metadata.keep,
                    gathered=many.columns if many else (),
                ),
            )

    def _compile(self, table: WideTable) -> _Compiled:
        return _Compiled(
            table,
            RowReader(self._description, table.header, self._names),
            Gatherer(self._description, table.header),
        )

    def _count_rows(self) -> int | None:
        counts = [compiled.table.num_rows for compiled in self._tables]
        if self._description.many or None in counts:
            return None
        return sum(count or 0 for count in counts)

    def _read_single(self, compiled: _Compiled) -> Iterator[ImageRow | BadRow]:
        read, check_stopped = compiled.reader.read, self.listeners.check_stopped
        for row in compiled.table.rows():
            check_stopped()
            image = row if isinstance(row, BadRow) else read(*row)
            if isinstance(image, BadRow):
                yield self._name_table(image, compiled.table.path)
            elif image:
                yield image

    def _read_many(self, compiled: _Compiled) -> Iterator[Piece]:
        for row in compiled.table.rows():
            self.listeners.check_stopped()
            if isinstance(row, BadRow):
                yield self._name_table(row, compiled.table.path), {}
                continue
            image = compiled.reader.read(*row)
            if isinstance(image, BadRow):
                yield self._name_table(image, compiled.table.path), {}
            elif image:
                yield image, compiled.gatherer.read(row.cells)

    def _name_table(self, row: BadRow, path: str) -> BadRow:
        """Add the table's path to the reason if there are several tables."""
        is_clear = len(self._tables) == 1 and not self.joins
        return row if is_clear else replace(row, reason=f"{path}: {row.reason}")


def _complete(entry: Mapping[str, Any], folder: Path | None) -> dict[str, Any]:
    """The entry, completed from the shipped one of the same slug, with the folder of its files."""
    shipped = {each["slug"]: each for each in read_datasets(SHIPPED_DATASETS)}
    complete = {**shipped.get(entry["slug"], {}), **entry}
    if folder is not None:
        complete["local_path"] = _name_place(folder)
    return complete


def _name_place(path: Path) -> str:
    """The path, relative if it is in the first of the dataset folders."""
    place, home = path.resolve(), Path(settings.DATASET_ROOTS[0])
    return str(place.relative_to(home) if place.is_relative_to(home) else place)


def _explain_masks(columns: list[str]) -> str:
    named = ", ".join(map(show, columns))
    return (
        f"columns about masks or segmentations are kept as metadata of their image: {named}; files "
        "that they name are not imported as images"
    )
