"""Finds tables by their names, and joins rows with those of a second table."""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from catalog.importers.options import NO_LISTENERS
from catalog.importers.rows import BadRow, SourceError
from catalog.importers.tables.lines import show
from catalog.importers.tables.patterns import find_files
from catalog.importers.tables.reading import Table, TableRow
from catalog.importers.tables.specs import JoinSpec, TableSpec
from catalog.importers.tables.templates import Cells, Getter, Header, NoColumn, compile_id, of_key

# Of a joined table, which is in memory: its characters, and what Python needs beside them.
MAX_JOINED_BYTES = 512 << 20
SHOWN_KEYS = 5
_BYTES_OF_A_CELL = 60


def find_tables(home: Path, spec: TableSpec) -> list[Table]:
    """The tables below `home` that the first matching pattern finds, sorted by name.

    Raises `SourceError` when there is none, unless it is optional.
    """
    for pattern in spec.path:
        if paths := _find_paths(home, pattern):
            return [Table(home, path, spec) for path in paths]
    if spec.optional:
        return []
    names = " or ".join(spec.path)
    raise SourceError(
        f"There is no {names} in {home}. Put the table there, or correct its path in the "
        "description."
    )


def _find_paths(home: Path, pattern: str) -> list[str]:
    """Raises `SourceError` for an invalid pattern, and for folders that cannot be read."""
    try:
        if (home / pattern).is_file():
            return [pattern]
        return find_files(home, pattern)
    except ValueError as error:
        raise SourceError(
            f"“{pattern}” is not a pattern for a table's path ({error}). Write * for a part of a "
            "name, and ** once, between slashes: **/*.csv."
        ) from error
    except OSError as error:
        raise SourceError(
            f"“{pattern}” cannot be looked up in {home}: {error.strerror or error}. Correct the "
            "table's path in the description."
        ) from error


class Join:
    """A second table, in memory by key; of rows with the same key the first one counts.

    `contradicting` are the keys of further rows that say something else, with their numbers. Of the
    `sought` rows with a key, `unmatched` have none here, and `unmatched_keys` are the first ones.

    Raises `SourceError` when its file is missing, unless it is optional.
    """

    def __init__(self, home: Path, spec: JoinSpec) -> None:
        self.spec = spec
        self._tables = find_tables(home, spec)
        self.header = self._tables[0].header if self._tables else ()
        self._rows: dict[str, Cells] = {}
        self.contradicting: Counter[str] = Counter()
        self._forget_matches()
        for table in self._tables:
            if table.header != self.header:
                raise SourceError(f"{table.path} has other columns than {self._tables[0].path}.")
            _make_get_key(table, spec)

    @property
    def name(self) -> str:
        return ", ".join(table.path for table in self._tables)

    @property
    def paths(self) -> list[Path]:
        return [table.place for table in self._tables]

    @property
    def columns_of_files(self) -> frozenset[str]:
        return frozenset().union(*(table.columns_of_files for table in self._tables))

    @property
    def is_there(self) -> bool:
        return bool(self._tables)

    def load(
        self, check_stopped: Callable[[], None] = NO_LISTENERS.check_stopped
    ) -> Iterator[tuple[str, BadRow]]:
        """Load the table; yields the rows that cannot be read, each with its table's path."""
        self._rows.clear()
        self.contradicting.clear()
        self._forget_matches()
        left = MAX_JOINED_BYTES
        for table in self._tables:
            get_key = _make_get_key(table, self.spec)
            for row in table.rows():
                check_stopped()
                if isinstance(row, BadRow):
                    yield table.path, row
                elif not (key := get_key(row.cells)):
                    continue
                elif (known := self._rows.get(key)) is None:
                    self._rows[key] = row.cells
                    left -= sum(map(len, row.cells)) + _BYTES_OF_A_CELL * (len(row.cells) + 2)
                    if left < 0:
                        raise self._too_large(table)
                elif known != row.cells:
                    self.contradicting[key] += 1

    def _too_large(self, table: Table) -> SourceError:
        return SourceError(
            f"{table.path} is too large to be joined: it takes more than {MAX_JOINED_BYTES:,} "
            "bytes of memory. Leave out columns that are not needed, or name it as [[table]] and "
            "join the smaller one to it."
        )

    def find(self, key: str) -> Cells:
        """The row of a key; empty cells if there is none."""
        row = self._rows.get(key)
        self.sought += bool(key)
        if row is None and key:
            self.unmatched += 1
            if len(self.unmatched_keys) < SHOWN_KEYS and key not in self.unmatched_keys:
                self.unmatched_keys.append(key)
        return row or [""] * len(self.header)

    def _forget_matches(self) -> None:
        self.sought = self.unmatched = 0
        self.unmatched_keys: list[str] = []


def _make_get_key(table: Table, spec: JoinSpec) -> Getter:
    index = {name: place for place, name in enumerate(table.header) if name}
    try:
        return compile_id(spec.key, Header(table.path, index))
    except NoColumn as error:
        raise NoColumn(f"[[join]] key: {error}") from error


class WideTable:
    """A table whose rows are extended by those of the joined tables.

    Raises `SourceError` if a joined column, other than its key, has the name of another column. The
    columns of a missing optional table are empty.
    """

    def __init__(self, table: Table, joins: list[Join]) -> None:
        self.path, self.place = table.path, table.place
        self._table = table
        self._joins = [join for join in joins if join.is_there]
        is_open = len(self._joins) < len(joins)
        index = {name: place for place, name in enumerate(table.header) if name}
        width = len(table.header)
        for join in self._joins:
            keys = {template.whole for template in join.spec.key}
            for place, name in enumerate(join.header, start=width):
                if name in index and name not in keys:
                    raise SourceError(
                        f"{table.path} and the table joined to it both have a column "
                        f"“{show(name)}”. Name the joined table's columns anew: header = […] with "
                        "skip = 1."
                    )
                if name:
                    index.setdefault(name, place)
            width += len(join.header)
        self.header = Header(table.path, index, is_open)
        with of_key(self.header, "[[join]]", "to"):
            self._get_keys = [compile_id(join.spec.to, self.header) for join in self._joins]

    @property
    def num_rows(self) -> int | None:
        return self._table.num_rows

    @property
    def columns_of_files(self) -> frozenset[str]:
        """The columns, also of joined tables, of which bytes of files were left out."""
        return self._table.columns_of_files.union(*(each.columns_of_files for each in self._joins))

    def rows(self) -> Iterator[TableRow | BadRow]:
        rows = self._table.rows()
        return map(self._extend, rows) if self._joins else rows

    def _extend(self, row: TableRow | BadRow) -> TableRow | BadRow:
        if isinstance(row, BadRow):
            return row
        cells = row.cells
        for join, get_key in zip(self._joins, self._get_keys, strict=True):
            cells = cells + join.find(get_key(cells))
        return TableRow(row.line, cells)
