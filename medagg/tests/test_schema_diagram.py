"""The picture of the schema: complete, without overlaps, the same bytes each time."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations
from xml.etree import ElementTree as ET

import pytest

from medagg.schema_diagram import Field, Kind, NoPlace, Table, draw_schema
from medagg.schema_diagram.layout import COLUMNS, Box, place_tables
from medagg.schema_diagram.reading import read_tables
from medagg.schema_diagram.wiring import (
    Branch,
    End,
    Trunk,
    count_crossings,
    find_trunks,
    order_lanes,
)

TABLES = read_tables()
SVG = "{http://www.w3.org/2000/svg}"
NUMBER = re.compile(r"-?\d+")


@dataclass(frozen=True)
class Area:
    """A rectangle of the picture, in pixels."""

    left: float
    top: float
    right: float
    bottom: float

    def overlaps(self, other: "Area") -> bool:
        apart = self.right <= other.left or other.right <= self.left
        return not (apart or self.bottom <= other.top or other.bottom <= self.top)


@pytest.fixture(scope="module")
def picture() -> ET.Element:
    return ET.fromstring(draw_schema(TABLES))  # noqa: S314  # our own document


def _boxes(picture: ET.Element) -> dict[str, Area]:
    areas = {}
    for group in picture.iter(f"{SVG}g"):
        box = group.find(f"{SVG}rect[@class='box']")
        if box is not None:
            x, y, width, height = (float(box.attrib[k]) for k in ("x", "y", "width", "height"))
            areas[group.attrib["id"]] = Area(x, y, x + width, y + height)
    return areas


def _segments(picture: ET.Element) -> Iterator[Area]:
    """The straight parts of every relation's line, as areas as broad as the line."""
    for title in picture.iterfind(f".//{SVG}path[{SVG}title]"):
        x = y = 0.0
        for command, arguments in re.findall(r"([MHVQ])([^MHVQ]*)", title.attrib["d"]):
            *_, last = numbers = [float(number) for number in NUMBER.findall(arguments)]
            new_x = x if command == "V" else last if command == "H" else numbers[-2]
            new_y = y if command == "H" else last
            if command in "HV":
                yield Area(min(x, new_x), min(y, new_y) - 1, max(x, new_x), max(y, new_y) + 1)
            x, y = new_x, new_y


# --- What is in the picture ---
def test_every_table_and_field_is_drawn(picture: ET.Element) -> None:
    drawn = {
        group.attrib["id"]: {text.text for text in group.iterfind(f"{SVG}text")}
        for group in picture.iter(f"{SVG}g")
        if "id" in group.attrib
    }

    assert drawn.keys() == {table.name for table in TABLES}
    for table in TABLES:
        assert {field.name for field in table.fields} <= drawn[table.name]


def test_every_relation_has_a_line_that_says_what_it_is(picture: ET.Element) -> None:
    said = {title.text for title in picture.iterfind(f".//{SVG}path/{SVG}title")}
    drawn = sum(field.has_line for table in TABLES for field in table.fields)

    assert len(said) == drawn
    assert {
        "Image.dataset: N to 1 Dataset",
        "Dataset.tags: M to N Tag",
        "Collection.user: N to 1 User",
        "CollectionItem.image: N to 1 Image",
        "ImageLabel.label: N to 1 Label",
        "ModalityAlias.term: N to 1 Modality",
    } <= said


def test_linking_tables_say_which_relation_they_make() -> None:
    links = {table.name: table.links for table in TABLES if table.links}

    assert links == {"ImageLabel": "Image M–N Label", "CollectionItem": "Collection M–N Image"}


def test_fields_carry_their_marks() -> None:
    fields = {f"{table.name}.{field.name}": field for table in TABLES for field in table.fields}

    assert fields["Tag.id"].kind is Kind.PRIMARY
    assert fields["Tag.code"].uniques == ("U",)
    assert fields["Image.dataset"] == Field(
        "dataset", "bigint", Kind.FOREIGN, uniques=("U1",), target="Dataset"
    )
    assert fields["Image.age_years"].words == "double?"
    assert fields["ImageProfile.label_ids"].words == "bigint[]"
    assert fields["CollectionItem.collection"].uniques == ("U1", "U2")
    assert fields["Image.label_set"].words == "M–N Label"
    assert not fields["Image.label_set"].has_line


# --- How it looks ---
def test_the_same_tables_give_the_same_bytes_in_any_order() -> None:
    assert draw_schema(TABLES) == draw_schema(read_tables())
    assert draw_schema(TABLES[::-1]) == draw_schema(TABLES)


def test_boxes_neither_overlap_nor_leave_the_page(picture: ET.Element) -> None:
    page = Area(0, 0, float(picture.attrib["width"]), float(picture.attrib["height"]))
    boxes = _boxes(picture)

    assert [
        pair for pair in combinations(boxes, 2) if boxes[pair[0]].overlaps(boxes[pair[1]])
    ] == []
    for box in boxes.values():
        assert page.left < box.left < box.right < page.right
        assert page.top < box.top < box.bottom < page.bottom


def test_no_line_runs_through_a_box(picture: ET.Element) -> None:
    boxes, segments = _boxes(picture), list(_segments(picture))

    assert segments
    assert [
        (name, line) for name, box in boxes.items() for line in segments if box.overlaps(line)
    ] == []


def test_names_and_types_have_room_beside_each_other() -> None:
    """With 7 pixels a letter, which is the breadth of the broadest system fonts at this size."""
    columns = {name: column for column in COLUMNS for name in column.names}
    for table in TABLES:
        for field in table.fields:
            words = field.target if field.kind is Kind.MANY else field.words
            letters = len(field.name) + len(" ".join(field.uniques)) + len(words)
            assert 40 + 7 * letters + 10 <= columns[table.name].width, (
                f"{table.name}.{field.name} is too long: widen its column in COLUMNS of "
                "medagg/schema_diagram/layout.py"
            )


def test_the_picture_brings_its_own_colors_for_light_and_dark(picture: ET.Element) -> None:
    style = picture.findtext(f"{SVG}style") or ""
    light, dark = style.split("@media (prefers-color-scheme:dark)")

    selectors = re.compile(r"^([^{\n]+)\{(?:fill|stroke):#", re.MULTILINE)
    assert selectors.findall(light) == selectors.findall(dark) != []
    assert picture.find(f"{SVG}rect[@class='page']") is not None


def test_names_are_escaped() -> None:
    tables = [replace(table, links="A <B> & C") for table in TABLES]

    assert "A &lt;B&gt; &amp; C" in draw_schema(tables)


# --- What the layout refuses ---
def test_a_new_model_is_asked_to_be_placed() -> None:
    with pytest.raises(NoPlace, match=r"Annotation: name each model once in COLUMNS"):
        draw_schema([*TABLES, Table("Annotation", "catalog", ())])


def test_a_model_that_is_gone_is_asked_to_be_removed() -> None:
    with pytest.raises(NoPlace, match="Collection"):
        draw_schema([table for table in TABLES if table.name != "Collection"])


def test_a_relation_past_a_whole_column_is_refused() -> None:
    boxes = place_tables(TABLES)
    tag = boxes["Tag"]
    to_user = Field("curator", "integer", Kind.FOREIGN, target="User")
    boxes["Tag"] = Box(replace(tag.table, fields=(to_user,)), tag.column, tag.y)

    with pytest.raises(NoPlace, match=r"Tag\.curator leads past a whole column"):
        find_trunks(boxes)


# --- The lanes ---
def make_trunk(name: str, *, left: int, right: int) -> Trunk:
    """From a box at the left of the channel to one at the right; heights in pixels."""
    branch = Branch(End(right, on_left=False, label="N"), name)
    return Trunk(0, name, False, End(left, on_left=True, label="1"), (branch,))


def test_lanes_are_ordered_so_that_parallel_lines_do_not_cross() -> None:
    lines = [make_trunk(f"line {n}", left=20 * n, right=20 * n + 200) for n in range(5)]

    lanes = order_lanes(lines[2:] + lines[:2])

    assert count_crossings(lanes) == 0
    assert [trunk.target for trunk in lanes] == [f"line {n}" for n in (4, 3, 2, 1, 0)]


def test_lines_that_must_cross_do_so_once() -> None:
    lanes = order_lanes(
        [make_trunk("down", left=0, right=100), make_trunk("up", left=90, right=10)]
    )

    assert count_crossings(lanes) == 1


def test_a_straight_line_needs_no_lane() -> None:
    assert order_lanes([make_trunk("level", left=50, right=50)]) == []


def test_relations_to_one_table_share_a_trunk() -> None:
    trunks = find_trunks(place_tables(TABLES))
    areas = [trunk for trunk in trunks if trunk.target == "AnatomicalArea" and trunk.channel == 1]

    assert [branch.words.split(":")[0] for branch in areas[0].branches] == [
        "Dataset.area",
        "ImageProfile.area",
        "Image.area",
    ]
    assert len(areas) == 1
