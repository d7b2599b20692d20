"""How the lines run: in the channels between the columns, each in a lane of its own. Pure.

All relations of one kind that lead to one table share a trunk, as in a circuit diagram.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from medagg.schema_diagram.layout import Box, NoPlace
from medagg.schema_diagram.tables import Field, Kind


@dataclass(frozen=True, slots=True)
class End:
    """Where a line meets a box: ``on_left`` of the channel, that is at the box's right side."""

    y: int
    on_left: bool
    label: str


@dataclass(frozen=True, slots=True)
class Branch:
    """The part of a trunk that belongs to one relation; ``words`` says it in full."""

    end: End
    words: str


@dataclass(frozen=True, slots=True)
class Trunk:
    """All relations of one kind to one table. ``channel`` is the column that it runs right of."""

    channel: int
    target: str
    is_many: bool
    head: End
    branches: tuple[Branch, ...]

    @property
    def ends(self) -> list[End]:
        return [self.head, *(branch.end for branch in self.branches)]

    @property
    def top(self) -> int:
        return min(end.y for end in self.ends)

    @property
    def bottom(self) -> int:
        return max(end.y for end in self.ends)

    @property
    def is_straight(self) -> bool:
        return self.top == self.bottom


def find_trunks(boxes: Mapping[str, Box]) -> list[Trunk]:
    """Every relation between the boxes, bundled by channel, target and kind."""
    bundles: dict[tuple[int, str, bool], list[tuple[Box, Field]]] = {}
    for box in boxes.values():
        for field in box.table.fields:
            if field.has_line:
                channel = _find_channel(box, field, boxes[field.target])
                key = channel, field.target, field.kind is Kind.MANY
                bundles.setdefault(key, []).append((box, field))
    return [_bundle(*key, boxes[key[1]], relations) for key, relations in bundles.items()]


def _find_channel(box: Box, field: Field, target: Box) -> int:
    """Between neighbours; beside the column for two tables of the same one."""
    if abs(box.column - target.column) > 1:
        raise NoPlace(
            f"{box.table.name}.{field.name} leads past a whole column: place the tables in "
            "neighbouring columns of COLUMNS in medagg/schema_diagram/layout.py."
        )
    return min(box.column, target.column)


def _bundle(
    channel: int, name: str, is_many: bool, target: Box, relations: Sequence[tuple[Box, Field]]
) -> Trunk:
    # Foreign keys lead to the primary key; many-to-many relations to the table as a whole.
    y = target.y + target.header // 2 if is_many else target.row_y(0)
    head = End(y, target.column == channel, "N" if is_many else "1")
    branches = tuple(
        Branch(
            End(box.row_y(box.table.find_row(field.name)), box.column == channel, _many_end(field)),
            f"{box.table.name}.{field.name}: {_many_end(field)} to {head.label} {name}",
        )
        for box, field in relations
    )
    return Trunk(channel, name, is_many, head, branches)


def _many_end(field: Field) -> str:
    if field.kind is Kind.MANY:
        return "M"
    return "1" if "U" in field.uniques else "N"


def order_lanes(trunks: Sequence[Trunk]) -> list[Trunk]:
    """The bent trunks of one channel from left to right, with few crossings.

    Each trunk goes where it crosses least of those that already stand, the longest first.
    """
    lanes: list[Trunk] = []
    bent = [trunk for trunk in trunks if not trunk.is_straight]
    for trunk in sorted(bent, key=lambda each: (each.top - each.bottom, each.target)):
        candidates = [[*lanes[:at], trunk, *lanes[at:]] for at in range(len(lanes) + 1)]
        lanes = min(candidates, key=count_crossings)
    return lanes


def count_crossings(lanes: Sequence[Trunk]) -> int:
    """How often lines cross when the trunks stand in this order from left to right."""
    return sum(
        _crossings(left, right)
        for number, left in enumerate(lanes)
        for right in lanes[number + 1 :]
    )


def _crossings(left: Trunk, right: Trunk) -> int:
    through_left = [end for end in right.ends if end.on_left and left.top <= end.y <= left.bottom]
    through_right = [
        end for end in left.ends if not end.on_left and right.top <= end.y <= right.bottom
    ]
    return len(through_left) + len(through_right)
