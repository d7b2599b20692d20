"""Makes one image of the several rows that describe it."""

from collections.abc import Iterator, Mapping
from dataclasses import fields
from sys import getsizeof
from typing import Any

from catalog.importers.room import MAX_METADATA, say_too_long
from catalog.importers.rows import BadRow, ImageRow, SourceError
from catalog.importers.tables.labels import merge_labels
from catalog.importers.tables.lines import show
from catalog.wording.formats import file_size

# A row as it was read, and the columns of it that are gathered in a list.
Piece = tuple[ImageRow | BadRow, dict[str, Any]]

MAX_ROWS_OF_AN_IMAGE = 10_000
# Of rows that need not follow one another, all images are in memory, with 2 KB each.
MAX_TOGETHER = 250_000
# And so are their metadata, labels and what is gathered: so many bytes.
MAX_HELD = 500_000_000
_LABEL = 100  # bytes, about; so has a value that is not understood
_MERGED = ("source_id", "line", "labels", "metadata", "unread", "conflicts", "mask")
_EMPTY: dict[str, object] = {
    each.name: each.default for each in fields(ImageRow) if each.name not in _MERGED
}
_FIELD_NAMES = {"subject_id": "subject", "age_years": "age", "size_bytes": "size",
                "remote_url": "url", "file_path": "file"}  # fmt: skip


class _Whole:
    """An image from several rows; with a bad row among them it is not yielded.

    A field that rows contradict is unknown. A column of the metadata in which they differ becomes
    the list of its values.
    """

    def __init__(self, piece: Piece, gather: str) -> None:
        self._row, gathered = piece
        self._gather = gather
        self._labels = [] if isinstance(self._row, BadRow) else [*self._row.labels]
        self._gathered = [gathered] if gathered else []
        self._count, self._size = 1, 0
        self._given_up: BadRow | None = None
        self._lines: dict[str, int] = {}  # of fields that are not of the first row
        self._conflicts: dict[str, BadRow] = {}
        self._values: dict[str, dict[str, Any]] = {}
        self.weight = _weigh(piece)  # the bytes that it holds, about

    def add(self, piece: Piece) -> None:
        row, gathered = piece
        self._count += 1
        self.weight += _weigh(piece, has_metadata=False)
        self._size += sum(len(each) for each in gathered.values() if isinstance(each, str))
        if self._count == MAX_ROWS_OF_AN_IMAGE:
            reason = f"More than {MAX_ROWS_OF_AN_IMAGE:,} rows have this id. Check the id's column."
            self._give_up(row.line, "id", reason)
        elif self._size > MAX_METADATA:
            self._give_up(row.line, "metadata", say_too_long(self._size))
        if isinstance(self._row, BadRow) or isinstance(row, BadRow):
            self._row = row if isinstance(row, BadRow) else self._row
            return
        self._labels += row.labels
        self._gathered += [gathered] if gathered else []
        self._row.unread += row.unread
        if row.metadata != self._row.metadata:
            self._add_metadata(self._row, row)
        for name, empty in _EMPTY.items():
            if (value := getattr(row, name)) != empty:
                self._add_value(self._row, name, value, row.line)

    def _give_up(self, line: int, column: str, reason: str) -> None:
        if isinstance(self._row, ImageRow):
            shown = self._row.source_id if column == "id" else ""
            self._row = self._given_up = BadRow(line, column, shown, reason, self._row.source_id)
        self._labels, self._gathered, self._values = [], [], {}

    def _add_metadata(self, first: ImageRow, row: ImageRow) -> None:
        for name, value in row.metadata.items():
            known = first.metadata.get(name)
            if known is not None and known != value:
                values = self._values.setdefault(name, {repr(known): known})
                if (text := repr(value)) not in values:
                    values[text] = value
                    self._size += len(text)
                    self.weight += 2 * getsizeof(text)
        new = {name: row.metadata[name] for name in row.metadata.keys() - first.metadata.keys()}
        self.weight += _weigh_values(new)
        first.metadata = {**row.metadata, **first.metadata}

    def _add_value(self, first: ImageRow, name: str, value: Any, line: int) -> None:
        known = getattr(first, name)
        if known == value or name in self._conflicts:
            return
        if known == _EMPTY[name]:
            setattr(first, name, value)
            self._lines[name] = line
            return
        field = _FIELD_NAMES.get(name, name)
        reason = (
            f"Line {self._lines.get(name, first.line)} says “{show(str(known))}” of the same image "
            f"{show(first.source_id)}, so its {field} is unknown. Correct one of the rows, or "
            "choose an id that tells the images apart."
        )
        self._conflicts[name] = BadRow(line, field, show(str(value)), reason, first.source_id)
        setattr(first, name, _EMPTY[name])

    def finish(self) -> Iterator[ImageRow | BadRow]:
        row = self._row
        if self._given_up:
            yield self._given_up
        if isinstance(row, ImageRow):
            row.labels = merge_labels(self._labels)
            row.unread = tuple(dict(reversed(row.unread)).items())  # the first of each field
            row.conflicts = tuple(self._conflicts.values())
            several = {name: [*values.values()] for name, values in self._values.items()}
            gathered = {self._gather: self._gathered} if self._gathered else {}
            row.metadata = {**row.metadata, **several, **gathered}
            yield row


def join_rows(
    pieces: Iterator[Piece], gather: str, *, adjacent: bool
) -> Iterator[ImageRow | BadRow]:
    """The images of rows; with ``adjacent`` those of an image follow one another."""
    wholes: dict[str, _Whole] = {}
    held = 0
    for piece in pieces:
        row = piece[0]
        if isinstance(row, BadRow):
            yield row
        if not row.source_id:
            continue
        if whole := wholes.get(row.source_id):
            held -= whole.weight
            whole.add(piece)
        else:
            if adjacent:
                yield from _finish_all(wholes)
                held = 0
            whole = wholes[row.source_id] = _Whole(piece, gather)
        held += whole.weight
        if len(wholes) > MAX_TOGETHER or (held > MAX_HELD and not adjacent):
            raise SourceError(_say_too_many(len(wholes), held))
    yield from _finish_all(wholes)


def _say_too_many(count: int, held: int) -> str:
    return (
        f"[many]: {count:,} images with {file_size(held)} would have to be held in memory at "
        f"a time (limits: {MAX_TOGETHER:,}, {file_size(MAX_HELD)}). Sort the table by its id, and "
        "say adjacent = true below [many], or leave long columns out: drop of [metadata]."
    )


def _weigh(piece: Piece, *, has_metadata: bool = True) -> int:
    """The bytes that a row holds, about; further rows of an image say the same metadata."""
    row, gathered = piece
    if isinstance(row, BadRow):
        return 0
    metadata = _weigh_values(row.metadata) if has_metadata else 0
    return _weigh_values(gathered) + metadata + _LABEL * (len(row.labels) + len(row.unread))


def _weigh_values(values: Mapping[str, Any]) -> int:
    texts = (value if isinstance(value, list) else [value] for value in values.values())
    return getsizeof(values) + sum(getsizeof(text) for each in texts for text in each)


def _finish_all(wholes: dict[str, _Whole]) -> Iterator[ImageRow | BadRow]:
    for whole in wholes.values():
        yield from whole.finish()
    wholes.clear()
