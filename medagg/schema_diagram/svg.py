"""The picture itself: the same tables always give the same bytes. Pure; in pixels."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from medagg.schema_diagram.layout import (
    CAPTION,
    COLUMNS,
    HEADER,
    ROW,
    TOP,
    Box,
    find_bottom,
    place_tables,
)
from medagg.schema_diagram.style import STYLE
from medagg.schema_diagram.tables import Field, Kind, Table
from medagg.schema_diagram.wiring import End, Trunk, find_trunks, order_lanes

MARGIN = 28
STUB = 32  # from a box to the nearest lane; holds the ends of the lines and their letters
LANE = 14
STRAIGHT = 60  # the width of a channel without lanes
CORNER = 6
NAME_X = 40  # right of the marks, of which "M–N" is the broadest
FOOT_LENGTH = 10
LEGEND = (
    ("PK", "primary key"),
    ("FK", "foreign key: a solid line to its table"),
    ("M–N", "many to many: a dashed line, or a table between"),
    ("U", "unique; U1, U2: unique as a combination"),
    ("?", "after a type: may be NULL"),
)
LEGEND_ROW = 20
TITLE = "medagg: the database schema"
SUBTITLE = "Drawn from the Django models by manage.py draw_schema; docs/db-schema.md explains it."


@dataclass(frozen=True, slots=True)
class Channel:
    """The space right of a column; its lanes in order. ``left`` and ``right`` are its borders."""

    left: int
    right: int
    lanes: tuple[Trunk, ...]

    def lane_x(self, trunk: Trunk) -> int:
        if trunk not in self.lanes:
            return self.left
        return self.left + STUB + LANE * self.lanes.index(trunk)

    def border_x(self, end: End) -> int:
        return self.left if end.on_left else self.right


def draw_schema(tables: Iterable[Table]) -> str:
    """An SVG document of the tables, their fields and relations; for light and dark pages.

    Raises:
        NoPlace: ``tables`` are not those of the hand-made layout; the message says what to do.
    """
    boxes = place_tables(tables)
    trunks = find_trunks(boxes)
    channels = list(_measure_channels(trunks))
    legend_y = find_bottom([box for box in boxes.values() if box.column == len(COLUMNS) - 1]) + 44
    width = channels[-1].right + MARGIN
    height = max(find_bottom(list(boxes.values())), legend_y + _legend_height()) + MARGIN
    body = [
        *_draw_head(width, height),
        *_draw_headings(channels),
        *(line for trunk in trunks for line in _draw_trunk(trunk, channels[trunk.channel])),
        *(line for box in boxes.values() for line in _draw_box(box, _box_x(box, channels))),
        *_draw_legend(_column_x(len(COLUMNS) - 1, channels), legend_y),
        "</svg>",
    ]
    return "\n".join(body) + "\n"


# --- Measures ---
def _measure_channels(trunks: Sequence[Trunk]) -> Iterator[Channel]:
    x = MARGIN
    for number, column in enumerate(COLUMNS):
        lanes = order_lanes([trunk for trunk in trunks if trunk.channel == number])
        left = x + column.width
        x = left + (2 * STUB + LANE * (len(lanes) - 1) if lanes else STRAIGHT)
        yield Channel(left, x, tuple(lanes))


def _column_x(number: int, channels: Sequence[Channel]) -> int:
    return channels[number].left - COLUMNS[number].width


def _box_x(box: Box, channels: Sequence[Channel]) -> int:
    return _column_x(box.column, channels)


def _legend_height() -> int:
    return HEADER + LEGEND_ROW * len(LEGEND)


# --- Words ---
def _text(x: int, y: int, words: str, classes: str = "") -> str:
    mark = f' class="{classes}"' if classes else ""
    return f'<text x="{x}" y="{y}"{mark}>{escape(words)}</text>'


def _draw_head(width: int, height: int) -> list[str]:
    return [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" role="img" aria-labelledby="title about">',
        f'<title id="title">{TITLE}</title>',
        f'<desc id="about">{SUBTITLE}</desc>',
        f"<style>{STYLE}</style>",
        f'<rect class="page" width="{width}" height="{height}"/>',
        _text(MARGIN, 36, TITLE, "title"),
        _text(MARGIN, 56, SUBTITLE, "quiet"),
    ]


def _draw_headings(channels: Sequence[Channel]) -> list[str]:
    return [
        _text(_column_x(number, channels), TOP - 12, column.heading, "heading")
        for number, column in enumerate(COLUMNS)
    ]


def _draw_legend(x: int, y: int) -> list[str]:
    lines = [_text(x, y, "Marks", "heading")]
    for number, (mark, meaning) in enumerate(LEGEND, start=1):
        lines.append(_text(x, y + LEGEND_ROW * number, mark, "mark"))
        lines.append(_text(x + NAME_X, y + LEGEND_ROW * number, meaning, "quiet"))
    return lines


# --- Boxes ---
def _draw_box(box: Box, x: int) -> list[str]:
    width, table = COLUMNS[box.column].width, box.table
    lines = [
        f'<g class="{table.app}" id="{table.name}">',
        f'<rect class="box" x="{x}" y="{box.y}" width="{width}" height="{box.height}" rx="6"/>',
        f'<path class="cap" d="M{x} {box.y + box.header}v{6 - box.header}a6 6 0 0 1 6 -6'
        f'h{width - 12}a6 6 0 0 1 6 6v{box.header - 6}z"/>',
        _text(x + 10, box.y + 19, table.name, "name"),
    ]
    if table.links:
        lines.append(_text(x + 10, box.y + 19 + CAPTION, f"makes {table.links}", "links"))
    for row, field in enumerate(table.fields):
        if row % 2:
            lines.append(
                f'<rect class="stripe" x="{x + 1}" y="{box.row_y(row) - ROW // 2}" '
                f'width="{width - 2}" height="{ROW}"/>'
            )
        lines += _draw_field(field, x, width, box.row_y(row) + 4)
    return [*lines, "</g>"]


def _draw_field(field: Field, x: int, width: int, y: int) -> list[str]:
    marks = " ".join(field.uniques)
    unique = f'<tspan class="mark" dx="6">{marks}</tspan>' if marks else ""
    lines = [f'<text x="{x + NAME_X}" y="{y}">{escape(field.name)}{unique}</text>']
    if field.kind is not Kind.PLAIN:
        lines.insert(0, _text(x + 10, y, field.kind, "mark"))
    words = field.target if field.kind is Kind.MANY else field.words
    lines.append(_text(x + width - 10, y, words, "type"))
    return lines


# --- Lines ---
def _draw_trunk(trunk: Trunk, channel: Channel) -> list[str]:
    """Its branches one over the other, on a broad line that parts them from what they cross."""
    lane = channel.lane_x(trunk)
    paths = [_path(branch.end, trunk.head, channel, lane) for branch in trunk.branches]
    joints = {end.y for end in trunk.ends if trunk.top < end.y < trunk.bottom}
    lines = [f'<g class="{"many" if trunk.is_many else "wire"}">']
    lines += [f'<path class="halo" d="{path}"/>' for path in paths]
    for branch, path in zip(trunk.branches, paths, strict=True):
        lines.append(f'<path d="{path}"><title>{escape(branch.words)}</title></path>')
    lines += [f'<circle class="joint" cx="{lane}" cy="{y}" r="3"/>' for y in sorted(joints)]
    for end in trunk.ends:
        lines += _draw_end(end, channel.border_x(end))
    return [*lines, "</g>"]


def _path(start: End, head: End, channel: Channel, lane: int) -> str:
    """From a field along its row, up or down the lane, and along to the head."""
    first, last = channel.border_x(start), channel.border_x(head)
    if start.y == head.y:
        return f"M{first} {start.y}H{last}"
    down = 1 if head.y > start.y else -1
    into = 1 if lane > first else -1
    onward = 1 if last > lane else -1
    return (
        f"M{first} {start.y}H{lane - CORNER * into}"
        f"Q{lane} {start.y} {lane} {start.y + CORNER * down}"
        f"V{head.y - CORNER * down}"
        f"Q{lane} {head.y} {lane + CORNER * onward} {head.y}H{last}"
    )


def _draw_end(end: End, x: int) -> list[str]:
    """A crow's foot for many, a bar for one, and the letter above."""
    out = 1 if end.on_left else -1
    tip = x + FOOT_LENGTH * out
    if end.label == "1":
        shape = f"M{x + 6 * out} {end.y - 5}V{end.y + 5}"
    else:
        shape = f"M{x} {end.y - 5}L{tip} {end.y}L{x} {end.y + 5}"
    anchor = "start" if end.on_left else "end"
    letter = f'<text class="end" x="{tip + 3 * out}" y="{end.y - 4}" text-anchor="{anchor}">'
    return [f'<path class="foot" d="{shape}"/>', f"{letter}{end.label}</text>"]
