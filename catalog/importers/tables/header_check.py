"""Checks that the header of a delimited table has a name for each cell of its rows."""

from collections.abc import Sequence

from catalog.importers.rows import SourceError
from catalog.importers.tables.lines import show
from catalog.wording.formats import count_of

_OPENING, _CLOSING = "([{", ")]}"
_SHOWN_NAMES = 20


def check_width(path: str, header: Sequence[str], rows: Sequence[Sequence[str]], skip: int) -> None:
    """Raise `SourceError` if all of the first rows have another width than the header.

    `skip` lines are before the rows; it is 0 if the header is from the description.
    """
    widths = {len(cells) for cells in rows}
    if len(rows) < 2 or len(widths) > 1 or any(_fits(cells, len(header)) for cells in rows):
        return
    (width,) = widths
    names = [name for name in _join_brackets(header) if name.strip()]
    whose = "header" if skip else "header in the description"
    count = count_of(len(names), "column")
    sentences = [f"{path}: the {whose} names {count}, but the rows have {width} cells."]
    if len(header) == 1 or width == 1:
        sentences.append('If cells are divided by another character, name it: delimiter = ";".')
    wanted = [*map(show, names), *["…"] * width][: min(width, _SHOWN_NAMES)]
    listed = ", ".join(f'"{name}"' for name in wanted) + (", …" if width > _SHOWN_NAMES else "")
    line = f"skip = {skip} and " if skip else ""
    sentences.append(f"Name all {width} below [[table]]: {line}header = [{listed}].")
    raise SourceError(" ".join(sentences))


def _fits(cells: Sequence[str], width: int) -> bool:
    return len(cells) == width or (
        len(cells) > width and not any(cell.strip() for cell in cells[width:])
    )


def _join_brackets(cells: Sequence[str]) -> list[str]:
    """The cells, but a bracket that was cut by delimiters is one: `box [x`, `y]` → `box [x,y]`."""
    joined: list[str] = []
    depth = 0
    for cell in cells:
        if depth > 0:
            joined[-1] += f",{cell}"
        else:
            joined.append(cell)
        depth += sum(map(cell.count, _OPENING)) - sum(map(cell.count, _CLOSING))
    return joined if depth == 0 else list(cells)
