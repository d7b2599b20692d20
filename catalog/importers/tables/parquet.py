"""Reads Parquet as rows of text.

Files within cells, as Hugging Face has images (`image: struct<bytes, path>`), are not read.
"""

from collections.abc import Iterator
from itertools import repeat
from typing import Any, NamedTuple, cast

import pyarrow as pa  # type: ignore[import-untyped,unused-ignore]
import pyarrow.compute as pc  # type: ignore[import-untyped,unused-ignore]

from catalog.importers.rows import BadRow
from catalog.importers.tables.delimited import MAX_CELL
from catalog.importers.tables.json_lines import check_texts, write_text
from catalog.importers.tables.lines import MAX_LINE, TableRow

# Of rows that take more together, each is looked at before it is made text.
_USUAL_BYTES = 64 << 20
# Above it not every whole number is a float.
_MOST_WHOLE = float(1 << 53)


class Leaves(NamedTuple):
    """The paths of what is read of a file, None for all; of `left_out` bytes were not kept."""

    paths: list[str] | None
    left_out: set[str]


def find_leaves(file: Any) -> Leaves:
    """What is no file: within structs and lists, bytes that are not said to be text are."""
    plain = {field.name for field in file.schema_arrow if not pa.types.is_nested(field.type)}
    leaves = [file.schema.column(place) for place in range(len(file.schema))]
    files = {leaf.path for leaf in leaves if leaf.path not in plain and _is_of_files(leaf)}
    if not files:
        return Leaves(None, set())
    nested = set(file.schema_arrow.names) - plain
    left_out = {name for name in nested if any(path.startswith(f"{name}.") for path in files)}
    paths = [leaf.path for leaf in leaves if leaf.path not in files]
    return Leaves(paths, left_out)


def _is_of_files(leaf: Any) -> bool:
    """Of maps both keys and values are read."""
    is_bytes = leaf.physical_type == "BYTE_ARRAY" and leaf.logical_type.type == "NONE"
    is_text = leaf.converted_type != "NONE"
    return is_bytes and not is_text and "key_value" not in leaf.path.split(".")


def find_whole_columns(file: Any, batch_size: int) -> frozenset[str]:
    """The columns of floats that hold only whole numbers.

    pandas makes floats of a column of whole numbers as soon as one is missing, so an id 7 would be
    read as 7.0, which no other table and no file name has.
    """
    schema = file.schema_arrow
    floats = [field.name for field in schema if pa.types.is_floating(field.type)]
    whole = {name for name in floats if schema.names.count(name) == 1}
    for batch in file.iter_batches(batch_size, columns=sorted(whole)) if whole else ():
        whole -= {name for name in whole if not _is_whole(batch.column(name))}
    return frozenset(whole)


def _is_whole(column: Any) -> bool:
    values = column.cast(pa.float64()).drop_null()
    values = values.filter(pc.invert(pc.is_nan(values)))
    is_whole = pc.and_(
        pc.equal(pc.floor(values), values), pc.less_equal(pc.abs(values), _MOST_WHOLE)
    )
    return bool(pc.all(is_whole, min_count=0).as_py())


def iter_parquet(
    file: Any, whole: frozenset[str], batch_size: int, leaves: Leaves
) -> Iterator[TableRow | BadRow]:
    """The rows of a file; whole numbers of the columns `whole` are written without a fraction."""
    line, names = 0, file.schema_arrow.names
    for batch in file.iter_batches(batch_size, columns=leaves.paths):
        is_usual = batch.nbytes <= _USUAL_BYTES
        for part in (batch,) if is_usual else map(batch.slice, range(len(batch)), repeat(1)):
            if not is_usual and part.nbytes > MAX_LINE:
                line += 1
                yield _reject(line, f"takes {part.nbytes / 1e6:,.0f} MB")
                continue
            may_be_long = part.nbytes > MAX_CELL
            for cells in zip(*_write_columns(part, names, whole, leaves.left_out), strict=True):
                line += 1
                if may_be_long and (size := _measure(cells)):
                    yield _reject(line, f"has {size:,} characters")
                else:
                    yield check_texts(line, list(cells))


def _measure(cells: tuple[str, ...]) -> int:
    """The characters of a row that is too long; 0 if it is not."""
    size = sum(map(len, cells))
    return size if size > MAX_LINE or max(map(len, cells)) > MAX_CELL else 0


def _reject(line: int, what: str) -> BadRow:
    return BadRow(
        line, "", "", f"The row {what}. A cell has at most {MAX_CELL:,} characters: remove its text"
        " from the table, or name a file instead.",
    )  # fmt: skip


def _write_columns(
    batch: Any, names: list[str], whole: frozenset[str], left_out: set[str]
) -> Iterator[list[str]]:
    read, columns = set(batch.schema.names), iter(batch.columns)
    for name in names:
        column = next(columns) if name in read else None
        if column is None:
            yield [""] * len(batch)
        elif name in whole:
            yield _write_whole(column)
        else:
            values = _read_column(column)
            texts = [write_text(value, name) for value in values]
            if any(isinstance(each, bytes) and each and not text
                   for each, text in zip(values, texts, strict=True)):  # fmt: skip
                left_out.add(name)
            yield texts


def _write_whole(column: Any) -> list[str]:
    values = column.to_pylist()
    # NaN is the only number that is not itself.
    return ["" if each is None or each != each else str(int(each)) for each in values]


def _read_column(column: Any) -> list[Any]:
    try:
        return cast("list[Any]", column.to_pylist())
    except (ValueError, OverflowError):
        # Python has no nanoseconds and no years after 9999; Arrow can write both as text.
        return cast("list[Any]", column.cast(pa.string()).to_pylist())
