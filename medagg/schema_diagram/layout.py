"""Where each table stands: columns from the vocabularies to the collections. Pure; in pixels."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from medagg.schema_diagram.tables import Table

TOP = 96
HEADER = 28
CAPTION = 15
ROW = 18
FOOT = 5


@dataclass(frozen=True, slots=True)
class Column:
    """Tables from top to bottom; ``start`` is the free space above the first one."""

    heading: str
    width: int
    names: tuple[str, ...]
    start: int = 0
    gap: int = 38


# The vocabularies stand in the order in which the catalog, from top to bottom, refers to them.
TERMS = ("License", "Tag", "TaskType", "Modality", "AnatomicalArea", "Label")
ALIASES = Column("Aliases", 180, tuple(f"{term}Alias" for term in TERMS))
COLUMNS = (
    ALIASES,
    Column("Vocabularies", 254, (*TERMS, "VocabularyVersion"), start=54, gap=56),
    Column("Catalog", 240, ("Dataset", "ImageProfile", "Image", "ImageLabel")),
    Column("Collections", 256, ("User", "Collection", "CollectionItem")),
)


class NoPlace(Exception):
    """A model is not in the layout, or the layout names one that is gone; says what to do."""


@dataclass(frozen=True, slots=True)
class Box:
    """A table at its height; ``column`` is an index into ``COLUMNS``."""

    table: Table
    column: int
    y: int

    @property
    def header(self) -> int:
        return HEADER + (CAPTION if self.table.links else 0)

    @property
    def height(self) -> int:
        return self.header + ROW * len(self.table.fields) + FOOT

    @property
    def bottom(self) -> int:
        return self.y + self.height

    def row_y(self, row: int) -> int:
        """The middle of a row."""
        return self.y + self.header + ROW * row + ROW // 2


def place_tables(tables: Iterable[Table]) -> dict[str, Box]:
    """A box for each table, by name, column by column; boxes of one column never overlap.

    Raises:
        NoPlace: the tables are not those that ``COLUMNS`` names.
    """
    by_name = {table.name: table for table in tables}
    _check_names(by_name)
    boxes: dict[str, Box] = {}
    for number, column in enumerate(COLUMNS):
        if column is not ALIASES:
            boxes |= _stack(column, number, by_name)
    return {name: _place_beside_term(by_name[name], boxes) for name in ALIASES.names} | boxes


def _check_names(tables: Mapping[str, Table]) -> None:
    placed = {name for column in COLUMNS for name in column.names}
    if wrong := sorted(tables.keys() ^ placed):
        raise NoPlace(
            f"The diagram's layout and the models differ in {', '.join(wrong)}: "
            "name each model once in COLUMNS of medagg/schema_diagram/layout.py."
        )


def _stack(column: Column, number: int, tables: Mapping[str, Table]) -> dict[str, Box]:
    boxes = {}
    y = TOP + column.start
    for name in column.names:
        boxes[name] = Box(tables[name], number, y)
        y = boxes[name].bottom + column.gap
    return boxes


def _place_beside_term(alias: Table, boxes: Mapping[str, Box]) -> Box:
    """At the height at which the line to the term is straight."""
    row, field = next((row, field) for row, field in enumerate(alias.fields) if field.target)
    unplaced = Box(alias, COLUMNS.index(ALIASES), 0)
    return Box(alias, unplaced.column, boxes[field.target].row_y(0) - unplaced.row_y(row))


def find_bottom(boxes: Sequence[Box]) -> int:
    return max(box.bottom for box in boxes)
