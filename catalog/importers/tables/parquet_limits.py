"""How many rows of a Parquet file can be read at a time, however far its pages unfold.

A page of ten kilobytes may unfold to gigabytes, and a cell of a dictionary to one in each row. The
sizes of pages are in their headers (parquet.thrift of the Apache Parquet format), which are read
before anything is unpacked; of dictionaries the longest cell is looked up.
"""

import os
from collections.abc import Iterator
from typing import Any, NamedTuple

import pyarrow as pa  # type: ignore[import-untyped,unused-ignore]
import pyarrow.compute as pc  # type: ignore[import-untyped,unused-ignore]
import pyarrow.parquet as pq  # type: ignore[import-untyped,unused-ignore]

from catalog.importers.rows import SourceError
from catalog.importers.tables.lines import show

BATCH = 4096
# What the largest pages of all columns may unfold to together: they are in memory at a time.
MAX_PAGES_BYTES = 128 << 20
# What the cells of one reading may take.
MAX_BATCH_BYTES = 128 << 20
# The items of lists of a row group, which may all be of one row.
MAX_ITEMS = 5_000_000
_USUAL_PAGE = 1 << 20
# Nearly every header fits into the first; the statistics of a page may need the second.
_USUAL_HEADER, _MOST_HEADER = 4 << 10, 1 << 20
# Of a column in a row group; a page has thousands of values at the least, or is a megabyte.
_MOST_PAGES = 100_000
# A number of 64 bits, by 7 bits a byte.
_MOST_VARINT = 10
_WRITE_AGAIN = (
    "Write the table again as CSV, or as Parquet with row groups of at most 100,000 rows."
)


class _Page(NamedTuple):
    unpacked: int
    values: int


def find_batch_size(file: Any, descriptor: int, path: str, leaves: list[str] | None) -> int:
    """The number of rows to be read at a time; raises `SourceError` if a single one is too large.

    `descriptor` is that of the open file; `leaves` are the paths of what is read, None for all.
    """
    rows, wanted = BATCH, frozenset(leaves or ())
    for number in range(file.metadata.num_row_groups):
        group = file.metadata.row_group(number)
        every = [(each, group.column(each)) for each in range(group.num_columns)]
        read = [pair for pair in every if leaves is None or pair[1].path_in_schema in wanted]
        largest = 0
        for place, column in read:
            pages = list(_iter_pages(descriptor, column))
            most = max((page.unpacked for page in pages), default=0)
            largest += most
            if most > _USUAL_PAGE:
                rows = min(rows, *(p.values for p in pages if p.unpacked > _USUAL_PAGE))
            is_nested = file.schema.column(place).max_repetition_level > 0
            if largest > MAX_PAGES_BYTES or (is_nested and column.num_values > MAX_ITEMS):
                raise _too_large(path, column.path_in_schema)
        columns = [column for _, column in read]
        rows = min(rows, _fit_cells(descriptor, number, columns, path))
    return max(rows, 1)


def _fit_cells(descriptor: int, group: int, columns: list[Any], path: str) -> int:
    """The rows of a group whose cells fit, if each column has its longest cell in all of them."""
    names = [
        each.path_in_schema
        for each in columns
        if each.has_dictionary_page and each.physical_type == "BYTE_ARRAY"
    ]
    if not names:
        return BATCH
    with os.fdopen(os.dup(descriptor), "rb") as raw:
        file = pq.ParquetFile(raw, read_dictionary=names)
        paths = [each.path_in_schema for each in columns]
        batches = file.iter_batches(batch_size=1, row_groups=[group], columns=paths)
        batch = next(batches, None)
    longest = sum(map(_find_longest, batch.columns)) if batch else 0
    items = max((each.num_values for each in columns if "." in each.path_in_schema), default=0)
    if items * longest > 4 * MAX_BATCH_BYTES:
        raise _too_large(path, ", ".join(name for name in names if "." in name))
    return MAX_BATCH_BYTES // longest if longest else BATCH


def _find_longest(column: Any) -> int:
    """The bytes of the longest cell of all dictionaries in the column."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return pc.max(pc.binary_length(column.dictionary)).as_py() or 0
    if pa.types.is_struct(kind):
        return sum(_find_longest(column.field(each)) for each in range(kind.num_fields))
    if pa.types.is_map(kind):
        return _find_longest(column.keys) + _find_longest(column.items)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return _find_longest(column.values)
    return 0


def _too_large(path: str, column: str) -> SourceError:
    return SourceError(
        f"{path}: the column {show(column)} unfolds to more than fits into memory at a time. "
        f"{_WRITE_AGAIN}"
    )


# --- Headers of pages, in Thrift's compact protocol ---
def _iter_pages(descriptor: int, column: Any) -> Iterator[_Page]:
    place = column.dictionary_page_offset or column.data_page_offset
    place = min(place, column.data_page_offset)
    end = place + column.total_compressed_size
    for _ in range(_MOST_PAGES):
        if place >= end:
            return
        header, found = _read_header(descriptor, place, max(end - place, 64))
        data = found.get(5) or found.get(8) or found.get(7) or {}
        yield _Page(found.get(2, 0), data.get(1, 0))
        place += header.place + max(found.get(3, 0), 1)
    raise ValueError(f"a column has more than {_MOST_PAGES:,} pages in a row group")


def _read_header(descriptor: int, place: int, left: int) -> "tuple[_Header, dict[int, Any]]":
    """The header at ``place``, read as far as is needed."""
    try:
        header = _Header(os.pread(descriptor, min(_USUAL_HEADER, left), place))
        return header, header.read_struct()
    except IndexError:
        header = _Header(os.pread(descriptor, min(_MOST_HEADER, left), place))
        return header, header.read_struct()


class _Header:
    """The bytes of a page's header; fields are numbers and structs by their ids."""

    def __init__(self, content: bytes) -> None:
        self.place = 0
        self._content = content

    def read_struct(self) -> dict[int, Any]:
        found: dict[int, Any] = {}
        field = 0
        while kind := self._content[self.place]:
            self.place += 1
            field = field + (kind >> 4) if kind >> 4 else self._read_number()
            found[field] = self._read_value(kind & 15)
        self.place += 1
        return found

    def _read_value(self, kind: int) -> Any:
        if kind in (1, 2):  # true, false
            return kind == 1
        if kind == 3:
            self.place += 1
        elif kind in (4, 5, 6):
            return self._read_number()
        elif kind == 7:
            self.place += 8
        elif kind == 8:
            size = self._read_varint()
            self.place += size
        elif kind == 12:
            return self.read_struct()
        else:
            raise ValueError(f"a page's header has the type {kind}")
        return None

    def _read_number(self) -> int:
        number = self._read_varint()
        return (number >> 1) ^ -(number & 1)

    def _read_varint(self) -> int:
        number = shift = 0
        while True:
            byte = self._content[self.place]
            self.place += 1
            number |= (byte & 127) << shift
            if byte < 128:
                return number
            shift += 7
            if shift >= 7 * _MOST_VARINT:
                raise ValueError("a page's header has a number without an end")
