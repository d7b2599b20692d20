"""What a `dataset.toml` says, checked; the keys are those of the file. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from catalog.importers.tables.labels import LabelSpec
from catalog.importers.tables.reading import TableFormat
from catalog.importers.tables.templates import Template

# Templates, of which the first that is not empty counts.
Value = tuple[Template, ...]


@dataclass(frozen=True, slots=True)
class FilesSpec:
    """Where files lie: `path` below `folder`, or below it `anywhere`, with one of `extensions`."""

    folder: Path | None = None
    path: Value = ()
    extensions: tuple[str, ...] = ()
    anywhere: bool = False


@dataclass(frozen=True, slots=True)
class TableSpec:
    """A table by alternative patterns; a joined row's `key` is what `to` gives for a row."""

    patterns: tuple[str, ...]
    how: TableFormat
    optional: bool = False
    key: Value = ()
    to: Value = ()


@dataclass(frozen=True, slots=True)
class ImageSpec:
    """How the fields of an image are made of a row. Ages without a unit are in `age_unit`."""

    id: Value
    subject: Value = ()
    sex: Value = ()
    sex_words: Mapping[str, str] = field(default_factory=dict)
    age: Value = ()
    age_unit: str = "years"
    born: Value = ()
    studied: Value = ()
    modality: Value = ()
    area: Value = ()
    view: Value = ()
    width: Value = ()
    height: Value = ()
    size: Value = ()
    url: Value = ()


@dataclass(frozen=True, slots=True)
class ManySpec:
    """Several rows an image: their `columns` become a list `gather` in its metadata.

    Rows whose column `unless` is empty stay out of that list. `adjacent` promises that the rows of
    an image follow one another, which keeps memory flat however many images there are.
    """

    adjacent: bool = False
    gather: str = ""
    columns: tuple[str, ...] = ()
    unless: str = ""


@dataclass(frozen=True, slots=True)
class MetadataSpec:
    """What is kept of a row beside the fields: all columns but `leave_out`, or `only` some."""

    leave_out: frozenset[str] = frozenset()
    only: tuple[str, ...] = ()
    numbers: frozenset[str] = frozenset()
    lists: frozenset[str] = frozenset()
    add: tuple[tuple[str, Template], ...] = ()


@dataclass(frozen=True, slots=True)
class Description:
    entry: dict[str, Any]
    files: FilesSpec
    tables: tuple[TableSpec, ...]
    joins: tuple[TableSpec, ...]
    image: ImageSpec
    labels: tuple[LabelSpec, ...]
    many: ManySpec | None
    metadata: MetadataSpec
